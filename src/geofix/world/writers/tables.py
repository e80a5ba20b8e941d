"""The tables beside rendered photos."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from geofix.positions import Position

Row = dict[str, object]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """A CSV with the columns of the first row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def latlon(position: Position) -> Row:
    """Degrees to a centimetre."""
    return {"lat": f"{position.lat:.7f}", "lon": f"{position.lon:.7f}"}
