"""Web maps cut into small square pictures: folders {z}/{x}/{y}.png and MBTiles files, both in web mercator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from geofix.data.maps.decoding import Decoded, decoded, made_smaller
from geofix.data.maps.source import Affine, Bounds, Coverage, Lattice, Patch, PixelBox, Sheet, Step, Valid
from geofix.errors import DataError, PhotoError
from geofix.photos import resized
from geofix.positions import to_crs

WEB_MERCATOR = "EPSG:3857"
DEEPEST_ZOOM = 30
_HALF_WORLD_M = 20037508.342789244  # of web mercator: pi times the radius it takes the Earth to have
_DECODED = 64  # pictures kept by all threads together; neighbouring map tiles need the same ones
_LISTED = 4_000_000  # pictures of one zoom; more is no map of one place

Address = tuple[int, int, int]
"""Zoom, column from the west and row from the north."""


@runtime_checkable
class Store(Protocol):
    """Where the pictures are. Several threads may ask at the same time."""

    def picture(self, address: Address) -> bytes | None:
        """The bytes of one picture, None where there is none."""


class Corner(NamedTuple):
    """The first column and row of pixels of a raster, counted from the corner of the world."""

    column: int
    row: int


@dataclass(frozen=True, eq=False)
class PyramidReader:
    """The pictures of a raster: its finest zoom and those coarser ones that hold all of it.

    `there` lists (column, row) of the pictures at the finest zoom. `side` is that of a picture in pixels, `opaque`
    says that they cannot be transparent. A picture that is damaged counts as missing.
    """

    store: Store
    there: np.ndarray
    zooms: tuple[int, ...]
    side: int
    corner: Corner
    width: int
    height: int
    opaque: bool

    def read(self, box: PixelBox, step: Step) -> Patch:
        """See `source.Reader`; taken from a coarser zoom where there is one."""
        most = self.side.bit_length() - 1 + self.zooms[0] - self.zooms[-1]
        return self._patch(box, min(step.nearest_power_of_two(), most))

    def coverage(self, step: Step) -> Coverage:
        """See `source.Reader`; pictures that can be transparent are all decoded once, at the zoom that will do."""
        power = min(step.nearest_power_of_two(), self.side.bit_length() - 1)
        lattice = self._lattice(PixelBox(0, 0, self.width, self.height), power)
        side = self.side >> power
        left, top = (corner >> power for corner in self.corner)
        columns = ((self.corner.column + self.width - 1) >> power) - left + 1
        rows = ((self.corner.row + self.height - 1) >> power) - top + 1
        valid = np.zeros((rows, columns), dtype=np.bool_)
        for column, row in self.there.tolist():
            across, down = column * side - left, row * side - top
            valid[max(0, down) : max(0, down + side), max(0, across) : max(0, across + side)] = True
        if not self.opaque:
            for band in self._bands(power):
                seen = self._patch(band, power)
                first = round((seen.lattice.row - lattice.row) / lattice.step.rows)
                valid[first : first + len(seen.valid)] &= seen.valid
        return Coverage(valid, lattice)

    def _bands(self, power: int) -> Iterator[PixelBox]:
        """The whole raster in strips as high as one picture of the zoom that will be read."""
        high = self.side << (self.zooms[0] - self._zoom(power))
        start = -(self.corner.row % high)
        for row in range(start, self.height, high):
            first, last = max(0, row), min(self.height, row + high)
            yield PixelBox(0, first, self.width, last - first)

    def _zoom(self, power: int) -> int:
        """The coarsest that is fine enough for squares of 2^power pixels."""
        return min(zoom for zoom in self.zooms if self.zooms[0] - zoom <= power)

    def _lattice(self, box: PixelBox, power: int) -> Lattice:
        """Squares of 2^power pixels that begin at the corner of the world, from the one that holds the box's corner."""
        left = ((self.corner.column + box.column) >> power << power) - self.corner.column
        top = ((self.corner.row + box.row) >> power << power) - self.corner.row
        return Lattice(float(left), float(top), Step(float(2**power), float(2**power)))

    def _patch(self, box: PixelBox, power: int) -> Patch:
        zoom = self._zoom(power)
        smaller = power - (self.zooms[0] - zoom)
        side = self.side >> smaller  # of a picture as it is pasted
        left, top = (self.corner.column + box.column) >> power, (self.corner.row + box.row) >> power
        right = (self.corner.column + box.column + box.width - 1) >> power
        bottom = (self.corner.row + box.row + box.height - 1) >> power
        pixels = np.zeros((bottom - top + 1, right - left + 1, 3), dtype=np.uint8)
        valid = np.zeros(pixels.shape[:2], dtype=np.bool_)
        for row in range(top // side, bottom // side + 1):
            for column in range(left // side, right // side + 1):
                picture = _picture(self, (zoom, column, row))
                if picture is not None:
                    _paste(made_smaller(picture, 2**smaller), pixels, valid, column * side - left, row * side - top)
        return Patch(pixels, valid, self._lattice(box, power))


def sheet(
    path: Path, store: Store, pictures: Mapping[int, np.ndarray], bounds: Bounds | None, *, opaque: bool
) -> Sheet:
    """The raster of all pictures of the finest zoom, inside `bounds`.

    `pictures` has (column, row) of what is there, for every zoom. Raises DataError where none of them is a picture,
    and for bounds that lie elsewhere.
    """
    finest = max(pictures)
    there = np.unique(pictures[finest], axis=0)
    if len(there) > _LISTED:
        raise DataError(
            f"{path} has {len(there)} pictures at zoom {finest}, and {_LISTED} at most can be one map; "
            "cut out the part that you fly over."
        )
    zooms = (finest, *_whole_zooms(there, finest, pictures))
    side = _side(path, store, [(finest, int(column), int(row)) for column, row in there])
    # In pixels of the whole world, which a float holds exactly.
    first, last = there.min(axis=0) * side, (there.max(axis=0) + 1) * side
    metres = 2 * _HALF_WORLD_M / (side * 2**finest)
    if bounds is not None:
        inner_first, inner_last = _corners(path, bounds, metres, first, last)
        first, last = np.maximum(first, inner_first), np.minimum(last, inner_last)
    corner = Corner(*(int(number) for number in first))
    width, height = (int(number) for number in last - first)
    west_m, north_m = corner.column * metres - _HALF_WORLD_M, _HALF_WORLD_M - corner.row * metres
    reader = PyramidReader(store, there, zooms, side, corner, width, height, opaque)
    return Sheet(path, WEB_MERCATOR, width, height, Affine(metres, 0.0, west_m, 0.0, -metres, north_m), reader)


def bounds_of(text: str, path: Path) -> Bounds:
    """The bounds that metadata give as west, south, east, north. Raises DataError for what is none."""
    words = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    try:
        west, south, east, north = (float(word) for word in words)
    except ValueError as error:
        raise DataError(f"The bounds of {path} are {text!r}; west,south,east,north in degrees was expected.") from error
    if max(abs(south), abs(north)) > 90 or max(abs(west), abs(east)) > 180 or south >= north or west >= east:
        turned = "; the two seem to be swapped" if max(abs(south), abs(north)) > 90 >= max(abs(west), abs(east)) else ""
        raise DataError(
            f"The bounds of {path} are {text!r}, which is no box of west,south,east,north in degrees{turned}; "
            "mend or remove them."
        )
    return Bounds(south, west, north, east)


def _whole_zooms(there: np.ndarray, finest: int, pictures: Mapping[int, np.ndarray]) -> Iterator[int]:
    """Coarser zooms, finest first, that lack nothing the finest one has."""
    for zoom in sorted((zoom for zoom in pictures if zoom < finest), reverse=True):
        needed = {(column, row) for column, row in np.unique(there >> (finest - zoom), axis=0).tolist()}
        if needed <= {(column, row) for column, row in pictures[zoom].tolist()}:
            yield zoom


def _side(path: Path, store: Store, addresses: list[Address]) -> int:
    """Of the first picture that can be decoded; the usual ones are 256 and 512."""
    problem = "they are missing"
    for address in addresses[:: max(1, len(addresses) // 16)]:
        data = store.picture(address)
        try:
            size = decoded(data, _name(address)).valid.shape if data else (0, 0)
        except PhotoError as error:
            problem = str(error)
            continue
        if size[0] == size[1] and size[0] >= 64 and size[0] & (size[0] - 1) == 0:
            return int(size[0])
        problem = f"{_name(address)} is {size[1]}x{size[0]} pixels instead of 256x256 or 512x512" if data else problem
    raise DataError(f"No tile of {path} that was tried can be used ({problem}); make the tiles again.")


def _corners(
    path: Path, bounds: Bounds, metres: float, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixels of bounds. Raises DataError where they lie beside all tiles."""
    inner_first, inner_last = _pixels(bounds, metres)
    if (inner_first < last).all() and (first < inner_last).all():
        return inner_first, inner_last
    turned_first, turned_last = _pixels(Bounds(bounds.west, bounds.south, bounds.east, bounds.north), metres)
    swapped = (turned_first < last).all() and (first < turned_last).all()
    order = "hold latitudes where longitudes should be" if swapped else "lie beside all of its tiles"
    raise DataError(
        f"The bounds of {path} (west,south,east,north = {bounds.west:g},{bounds.south:g},{bounds.east:g},"
        f"{bounds.north:g}) {order}; mend or remove them in its metadata."
    )


def _pixels(bounds: Bounds, metres: float) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel of a box (column, row), and the one after its last."""
    reach = 85.0511287  # where web mercator is as high as it is wide
    south, north = (min(max(lat, -reach), reach) for lat in (bounds.south, bounds.north))
    (west_m, south_m), (east_m, north_m) = to_crs(np.array([[south, bounds.west], [north, bounds.east]]), WEB_MERCATOR)
    first = np.array([west_m + _HALF_WORLD_M, _HALF_WORLD_M - north_m]) / metres
    last = np.array([east_m + _HALF_WORLD_M, _HALF_WORLD_M - south_m]) / metres
    # A bound meant to lie on a pixel's edge is off by rounding.
    return np.floor(first + 1e-3).astype(np.int64), np.ceil(last - 1e-3).astype(np.int64)


@lru_cache(maxsize=_DECODED)
def _picture(reader: PyramidReader, address: Address) -> Decoded | None:
    data = reader.store.picture(address)
    if data is None:
        return None
    try:
        picture = decoded(data, _name(address))
    except PhotoError:
        return None
    if picture.valid.shape == (reader.side, reader.side):
        return picture
    size = reader.side, reader.side
    return Decoded(resized(picture.pixels, size), np.ones(size, dtype=np.bool_))


def _paste(picture: Decoded, pixels: np.ndarray, valid: Valid, column: int, row: int) -> None:
    """Put a picture with its corner at (column, row); what lies outside is cut off."""
    side = len(picture.valid)
    down, across = slice(max(0, row), max(0, row + side)), slice(max(0, column), max(0, column + side))
    rows, columns = valid[down, across].shape
    part = np.s_[max(0, -row) : max(0, -row) + rows, max(0, -column) : max(0, -column) + columns]
    pixels[down, across], valid[down, across] = picture.pixels[part], picture.valid[part]


def _name(address: Address) -> str:
    return "{}/{}/{}".format(*address)
