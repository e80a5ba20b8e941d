"""What a map is made of: georeferenced rasters that give parts of themselves at the resolution asked for."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from geofix.errors import DataError
from geofix.positions import from_crs, to_crs
from geofix.shapes import LatLons, Pixels, PlanePoints

Valid = Bool[np.ndarray, "h w"]
"""Which pixels or cells show the ground."""

CE90 = "ce90_m"
"""What a map's metadata call its accuracy: MBTiles' and web folders' so, a GeoTIFF's in capitals."""
_HEAD_BYTES = 65_536  # of every file, that its fingerprint looks into


class Bounds(NamedTuple):
    """The box of WGS84 degrees that holds something."""

    south: float
    west: float
    north: float
    east: float


class Notes(NamedTuple):
    """What a map says of itself: whose it is, and how far nine in ten of its points lie from where they are at most."""

    attribution: str | None = None
    ce90_m: float | None = None


class PixelBox(NamedTuple):
    """A part of a raster in whole pixels: first column and row, how many of each."""

    column: int
    row: int
    width: int
    height: int


class Step(NamedTuple):
    """How many pixels of a raster, along its rows and down its columns, one pixel of what is asked for may hold."""

    columns: float
    rows: float

    def nearest_power_of_two(self) -> int:
        """The power n >= 0 for which squares of 2^n pixels come nearest to the finer of both."""
        return max(0, round(math.log2(max(1.0, min(self)))))


class Lattice(NamedTuple):
    """Where an array made of a raster lies on it: the raster's pixel at its corner, and pixels in one cell."""

    column: float
    row: float
    step: Step

    def cells(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates as coordinates in cells; the middle of the first cell is 0.5 in both."""
        return (columns - self.column) / self.step.columns, (rows - self.row) / self.step.rows


class Affine(NamedTuple):
    """From pixels to a plane: x = a column + b row + c, y = d column + e row + f; whole numbers are pixel corners."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @property
    def area(self) -> float:
        """Of a pixel; negative where rows go down the map, and 0 where all pixels lie on one line."""
        return self.a * self.e - self.b * self.d

    def places(self, pixels: PlanePoints) -> PlanePoints:
        """(x, y) of rows of (column, row)."""
        return np.asarray(pixels @ np.array([[self.a, self.d], [self.b, self.e]]) + [self.c, self.f])

    def pixels(self, places: PlanePoints) -> PlanePoints:
        """The inverse of `places`."""
        turned_back = np.array([[self.e, -self.d], [-self.b, self.a]]) / self.area
        return np.asarray((places - [self.c, self.f]) @ turned_back)


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of a raster as it was read, and where it lies."""

    pixels: Pixels
    valid: Valid
    lattice: Lattice


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where a whole raster shows the ground, in cells; cells outside the array show nothing."""

    valid: Valid
    lattice: Lattice


@runtime_checkable
class Reader(Protocol):
    """The pixels of one raster. Several threads may read at the same time."""

    def read(self, box: PixelBox, step: Step) -> Patch:
        """At least `box`, averaged to about `step` pixels in one. Raises DataError for what is damaged."""

    def coverage(self, step: Step) -> Coverage:
        """The whole raster, looked at once in `step` pixels at least. Raises DataError for what is damaged."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One georeferenced raster: its size in pixels, where they lie in which system, and who reads them.

    `crs` is as `positions.crs_name` gives it. Raises DataError where the pixels would have no area.
    """

    path: Path
    crs: str
    width: int
    height: int
    affine: Affine
    reader: Reader

    def __post_init__(self) -> None:
        if not np.isfinite(self.affine).all() or self.affine.area == 0:
            raise DataError(
                f"{self.path} has the georeference {tuple(self.affine)}, by which its pixels have no area; "
                "export it again with its georeference."
            )

    def latlons(self, pixels: PlanePoints) -> LatLons:
        """Where rows of (column, row) lie on Earth; inf, or beyond 90 or 180 degrees, where that is nowhere."""
        return from_crs(self.affine.places(pixels), self.crs)

    def pixels(self, points: LatLons) -> PlanePoints:
        """(column, row) of positions; not finite where the system has no place for them."""
        with np.errstate(invalid="ignore"):  # infinity times nothing
            return self.affine.pixels(to_crs(points, self.crs))


@dataclass(frozen=True, slots=True)
class Window:
    """A square of a map's plane to be read: its middle, its side on the ground, and pixels along that side."""

    easting_m: float
    northing_m: float
    side_m: float
    size_px: int


def fingerprint(root: Path, files: Iterable[Path], *said: str | None, heads: bool = True) -> str:
    """16 hex digits that stay while names below `root`, sizes, times and (with `heads`) beginnings of the files stay.

    `said` is what else the map depends on. The whole bytes are not looked at: a map may have a hundred gigabytes.
    """
    digest = hashlib.sha256(json.dumps(said).encode())
    for file in sorted(files):
        state = file.stat()
        name = file.relative_to(root).as_posix() if root in file.parents else file.name
        digest.update(f"\n{name} {state.st_size} {state.st_mtime_ns} ".encode(errors="surrogateescape"))
        if heads:
            with file.open("rb") as stream:
                digest.update(stream.read(_HEAD_BYTES))
    return digest.hexdigest()[:16]


def ce90_of(text: object, path: Path) -> float | None:
    """A map's circular error at 90 % in metres as its metadata have it; None for nothing. Raises DataError for what is
    no length.
    """
    if text is None or not str(text).strip():
        return None
    try:
        ce90_m = float(str(text))
    except ValueError:
        ce90_m = math.nan
    if not 0 <= ce90_m < math.inf:
        raise DataError(f"{path} says that its {CE90} is {text!r}; metres, 0 or more, are expected.")
    return ce90_m
