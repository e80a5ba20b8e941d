"""Reader of published tables: a row for each part (scene, country) and one for the total over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofix.consistency import Part
from geofix.data.geotag_csv import read_sheet
from geofix.errors import DataError

TOTALS = ("overall", "total", "all", "mean")
"""What the row of the total is called, in its first cell."""
_COUNTS = ("count", "photos", "rows", "images", "n")


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """Parts and totals as fractions, and the `rounding` of the coarsest number: half a unit of its last digit."""

    parts: tuple[Part, ...]
    totals: dict[str, float]
    rounding: float


def read_totals(path: Path) -> PublishedTable:
    """A table whose first column names parts, and a total by one of TOTALS; the others hold numbers.

    A column called count (photos, rows, images, n) says how many rows each part has. Numbers above 1 anywhere mean
    that all are percent. Raises DataError for a table without a total or without parts, and for cells that are no
    numbers.
    """
    sheet = read_sheet(path)
    names = [cell.lower() for cell in sheet.header]
    counts = next((names.index(name) for name in _COUNTS if name in names[1:]), None)
    measures = [column for column in range(1, len(names)) if column != counts]
    rows = [(line, [cell.strip() for cell in cells]) for line, cells in sheet.lines]
    stated = [row for row in rows if row[1][0].lower() in TOTALS]
    if len(stated) != 1 or len(rows) < 2 or not measures:
        raise DataError(
            f"{path} has {len(rows)} rows, {len(stated)} of them a total, and {len(measures)} columns of numbers; a "
            f"header, a row a part and one row called {TOTALS[0]} are expected."
        )
    cells = {line: [_cell(path, line, row, column) for column in measures] for line, row in rows}
    unit = 0.01 if any(value > 1 for row in cells.values() for value, _ in row) else 1.0
    rounding = max(unit * half for row in cells.values() for _, half in row)

    def shares(line: int) -> dict[str, float]:
        return {sheet.header[column]: unit * value for column, (value, _) in zip(measures, cells[line], strict=True)}

    total_line = stated[0][0]
    parts = tuple(
        Part(row[0], shares(line), _count(path, line, row, counts)) for line, row in rows if line != total_line
    )
    return PublishedTable(parts, shares(total_line), rounding)


def _cell(path: Path, line: int, row: Sequence[str], column: int) -> tuple[float, float]:
    """A number as it is written, and half a unit of its last digit."""
    text = row[column] if column < len(row) else ""
    try:
        return float(text), 0.5 * 10.0 ** -len(text.partition(".")[2])
    except ValueError as error:
        raise DataError(f"{path} line {line}: {text!r} is no number; fractions or percent are expected.") from error


def _count(path: Path, line: int, row: Sequence[str], column: int | None) -> int | None:
    text = row[column] if column is not None and column < len(row) else ""
    if not text:
        return None
    if not text.isdecimal():
        raise DataError(f"{path} line {line}: {text!r} is no count; a whole number, 0 or more, is expected.")
    return int(text)
