"""Classes learned in two phases: photos -> networks of scenes and countries, calibrated on photos held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from geofix.countries.calibrate import sureness, temperature_of
from geofix.countries.look import look
from geofix.data.labels import Labelled, held_out_groups, labelled_scenes, middles
from geofix.data.places import Dataset, Split
from geofix.errors import PhotoError
from geofix.files import AnyPath, is_file, is_folder, path_if, write_atomically
from geofix.learn.checkpoints import CHECKPOINT, LOGS, check_out
from geofix.learn.class_learner import METRICS, ClassTask, learn_classes
from geofix.learn.country_work import (
    PARTS,
    Lesson,
    Origin,
    Work,
    at_least_two,
    begun,
    by_scene,
    group_count,
    labelled_by,
    saved,
    specialist_lessons,
)
from geofix.learn.fitted_countries import fit_countries, fit_scenes
from geofix.learn.learner import Progress
from geofix.models.backbones import read_state
from geofix.models.classifier import Classifier
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
)
from geofix.recipes import CountryRecipe

CURVES = "curves.png"
_LEFT = frozenset({RECIPE, PREPROCESS, CLASSES, CHECKPOINT, METRICS, LOGS, PARTS, CURVES})


def train_countries(
    recipe: CountryRecipe,
    dataset: Dataset,
    out: AnyPath,
    *,
    weights: AnyPath | None = None,
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
    out, weights = Path(out), path_if(weights)
    told, failed = [] if say is None else say, [] if errors is None else errors
    if resume and is_file(out / WEIGHTS):
        told.append(f"{out} is a finished run; nothing is left to do.")
        return load_country_run(out)
    begun = is_file(out / CHECKPOINT) or is_folder(out / PARTS)
    check_out(out, resume, begun=begun, left=_LEFT if resume else {RECIPE})
    split = _training_split(dataset)
    work = Work(recipe.without_origin(), out, weights, progress, after_epoch, told, failed)
    if weights is not None:
        read_state(weights)
    if recipe.method == "logistic":
        return fit_scenes(work, split) if recipe.learn == "scene" else fit_countries(work, split)
    if recipe.learn == "scene":
        return _scenes_alone(work, split)
    return _countries(work, split)


def _scenes_alone(work: Work, split: Split) -> CountryRun:
    recipe = work.recipe
    data = labelled_scenes(split)
    learned, held = held_out_groups(data, recipe.block_share, recipe.seed)
    lesson = Lesson(ROUTER, head_design(recipe), recipe.epochs, data.take(learned), data.take(held))
    head, network, origin = _taught(work, lesson)
    knows = Knowledge(
        recipe.level, head, (), Sureness(recipe.error_rate, photos=len(held), groups=group_count(lesson.held))
    )
    return saved(work, CountryModel({ROUTER: network}), knows, origin)


def _countries(work: Work, split: Split) -> CountryRun:
    recipe, out = work.recipe, work.out
    data, router_run, routed = labelled_by(work, split)
    kept, held = held_out_groups(data, recipe.block_share, recipe.seed)
    learned, block = data.take(kept), data.take(held)
    heads: list[Head] = []
    networks: dict[str, Classifier] = {}
    origins: list[Origin] = []
    router: Head | None = None
    if router_run is not None and routed:
        assert router_run.knows.router is not None
        router, networks[ROUTER] = router_run.knows.router, router_run.model.network(ROUTER)
    elif routed:
        lesson = Lesson(ROUTER, router_design(recipe), recipe.router_epochs, by_scene(learned), by_scene(block))
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
        for lesson in specialist_lessons(work, router, learned, block):
            head, networks[lesson.name], origin = _taught(work, lesson, start)
            heads.append(head)
            origins.append(origin)
    from_run = None if router_run is None else router_run.name
    knows = Knowledge(recipe.level, router, tuple(heads), Sureness(recipe.error_rate), from_run, middles(learned))
    model = CountryModel(networks).eval()
    knows = replace(knows, sureness=_sureness(work, CountryRun(out, recipe, model, knows, ""), block))
    return saved(work, model, knows, _joined(origins))


def _taught(work: Work, lesson: Lesson, start: Classifier | None = None) -> tuple[Head, Classifier, Origin]:
    """A network that has learned its lesson, what it can say, and where its trunk came from (the file and what that
    covered, tensors left random). One that a stopped training had finished is taken as it is.
    """
    at_least_two(lesson.learned.counts, "classes", lesson.name)
    recipe, key = work.recipe, _key(work.recipe, lesson, start)
    file = work.out / PARTS / f"{lesson.name}-{key[:16]}.safetensors"  # of this recipe and these photos alone
    classifier, origin = begun(work, lesson, start)
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


def _sureness(work: Work, run: CountryRun, block: Labelled) -> Sureness:
    """From when on the run answers, learned on the photos held out."""
    if not len(block):
        work.say.append("Nothing could be held out: probabilities are not calibrated, and nothing says when to answer.")
        return run.knows.sureness
    report = work.progress
    tell = (lambda done, total: report("calibrating", done, total)) if report else None
    seen = look(run, block.photos, progress=tell)
    work.errors.extend(seen.errors)
    held = block.take(seen.rows)
    return sureness(seen, held.labels, work.recipe.error_rate, photos=len(held), groups=group_count(held))


def _joined(origins: Sequence[Origin]) -> Origin:
    noted = " + ".join(dict.fromkeys(name for name, _ in origins if name))
    return noted or None, sum(missing for _, missing in origins)


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
