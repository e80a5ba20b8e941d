"""Rows of the papers' tables, trained and scored on the data at hand, each training once."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from geofix import papers, recipes
from geofix.data.places import Dataset, scorable, split_hash
from geofix.data.views import directed, directions
from geofix.errors import (
    DataError,
    GeofixError,
    PhotoError,
    ProtocolError,
    RecipeError,
    TrainingError,
    UsageError,
    WeightsError,
)
from geofix.evaluate import Scores, evaluate, pca_photos
from geofix.files import is_file, write_atomically, write_json
from geofix.learn.course import METRICS
from geofix.learn.failures import failure_in, note_failure
from geofix.learn.learner import Progress
from geofix.metrics import seeded_interval
from geofix.models.backbones import load_trunk_weights, open_trunk, read_state
from geofix.models.runs import SCORES, WEIGHTS, load_run
from geofix.papers import Row
from geofix.recipes import CrossviewRecipe, EncoderRecipe, Recipe
from geofix.reproduce.nights import Nights, by_day
from geofix.reproduce.pace import Pace, distinct, pace_for
from geofix.shapes import SeededHits
from geofix.train import train

RUNS, PLAN = "runs", "plan.json"
RECALLS_AT = (1, 5, 10, 20)
NIGHTS_NEEDED = "It learns from nights: make them with `geofix data night DATA NIGHTS`, then add --nights NIGHTS."
NOT_RUN = "not run beside papers on places; `geofix reproduce lavinskyi`, alone, trains its recipes"
_SAID = "said.txt"
_OF_THE_PAPER = ("backbone", "cut", "global_stages", "image_size", "epochs", "batch_size", "optimizer")
_BOTH_WAYS = ("drone-satellite", "satellite-drone")
# What stops a row and not the others.
_OF_THE_ROW = (TrainingError, RecipeError, DataError, WeightsError, UsageError, MemoryError)


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of a row: by data set the scores of every seed; or the sentence that says why there are none.

    `epochs` holds recall@1 and @5 after each epoch where weights were chosen, a list a seed; `said` what the
    training said.
    """

    row: Row
    scores: dict[str, tuple[Scores, ...]] = field(default_factory=dict)
    epochs: tuple[tuple[tuple[float, float], ...], ...] = ()
    said: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def seeds(self) -> int:
        """How many seeds it was run with."""
        return max((len(scores) for scores in self.scores.values()), default=0)

    def hits(self, data: str, at: int, chosen: np.ndarray | None = None) -> SeededHits:
        """(seeds, queries): whether something relevant was among the first `at`; of the `chosen` queries."""
        found = np.stack([scores.ranks < at for scores in self.scores[data]])
        return found if chosen is None else found[:, chosen]

    def average_precision(self, data: str) -> tuple[float, float, float] | None:
        """Mean over queries and seeds, with an interval over places and seeds; None where views do not ask."""
        wholes = [scores.whole for scores in self.scores[data]]
        if any(whole is None for whole in wholes):
            return None
        precisions = np.stack([whole.precisions for whole in wholes if whole is not None])
        return seeded_interval(precisions, np.array(self.scores[data][0].clusters))

    def recall(self, data: str, at: int, chosen: np.ndarray | None = None) -> tuple[float, float, float]:
        """Mean over queries and seeds, with an interval over groups of queries and seeds."""
        clusters = np.array(self.scores[data][0].clusters)
        return seeded_interval(self.hits(data, at, chosen), clusters if chosen is None else clusters[chosen])


