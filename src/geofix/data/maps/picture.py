"""Pictures with a world file beside them. They are decoded whole, once: neither PNG nor JPEG can be read in parts."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from geofix.data.maps.decoding import Decoded, decoded, halved
from geofix.data.maps.source import Coverage, Lattice, Patch, PixelBox, Sheet, Step
from geofix.data.maps.world_file import affine_beside, crs_beside, world_file
from geofix.errors import DataError, PhotoError
from geofix.photos import MAX_PIXELS, is_photo, read_bytes, read_size
from geofix.positions import crs_name

_PNG = b"\x89PNG\r\n\x1a\n"
_decode_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class PictureReader:
    """A decoded picture and its halves; they are made when first asked for. `state` changes with the file."""

    path: Path
    state: tuple[int, int]

    def read(self, box: PixelBox, step: Step) -> Patch:
        """See `source.Reader`."""
        level, side = self._level(step)
        first = slice(box.row // side, -(-(box.row + box.height) // side))
        along = slice(box.column // side, -(-(box.column + box.width) // side))
        lattice = Lattice(float(along.start * side), float(first.start * side), Step(float(side), float(side)))
        return Patch(level.pixels[first, along], level.valid[first, along], lattice)

    def coverage(self, step: Step) -> Coverage:
        """See `source.Reader`."""
        level, side = self._level(step)
        return Coverage(level.valid, Lattice(0.0, 0.0, Step(float(side), float(side))))

    def _level(self, step: Step) -> tuple[Decoded, int]:
        """The picture made small by the nearest power of two, and that power."""
        levels = _levels(self)
        power = min(step.nearest_power_of_two(), len(levels) - 1)
        return levels[power], 2**power


_kept: OrderedDict[PictureReader, tuple[Decoded, ...]] = OrderedDict()


def found(path: Path) -> bool:
    """Whether `path` is a picture with a world file."""
    return is_photo(path) and world_file(path) is not None


def read(path: Path, crs: str | None = None) -> Sheet:
    """The raster of a picture; `crs` is for one without a .prj.

    Raises DataError for what is no picture, is too large to be decoded, or does not say where it lies.
    """
    affine = affine_beside(path)
    assert affine is not None, "found() looks for a world file"
    system = crs_beside(path) or (crs_name(crs) if crs else None)
    if system is None:
        raise DataError(
            f"{path} has a world file but no .prj beside it, so its coordinate reference system is unknown; "
            "put the .prj there, or name the system, such as EPSG:32633 (`geofix index --crs`)."
        )
    height, width = _size(path)
    state = path.stat()
    return Sheet(path, system, width, height, affine, PictureReader(path, (state.st_size, state.st_mtime_ns)))


def _size(path: Path) -> tuple[int, int]:
    """Rows and columns. Raises DataError for what is no picture."""
    with path.open("rb") as stream:
        beginning = stream.read(24)
    if beginning.startswith(_PNG) and len(beginning) == 24:
        # Pillow looks for EXIF behind the pixels of a PNG, and so would decode them all.
        width, height = struct.unpack(">II", beginning[16:])
        return height, width
    try:
        return read_size(path)
    except PhotoError as error:
        raise DataError(str(error)) from error


def _levels(reader: PictureReader) -> tuple[Decoded, ...]:
    """A picture and its halves: those used last are kept."""
    with _decode_lock:  # a second thread waits rather than decode it once more
        levels = _kept.get(reader) or _decoded_levels(reader.path)
        _kept[reader] = levels
        _kept.move_to_end(reader)
        while len(_kept) > 1 and sum(kept[0].valid.size for kept in _kept.values()) > MAX_PIXELS:
            _kept.popitem(last=False)
    return levels


def _decoded_levels(path: Path) -> tuple[Decoded, ...]:
    try:
        levels = [decoded(read_bytes(path), str(path))]
    except PhotoError as error:
        raise DataError(f"{error} A larger map can be a GeoTIFF.") from error
    while min(levels[-1].valid.shape) > 1:
        levels.append(halved(levels[-1]))
    return tuple(levels)
