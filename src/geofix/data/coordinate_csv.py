"""Reader of tables of predicted coordinates, and of the truth where it is in another table.

The published ones (`img_id, gt_lat, gt_long, predicted_lat, predicted_long`, a summary below), those that
`geofix locate --csv` and `geofix evaluate --predictions` write, and anything with usual column names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from geofix.data.geotag_csv import ALIASES, Record, read_sheet, to_record
from geofix.errors import DataError, GeofixError
from geofix.shapes import LatLons, RowHits

_AXES = {"lat": ("lat", "latitude"), "lon": ("lon", "lng", "long", "longitude")}
_PLAIN = {axis: [name for name in ALIASES[axis] if "gt" not in name and name not in "xy"] for axis in _AXES}
_MARKS = {
    "predicted": ("predicted", "prediction", "pred", "estimated", "estimate", "est", "guess"),
    "true": ("gt", "true", "truth", "target", "actual", "ground_truth", "real"),
}
_NAMES = (*ALIASES["path"], "query", "id", "key", "image_name", "img_name")
# The photographer before the sequence: all sequences of one photographer tell of the same habits and journeys.
_AUTHORS = (*ALIASES["author"], "creator_id", "creator_username", "photographer_id", "author_id", "user_nsid")
_CLUSTERS = (*_AUTHORS, *ALIASES["sequence"])
_COUNTRIES = ("unique_country", "true_country", "gt_country", "country", "country_code", "cc")
_NOTHING = {"", "nan", "none", "null", "n/a", "na", "-"}
_SUMMARY_LINES = 10  # of published tables have 2


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Coordinates as they are written: cells of latitude and longitude, and (n, 2) numbers, NaN for what is none."""

    cells: tuple[tuple[str, str], ...]
    points: LatLons

    def empty(self) -> RowHits:
        """The rows with nothing in either cell: photos without an answer."""
        return np.array([all(is_nothing(text) for text in pair) for pair in self.cells], dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class CoordinateTable:
    """The rows of a table, not checked: `truth` and `predicted` are None where it has no such columns.

    `clusters` and `countries` (the true ones, as written) are "" where the row names none. `summary_lines` at its end
    were left out, and so was each further row of a photo, as the sentences in `problems` say.
    """

    path: Path
    lines: tuple[int, ...]
    names: tuple[str, ...]
    named: bool
    clusters: tuple[str, ...]
    cluster_column: str | None
    countries: tuple[str, ...]
    country_column: str | None
    truth: Written | None
    predicted: Written | None
    summary_lines: tuple[int, ...] = ()
    problems: tuple[GeofixError, ...] = ()

    def where(self, row: int) -> str:
        """The file and line of a row."""
        return f"{self.path.name} line {self.lines[row]}"


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Predictions with the truth of the same photos, and the photos that only one of two tables has."""

    table: CoordinateTable
    without_truth: tuple[str, ...] = ()
    without_prediction: tuple[str, ...] = ()


def read_predictions(path: Path) -> CoordinateTable:
    """A table with predicted coordinates, and the true ones where it has both.

    Plain `lat` and `lon` are predicted where nothing else is, else the truth. Raises DataError where the file is no
    table, or has no columns or no rows of predicted coordinates.
    """
    table = _read(path, plain="predicted")
    if table.predicted is None:
        raise DataError(
            f"{path} has no column of predicted coordinates; name them lat and lon, or predicted_lat and predicted_lon."
        )
    return table


def read_truth(path: Path) -> CoordinateTable:
    """A table with the true coordinates of photos. Raises DataError where it has none, or no names."""
    table = _read(path, plain="true")
    if table.truth is None:
        raise DataError(f"{path} has no column of true coordinates; name them lat and lon, or gt_lat and gt_lon.")
    _check_named(table)
    return table


def join(predictions: CoordinateTable, truth: CoordinateTable) -> Joined:
    """The rows of `predictions` whose photo is in `truth`, with its truth from there.

    Photos are the same by path, else by file name, else by file name without its ending, each time only where one row
    of either table is called so. Clusters and countries are those of the truth, where it has any. Raises DataError
    where `predictions` has no names, or no photo is in both.
    """
    _check_named(predictions)
    assert truth.truth is not None
    found = _matched(predictions.names, truth.names)
    rows = np.flatnonzero(found >= 0)
    if not len(rows):
        raise DataError(
            f"No photo of {predictions.path} is in {truth.path} (the first are {predictions.names[0]!r} and "
            f"{truth.names[0]!r}); the same names are expected in both."
        )
    kept = _rows_of(predictions, rows)
    clustered = truth if truth.cluster_column else predictions
    at = found[rows] if truth.cluster_column else rows
    made = replace(
        kept,
        truth=_chosen(truth.truth, found[rows]),
        clusters=tuple(clustered.clusters[row] for row in at),
        cluster_column=clustered.cluster_column,
    )
    if truth.country_column:
        countries = tuple(truth.countries[row] for row in found[rows])
        made = replace(made, countries=countries, country_column=truth.country_column)
    taken = set(found.tolist())
    return Joined(
        made,
        tuple(predictions.names[row] or predictions.where(row) for row in np.flatnonzero(found < 0).tolist()),
        tuple(name or truth.where(row) for row, name in enumerate(truth.names) if row not in taken),
    )


def is_nothing(text: str) -> bool:
    """Whether a cell is empty, in one of the ways of saying so."""
    return text.lower() in _NOTHING


def _read(path: Path, plain: str) -> CoordinateTable:
    """`plain` is what `lat` and `lon` are where no other column says it: predicted or true."""
    sheet = read_sheet(path)
    columns = _columns(sheet.header, plain)
    if "true_lat" not in columns and "predicted_lat" not in columns:
        raise DataError(
            f"{path} has the columns {', '.join(sheet.header)} but none for latitude and longitude; name them in the "
            "first line (lat and lon, gt_lat and gt_lon, predicted_lat and predicted_lon)."
        )
    records = [to_record(line, cells, columns) for line, cells in sheet.lines]
    body = records[: _summary_begins(records, [kind for kind in columns if kind[-4:] in ("_lat", "_lon")])]
    unique, problems = _once(path, body) if "name" in columns else (body, [])
    if not unique:
        raise DataError(f"{path} has no row of coordinates below its header; one row a photo is expected.")
    return CoordinateTable(
        path,
        tuple(record.line for record in unique),
        tuple(_name(record) for record in unique),
        "name" in columns,
        tuple(record.texts.get("cluster", "") for record in unique),
        sheet.header[columns["cluster"]] if "cluster" in columns else None,
        tuple("" if is_nothing(text) else text for text in (one.texts.get("country", "") for one in unique)),
        sheet.header[columns["country"]] if "country" in columns else None,
        _written(unique, "true") if "true_lat" in columns else None,
        _written(unique, "predicted") if "predicted_lat" in columns else None,
        tuple(record.line for record in records[len(body) :]),
        tuple(problems),
    )


def _columns(header: list[str], plain: str) -> dict[str, int]:
    """Column numbers: name, cluster, country, true_lat to predicted_lon. A latitude counts only with its longitude."""
    names = [cell.lower().replace(" ", "_").replace("-", "_") for cell in header]
    number = {name: names.index(name) for name in names}
    found: dict[str, int] = {}
    for kind, aliases in (("name", _NAMES), ("cluster", _CLUSTERS), ("country", _COUNTRIES)):
        known = [alias for alias in aliases if alias in number]
        found |= {kind: number[known[0]]} if known else {}
    for kind, marks in _MARKS.items():
        marked = {axis: [_marked(mark, word) for mark in marks for word in words] for axis, words in _AXES.items()}
        found |= _pair(number, kind, {axis: [name for row in rows for name in row] for axis, rows in marked.items()})
    kind = "true" if "predicted_lat" in found else plain
    return _pair(number, kind, _PLAIN) | found


def _marked(mark: str, word: str) -> tuple[str, ...]:
    return f"{mark}_{word}", f"{word}_{mark}", f"{mark}{word}"


def _pair(number: dict[str, int], kind: str, names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The columns of a latitude and a longitude, or nothing where one is not there."""
    found = {
        f"{kind}_{axis}": next(number[name] for name in aliases if name in number)
        for axis, aliases in names.items()
        if any(name in number for name in aliases)
    }
    return found if len(found) == len(_AXES) else {}


def _summary_begins(records: list[Record], coordinates: list[str]) -> int:
    """The row from which on a table is a summary, as published ones have it below the photos; else their number.

    It begins with a line in which every coordinate is a word, below an empty line or above fractions only: the values
    below such a line would pass for a photo. In a table with both kinds of coordinates, last lines without any number
    are a summary, too.
    """
    for row in range(max(1, len(records) - _SUMMARY_LINES), len(records)):
        words = all(_is_word(records[row].texts.get(kind, "")) for kind in coordinates)
        below_empty = records[row].line - records[row - 1].line > 1
        if words and (below_empty or all("." in _name(one) and _is_number(_name(one)) for one in records[row + 1 :])):
            return row
    end = len(records)
    while len(coordinates) == 4 and end and not any(_is_number(records[end - 1].texts.get(k, "")) for k in coordinates):
        end -= 1
    return end


def _is_word(text: str) -> bool:
    return not is_nothing(text) and not _is_number(text)


def _is_number(text: str) -> bool:
    return not math.isnan(Record(0, {"cell": text}).number("cell"))


def _once(path: Path, records: Sequence[Record]) -> tuple[list[Record], list[GeofixError]]:
    """The first row of each photo and all without a name, and a sentence for each further one."""
    first: dict[str, Record] = {}
    kept: list[Record] = []
    problems: list[GeofixError] = []
    for record in records:
        earlier = first.setdefault(_name(record), record) if _name(record) else record
        if earlier is record:
            kept.append(record)
        else:
            problems.append(
                DataError(
                    f"{path.name} line {record.line} names {_name(record)!r} again (first in line {earlier.line}); "
                    "it was left out."
                )
            )
    return kept, problems


def _name(record: Record) -> str:
    """The name of a row's photo, with forward slashes and without the apostrophe that `geofix locate --csv` puts
    before what a spreadsheet would run."""
    text = record.texts.get("name", "").replace("\\", "/")
    return text[1:] if text[:1] == "'" and text[1:2] in ("=", "+", "-", "@") else text


def _written(records: Sequence[Record], kind: str) -> Written:
    lat, lon = (f"{kind}_{axis}" for axis in _AXES)
    cells = tuple((record.texts.get(lat, ""), record.texts.get(lon, "")) for record in records)
    numbers = [(record.number(lat), record.number(lon)) for record in records]
    return Written(cells, np.array(numbers, dtype=np.float64).reshape(-1, 2))


def _chosen(written: Written, rows: np.ndarray) -> Written:
    return Written(tuple(written.cells[row] for row in rows), written.points[rows])


def _rows_of(table: CoordinateTable, rows: np.ndarray) -> CoordinateTable:
    return replace(
        table,
        lines=tuple(table.lines[row] for row in rows),
        names=tuple(table.names[row] for row in rows),
        clusters=tuple(table.clusters[row] for row in rows),
        countries=tuple(table.countries[row] for row in rows),
        truth=None if table.truth is None else _chosen(table.truth, rows),
        predicted=None if table.predicted is None else _chosen(table.predicted, rows),
    )


def _matched(wanted: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """For each wanted name the row of the known one that is the same photo, or -1."""
    found = np.full(len(wanted), -1, dtype=np.int64)
    taken: set[int] = set()
    for short in (str, _file_name, _stem):
        left = [row for row in range(len(wanted)) if found[row] < 0]
        open_rows = [row for row in range(len(known)) if row not in taken]
        once = _once_each([short(known[row]) for row in open_rows])
        unique = {short(known[row]): row for row in open_rows if short(known[row]) in once}
        asked = _once_each([short(wanted[row]) for row in left])
        for row in left:
            key = short(wanted[row])
            if key in asked and key in unique:
                found[row] = unique[key]
                taken.add(unique[key])
    return found


def _once_each(names: list[str]) -> set[str]:
    return {name for name, times in Counter(names).items() if times == 1 and name}


def _file_name(name: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _check_named(table: CoordinateTable) -> None:
    if not table.named:
        raise DataError(
            f"{table.path} has no column that names its photos, so that it cannot be joined; add one called photo."
        )