@dataclass(frozen=True)
class Bench:
    """What rows are run on: the data (the first is learned from, all are tested on), where runs are kept, the file of
    trunk weights, settings over every row, how much shorter than the paper's the trainings are, and the nights made of
    the first data.
    """

    datasets: tuple[Dataset, ...]
    out: Path
    weights: Path | None = None
    settings: tuple[str, ...] = ()
    pace: Pace | None = None
    progress: Progress | None = None
    nights: Nights | None = None

    @functools.cached_property
    def learned(self) -> dict[str, Dataset]:
        """The data that rows learn from: by day, as in the papers, and with a choice of weights on val if that is not
        what is tested; and with nights in the place of the photos of train, or beside them."""
        first = self.datasets[0]
        day = replace(first, splits={name: by_day(split) for name, split in first.splits.items()})
        return {papers.BY_DAY: day, **({} if self.nights is None else self.nights.learned(day))}

    @functools.cached_property
    def weights_hash(self) -> bytes:
        """Of the file of weights; empty where there is none."""
        return b"" if self.weights is None else hashlib.sha256(self.weights.read_bytes()).digest()

    @functools.cached_property
    def photos_hash(self) -> dict[str, str]:
        """Of the photos that are learned from and chosen on, and of what made nights of them."""
        found = {}
        for learns, dataset in self.learned.items():
            parts = [dataset.splits[name] for name in ("train", "val") if name in dataset.splits]
            made_by = self.nights.made_by if self.nights and learns != papers.BY_DAY else ""
            found[learns] = "".join(split_hash(split.queries, split.gallery) for split in parts) + made_by
        return found

    @functools.cached_property
    def tested(self) -> dict[str, tuple[Dataset, str]]:
        """By name, every data set and its split that is scored: test, or else val, or the only one there is."""
        found: dict[str, tuple[Dataset, str]] = {}
        for dataset in self.datasets:
            usual: list[str] = [name for name in ("test", "val") if name in dataset.splits]
            if not usual and len(dataset.splits) == 1 and dataset is not self.datasets[0]:
                usual = list(dataset.splits)
            if not usual:
                continue
            name = column_name(dataset.root.resolve().name)
            columns = _directions(name, dataset, usual[0]) or {name: (dataset, usual[0])}
            for column in columns:
                if column in found:
                    raise UsageError(
                        f"{found[column][0].root} and {dataset.root} would stand in one column, {column}; rename one "
                        "folder."
                    )
            found |= columns
            if self.nights is not None and dataset is self.datasets[0]:
                found |= self.nights.tested(name, dataset.splits[usual[0]])
        if not found:
            raise DataError(
                f"{self.datasets[0].root} has no split to test on (it has {', '.join(self.datasets[0].splits)}); "
                "a split test or val is expected, or name test data with a second --data."
            )
        return found


def across_views(dataset: Dataset) -> bool:
    """Whether views ask each other in a data set, drone and satellite."""
    return any(way in directions(split.views) for split in dataset.splits.values() for way in _BOTH_WAYS)


def is_across_views(data: str) -> bool:
    """Whether a column of the tables is of views that ask each other."""
    return data.rpartition(" ")[2] in _BOTH_WAYS


def _directions(name: str, dataset: Dataset, split: str) -> dict[str, tuple[Dataset, str]]:
    """By column the data with a split asked in each direction between drone and satellite; nothing without these."""
    part = dataset.splits[split]
    possible = [direction for direction in _BOTH_WAYS if direction in directions(part.views)]
    return {
        f"{name} {direction}": (replace(dataset, splits={**dataset.splits, split: directed(part, direction)}), split)
        for direction in possible
    }


def column_name(folder: str) -> str:
    """The name under which a data set stands in a table: tokyo-night and Tokyo_Night are one."""
    return folder.lower().replace("-", "_")


def queries_of(bench: Bench, data: str, asked: str) -> np.ndarray | None:
    """Which queries of a data set were taken by day or at night; None for all. Raises DataError where none were."""
    if asked == "all":
        return None
    dataset, split = bench.tested[data]
    chosen = np.array([asked in (photo.condition or "") for photo in scorable(dataset.splits[split]).queries])
    if not chosen.any():
        raise DataError(f"None of the queries of {dataset.root} is marked as taken by {asked}.")
    return chosen


