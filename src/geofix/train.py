"""train: a recipe and places -> a run folder."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from geofix.augment.claims import surprises
from geofix.augment.strengths import changes_all
from geofix.data.blocks import cut_block
from geofix.data.pairs import without_places
from geofix.data.places import Benchmark, Dataset, Split, benchmark, split_hash
from geofix.errors import PhotoError, RecipeError, UsageError
from geofix.files import AnyPath, is_file, is_folder, path_if, paths_of, write_atomically, write_json
from geofix.learn.checkpoints import CHECKPOINT, LOGS, check_out, is_helper
from geofix.learn.classes import ClassLesson
from geofix.learn.clusters import place_clusters
from geofix.learn.components import fit_components, wants_components
from geofix.learn.course import BEST, CURVES, METRICS, Course, go_through
from geofix.learn.crossview import ViewLearner, ViewLesson
from geofix.learn.learner import Progress
from geofix.learn.lesson import DescriptorLesson
from geofix.learn.pairs import JOURNAL, learn_pairs
from geofix.learn.place_learner import PlaceLearner
from geofix.learn.triplets import TripletLesson
from geofix.learn.verdict import before_and_after, scores_json, verdict
from geofix.learn.view_pairs import learn_view_pairs
from geofix.models.crossview import BlockEncoder
from geofix.models.encoder import Encoder
from geofix.models.runs import PREPROCESS, RECIPE, SCORES, WEIGHTS, Run, load_run, save_run
from geofix.models.start import Start, start
from geofix.photos import Photo
from geofix.recipes import CrossviewRecipe, EncoderRecipe


def train(
    recipe: EncoderRecipe,
    dataset: Dataset | None,
    out: AnyPath,
    *,
    weights: AnyPath | None = None,
    members: Sequence[AnyPath] = (),
    resume: bool = False,
    devices: int = 1,
    progress: Progress | None = None,
    after_epoch: Callable[[], None] | None = None,
    say: list[str] | None = None,
    errors: list[PhotoError] | None = None,
    compare_on: Sequence[str] | None = None,
) -> Run:
    """Train the encoder of a recipe and write its run folder `out`; with epochs 0, the untrained encoder.

    The trunk starts from `weights` (a file, or the run of an encoder trained before, which gives what follows the
    trunk, too), or by name through the hub's cache, or from seeded random numbers (pretrained: none). With `members`,
    run folders, the recipe is that of an ensemble of their encoders as they are, and nothing is learned. NetVLAD's
    clusters are placed, and a PCA is fitted, on the photos that are learned from. The weights kept are those of the
    epoch that is best (R@5) on a block cut from the train split, or on val where the recipe says so, or of the last
    epoch of a recipe across views that says so. `resume` goes
    on from the last checkpoint in `out`, or begins where there is none. Sentences worth telling the user (what the
    weights covered, what was clamped, whether training helped) are appended to `say`, photos that cannot be read to
    `errors`. With several `devices` Lightning starts this program once more for each; all but the first write
    nothing and return early. scores.json holds recall before and after on what was learned from ("train"), on the
    block and on val; on those of them that `compare_on` names, which must be the one where weights are chosen at
    least.

    Raises RecipeError, WeightsError, DataError, TrainingError, StorageError.
    """
    out, weights, members = Path(out), path_if(weights), paths_of(members)
    told = [] if say is None else say
    if resume and is_file(out / SCORES):
        told.append(f"{out} is a finished run; nothing is left to do.")
        return load_run(out)
    if not is_helper():
        _check_out(out, resume)
    begun = start(recipe, weights, members, told)
    encoder = begun.encoder
    _check_size(encoder)
    if compare_on is not None and recipe.choose_on not in (*compare_on, "last"):
        raise UsageError(f"Weights are chosen on the {recipe.choose_on}; compare on it at least.")
    if not recipe.epochs:
        photos = None if dataset is None else _training_photos(dataset)
        _place_clusters(begun, photos, told)
        _fit_components(encoder, photos, progress, errors)
        return save_run(encoder, out)
    if dataset is None:
        raise UsageError("There are no photos to learn from; name a dataset with --data DIR, or use --epochs 0.")
    parts = _parts(recipe, dataset)
    _place_clusters(begun, parts["train"].photos, told)
    return _learned(
        encoder,
        Dataset(dataset.root, dataset.layout, parts),
        out,
        devices,
        progress,
        after_epoch,
        told,
        errors,
        compare_on,
    )


def _place_clusters(begun: Start, photos: Sequence[Photo] | None, say: list[str]) -> None:
    for single in begun.unplaced:
        if photos is None:
            raise UsageError("NetVLAD places its clusters on photos; name a dataset with --data DIR.")
        place_clusters(single, photos, say)


def _fit_components(
    encoder: Encoder, photos: Sequence[Photo] | None, progress: Progress | None, errors: list[PhotoError] | None
) -> None:
    if not wants_components(encoder):
        return
    if photos is None:
        raise UsageError("A PCA is fitted to the descriptors of photos; name a dataset with --data DIR.")
    unreadable = fit_components(encoder, photos, progress)
    if errors is not None:
        errors += unreadable


def _learned(
    encoder: Encoder,
    dataset: Dataset,
    out: Path,
    devices: int,
    progress: Progress | None,
    after_epoch: Callable[[], None] | None,
    say: list[str],
    errors: list[PhotoError] | None,
    compare_on: Sequence[str] | None,
) -> Run:
    recipe = encoder.recipe
    measured_on = _measured_on(recipe, dataset)
    untrained = Run(out, copy.deepcopy(encoder), "untrained")
    mark = None if measured_on is None else benchmark(dataset.splits[measured_on])
    say += _augmentation_said(encoder)
    key = _key(recipe, dataset, mark)
    course = _gone_through(encoder, dataset, mark, out, key, devices, progress, after_epoch, say)
    if is_helper():
        return Run(out, encoder, "of the first process")
    run = save_run(encoder, out)
    scores = before_and_after(untrained, run, dataset, progress, compare_on)
    write_json(out / SCORES, scores_json(course, recipe.choose_on, measured_on, scores))
    (out / BEST).unlink(missing_ok=True)
    shutil.rmtree(out / JOURNAL, ignore_errors=True)
    say += verdict(course, measured_on, scores)
    if errors is not None:
        errors += course.unreadable
    return run


def _gone_through(
    encoder: Encoder,
    dataset: Dataset,
    mark: Benchmark | None,
    out: Path,
    key: str,
    devices: int,
    progress: Progress | None,
    after_epoch: Callable[[], None] | None,
    say: list[str],
) -> Course:
    """The training itself, in the recipe's way: across views, from places, or a whitening from pairs."""
    recipe, split = encoder.recipe, dataset.splits["train"]
    learner: ViewLearner | PlaceLearner | None = None
    every, keep_last = 1, False
    if isinstance(recipe, CrossviewRecipe):
        assert isinstance(encoder, BlockEncoder)
        if recipe.learn == "pairs":
            write_atomically(out / RECIPE, recipe.to_yaml())
            return learn_view_pairs(
                encoder, split, mark, out, key=key, say=say, progress=progress, after_epoch=after_epoch
            )
        learner = ViewLearner(encoder, ViewLesson(recipe, split, say), progress)
        every, keep_last = recipe.measure_every, recipe.choose_on == "last"
    elif recipe.learn != "pairs":
        lesson: DescriptorLesson = (
            ClassLesson(recipe, split, say) if recipe.learn == "classes" else TripletLesson(recipe, split, say)
        )
        learner = PlaceLearner(encoder, lesson, progress)
    if not is_helper():
        write_atomically(out / RECIPE, recipe.to_yaml())
    if learner is None:
        assert mark is not None
        return learn_pairs(encoder, split, mark, out, key=key, progress=progress, after_epoch=after_epoch)
    return go_through(
        learner,
        mark,
        out,
        key=key,
        devices=devices,
        measure_every=every,
        keep_last=keep_last,
        after_epoch=after_epoch,
    )


