"""What all trainings of scenes and countries share: a lesson for each network, where trunks start, what is written."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geofix.countries.look import look
from geofix.data.labels import Labelled, labelled_countries
from geofix.data.places import Split
from geofix.errors import DataError, PhotoError, UsageError, first_few
from geofix.learn.checkpoints import CHECKPOINT
from geofix.learn.learner import Progress
from geofix.models.classifier import Classifier, Design, check_looks, fill_trunk, open_classifier
from geofix.models.countries import (
    CountryModel,
    CountryRun,
    Head,
    Knowledge,
    head_design,
    load_country_run,
    save_country_run,
)
from geofix.recipes import CountryRecipe
from geofix.scenes.places365 import SCENES

PARTS = "parts"
Origin = tuple[str | None, int]
"""Where a trunk came from: the file and what that covered, and tensors left random."""


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
class Work:
    """What all networks of a training share."""

    recipe: CountryRecipe
    out: Path
    weights: Path | None
    progress: Progress | None
    after_epoch: Callable[[], None] | None
    say: list[str]
    errors: list[PhotoError]


def labelled_by(work: Work, split: Split) -> tuple[Labelled, CountryRun | None, bool]:
    """The photos whose countries are known, with scenes where data or the recipe's router name them; that router; and
    whether specialists can be trained. Raises DataError, UsageError and WeightsError.
    """
    recipe = work.recipe
    data = labelled_countries(split, recipe.level, work.errors)
    at_least_two(data.counts, "countries")
    router_run = load_country_run(Path(recipe.router)) if recipe.router else None
    if router_run is not None:
        data = named_by(router_run, data, work)
    routed = recipe.routing == "scene" and any(data.scenes)
    work.say.extend(doubts(data, routed))
    if recipe.routing == "scene" and not routed:
        work.say.append(
            "The data name no scenes and no router was given (--set router=RUN): a single network is trained instead "
            "of a router and specialists."
        )
    return data, router_run, routed


def doubts(data: Labelled, routed: bool) -> list[str]:
    """What should be known of the photos before countries are learned from them."""
    said = []
    single = [code for code, count in data.counts.items() if count == 1]
    if single:
        said.append(
            f"{first_few(single)} {'has' if len(single) == 1 else 'have'} a single photo: nothing can be learned of a "
            "country from one, nor tested; add photos or leave it out."
        )
    if not routed:
        return said
    counts = Counter(scene for scene in data.scenes if scene)
    lacking = len(data) - sum(counts.values())
    if lacking:
        said.append(f"{lacking} of {len(data)} photos have no scene; no specialist and no router learns from them.")
    if absent := [scene for scene in SCENES if scene not in counts]:
        said.append(
            f"No photo shows {' or '.join(absent)}: there is no specialist of it, and the others answer instead."
        )
    if other := sorted(set(counts) - set(SCENES)):
        said.append(
            f"The data name the scenes {', '.join(other)} besides {', '.join(SCENES)}; each is learned as a scene of "
            "its own."
        )
    return said


def begun(work: Work, lesson: Lesson, start: Classifier | None) -> tuple[Classifier, Origin]:
    """A network before its lesson, and where its trunk came from."""
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


def specialist_lessons(work: Work, router: Head, learned: Labelled, block: Labelled) -> list[Lesson]:
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


def by_scene(data: Labelled) -> Labelled:
    """The photos whose scene is known, with that as their label."""
    part = data.take([row for row, scene in enumerate(data.scenes) if scene])
    return Labelled(part.photos, tuple(str(scene) for scene in part.scenes), part.scenes, part.groups)


def named_by(router: CountryRun, data: Labelled, work: Work) -> Labelled:
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


def saved(work: Work, model: CountryModel, knows: Knowledge, origin: Origin) -> CountryRun:
    noted, missing = origin
    changes = {"weights": noted, "random_tensors": missing, **({"pretrained": "file"} if noted else {})}
    run = save_country_run(model, work.recipe.model_copy(update=changes), knows, work.out)
    shutil.rmtree(work.out / PARTS, ignore_errors=True)
    (work.out / CHECKPOINT).unlink(missing_ok=True)
    return run


def at_least_two(counts: dict[str, int], what: str, name: str = "") -> None:
    if len(counts) < 2:
        whose = f" of {name}" if name else ""
        raise DataError(
            f"The photos to learn from{whose} show {len(counts)} {what} ({', '.join(counts) or 'none'}); at least two "
            "are needed to tell anything apart."
        )


def group_count(data: Labelled) -> int:
    return len(set(data.clusters))
