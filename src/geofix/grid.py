"""grid: a recipe trained once for every combination of some of its settings."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from geofix import recipes
from geofix.data.places import Dataset
from geofix.errors import DataError, GeofixError, RecipeError, TrainingError, UsageError
from geofix.files import is_file, write_atomically
from geofix.learn.failures import failure_in, note_failure
from geofix.learn.learner import Progress
from geofix.models.runs import RECIPE, SCORES
from geofix.recipes import Recipe
from geofix.train import train

TABLE, PICTURE = "grid.csv", "grid.png"
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of settings, as `key=value` in the order of the grid, and the recipe it makes."""

    settings: dict[str, str]
    recipe: Recipe

    @property
    def name(self) -> str:
        """The name of its folder; a long or odd one is cut and ends with a hash, so that no two cells share it."""
        whole = ",".join(f"{key}={value}" for key, value in self.settings.items())
        plain = whole.replace("/", "_")[:_LONGEST_NAME]
        return plain if plain == whole else f"{plain}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class CellResult:
    """What became of a cell: by split, untrained and trained recall (fractions, with intervals), as scores.json has
    them; or the sentence that says why it could not be trained."""

    cell: Cell
    splits: dict[str, dict[str, Any]]
    chosen_on: str
    best_epoch: int | None
    problem: str | None = None


def read_grid(recipe: Recipe, name_or_path: str) -> list[Cell]:
    """The cells of a grid: a YAML file, or the name of a built-in one.

    The file maps keys of a recipe to lists of values, of which every combination is a cell, or it is a list of such
    maps whose cells follow each other (each once). Raises RecipeError for what is no grid or no recipe.
    """
    parts, where = recipes.load_grid(name_or_path)
    cells: dict[str, Cell] = {}
    for part in parts:
        for values in itertools.product(*part.values()):
            settings = {key: _text(value) for key, value in zip(part, values, strict=True)}
            made = recipes.with_settings(recipe, [f"{key}={value}" for key, value in settings.items()])
            cell = Cell(settings, made)
            if made.epochs < 1:
                raise RecipeError(f"The cell {cell.name} of {where} has 0 epochs and learns nothing; set epochs=N.")
            cells.setdefault(cell.name, cell)
    if not cells:
        raise RecipeError(f"{where} has no cells; it maps keys of a recipe to lists of values.")
    return list(cells.values())


def train_grid(
    cells: Sequence[Cell],
    dataset: Dataset,
    out: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    after_cell: Callable[[CellResult], None] | None = None,
) -> list[CellResult]:
    """Train every cell into a folder of its own in `out`, with a table of all so far in `out`/grid.csv.

    A cell that cannot be trained is recorded and the rest goes on. With `resume`, finished and failed cells are left
    alone (remove a failed cell's folder to try it again) and the one that was stopped goes on. Raises UsageError when
    `out` holds anything and `resume` is not asked for.
    """
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; add --resume to go on with a grid, or choose a new folder.")
    results: list[CellResult] = []
    for number, cell in enumerate(cells):
        tell = _counted(progress, number, len(cells))
        results.append(_train_cell(cell, dataset, out / cell.name, weights, tell))
        write_atomically(out / TABLE, table_csv(results))
        if after_cell:
            after_cell(results[-1])
    return results


def table_csv(results: Sequence[CellResult]) -> str:
    """One line a cell: its settings, recall in percent before and after on every split, or why there is none."""
    out = StringIO()
    names = list(dict.fromkeys(name for result in results for name in result.splits))
    columns = [f"{name} R@{n} {when}" for name in names for n in ("1", "5") for when in ("untrained", "trained")]
    keys = list(dict.fromkeys(key for result in results for key in result.cell.settings))
    writer = csv.writer(out)
    writer.writerow([*keys, *columns, "chosen on", "best epoch", "problem"])
    for result in results:
        recall = [
            f"{100 * result.splits[name][when]['recall'][n]:.2f}" if name in result.splits else ""
            for name in names
            for n in ("1", "5")
            for when in ("untrained", "trained")
        ]
        settings = [result.cell.settings.get(key, "") for key in keys]
        epoch = "" if result.best_epoch is None else result.best_epoch
        writer.writerow([*settings, *recall, result.chosen_on, epoch, result.problem or ""])
    return out.getvalue()


def _train_cell(cell: Cell, dataset: Dataset, out: Path, weights: Path | None, progress: Progress | None) -> CellResult:
    if failure := failure_in(out):
        return _failed(cell, failure)
    if is_file(out / SCORES) and recipes.load(str(out / RECIPE)).without_origin("none") != cell.recipe.without_origin(
        "none"
    ):
        raise UsageError(
            f"{out} was trained by another recipe than this grid asks for; choose a new folder with --out."
        )
    if not is_file(out / SCORES):
        try:
            train(cell.recipe, dataset, out, weights=weights, resume=True, progress=progress)
        except (TrainingError, RecipeError, DataError, MemoryError, torch.OutOfMemoryError) as error:
            problem = str(error) or "There was not enough memory."
            note_failure(out, problem)
            return _failed(cell, problem)
    return _finished(cell, out)


def _finished(cell: Cell, out: Path) -> CellResult:
    try:
        training: dict[str, Any] = json.loads((out / SCORES).read_text(encoding="utf-8"))["training"]
        return CellResult(cell, training["splits"], str(training["chosen_on"]), int(training["best_epoch"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GeofixError(f"{out / SCORES} is damaged ({error}); remove {out} and train that cell again.") from error


def _failed(cell: Cell, problem: str) -> CellResult:
    return CellResult(cell, {}, cell.recipe.choose_on, None, problem)


def _counted(progress: Progress | None, number: int, cells: int) -> Progress | None:
    if progress is None:
        return None
    return lambda what, done, total: progress(f"cell {number + 1} of {cells}: {what}", done, total)


def _text(value: object) -> str:
    """A value as `--set` reads it back."""
    if isinstance(value, Mapping):
        raise RecipeError(f"A grid's values are single values or lists, not {dict(value)!r}.")
    return json.dumps(value, default=str) if isinstance(value, list | bool) or value is None else str(value)
