"""Classes learned in two phases: photos -> networks of scenes and countries, calibrated on photos held out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geofix.countries.calibrate import sureness, temperature_of
from geofix.countries.look import look
from geofix.data.labels import Labelled, held_out_groups, labelled_countries, labelled_scenes
from geofix.data.places import Dataset, Split
from geofix.errors import DataError, PhotoError, UsageError
from geofix.files import is_file, is_folder, write_atomically
from geofix.learn.checkpoints import CHECKPOINT, LOGS, check_out
from geofix.learn.class_learner import METRICS, ClassTask, learn_classes
from geofix.learn.learner import Progress
from geofix.models.backbones import read_state
from geofix.models.classifier import Classifier, Design, check_looks, fill_trunk, open_classifier
from geofix.models.countries import (
    ALL,
    CLASSES,
    PREPROCESS,
    RECIPE,
    ROUTER,
    WEIGHTS,
    CountryModel,
    CountryRun,
    Head,
    Knowledge,
    Sureness,
    head_design,
    load_country_run,
    router_design,
    save_country_run,
)
from geofix.recipes import CountryRecipe

PARTS, CURVES = "parts", "curves.png"
_LEFT = frozenset({RECIPE, PREPROCESS, CLASSES, CHECKPOINT, METRICS, LOGS, PARTS, CURVES})


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one network is taught: its name, design and epochs, photos to learn from and photos held out."""

    name: str
    design: Design
    epochs: int
    learned: Labelled
    held: Labelled

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that are learned, sorted."""
        return tuple(self.learned.counts)


@dataclass(frozen=True, slots=True)
class _Work:
    """What all networks of a training share."""

    recipe: CountryRecipe
    out: Path
    weights: Path | None
    progress: Progress | None
    after_epoch: Callable[[], None] | None
    say: list[str]
    errors: list[PhotoError]


def train_countries(
    recipe: CountryRecipe,
    dataset: Dataset,
    out: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    after_epoch: Callable[[], None] | None = None,
    say: list[str] | None = None,
    errors: list[PhotoError] | None = None,
) -> CountryRun:
    """Train a router of scenes and a specialist of countries for each, a single network, or the router alone, and write
    the run folder `out`.

    Groups of photos (`block_share` of them) are held out: temperatures and the limit below which the answer is "can't
    tell" are learned on them. Where the data name no scenes they come from the recipe's router, a run; without one a
    single network is trained, and `say` says so. Trunks start from `weights`, a file, or by name through the hub's
    cache. `resume` goes on from the last checkpoint of the network that was being trained. What cannot be used goes to
    `errors`. Raises DataError, RecipeError, TrainingError, StorageError, UsageError, WeightsError.
    """
    told, failed = [] if say is None else say, [] if errors is None else errors
    if resume and is_file(out / WEIGHTS):
        told.append(f"{out} is a finished run; nothing is left to do.")
        return load_country_run(out)
    begun = is_file(out / CHECKPOINT) or is_folder(out / PARTS)
    check_out(out, resume, begun=begun, left=_LEFT if resume else {RECIPE})
    split = _training_split(dataset)
    work = _Work(recipe.without_origin(), out, weights, progress, after_epoch, told, failed)
    if weights is not None:
        read_state(weights)
    if recipe.learn == "scene":
        return _scenes_alone(work, split)
    return _countries(work, split)


def _scenes_alone(work: _Work, split: Split) -> CountryRun:
    recipe = work.recipe
    data = labelled_scenes(split)
    learned, held = held_out_groups(data, recipe.block_share, recipe.seed)
    lesson = Lesson(ROUTER, head_design(recipe), recipe.epochs, data.take(learned), data.take(held))
    head, network, origin = _taught(work, lesson)
    knows = Knowledge(
        recipe.level, head, (), Sureness(recipe.error_rate, photos=len(held), groups=_groups(lesson.held))
    )
    return _saved(work, CountryModel({ROUTER: network}), knows, origin)


def _countries(work: _Work, split: Split) -> CountryRun:
    recipe, out = work.recipe, work.out
    data = labelled_countries(split, recipe.level, work.errors)
    _at_least_two(data.counts, "countries")
    router_run = load_country_run(Path(recipe.router)) if recipe.router else None
    if router_run is not None:
        data = _named_by(router_run, data, work)
    routed = recipe.routing == "scene" and any(data.scenes)
    if recipe.routing == "scene" and not routed:
        work.say.append(
            "The data name no scenes and no router was given (--set router=RUN): a single network is trained instead "
            "of a router and specialists."
        )
    kept, held = held_out_groups(data, recipe.block_share, recipe.seed)
    learned, block = data.take(kept), data.take(held)
    heads: list[Head] = []
    networks: dict[str, Classifier] = {}
    origins: list[tuple[str | None, int]] = []
    router: Head | None = None
    if router_run is not None and routed:
        assert router_run.knows.router is not None
        router, networks[ROUTER] = router_run.knows.router, router_run.model.network(ROUTER)
    elif routed:
        lesson = Lesson(ROUTER, router_design(recipe), recipe.router_epochs, _by_scene(learned), _by_scene(block))
        router, networks[ROUTER], origin = _taught(work, lesson)
        origins.append(origin)
    start: Classifier | None = None
    if not routed or recipe.specialists_from == "single":
        whole = Lesson(ALL, head_design(recipe), recipe.epochs, learned, block)
        head, start, origin = _taught(work, whole)
        origins.append(origin)
        if not routed:
            heads, networks = [head], {ALL: start}
    if routed:
        assert router is not None
        for lesson in _specialists(work, router, learned, block):
            head, networks[lesson.name], origin = _taught(work, lesson, start)
            heads.append(head)
            origins.append(origin)
    knows = Knowledge(
        recipe.level, router, tuple(heads), Sureness(recipe.error_rate), None if router_run is None else router_run.name
    )
    model = CountryModel(networks).eval()
    knows = replace(knows, sureness=_sureness(work, CountryRun(out, recipe, model, knows, ""), block))
    return _saved(work, model, knows, _joined(origins))


def _taught(
    work: _Work, lesson: Lesson, start: Classifier | None = None
) -> tuple[Head, Classifier, tuple[str | None, int]]:
    """A network that has learned its lesson, what it can say, and where its trunk came from (the file and what that
    covered, tensors left random). One that a stopped training had finished is taken as it is.
    """
    _at_least_two(lesson.learned.counts, "classes", lesson.name)
    recipe, key = work.recipe, _key(work.recipe, lesson, start)
    file = work.out / PARTS / f"{lesson.name}-{key[:16]}.safetensors"  # of this recipe and these photos alone
    classifier, origin = _begun(work, lesson, start)
    if is_file(file):
        classifier.load_state_dict(read_state(file))
    elif lesson.epochs:
        if not is_file(work.out / RECIPE):
            write_atomically(work.out / RECIPE, recipe.to_yaml())
        task = ClassTask(lesson.name, lesson.classes, lesson.epochs, lesson.learned, lesson.held)
        learn_classes(
            classifier,
            task,
            recipe,
            work.out,
            file,
            key=key,
            progress=work.progress,
            after_epoch=work.after_epoch,
            errors=work.errors,
        )
    counts = lesson.learned.counts
    head = Head(lesson.name, lesson.classes, tuple(counts.values()), classifier.design)
    temperature, told = temperature_of(classifier, head, lesson.held, recipe.precision, recipe.flip_test)
    if told:
        work.say.append(told)
    return replace(head, temperature=temperature), classifier, origin


def _begun(work: _Work, lesson: Lesson, start: Classifier | None) -> tuple[Classifier, tuple[str | None, int]]:
    """A network before its lesson."""
    recipe, design = work.recipe, lesson.design
    if start is not None:
        classifier = open_classifier(design, len(lesson.classes), pretrained=False, seed=recipe.seed)
        classifier.trunk.load_state_dict(start.trunk.state_dict())
        return classifier, (None, 0)
    from_hub = recipe.pretrained == "imagenet" and work.weights is None
    if recipe.pretrained == "file" and work.weights is None:
        raise UsageError(
            "The recipe says that its trunks start from a file of weights and none was named; add --weights FILE, or "
            "start from random weights with --set pretrained=none."
        )
    classifier = open_classifier(design, len(lesson.classes), pretrained=from_hub, seed=recipe.seed)
    check_looks(classifier)
    if work.weights is None:
        if recipe.pretrained == "none":
            work.say.append(f"The trunk of {lesson.name} starts from random weights (seed {recipe.seed}).")
        return classifier, (None, 0)
    coverage = fill_trunk(classifier, work.weights)
    short = hashlib.sha256(work.weights.read_bytes()).hexdigest()[:12]
    noted = f"{work.weights.name} (sha256 {short}): {coverage.covered} of {coverage.expected} tensors"
    work.say.append(f"{lesson.name}: {work.weights.name}: {coverage}.")
    return classifier, (noted, len(coverage.missing))


def _specialists(work: _Work, router: Head, learned: Labelled, block: Labelled) -> list[Lesson]:
    """A lesson for each scene that the router can name and that two countries have photos of."""
    recipe = work.recipe
    lessons = []
    for scene in router.classes:
        rows = [row for row, one in enumerate(learned.scenes) if one == scene]
        part = learned.take(rows)
        if len(part.counts) < 2:
            work.say.append(
                f"No specialist of {scene}: {len(part)} photos of {len(part.counts)} countries show it, and two "
                "countries are needed; what the router gives it is left to the others."
            )
            continue
        held = block.take([row for row, one in enumerate(block.scenes) if one == scene])
        single = [country for country, count in part.counts.items() if count == 1]
        if single:
            work.say.append(f"The specialist of {scene} has one photo only of {', '.join(single)}.")
        lessons.append(Lesson(scene, head_design(recipe), recipe.epochs, part, held))
    if not lessons:
        raise DataError("No scene has photos of two countries; train a single network with --set routing=none.")
    return lessons


def _by_scene(data: Labelled) -> Labelled:
    """The photos whose scene is known, with that as their label."""
    part = data.take([row for row, scene in enumerate(data.scenes) if scene])
    return Labelled(part.photos, tuple(str(scene) for scene in part.scenes), part.scenes, part.groups)


def _named_by(router: CountryRun, data: Labelled, work: _Work) -> Labelled:
    """The scene of every photo that has none, by a trained router: the likeliest."""
    if router.knows.router is None:
        raise UsageError(f"{router.folder} has no router; name a run trained by lavinskyi-scene with --set router=RUN.")
    asked = [row for row, scene in enumerate(data.scenes) if not scene]
    if not asked:
        return data
    report = work.progress
    tell = (lambda done, total: report("naming scenes", done, total)) if report else None
    seen = look(router, [data.photos[row] for row in asked], progress=tell)
    work.errors.extend(seen.errors)
    assert seen.scenes is not None
    names, scenes = router.knows.router.classes, list(data.scenes)
    for row, best in zip(seen.rows, seen.scenes.argmax(axis=1), strict=True):
        scenes[asked[int(row)]] = names[int(best)]
    work.say.append(f"The scenes of {len(asked)} photos are those that {router.name} finds likeliest.")
    return data.with_scenes(scenes)


def _sureness(work: _Work, run: CountryRun, block: Labelled) -> Sureness:
    """From when on the run answers, learned on the photos held out."""
    if not len(block):
        work.say.append("Nothing could be held out: probabilities are not calibrated, and nothing says when to answer.")
        return run.knows.sureness
    report = work.progress
    tell = (lambda done, total: report("calibrating", done, total)) if report else None
    seen = look(run, block.photos, progress=tell)
    work.errors.extend(seen.errors)
    held = block.take(seen.rows)
    return sureness(seen, held.labels, work.recipe.error_rate, photos=len(held), groups=_groups(held))


def _saved(work: _Work, model: CountryModel, knows: Knowledge, origin: tuple[str | None, int]) -> CountryRun:
    noted, missing = origin
    changes = {"weights": noted, "random_tensors": missing, **({"pretrained": "file"} if noted else {})}
    run = save_country_run(model, work.recipe.model_copy(update=changes), knows, work.out)
    shutil.rmtree(work.out / PARTS, ignore_errors=True)
    (work.out / CHECKPOINT).unlink(missing_ok=True)
    return run


def _joined(origins: Sequence[tuple[str | None, int]]) -> tuple[str | None, int]:
    noted = " + ".join(dict.fromkeys(name for name, _ in origins if name))
    return noted or None, sum(missing for _, missing in origins)


def _groups(data: Labelled) -> int:
    return len(set(data.groups))


def _at_least_two(counts: dict[str, int], what: str, name: str = "") -> None:
    if len(counts) < 2:
        whose = f" of {name}" if name else ""
        raise DataError(
            f"The photos to learn from{whose} show {len(counts)} {what} ({', '.join(counts) or 'none'}); at least two "
            "are needed to tell anything apart."
        )


def _training_split(dataset: Dataset) -> Split:
    """The split named train, or the only one there is."""
    if "train" in dataset.splits or len(dataset.splits) != 1:
        return dataset.split("train")
    return next(iter(dataset.splits.values()))


def _key(recipe: CountryRecipe, lesson: Lesson, start: Classifier | None) -> str:
    """Changes with the recipe, the network, and the photos and labels that it learns from."""
    alike = recipe.model_copy(update={"name": ""})
    rows = "\n".join(
        f"{photo.name}\t{label}"
        for part in (lesson.learned, lesson.held)
        for photo, label in zip(part.photos, part.labels, strict=True)
    )
    text = f"{alike.to_yaml()}\n{lesson.name} {start is not None}\n{rows}"
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