def _augmentation_said(encoder: Encoder) -> list[str]:
    """What the recipe's augmentations do that their names do not say, or that none is used."""
    recipe = encoder.recipe
    if isinstance(recipe, CrossviewRecipe):
        return []
    if recipe.learn == "pairs" and (recipe.augment or changes_all(recipe)):
        return ["Pairs are learned from photos as they are; what the recipe says of augmentation is not used."]
    return [f"Augmentation: {warning}" for warning in surprises(recipe, encoder.preprocess)]


def _parts(recipe: EncoderRecipe, dataset: Dataset) -> dict[str, Split]:
    """What is learned from ("train"), where weights are chosen ("block" or "val"), and val for the report."""
    whole = replace(_training_split(dataset), name="train")
    if recipe.choose_on == "val":
        return {"train": whole, "val": dataset.split("val")}
    parts = {"train": whole}
    if recipe.choose_on == "block":
        parts = _without_block(recipe, whole)
    return {**parts, "val": dataset.splits["val"]} if "val" in dataset.splits else parts


def _without_block(recipe: EncoderRecipe, whole: Split) -> dict[str, Split]:
    """The train split in two: what is learned from, and a block where weights are chosen."""
    if isinstance(recipe, CrossviewRecipe):
        learned, block = without_places(whole, recipe.block_share, recipe.seed)
        return {"train": learned, "block": replace(block, name="block")}
    cut = cut_block(whole, recipe.block_share, recipe.negative_beyond_m)
    return {"train": cut.learned, "block": cut.block}