def planned(bench: Bench, rows: Iterable[Row], seeds: int, minutes: float | None) -> Bench:
    """The bench with its pace: the one its folder was begun with, or one that fits `minutes`, written down.

    Raises UsageError when the folder was begun otherwise.
    """
    path = bench.out / PLAN
    asked = {"settings": list(bench.settings), "weights": None if bench.weights is None else bench.weights.name}
    if is_file(path):
        plan, pace = _read_plan(path)
        if {key: plan[key] for key in asked} != asked:
            raise UsageError(
                f"{bench.out} was begun with settings {plan['settings']} and weights {plan['weights']}, and now "
                f"{asked['settings']} and {asked['weights']} are asked for; give the same, or another --out."
            )
        return replace(bench, pace=pace)
    # What is wrong with settings or weights must be known before they are written down for good.
    rows = [row for row in rows if row.runs]
    kinds = {type(recipe): recipe for recipe in map(recipes.of_row, rows)} or {Recipe: recipes.load("resnet18-gem")}
    for recipe in kinds.values():
        recipes.with_settings(recipe, list(bench.settings))
    if minutes is not None and CrossviewRecipe in kinds:
        raise UsageError("--budget shortens trainings of places; across views use --set epochs=N.")
    if bench.weights is not None:
        read_state(bench.weights)
    pace = None
    if minutes is not None:
        wanted = [recipe for recipe in _runnable(bench, rows, seeds) if isinstance(recipe, Recipe)]
        measured = sum(len(dataset.splits[split].photos) for dataset, split in bench.tested.values())
        pace = pace_for(distinct(wanted), minutes, measured, tests=len(wanted))
    write_json(path, {**asked, "pace": None if pace is None else asdict(pace)})
    return replace(bench, pace=pace)


def _read_plan(path: Path) -> tuple[dict[str, Any], Pace | None]:
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
        return {key: plan[key] for key in ("settings", "weights")}, Pace(**plan["pace"]) if plan["pace"] else None
    except (ValueError, KeyError, TypeError) as error:
        raise GeofixError(f"{path} is damaged ({error}); remove it and give the same settings again.") from error


def _runnable(bench: Bench, rows: Iterable[Row], seeds: int) -> list[EncoderRecipe]:
    """The recipes of all that is to be run; a row that cannot be run is found out when its turn comes."""
    found = []
    for row in _needed(rows, bench):
        with contextlib.suppress(RecipeError, DataError):
            found += [recipe_of(bench, row, seed) for seed in range(seeds)]
    return found


def run_rows(
    bench: Bench, rows: Sequence[Row], seeds: int, after_row: Callable[[RowResult], None] | None = None
) -> list[RowResult]:
    """Run every row that was not run yet with each of `seeds`; a row that cannot be run is recorded and the rest goes
    on. Rows and seeds run before in the same folder are read back."""
    results = []
    for row in rows:
        result = _run_row(bench, row, seeds)
        results.append(result)
        if after_row:
            after_row(result)
    return results


def read_row(bench: Bench, row: Row) -> RowResult:
    """What was found before about a row, without running anything."""
    return _run_row(bench, row, 0)


def recipe_of(bench: Bench, row: Row, seed: int) -> EncoderRecipe:
    """The recipe of a row as it is run here."""
    asked = recipes.of_row(row)
    # A row that learns nothing does not begin to.
    settings = [one for one in bench.settings if asked.epochs or one.partition("=")[0].strip() != "epochs"]
    recipe = recipes.with_settings(asked, settings)
    if isinstance(recipe, CrossviewRecipe):
        return recipes.changed(recipe, {"seed": seed}, row.name)
    val_is_free = "val" in bench.datasets[0].splits and all(split != "val" for _, split in bench.tested.values())
    chosen_on = "val" if val_is_free else "block"
    changes: dict[str, Any] = {"seed": seed, "choose_on": chosen_on}
    if recipe.epochs and bench.pace is not None:
        changes |= bench.pace.settings(recipe)
    if bench.weights is not None and recipe.members and not row.members:
        changes["members"] = [
            settings if _fits(member.backbone, member.cut, bench.weights) else {**settings, "pretrained": "none"}
            for settings, member in zip(recipe.members, recipe.member_recipes(), strict=True)
        ]
    if recipe.pca is not None or any("pca" in settings for settings in recipe.members):
        changes |= _fewer_components(recipe, bench)
    return recipes.changed(recipe, changes, row.name)


