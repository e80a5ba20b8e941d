"""Overlapping square tiles of a map at several scales: which there are, and their pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float

from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.source import Bounds, Coverage, Sheet, Window
from geofix.data.maps.warp import spacing
from geofix.errors import DataError, UsageError
from geofix.photos import MIN_SIDE_PIXELS
from geofix.positions import Position
from geofix.shapes import Pixels, PlanePoints

OVERLAP = 0.5  # of one tile and the next: every square of half a side lies whole in one of them
LEAST_VALID = 0.6
SCALE_STEP = 2.0  # from one default scale to the next
FINEST_TILES = 32  # that fit side by side along a map, at the finest default scale; less where pixels are fewer
MOST_TILES = 1_000_000
_LOOKED_AT = 32  # points a side of a tile that tell how much of it is map
_CORNERS = np.array([[-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])  # of a square: north-west first

TileCorners = Float[np.ndarray, "n 4 2"]
"""(easting, northing) of the corners of n squares: north-west, north-east, south-west, south-east."""

Shares = Float[np.ndarray, " n"]
"""How much of each of n squares is something, 0..1."""


@dataclass(frozen=True, slots=True)
class MapTile:
    """A square of a map, grid north up.

    `name` is unique among the maps of one folder and stays while the map and the choices stay: the map's name, the
    scale, row from the north, column from the west. `easting_m` and `northing_m` are its middle in the plane `crs`;
    `bounds` are the box of degrees around its corners. `metres_per_pixel` is what it was meant to be read at; a map
    may be coarser.
    """

    name: str
    path: Path
    centre: Position
    side_m: float
    bounds: Bounds
    crs: str
    easting_m: float
    northing_m: float
    metres_per_pixel: float
    attribution: str | None = None


@dataclass(frozen=True, slots=True)
class Tiling(Sequence[MapTile]):
    """Tiles, scale by scale and row by row; `skipped` is how many more there would be if the map were whole."""

    tiles: tuple[MapTile, ...]
    scales_m: tuple[float, ...]
    skipped: int

    def __len__(self) -> int:
        return len(self.tiles)

    @overload
    def __getitem__(self, index: int) -> MapTile: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MapTile, ...]: ...
    def __getitem__(self, index: int | slice) -> MapTile | tuple[MapTile, ...]:
        return self.tiles[index]


def tiles(
    aerial: AerialMap,
    *,
    size_px: int,
    scales_m: Sequence[float] | None = None,
    overlap: float = OVERLAP,
    least_valid: float = LEAST_VALID,
) -> Tiling:
    """The tiles of a map that show at least `least_valid` (0..1) of ground, at each scale: a side in metres.

    At every scale rows and columns fill the map's box to its edges, and neighbours share at least `overlap` (0..0.95)
    of their side; where the map is smaller than a tile there is one in its middle. Without `scales_m` they are
    `default_scales`. Raises UsageError for choices that make no sense, and DataError where no tile is left or the
    files are damaged.
    """
    _check(size_px, overlap, least_valid)
    scales = default_scales(aerial, size_px) if scales_m is None else _sorted(scales_m)
    extent = aerial.extent
    total = sum(_count(extent.width_m, scale, overlap) * _count(extent.height_m, scale, overlap) for scale in scales)
    if total > MOST_TILES:
        raise UsageError(
            f"{aerial.path} would make {total} tiles of {_listed(scales)} m, more than the {MOST_TILES} that can be "
            "kept; choose larger scales or a smaller overlap."
        )
    covered = [(sheet, _coverage(aerial, sheet, min(scales))) for sheet in aerial.sheets]
    kept = tuple(
        tile
        for scale in scales
        for row, northing in enumerate(_filled(extent.south_m, extent.north_m, scale, overlap)[::-1])
        for tile in _row(aerial, covered, scale, size_px, least_valid, row, float(northing), overlap)
    )
    if not kept:
        raise DataError(
            f"No tile of {_listed(scales)} m shows {least_valid:.0%} of ground: {aerial.path} is "
            f"{aerial.extent.width_m:.0f} x {aerial.extent.height_m:.0f} m with its empty borders; choose smaller "
            "scales or ask for less ground."
        )
    return Tiling(kept, scales, total - len(kept))


def default_scales(aerial: AerialMap, size_px: int) -> tuple[float, ...]:
    """Sides of tiles in metres, each twice the one before, up to the shorter side of the map's box.

    The first is what `size_px` pixels of the map show, or a 32nd of the map's longer side where that is more. A map
    that is smaller has one scale, its shorter side. Two digits are kept.
    """
    shorter, longer = sorted((aerial.extent.width_m, aerial.extent.height_m))
    first = _rounded(max(size_px * aerial.metres_per_pixel, longer / FINEST_TILES))
    if first >= shorter:
        return (_rounded(shorter),)
    return tuple(first * SCALE_STEP**power for power in range(1 + int(math.log(shorter / first, SCALE_STEP))))


def read_tile(aerial: AerialMap, tile: MapTile, size_px: int) -> Pixels:
    """The pixels of a tile, `size_px` a side. What the map does not show has the mean colour of what it does.

    Several threads may read at the same time. Raises DataError where the files are damaged or show nothing there, and
    UsageError for a tile of another map.
    """
    if (tile.path, tile.crs) != (aerial.path, aerial.plane):
        raise UsageError(f"{tile.name} is a tile of {tile.path}, not of {aerial.path}; open its own map.")
    pixels = aerial.read(Window(tile.easting_m, tile.northing_m, tile.side_m, size_px))
    if pixels is None:
        raise DataError(
            f"{aerial.path} shows nothing where {tile.name} lies; make the tiles anew, the map was changed."
        )
    return pixels


def _check(size_px: int, overlap: float, least_valid: float) -> None:
    if size_px < MIN_SIDE_PIXELS:
        raise UsageError(f"Tiles of {size_px} pixels show nothing; {MIN_SIDE_PIXELS} or more are expected.")
    if not 0 <= overlap <= 0.95:
        raise UsageError(f"Tiles cannot overlap by {overlap:g} of their side; 0 to 0.95 is expected, such as 0.5.")
    if not 0 < least_valid <= 1:
        raise UsageError(f"A tile cannot show {least_valid:g} of ground; a share above 0 and up to 1 is expected.")


def _sorted(scales_m: Sequence[float]) -> tuple[float, ...]:
    if not scales_m or not all(math.isfinite(scale) and scale > 0 for scale in scales_m):
        raise UsageError(f"Scales of {_listed(scales_m)} m were asked for; one or more above 0 are expected.")
    # Names hold six digits; two scales alike in them are one.
    return tuple(sorted({f"{scale:g}": float(scale) for scale in scales_m}.values()))


def _listed(scales_m: Sequence[float]) -> str:
    return ", ".join(f"{scale:g}" for scale in scales_m) or "no"


def _rounded(metres: float) -> float:
    return float(f"{metres:.2g}")


def _count(length_m: float, side_m: float, overlap: float) -> int:
    """How many tiles fill a length."""
    # A hair more than a whole number of steps must not cost another row.
    return max(0, math.ceil((length_m - side_m) / (side_m * (1 - overlap)) - 1e-6)) + 1


def _filled(low: float, high: float, side_m: float, overlap: float) -> np.ndarray:
    """Middles of tiles from edge to edge, the same distance apart."""
    count = _count(high - low, side_m, overlap)
    return np.array([(low + high) / 2]) if count == 1 else np.linspace(low + side_m / 2, high - side_m / 2, count)


def _coverage(aerial: AerialMap, sheet: Sheet, side_m: float) -> Coverage:
    """Where a raster shows the ground, fine enough for tiles of `side_m`."""
    middle = sheet.latlons(np.array([[sheet.width / 2, sheet.height / 2]]))
    easting_m, northing_m = (float(number) for number in aerial.points(middle)[0])
    cells = spacing(sheet, aerial.zone, aerial.north, Window(easting_m, northing_m, side_m, _LOOKED_AT))
    return sheet.reader.coverage(cells)


def _row(
    aerial: AerialMap,
    covered: Sequence[tuple[Sheet, Coverage]],
    side_m: float,
    size_px: int,
    least_valid: float,
    row: int,
    northing_m: float,
    overlap: float,
) -> Iterator[MapTile]:
    """The tiles of one row that show enough."""
    eastings_m = _filled(aerial.extent.west_m, aerial.extent.east_m, side_m, overlap)
    middles = np.stack([eastings_m, np.full(len(eastings_m), northing_m)], axis=1)
    corners = middles[:, None] + _CORNERS * side_m
    shown = _shown(aerial, covered, corners)
    degrees = aerial.latlons(corners.reshape(-1, 2)).reshape(-1, 4, 2)
    centres = aerial.latlons(middles)
    for column in np.flatnonzero(shown >= least_valid):
        (south, west), (north, east) = degrees[column].min(axis=0), degrees[column].max(axis=0)
        yield MapTile(
            name=f"{aerial.name}@{side_m:g}m@r{row:03d}c{column:03d}",
            path=aerial.path,
            centre=Position(float(centres[column, 0]), float(centres[column, 1])),
            side_m=side_m,
            bounds=Bounds(float(south), float(west), float(north), float(east)),
            crs=aerial.plane,
            easting_m=float(eastings_m[column]),
            northing_m=northing_m,
            metres_per_pixel=side_m / size_px,
            attribution=aerial.attribution,
        )


def _shown(aerial: AerialMap, covered: Sequence[tuple[Sheet, Coverage]], corners: TileCorners) -> Shares:
    """Of each square the share that any raster shows."""
    along = (np.arange(_LOOKED_AT) + 0.5) / _LOOKED_AT
    points = np.array(
        [((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y) for y, x in itertools.product(along, along)]
    )
    positions = aerial.latlons(corners.reshape(-1, 2))
    seen = np.zeros((len(corners), len(points)), dtype=np.bool_)
    for sheet, coverage in covered:
        pixels = points @ sheet.pixels(positions).reshape(-1, 4, 2)  # (n, points, 2)
        seen |= _at(sheet, coverage, pixels.reshape(-1, 2)).reshape(seen.shape)
    return np.asarray(seen.mean(axis=1))


def _at(sheet: Sheet, coverage: Coverage, pixels: PlanePoints) -> np.ndarray:
    """Whether a raster shows the ground at rows of (column, row)."""
    columns, rows = pixels.T
    inside = (columns >= 0) & (columns < sheet.width) & (rows >= 0) & (rows < sheet.height)
    across, down = (np.where(inside, cells, 0).astype(np.int64) for cells in coverage.lattice.cells(columns, rows))
    height, width = coverage.valid.shape
    return np.asarray(inside & coverage.valid[np.minimum(down, height - 1), np.minimum(across, width - 1)])
