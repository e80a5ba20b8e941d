"""Cells of Google's S2 grid, by the tokens under which data sets list them. The one door to s2cell."""

from __future__ import annotations

import s2cell

from geofix.errors import UsageError
from geofix.positions import Position
from geofix.shapes import LatLons

FINEST = 30
"""The level of the smallest cells, about a centimetre wide; those of level 0 are a sixth of the globe."""


def cell_at(position: Position, level: int) -> str:
    """The token of the cell that holds a position. Raises UsageError for a level that is not 0..30."""
    _check(level)
    return str(s2cell.lat_lon_to_token(position.lat, position.lon, level))


def cells_at(points: LatLons, level: int) -> list[str]:
    """The tokens of the cells that hold n points, degrees. Raises UsageError for a level that is not 0..30."""
    _check(level)
    return [str(s2cell.lat_lon_to_token(lat, lon, level)) for lat, lon in points.tolist()]


def _check(level: int) -> None:
    if not 0 <= level <= FINEST:
        raise UsageError(f"There are no S2 cells of level {level}; 0 to {FINEST} are expected.")