def _run_row(bench: Bench, row: Row, seeds: int) -> RowResult:
    if not row.runs:
        return RowResult(row, problem=NOT_RUN)
    if row.learns not in bench.learned:
        return RowResult(row, problem=NIGHTS_NEEDED)
    scores: dict[str, list[Scores]] = {data: [] for data in bench.tested}
    epochs, said = [], []
    problem = ""
    seed = 0
    try:
        while seed < seeds or is_file(_folder(bench, row, seed) / WEIGHTS):
            folder = _trained(bench, row, seed) if seed < seeds else _folder(bench, row, seed)
            complete = [_scored(bench, folder, data, seed < seeds) for data in scores]
            if any(one is None for one in complete):
                break
            for data, one in zip(scores, complete, strict=True):
                scores[data].append(one)  # type: ignore[arg-type]
            epochs.append(_recall_by_epoch(folder))
            said += [line for line in _said(folder) if line not in said]
            seed += 1
        problem = failure_in(_folder(bench, row, seed))
    except _OF_THE_ROW as error:
        problem = str(error) or "There was not enough memory."
    kept = {data: tuple(found) for data, found in scores.items() if found}
    return RowResult(row, kept, tuple(epochs), tuple(said), problem or (None if kept else "not run yet"))


def _trained(bench: Bench, row: Row, seed: int) -> Path:
    """The run folder of a row, trained now if it was not before."""
    out = _folder(bench, row, seed)
    recipe = recipe_of(bench, row, seed)
    if is_file(out / WEIGHTS) and (not recipe.epochs or is_file(out / SCORES)):
        return out
    if failed := failure_in(out):
        raise TrainingError(failed)
    said: list[str] = []
    unreadable: list[PhotoError] = []
    weights = bench.weights
    members: list[Path] = []
    if row.weights_of:
        weights = _trained(bench, papers.open_row(row.weights_of), seed)
    elif row.members:
        weights, members = None, [_trained(bench, papers.open_row(name), seed) for name in row.members]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        train(
            recipe,
            bench.learned[row.learns],
            out,
            weights=weights,
            members=members,
            resume=bool(recipe.epochs),
            progress=_named(bench.progress, f"{row.name}, seed {seed}"),
            say=said,
            errors=unreadable,
            compare_on=("val" if recipe.choose_on == "last" else recipe.choose_on,),
        )
    except (TrainingError, DataError, RecipeError) as error:  # would come again
        note_failure(out, error)
        raise
    if unreadable:
        said.append(f"{len(unreadable)} photos could not be learned from. The first: {unreadable[0]}")
    write_atomically(out / _SAID, "".join(f"{line}\n" for line in (*_changes(bench, row, recipe), *said)))
    return out


def _folder(bench: Bench, row: Row, seed: int) -> Path:
    """Known by all that decides what a training makes (recipe, weights, photos); rows that agree in that share it."""
    key = _key(bench, row, seed)[:12]
    own = bench.out / RUNS / f"{row.name.replace('/', '-')}-{key}"
    return next(iter(sorted((bench.out / RUNS).glob(f"*-{key}"))), own)


def _key(bench: Bench, row: Row, seed: int) -> str:
    # Only what differs from the defaults, so that a key that recipes get later makes no run a stranger.
    fields = recipe_of(bench, row, seed).model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name in row.sources:
        digest.update(_key(bench, papers.open_row(name), seed).encode())
    digest.update(b"" if row.sources else bench.weights_hash)
    digest.update(bench.photos_hash[row.learns].encode())
    return digest.hexdigest()


