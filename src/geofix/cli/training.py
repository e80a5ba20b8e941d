"""What `geofix train` shows: the table of before and after, and the learning curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geofix.cli.output import percent, points, table
from geofix.files import is_file, write_atomically
from geofix.grid import CellResult
from geofix.learn.course import CURVES, METRICS
from geofix.models.runs import SCORES


def shown(out: Path) -> str:
    """The table of a finished run: each split before and after, the paired difference, and how it was chosen."""
    if not is_file(out / SCORES):
        return ""
    found = json.loads((out / SCORES).read_text(encoding="utf-8")).get("training")
    if not found:
        return ""
    rows = [_row(name, split) for name, split in found["splits"].items()]
    header = ["percent [95 %]", "R@1 untrained", "trained", "difference", "R@5 untrained", "trained", "difference"]
    chosen = "not chosen" if found["chosen_on"] == "last" else f"chosen by R@5 on the {found['chosen_on']}"
    how = (
        f"weights of epoch {found['best_epoch']} of {found['epochs']} ({found['stopped']}), {chosen}; differences are "
        "paired, intervals resample independent groups of queries"
    )
    return f"{table(header, rows)}\n{how}" if rows else how


def draw_curves(out: Path, measured_on: str) -> None:
    """Draw metrics.csv to curves.png; nothing where there is no log yet."""
    from geofix.reports.curves import learning_curves

    if not is_file(out / METRICS):
        return
    best: int | None = None
    if is_file(out / SCORES):
        best = json.loads((out / SCORES).read_text(encoding="utf-8")).get("training", {}).get("best_epoch")
    picture = learning_curves((out / METRICS).read_text(encoding="utf-8"), measured_on=measured_on, best_epoch=best)
    write_atomically(out / CURVES, picture)


def shown_grid(results: Sequence[CellResult]) -> str:
    """A table of the cells, the best on the split where weights are chosen first; failed ones last."""
    done = sorted((one for one in results if not one.problem), key=lambda one: _reached(one)[::-1], reverse=True)
    header = ["cell, percent [95 %]", "R@1", "R@5", "R@5 untrained", "best epoch"]
    rows = [_grid_row(one) for one in done]
    rows += [[one.cell.name, "failed", "", "", ""] for one in results if one.problem]
    chosen_on = results[0].chosen_on
    return f"{table(header, rows)}\nmeasured on the {chosen_on}, where the weights of each cell were chosen too"


def draw_grid(path: Path, results: Sequence[CellResult]) -> None:
    """Draw R@5 of every cell with its interval; nothing where all failed."""
    from geofix.reports.curves import grid_picture

    done = [one for one in results if not one.problem]
    if done:
        reached = {one.cell.name: _interval(one) for one in done}
        untrained = done[0].splits[done[0].chosen_on]["untrained"]["recall"]["5"]
        write_atomically(path, grid_picture(reached, untrained, f"R@5 on the {done[0].chosen_on}, percent"))


def _interval(one: CellResult) -> tuple[float, float, float]:
    trained = one.splits[one.chosen_on]["trained"]
    low, high = trained["recall_ci95"]["5"]
    return trained["recall"]["5"], low, high


def _reached(one: CellResult) -> tuple[float, float]:
    recall = one.splits[one.chosen_on]["trained"]["recall"]
    return recall["1"], recall["5"]


def _grid_row(one: CellResult) -> list[str]:
    split = one.splits[one.chosen_on]
    cells = [_cell(split["trained"], "1"), _cell(split["trained"], "5"), _cell(split["untrained"], "5")]
    return [one.cell.name, *cells, str(one.best_epoch)]


def _row(name: str, split: dict[str, Any]) -> list[str]:
    label = {"train": "train (learned from)", "block": "block (held out of train)"}.get(name, name)
    cells = [f"{label}, {split['trained']['queries']} queries in {split['trained']['groups']} groups"]
    for n in ("1", "5"):
        difference = split["difference"][n]
        change = points(difference["points"], *difference["ci95"])
        cells += [_cell(split["untrained"], n), _cell(split["trained"], n), change]
    return cells


def _cell(scores: dict[str, Any], n: str) -> str:
    return percent(scores["recall"][n], scores["recall_ci95"][n])
