"""GeoTIFFs, read part by part whatever their size. The second door to rasterio."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofix.data.maps.source import CE90, Affine, Coverage, Lattice, Notes, Patch, PixelBox, Sheet, Step, Valid, ce90_of
from geofix.data.maps.world_file import NEEDED, affine_beside, crs_beside
from geofix.errors import DataError, MissingExtraError
from geofix.positions import crs_name
from geofix.shapes import Pixels

_BEGINNINGS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")  # the last two are BigTIFF's
_OPEN_FILES = 8  # a thread; a map of more files opens them again and again
_THUMBNAIL = 1024  # pixels a side in which the darkest and brightest are looked for
_DARK, _BRIGHT = 2.0, 98.0  # percentiles that become 0 and 255
_open_files = threading.local()
_open_lock = threading.Lock()


class _Range(NamedTuple):
    """The values that become 0 and 255."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GeoTiffReader:
    """The first three bands of a GeoTIFF that are no alpha, or the first one as grey, or the colours of a palette.

    `state` changes with the file. `full_range` is None for 8 bit, whose values are taken as they are. `opaque` says
    that nothing marks pixels as empty.
    """

    path: Path
    state: tuple[int, int]
    width: int
    height: int
    bands: tuple[int, ...]
    palette: bool
    opaque: bool
    full_range: _Range | None = None

    def read(self, box: PixelBox, step: Step) -> Patch:
        """See `source.Reader`; overviews are used where the file has them."""
        rows, columns = _cells(box, step)
        lattice = Lattice(box.column, box.row, Step(box.width / columns, box.height / rows))
        values, valid = self._values(box, rows, columns)
        return Patch(self._colours(values), valid, lattice)

    def coverage(self, step: Step) -> Coverage:
        """See `source.Reader`; without overviews every block of a file with empty pixels is read once."""
        box = PixelBox(0, 0, self.width, self.height)
        rows, columns = (1, 1) if self.opaque else _cells(box, step)
        valid = np.ones((1, 1), dtype=np.bool_) if self.opaque else self._valid(box, rows, columns)
        return Coverage(valid, Lattice(0.0, 0.0, Step(self.width / columns, self.height / rows)))

    def thumbnail(self) -> np.ndarray:
        """The values that are valid, (n), of the whole picture made small."""
        box = PixelBox(0, 0, self.width, self.height)
        side = max(1.0, max(self.width, self.height) / _THUMBNAIL)
        values, valid = self._values(box, *_cells(box, Step(side, side)), nearest=True)
        return np.asarray(values[:, valid].ravel())

    def _values(self, box: PixelBox, rows: int, columns: int, nearest: bool = False) -> tuple[np.ndarray, Valid]:
        """(bands, rows, columns) as they are stored, and which of them show the ground."""
        # Indices of colours cannot be averaged; the darkest and brightest are to be found among real values.
        how = _rasterio().enums.Resampling.nearest if nearest or self.palette else _rasterio().enums.Resampling.average
        shape = (len(self.bands), rows, columns)
        with _said_clearly(self.path):
            file = _opened(self.path, self.state)
            values = file.read(list(self.bands), window=_window(box), out_shape=shape, resampling=how)
        valid = np.ones((rows, columns), dtype=np.bool_) if self.opaque else self._valid(box, rows, columns)
        if values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
            values = np.nan_to_num(values)
        return values, valid

    def _valid(self, box: PixelBox, rows: int, columns: int) -> Valid:
        nearest = _rasterio().enums.Resampling.nearest
        with _said_clearly(self.path):
            file = _opened(self.path, self.state)
            mask = file.dataset_mask(window=_window(box), out_shape=(rows, columns), resampling=nearest)
            if np.dtype(file.dtypes[0]).kind != "f":
                return np.asarray(mask > 0)
            shape = (len(self.bands), rows, columns)
            values = file.read(list(self.bands), window=_window(box), out_shape=shape, resampling=nearest)
        return np.asarray((mask > 0) & np.isfinite(values).all(axis=0))

    def _colours(self, values: np.ndarray) -> Pixels:
        if self.palette:
            with _said_clearly(self.path):
                colours = _opened(self.path, self.state).colormap(self.bands[0])
            table = np.zeros((max(256, *(index + 1 for index in colours)), 3), dtype=np.uint8)
            for index, colour in colours.items():
                table[index] = colour[:3]
            return np.asarray(table[values[0]])
        if self.full_range is not None:
            low, high = self.full_range
            values = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1) * 255
            values = np.round(values).astype(np.uint8)
        grey_or_colour = np.moveaxis(values, 0, -1)
        return np.ascontiguousarray(np.broadcast_to(grey_or_colour, (*values.shape[1:], 3)))


