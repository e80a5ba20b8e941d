"""evaluate, for runs that name scenes and countries: a run and labelled photos -> what it reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from geofix import metrics
from geofix.class_scores import TOP, ClassPredictions, ClassScores, score_classes
from geofix.coordinate_scores import CoordinateScores, score_coordinates
from geofix.countries.calibrate import summed_by_continent
from geofix.countries.look import Seen, look
from geofix.data.labels import Labelled, labelled_countries, labelled_scenes
from geofix.data.places import Dataset
from geofix.encode import Progress
from geofix.errors import DataError, PhotoError, UsageError
from geofix.geography.codes import SOVEREIGN, at_level, continent_of, name_of
from geofix.models.countries import CountryRun, Knowledge
from geofix.positions import latlons
from geofix.recipes import Precision
from geofix.reliability import Answered, answered, reliability
from geofix.shapes import Probabilities

CONFUSIONS = 3  # named for each country


@dataclass(frozen=True, slots=True)
class PartScore:
    """What was reached on the photos of one scene: shares with 95 % intervals."""

    photos: int
    top1: float
    top1_ci95: tuple[float, float]
    top5: float
    top5_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Failures:
    """A country's photos, how many were named first, and what the others were taken for, most often first."""

    country: str
    photos: int
    right: int
    taken_for: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Every photo's answer, for a table: photos with their labels, classes and probabilities (n, c), scenes (n) by
    which rows are split ("" for none).
    """

    labelled: Labelled
    classes: tuple[str, ...]
    probabilities: Probabilities
    scenes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CountryScores:
    """Scores of a run on labelled photos: by each way of routing ("soft", "hard", or "single"), over photos and, with
    the photos of a group taken together, over groups; by scene, by country, and of the answers it would have given.

    `scene` is set where the data name scenes: how well the router does. `scenes_by` says whether rows by scene are by
    "true" or by "predicted" ones; they are by way of routing. `hits` has for each way, and 1 and 5, which photos were
    answered rightly (n). `uncalibrated` is the calibration error without the networks' temperatures. `coordinates`
    scores the middle of the named country's photos as a position, where photos have positions. `leaking` is how many
    photos share a group with the train split; None where there is none to compare with. A run that names scenes alone
    has nothing but `scene`.
    """

    countries: Mapping[str, ClassScores]
    groups: Mapping[str, ClassScores]
    scene: ClassScores | None
    per_scene: Mapping[str, Mapping[str, PartScore]]
    scenes_by: str | None
    sure: Mapping[str, Answered]
    continent: Answered | None
    failures: tuple[Failures, ...]
    knows: Knowledge
    protocol: Mapping[str, Any]
    predictions: Predictions | None = None
    hits: Mapping[str, Mapping[int, np.ndarray]] = field(default_factory=dict)
    errors: tuple[PhotoError, ...] = ()
    uncalibrated: Mapping[str, float] = field(default_factory=dict)
    coordinates: CoordinateScores | None = None
    leaking: int | None = None

    @property
    def task(self) -> str:
        """ "country", or "scene" of a router alone."""
        return "country" if self.countries else "scene"

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json: the first way of routing, then the others."""
        protocol = dict(self.protocol)
        scene = None if self.scene is None else self.scene.to_dict("scene")
        if not self.countries:
            assert scene is not None
            return {**scene, "per_scene": _parts(self.per_scene["scene"]), "protocol": protocol}
        first = next(iter(self.countries))
        by_scene = {way: _parts(parts) for way, parts in self.per_scene.items()}
        return {
            **self.countries[first].to_dict(),
            "routing": {
                name: {
                    **scores.to_dict(),
                    "ece_uncalibrated": self.uncalibrated.get(name),
                    "per_scene": by_scene[name],
                }
                for name, scores in self.countries.items()
            },
            "by_group": {name: scores.to_dict() for name, scores in self.groups.items()},
            "scene": scene,
            "per_scene": by_scene[first],
            "per_scene_by": self.scenes_by,
            "answered": {name: one.to_dict() for name, one in self.sure.items()},
            "answered_continents": None if self.continent is None else self.continent.to_dict(),
            "failures": [
                {"country": one.country, "photos": one.photos, "right": one.right, "taken_for": dict(one.taken_for)}
                for one in self.failures
            ],
            "classes": list(self.knows.countries),
            "coordinates": None if self.coordinates is None else self.coordinates.to_dict(),
            "photos_sharing_a_group_with_train": self.leaking,
            "protocol": protocol,
        }