def _measured_on(recipe: EncoderRecipe, dataset: Dataset) -> str | None:
    """The part on which it is measured while it learns: where weights are chosen, else val if there is one."""
    if recipe.choose_on != "last":
        return recipe.choose_on
    return "val" if "val" in dataset.splits else None


def _training_split(dataset: Dataset) -> Split:
    """The split named train, or the only one there is."""
    if "train" in dataset.splits or len(dataset.splits) != 1:
        return dataset.split("train")
    return next(iter(dataset.splits.values()))


def _key(recipe: EncoderRecipe, dataset: Dataset, mark: Benchmark | None) -> str:
    """Changes with the recipe and with the photos learned from and chosen on."""
    train = dataset.splits["train"]
    # Not the name: recipes that agree in all else are trained alike, and reproduce trains them once.
    alike = recipe.model_copy(update={"name": ""})
    parts = (alike.to_yaml(), split_hash(train.queries, train.gallery), mark.split_hash if mark else "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@torch.inference_mode()
def _check_size(encoder: Encoder) -> None:
    """Some networks take images of one size only; better told now than when the first photo comes."""
    rows, columns = encoder.preprocess.size
    for single in encoder.with_trunks():
        try:
            single.trunk(torch.zeros(1, 3, rows, columns))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise RecipeError(
                f"{single.recipe.backbone} cannot look at images of {rows}x{columns} ({' '.join(str(error).split())}); "
                "choose another size with --set image_size=HxW, or another backbone."
            ) from error


def _training_photos(dataset: Dataset) -> tuple[Photo, ...]:
    """The train split's photos, or all there are where the dataset has no such split."""
    return dataset.splits["train"].photos if "train" in dataset.splits else dataset.photos


def _check_out(out: Path, resume: bool) -> None:
    begun = is_file(out / CHECKPOINT) or is_file(out / METRICS) or is_folder(out / JOURNAL)
    left = {RECIPE, PREPROCESS} | ({WEIGHTS, CHECKPOINT, BEST, METRICS, LOGS, CURVES, JOURNAL} if resume else set())
    check_out(out, resume, begun=begun and not is_file(out / SCORES), left=left)