def _scored(bench: Bench, folder: Path, data: str, now: bool) -> Scores | None:
    """The scores of a run on a data set: those written down beside it, or taken `now`."""
    dataset, split = bench.tested[data]
    part = dataset.splits[split]
    made_by = bench.nights.made_by if bench.nights and dataset.root == bench.nights.dataset.root else ""
    path = folder / f"scores-{data}-{split_hash(part.queries, part.gallery)}{made_by}.json"
    if is_file(path):
        try:
            return Scores.from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))
        except (ValueError, ProtocolError) as error:
            raise GeofixError(f"{path} is damaged ({error}); remove it and run the same command again.") from error
    if not now:
        return None
    tell = bench.progress
    progress = (lambda done, total: tell(f"testing on {data}", done, total)) if tell else None
    scores = evaluate(load_run(folder), dataset, split=split, recalls_at=RECALLS_AT, progress=progress)
    write_json(path, scores.to_dict())
    return scores


@functools.cache
def _fits(backbone: str, cut: str, weights: Path) -> bool:
    """Whether a file of weights is one for that trunk."""
    try:
        load_trunk_weights(open_trunk(backbone, cut, pretrained=False), weights)
    except WeightsError:
        return False
    return True


def _fewer_components(recipe: Recipe, bench: Bench) -> dict[str, Any]:
    """At most half as many components as photos; the last ones would be nothing but single photos."""
    most = max(1, len(pca_photos(bench.learned[papers.BY_DAY].split("train").photos)) // 2)
    if recipe.pca is not None:
        return {"pca": min(recipe.pca, most)}
    return {
        "members": [
            {**settings, "pca": min(settings["pca"], most)} if settings.get("pca") else settings
            for settings in recipe.members
        ]
    }


def _changes(bench: Bench, row: Row, recipe: EncoderRecipe) -> list[str]:
    """How the row was run otherwise than the paper ran it."""
    asked, told = recipes.of_row(row), []
    if isinstance(recipe, CrossviewRecipe) or isinstance(asked, CrossviewRecipe):
        return _changes_across_views(asked, recipe)
    if recipe.epochs and bench.pace is not None and bench.pace.shortens(asked):
        told.append(f"Trained shorter than in the paper: {bench.pace} (the papers: {asked.queries_per_epoch}).")
    random = [
        settings.get("backbone", recipe.backbone) for settings in recipe.members if settings.get("pretrained") == "none"
    ]
    if random and bench.weights is not None:
        told.append(f"{', '.join(random)} starts from random weights: {bench.weights.name} is for another network.")
    before = [settings.get("pca") for settings in ({"pca": asked.pca}, *asked.members)]
    after = [settings.get("pca") for settings in ({"pca": recipe.pca}, *recipe.members)]
    if bench.nights is not None and row.learns != papers.BY_DAY:
        told.append(f"Its nights were made by {bench.nights.model}.")
    told += [
        f"PCA to {b} components, not {a}: there are too few photos."
        for a, b in zip(before, after, strict=True)
        if a != b
    ]
    return told


def _changes_across_views(asked: EncoderRecipe, recipe: EncoderRecipe) -> list[str]:
    before, after = asked.model_dump(), recipe.model_dump()
    changed = [f"{key} {after[key]} (the paper: {before[key]})" for key in _OF_THE_PAPER if after[key] != before[key]]
    return [f"Otherwise than the row says: {', '.join(changed)}."] if changed else []


def _said(folder: Path) -> list[str]:
    path = folder / _SAID
    return path.read_text(encoding="utf-8").splitlines() if is_file(path) else []


def _recall_by_epoch(folder: Path) -> tuple[tuple[float, float], ...]:
    """recall@1 and @5 of every epoch of metrics.csv, the untrained first."""
    if not is_file(folder / METRICS):
        return ()
    rows = csv.DictReader((folder / METRICS).read_text(encoding="utf-8").splitlines())
    return tuple((float(row["recall@1"]), float(row["recall@5"])) for row in rows if row["recall@1"])


def _named(progress: Progress | None, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


def _needed(rows: Iterable[Row], bench: Bench) -> list[Row]:
    """The rows that can be run, and those whose trained weights they test."""
    found: dict[str, Row] = {}
    for row in rows:
        if not row.runs or row.learns not in bench.learned:
            continue
        for one in (*_needed((papers.open_row(name) for name in row.sources), bench), row):
            found[one.name] = one
    return list(found.values())
