"""Scores as people read them, and the files they are written to."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from geofix.cli.output import percent, points, table
from geofix.errors import ProtocolError
from geofix.evaluate import Comparison, Scores
from geofix.metrics import NEVER
from geofix.models.runs import SCORES
from geofix.positions import Position
from geofix.reports.exports import harmless
from geofix.sweeps import Sweep, SweepPoint

_LISTED_MATCHES = 5
NO_SWEEP = (
    "The queries do not sweep a factor, so there is nothing to plot; render some with "
    "`geofix data world OUT --sweep night=0,0.5,1`, or leave --plot out."
)


def shown(names: Sequence[str], scores: Sequence[Scores]) -> str:
    """A table of recall with intervals, one line a run, then slices and the protocol of the first."""
    at = list(scores[0].recall)
    rows = [
        [_label(name, one), *(_cell(one, n) for n in at), *_whole_cells(one)]
        for name, one in zip(names, scores, strict=True)
    ]
    first = scores[0]
    extra = [] if first.whole is None else ["R@top 1 %", "AP" if first.whole.kind == "trapezoid" else "AP (step)"]
    parts = [table(["recall, percent [95 %]", *(f"R@{n}" for n in at), *extra], rows), ""]
    hopeless = first.queries - first.answerable
    parts.append(
        f"{first.queries} queries ({hopeless} with nothing relevant, counted as misses) in "
        f"{len(set(first.clusters))} independent groups, {first.gallery} gallery photos"
    )
    parts += [_slice_line(name, cells) for name, cells in first.slices.items()]
    if first.sweep is not None:
        parts.append(sweep_table(first.sweep))
    parts.append("protocol: " + ", ".join(f"{key} {value}" for key, value in first.protocol.items() if value))
    return "\n".join(parts)


def sweep_table(sweep: Sweep) -> str:
    """Recall at every value of the factor, with a bar a line; the last column is R@1 less that of the first."""
    at = list(sweep.points[0].recall)
    first = f"{sweep.points[0].value:g}"
    header = [sweep.factor, "queries", *(f"R@{n}" for n in at[:2]), "", f"R@1 less that at {first}"]
    return "\n" + table(header, [_sweep_row(point, at[:2]) for point in sweep.points]) + "\n"


def _sweep_row(point: SweepPoint, at: Sequence[int]) -> list[str]:
    cells = [percent(point.recall[n], point.recall_ci95[n]) for n in at]
    change = ""
    if point.change is not None:
        change = points(*point.change) if any(point.change) else "0"
    return [f"{point.value:g}", str(point.queries), *cells, f"{'#' * round(20 * point.recall[at[0]]):20}", change]


def comparison(compared: Comparison) -> str:
    """The second run minus the first, in percentage points."""
    rows = [
        [f"R@{n}", f"{100 * value:+.1f}", f"[{100 * low:+.1f}, {100 * high:+.1f}]", f"{p:.3f}"]
        for n, (value, low, high, p) in compared.differences.items()
    ]
    if compared.ap is not None:
        value, low, high, p = compared.ap
        rows.append(["AP", f"{100 * value:+.1f}", f"[{100 * low:+.1f}, {100 * high:+.1f}]", f"{p:.3f}"])
    header = ["second - first", "points", "95 %", "p"]
    return "\n" + table(header, rows) + f"\npaired over {compared.clusters} independent groups of queries"


def scores_json(names: Sequence[str], scores: Sequence[Scores]) -> str:
    """scores.json of one run; of two, `{"compared": [...]}` with both in order, each with its name as `run`."""
    if len(scores) == 1:
        return json.dumps(scores[0].to_dict(), indent=1) + "\n"
    both = [{"run": name, **one.to_dict()} for name, one in zip(names, scores, strict=True)]
    return json.dumps({"compared": both}, indent=1) + "\n"


def read_scores(path: Path) -> Scores:
    """Scores from a file written by `evaluate --json`, or from a run folder that has one. Raises ProtocolError."""
    file = path / SCORES if path.is_dir() else path
    try:
        fields = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ProtocolError(
            f"{file} holds no scores ({type(error).__name__}); name the data with --data, or a file written by "
            "`geofix evaluate RUN --data DIR --json FILE`."
        ) from error
    return Scores.from_dict(fields, str(file))


def predictions_csv(scores: Scores) -> str:
    """One line a query: its name and position, the rank of the first relevant match, and the best matches."""
    made = scores.predictions
    if made is None:
        raise ProtocolError("Scores read from a file hold no matches; name the data with --data to predict anew.")
    out = io.StringIO()
    # CR LF, as RFC 4180 has it: with a bare LF the csv module leaves a CR in a file name unquoted.
    writer = csv.writer(out)
    matches = [f"{column}_{n}" for n in range(1, _LISTED_MATCHES + 1) for column in ("match", "distance")]
    writer.writerow(["query", "lat", "lon", "predicted_lat", "predicted_lon", "first_relevant_rank", *matches])
    for query, rank, rows, apart in zip(made.queries, scores.ranks, made.neighbours, made.distances, strict=True):
        best = made.gallery[rows[0]].position if rows[0] >= 0 else None
        found = [
            cell
            for row, distance in zip(rows[:_LISTED_MATCHES], apart[:_LISTED_MATCHES], strict=True)
            for cell in ((harmless(made.gallery[row].name), f"{distance:.6f}") if row >= 0 else ("", ""))
        ]
        writer.writerow([harmless(query.name), *_degrees(query.position), *_degrees(best), _rank(int(rank)), *found])
    return out.getvalue()


def sweep_png(scores: Scores) -> bytes:
    """The picture of a sweep. Raises ProtocolError where the queries make none."""
    from geofix.reports.curves import sweep_curves

    if scores.sweep is None:
        raise ProtocolError(NO_SWEEP)
    return sweep_curves(scores.sweep, f"Recall against {scores.sweep.factor}, percent")


def journal_folder(run: str) -> Path:
    """Where an evaluation of a run keeps what is done, so that it can go on after a kill; removed when it ends."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "geofix" / "unfinished" / hashlib.sha256(str(Path(run).absolute()).encode()).hexdigest()[:16]


def _label(name: str, scores: Scores) -> str:
    trained = scores.protocol.get("epochs")
    random = ""
    if "none" in str(scores.protocol.get("pretrained")).split(" + "):
        random = " (trained from random weights)" if trained else " (random trunk)"
    if missing := scores.protocol.get("random_tensors"):
        random = f" (trunk with {missing} random tensors)"
    untrained = " (untrained)" if not trained and not random else ""
    return f"{name}{random}{untrained}"


def _cell(scores: Scores, n: int) -> str:
    if n not in scores.recall:
        return ""
    return percent(scores.recall[n], scores.recall_ci95[n])


def _whole_cells(scores: Scores) -> list[str]:
    if scores.whole is None:
        return []
    found = scores.whole.to_dict()
    return [f"{100 * found['recall_top1_percent']:.1f}", percent(found["ap"], found["ap_ci95"])]


def _slice_line(name: str, cells: dict[str, dict[str, float]]) -> str:
    parts = [f"{key} {100 * cell['recall@1']:.1f} (n={cell['queries']:.0f})" for key, cell in cells.items()]
    return f"R@1 by {name.replace('_', ' ')}: " + ", ".join(parts)


def _degrees(position: Position | None) -> tuple[str, str]:
    return ("", "") if position is None else (f"{position.lat:.7f}", f"{position.lon:.7f}")


def _rank(rank: int) -> str:
    return "" if rank == NEVER else str(rank + 1)