@dataclass(frozen=True, eq=False)
class _Test:
    """What is scored: labelled photos that could be read, and what was seen of them, at one level of countries."""

    seen: Seen
    labelled: Labelled
    level: str
    protocol: dict[str, Any] = field(default_factory=dict)

    def classes(self) -> tuple[str, ...]:
        """The countries that the run can say, at the level that is scored."""
        return tuple(sorted({at_level(code, self.level) for code in self.seen.knows.countries}))

    def probabilities(self, routing: str) -> Probabilities:
        """Of those (n, c); territories of one sovereign are added up."""
        own, classes = self.seen.knows.countries, self.classes()
        total = np.zeros((len(self.labelled), len(classes)))
        for column, values in zip(own, self.seen.countries(routing).T, strict=True):
            total[:, classes.index(at_level(column, self.level))] += values
        return total


def evaluate_country(
    run: CountryRun,
    dataset: Dataset,
    *,
    split: str = "test",
    level: str | None = None,
    precision: Precision | None = None,
    windows: bool = False,
    progress: Progress | None = None,
) -> CountryScores:
    """Score a run on the labelled photos of a split, looked at whole or in five `windows` each (`five_windows`).

    Countries are compared at `level` (the run's by default; a run that learned sovereigns cannot tell territories).
    Intervals resample groups: locations, sequences or photographers, where the data name them. Raises DataError and
    UsageError.
    """
    chosen = dataset.split(split)
    protocol: dict[str, Any] = {
        "run": run.name,
        "split": split,
        "level": level or run.knows.level,
        "pretrained": run.recipe.pretrained,
        "weights": run.recipe.weights,
        "random_tensors": run.recipe.random_tensors,
        "flip_test": run.recipe.flip_test,
        "view": "mean of five windows of 7/8" if windows else "single, whole photo",
    }
    if not run.knows.heads:
        return _scenes_alone(run, labelled_scenes(chosen), precision, windows, protocol, progress)
    wanted = _level(run, level)
    problems: list[PhotoError] = []
    labelled = labelled_countries(chosen, wanted, problems)
    seen = look(run, labelled.photos, precision=precision, windows=windows, progress=progress)
    _some(seen, len(labelled))
    test = _Test(seen, labelled.take(seen.rows), wanted, protocol)
    scores = _scored(run, test, (*problems, *seen.errors))
    return replace(scores, coordinates=_as_positions(run, test), leaking=_leaking(dataset, split, test.labelled))


def _scored(run: CountryRun, test: _Test, errors: tuple[PhotoError, ...]) -> CountryScores:
    ways = ("soft", "hard") if run.knows.router is not None else ("single",)
    training = _training_counts(run.knows, test.level)
    named, by = _named(test)
    by_photo, by_group, by_scene, sure = {}, {}, {}, {}
    found = {way: _predictions(test, way) for way in ways}
    for way, one in found.items():
        by_photo[way] = score_classes(one, training, protocol={**test.protocol, "routing": way})
        by_group[way] = score_classes(
            _pooled(one, test.labelled.groups), training, protocol={**test.protocol, "routing": way}
        )
        by_scene[way] = _by_scene(one, named)
        least = run.knows.sureness.hard if way == "hard" else run.knows.sureness.soft
        if least is not None:
            sure[way] = answered(one.confidences(), one.hits(), least, one.clusters)
    first = found[ways[0]]
    return CountryScores(
        by_photo,
        by_group,
        _router_scores(test),
        by_scene,
        by,
        sure,
        _continents(run, test),
        _failures(first),
        run.knows,
        test.protocol,
        Predictions(test.labelled, first.classes, first.probabilities, tuple(scene or "" for scene in named)),
        {way: {n: one.hits(n) for n in TOP} for way, one in found.items()},
        errors,
        {way: _uncalibrated(test, way) for way in ways},
    )


