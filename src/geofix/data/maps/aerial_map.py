"""A map from the air: one raster or several, seen as one picture in the plane of a UTM zone."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geofix.data.maps.source import Bounds, Notes, Sheet, Window
from geofix.data.maps.warp import cut
from geofix.errors import DataError
from geofix.positions import Position, latlons, project, unproject, utm_epsg, utm_zones
from geofix.shapes import LatLons, Pixels, PlanePoints

WIDEST_M = 500_000.0  # beyond it a plane bends lengths by more than a third of a percent
_SOUTHMOST, _NORTHMOST = -80.0, 84.0  # where UTM ends
_ALONG_AN_EDGE = 21  # points looked at to find a raster's outermost ones


class Extent(NamedTuple):
    """The box of the plane that holds a map, in metres."""

    west_m: float
    south_m: float
    east_m: float
    north_m: float

    @property
    def width_m(self) -> float:
        """From west to east."""
        return self.east_m - self.west_m

    @property
    def height_m(self) -> float:
        """From south to north."""
        return self.north_m - self.south_m


@dataclass(frozen=True, slots=True)
class AerialMap:
    """A map with its pixels on disk.

    `ce90_m` is how far nine in ten of its points lie from where they are at most, if the map says so. `crs` is the
    system of the (first) file itself, as a code or well-known text; everything in metres lies in the UTM
    plane of the map's middle, `plane`. `metres_per_pixel` is the finest there is. `fingerprint` tells whether the
    files are still the same. `bounds` and `extent` hold the rasters with their empty borders.
    """

    name: str
    path: Path
    crs: str
    attribution: str | None
    ce90_m: float | None
    bounds: Bounds
    metres_per_pixel: float
    fingerprint: str
    zone: int
    north: bool
    extent: Extent
    sheets: tuple[Sheet, ...]

    @classmethod
    def of(cls, name: str, path: Path, sheets: tuple[Sheet, ...], fingerprint: str, notes: Notes) -> AerialMap:
        """The map of these rasters; where they overlap the first counts.

        Raises DataError for a map at a pole, across the antimeridian, wider than a plane can be, or not on Earth.
        """
        outline = np.concatenate([_outline(sheet) for sheet in sheets])
        bounds = _bounds(path, outline)
        middle = latlons([Position((bounds.south + bounds.north) / 2, (bounds.west + bounds.east) / 2)])
        zone, north = int(utm_zones(middle)[0]), bool(middle[0, 0] >= 0)
        plane = project(outline, zone, north)
        # To a tenth of a millimetre: what lies between is rounding, and not to be seen in scales and names.
        extent = Extent(*(round(float(side), 4) for side in (*plane.min(axis=0), *plane.max(axis=0))))
        if max(extent.width_m, extent.height_m) > WIDEST_M:
            raise DataError(
                f"{path} is {max(extent.width_m, extent.height_m) / 1000:.0f} km wide, and {WIDEST_M / 1000:.0f} km at "
                "most can be one map; cut out the part that you fly over."
            )
        finest = min(_metres_per_pixel(sheet, zone, north) for sheet in sheets)
        return cls(
            name, path, sheets[0].crs, *notes, bounds, finest, fingerprint, zone, north, extent, sheets
        )  # fmt: skip

    @property
    def plane(self) -> str:
        """The system of everything in metres, as a code."""
        return f"EPSG:{utm_epsg(self.zone, self.north)}"

    def read(self, window: Window) -> Pixels | None:
        """A square of the plane, grid north up; None where the map shows nothing of it.

        What is not shown has the mean colour of what is. Raises DataError where the files are damaged.
        """
        found = cut(self.sheets, self.zone, self.north, window)
        return None if found is None else found[0]

    def latlons(self, points: PlanePoints) -> LatLons:
        """Positions of points of the plane."""
        return unproject(points, self.zone, self.north)

    def points(self, positions: LatLons) -> PlanePoints:
        """The inverse of `latlons`."""
        return project(positions, self.zone, self.north)


def _outline(sheet: Sheet) -> LatLons:
    """Points along the edges of a raster. Raises DataError where it does not lie on Earth."""
    along = np.linspace(0.0, 1.0, _ALONG_AN_EDGE)
    pairs = [*itertools.product((0.0, 1.0), along), *itertools.product(along, (0.0, 1.0))]
    points = sheet.latlons(np.array(pairs) * [sheet.width, sheet.height])
    try:
        for lat, lon in points:
            Position(float(lat), float(lon))
    except DataError as error:
        raise DataError(f"{sheet.path} does not lie on Earth by its georeference: {error}") from error
    return points


def _bounds(path: Path, outline: LatLons) -> Bounds:
    (south, west), (north, east) = outline.min(axis=0), outline.max(axis=0)
    if south < _SOUTHMOST or north > _NORTHMOST:
        raise DataError(
            f"{path} lies between latitudes {south:.1f} and {north:.1f}; maps between {_SOUTHMOST:.0f} and "
            f"{_NORTHMOST:.0f} can be used, the poles cannot."
        )
    if east - west > 180:
        raise DataError(
            f"{path} reaches from longitude {west:.1f} to {east:.1f}, across the antimeridian or around the world; "
            "cut it into an eastern and a western map."
        )
    return Bounds(*(float(side) for side in (south, west, north, east)))


def _metres_per_pixel(sheet: Sheet, zone: int, north: bool) -> float:
    """The shorter side of the pixel in the raster's middle, on the ground."""
    column, row = sheet.width / 2, sheet.height / 2
    corners = np.array([[column, row], [column + 1, row], [column, row + 1]])
    at, right, below = project(sheet.latlons(corners), zone, north)
    return min(math.hypot(*(right - at)), math.hypot(*(below - at)))