def found(path: Path) -> bool:
    """Whether a file begins like a TIFF."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) in _BEGINNINGS
    except OSError:
        return False


def read(paths: Sequence[Path], crs: str | None = None) -> tuple[Sheet, ...]:
    """The rasters of some GeoTIFFs, with one range of brightness for all; `crs` is for those that name none.

    A plain TIFF with a world file counts too. Raises DataError for what is damaged or lies nowhere, and
    MissingExtraError without rasterio.
    """
    sheets = [_sheet(path, crs) for path in paths]
    deep = {sheet.path for sheet, is_deep in sheets if is_deep}
    readers = [sheet.reader for sheet, _ in sheets if sheet.path in deep]
    together = _full_range([reader for reader in readers if isinstance(reader, GeoTiffReader)]) if deep else None
    return tuple(_with_range(sheet, together) if sheet.path in deep else sheet for sheet, _ in sheets)


def notes_of(path: Path) -> Notes:
    """What the TIFF says about whose it is, and in GDAL's metadata about how near it lies."""
    with _said_clearly(path):
        tags = _opened(path, _state(path)).tags()
    return Notes(str(tags.get("TIFFTAG_COPYRIGHT", "")).strip() or None, ce90_of(tags.get(CE90.upper()), path))


def _sheet(path: Path, crs: str | None) -> tuple[Sheet, bool]:
    """A raster, and whether its values are to be stretched."""
    enums = _rasterio().enums
    state = _state(path)
    with _said_clearly(path):
        file = _opened(path, state, anew=True)  # a world file may have come
        _probe(file)
        transform, own, points = file.transform, file.crs, file.gcps[0]
        kinds, masks, dtype = file.colorinterp, file.mask_flag_enums, np.dtype(file.dtypes[0])
    system = crs_name(own.to_wkt()) if own else crs_beside(path) or (crs_name(crs) if crs else None)
    affine = Affine(*(float(number) for number in transform[:6])) if not transform.is_identity else affine_beside(path)
    if affine is None and points:
        raise DataError(
            f"{path} has {len(points)} control points on the ground but no pixel size and corner; make a map of it "
            "first, such as with gdalwarp."
        )
    if affine is None:
        raise DataError(f"{path} has no georeference (no pixel size and no corner); {NEEDED}.")
    if system is None:
        raise DataError(
            f"{path} does not say in which coordinate reference system it lies; put a .prj beside it, or name the "
            "system, such as EPSG:32633 (`geofix index --crs`)."
        )
    bands = tuple(number for number, kind in enumerate(kinds, start=1) if kind != enums.ColorInterp.alpha)
    if not bands or dtype.kind not in "uif":
        raise DataError(f"{path} has {len(bands)} bands of {dtype}; a picture with one band or three was expected.")
    palette = kinds[bands[0] - 1] == enums.ColorInterp.palette
    marked = any(flags != [enums.MaskFlags.all_valid] for flags in masks)
    reader = GeoTiffReader(
        path,
        state,
        file.width,
        file.height,
        bands[:3] if len(bands) >= 3 and not palette else bands[:1],
        palette,
        opaque=not marked and dtype.kind != "f",
    )
    return Sheet(path, system, file.width, file.height, affine, reader), not palette and dtype != np.uint8


def _with_range(sheet: Sheet, full_range: _Range | None) -> Sheet:
    assert isinstance(sheet.reader, GeoTiffReader)
    return replace(sheet, reader=replace(sheet.reader, full_range=full_range))


def _full_range(readers: Sequence[GeoTiffReader]) -> _Range:
    """One for all files and bands, so that neighbouring tiles agree and colours keep their hue."""
    values = np.concatenate([reader.thumbnail() for reader in readers])
    if not len(values):
        return _Range(0.0, 1.0)
    low, high = (float(value) for value in np.percentile(values, (_DARK, _BRIGHT)))
    return _Range(low, high if high > low else low + 1)


def _probe(file: Any) -> None:
    """Read the last block of every band, which a file that was cut short lacks; bands may lie one after another."""
    window = _rasterio().windows.Window(file.width - 1, file.height - 1, 1, 1)
    file.read(window=window)


def _cells(box: PixelBox, step: Step) -> tuple[int, int]:
    """Rows and columns of a box at a step."""
    return math.ceil(box.height / step.rows), math.ceil(box.width / step.columns)


def _window(box: PixelBox) -> Any:
    return _rasterio().windows.Window(*box)


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _opened(path: Path, state: tuple[int, int], anew: bool = False) -> Any:
    """This thread's own handle: one handle must not be used by two threads, nor by a process and its fork."""
    held: OrderedDict[tuple[int, Path, tuple[int, int]], Any] = _open_files.__dict__.setdefault("held", OrderedDict())
    key = (os.getpid(), path, state)
    if anew and key in held:
        held.pop(key).close()
    if key not in held:
        # Under a lock, as the warning filters of several threads would be restored out of order. GDAL's other
        # drivers are left out: some of them follow links in a file to anywhere.
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", _rasterio().errors.NotGeoreferencedWarning)
            held[key] = _rasterio().open(path, driver="GTiff")
    held.move_to_end(key)
    while len(held) > _OPEN_FILES:
        held.popitem(last=False)[1].close()
    return held[key]


@contextlib.contextmanager
def _said_clearly(path: Path) -> Iterator[None]:
    """GDAL's errors in our words, and not in its own on stderr as well."""
    try:
        with _rasterio().Env():
            yield
    except (_rasterio().errors.RasterioError, OSError) as error:
        raise DataError(
            f"{path} is damaged or cut short, or is no GeoTIFF ({error.__cause__ or error}); "
            "copy it again from its source."
        ) from error


def _rasterio() -> Any:
    try:
        import rasterio
        import rasterio.enums
        import rasterio.errors
        import rasterio.windows
    except ImportError as error:
        raise MissingExtraError("Reading a GeoTIFF", "maps") from error
    return rasterio