def _scenes_alone(
    run: CountryRun,
    labelled: Labelled,
    precision: Precision | None,
    windows: bool,
    protocol: dict[str, Any],
    progress: Progress | None,
) -> CountryScores:
    seen = look(run, labelled.photos, precision=precision, windows=windows, progress=progress)
    _some(seen, len(labelled))
    data = labelled.take(seen.rows)
    assert run.knows.router is not None and seen.scenes is not None
    head = run.knows.router
    found = ClassPredictions(seen.scenes, head.classes, data.labels, data.clusters)
    scores = score_classes(found, dict(zip(head.classes, head.photos, strict=True)), protocol=protocol)
    names = sorted(set(data.labels))
    parts = {name: _part(found, np.array([label == name for label in data.labels])) for name in names}
    told = Predictions(data, head.classes, seen.scenes, data.labels)
    hits = {"scene": {n: found.hits(n) for n in TOP}}
    return CountryScores(
        {}, {}, scores, {"scene": parts}, "true", {}, None, (), run.knows, protocol, told, hits, seen.errors
    )


def _predictions(test: _Test, way: str) -> ClassPredictions:
    routing = "hard" if way == "hard" else "soft"
    return ClassPredictions(test.probabilities(routing), test.classes(), test.labelled.labels, test.labelled.clusters)


def _pooled(found: ClassPredictions, of_photos: Sequence[str]) -> ClassPredictions:
    """The photos of each group taken together: probabilities multiplied, as if each saw the place independently, to the
    power of one over their number (a geometric mean)."""
    logs = np.log(np.maximum(found.probabilities, 1e-12))
    groups = sorted(set(of_photos))
    number = {group: row for row, group in enumerate(groups)}
    of = np.array([number[group] for group in of_photos])
    sums = np.zeros((len(groups), logs.shape[1]))
    np.add.at(sums, of, logs)
    means = np.exp(sums / np.bincount(of)[:, None])
    truth: dict[int, Counter[str]] = {}
    for row, label in zip(of.tolist(), found.truth, strict=True):
        truth.setdefault(row, Counter())[label] += 1
    labels = tuple(truth[row].most_common(1)[0][0] for row in range(len(groups)))
    cluster = dict(zip(of_photos, found.clusters, strict=True))
    clusters = tuple(cluster[group] for group in groups)
    return ClassPredictions(means / means.sum(axis=1, keepdims=True), found.classes, labels, clusters)


def _uncalibrated(test: _Test, way: str) -> float:
    """The calibration error of a way of routing with every temperature at 1."""
    knows = test.seen.knows
    router = None if knows.router is None else replace(knows.router, temperature=1.0)
    plain = replace(knows, router=router, heads=tuple(replace(head, temperature=1.0) for head in knows.heads))
    found = _predictions(replace(test, seen=Seen(plain, test.seen.rows, test.seen.logits)), way)
    return reliability(found.confidences(), found.hits()).error


def _as_positions(run: CountryRun, test: _Test) -> CoordinateScores | None:
    """The first country's middle as a position, of the photos that have one."""
    rows = [row for row, photo in enumerate(test.labelled.photos) if photo.position is not None]
    names = run.knows.countries
    if not rows or not any(name in run.knows.centres for name in names):
        return None
    middles = np.array([run.knows.centres.get(name, (np.nan, np.nan)) for name in names])
    predicted = middles[test.seen.countries().argmax(axis=1)][rows]
    truth = latlons([position for row in rows if (position := test.labelled.photos[row].position) is not None])
    clusters = [test.labelled.clusters[row] for row in rows]
    return score_coordinates(truth, predicted, clusters, level=test.level)


def _leaking(dataset: Dataset, split: str, labelled: Labelled) -> int | None:
    """How many photos share a location, sequence or photographer with the train split."""
    if split == "train" or "train" not in dataset.splits:
        return None
    train = dataset.split("train").photos
    groups = {photo.group for photo in train if photo.group}
    authors = {photo.author for photo in train if photo.author}
    return sum(photo.group in groups or photo.author in authors for photo in labelled.photos)


def _router_scores(test: _Test) -> ClassScores | None:
    """How well the router names the scenes that the data name."""
    router, scenes = test.seen.knows.router, test.seen.scenes
    rows = [row for row, scene in enumerate(test.labelled.scenes) if scene]
    if router is None or scenes is None or not rows:
        return None
    data = test.labelled.take(rows)
    found = ClassPredictions(scenes[rows], router.classes, tuple(str(scene) for scene in data.scenes), data.clusters)
    return score_classes(found, dict(zip(router.classes, router.photos, strict=True)), protocol=test.protocol)


def _likeliest_scenes(test: _Test) -> list[str]:
    router, scenes = test.seen.knows.router, test.seen.scenes
    assert router is not None and scenes is not None
    return [router.classes[column] for column in scenes.argmax(axis=1)]


def _named(test: _Test) -> tuple[list[str | None], str | None]:
    """The scene of each photo, and whether it is the data's ("true") or the likeliest ("predicted"); or neither."""
    if any(test.labelled.scenes):
        return list(test.labelled.scenes), "true"
    if test.seen.knows.router is None:
        return [None] * len(test.labelled), None
    return list(_likeliest_scenes(test)), "predicted"


def _by_scene(found: ClassPredictions, named: Sequence[str | None]) -> dict[str, PartScore]:
    scenes = sorted({scene for scene in named if scene})
    return {scene: _part(found, np.array([one == scene for one in named])) for scene in scenes}


def _part(found: ClassPredictions, inside: np.ndarray) -> PartScore:
    clusters = [cluster for cluster, one in zip(found.clusters, inside, strict=True) if one]
    first, fifth = (found.hits(n)[inside] for n in (1, 5))
    return PartScore(
        int(inside.sum()),
        float(first.mean()),
        metrics.clustered_interval(first, clusters),
        float(fifth.mean()),
        metrics.clustered_interval(fifth, clusters),
    )


def _continents(run: CountryRun, test: _Test) -> Answered | None:
    """What would be said of continents, by the limit learned for them."""
    least = run.knows.sureness.continent
    if least is None:
        return None
    names, summed = summed_by_continent(run.knows.countries, test.seen.countries())
    truth = [continent_of(code) for code in test.labelled.labels]
    found = ClassPredictions(summed, names, tuple(truth), test.labelled.clusters)
    return answered(found.confidences(), found.hits(), least, found.clusters)


def _failures(found: ClassPredictions) -> tuple[Failures, ...]:
    """Every country of the truth, the one with most photos named wrongly first."""
    said = [found.classes[column] for column in found.answers()[:, 0]]
    taken: dict[str, Counter[str]] = {}
    for truth, answer in zip(found.truth, said, strict=True):
        taken.setdefault(truth, Counter())[answer] += 1
    listed = []
    for country, answers in taken.items():
        wrong = Counter({answer: count for answer, count in answers.items() if answer != country})
        order = sorted(wrong.items(), key=lambda one: (-one[1], one[0]))[:CONFUSIONS]
        listed.append(Failures(country, answers.total(), answers[country], tuple(order)))
    return tuple(sorted(listed, key=lambda one: (one.right - one.photos, one.country)))


def _training_counts(knows: Knowledge, level: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for head in knows.heads:
        for country, count in zip(head.classes, head.photos, strict=True):
            counts[at_level(country, level)] += count
    return {name: float(count) for name, count in counts.items()}


def _level(run: CountryRun, level: str | None) -> str:
    wanted = level or run.knows.level
    at_level(run.knows.countries[0], wanted)  # an unknown level
    if run.knows.level == SOVEREIGN and wanted != SOVEREIGN:
        raise UsageError(
            f"{run.folder} learned sovereign states and cannot tell their territories; leave --level out, or "
            "train with --set level=territory."
        )
    return wanted


def _some(seen: Seen, asked: int) -> None:
    if not len(seen.rows):
        raise DataError(f"None of the {asked} labelled photos could be read. The first: {seen.errors[0]}")


def _parts(parts: Mapping[str, PartScore]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "photos": one.photos,
            "top1": one.top1,
            "top1_ci95": list(one.top1_ci95),
            "top5": one.top5,
            "top5_ci95": list(one.top5_ci95),
        }
        for name, one in parts.items()
    }


def country_label(code: str) -> str:
    """A code with its name, for people."""
    return f"{code} {name_of(code)}"
