"""Squares of a metric plane, cut out of rasters that may lie in any other plane and any direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from geofix.data.maps.source import Patch, PixelBox, Sheet, Step, Valid, Window
from geofix.positions import unproject
from geofix.shapes import Pixels, PlanePoints

_NODES = 17  # a side; between them coordinates are interpolated: for a tile of 10 km that is wrong by 8 mm
_FINER = 2  # samples a side in a pixel that holds more than one of the raster's
_FAINT = 1e-3  # a pixel of which less than this was seen has no colour of its own

Layers = Float32[np.ndarray, "m m 4"]
"""Of each pixel how much was seen, 0..1, as the last layer; red, green and blue, 0..255, times that as the others."""

Samples = Float32[np.ndarray, "k k 4"]
"""The same of the samples that pixels are made of."""

Coordinates = Float[np.ndarray, "k k"]
"""Columns or rows of a raster, for every sample of a square."""

Shares = Float[np.ndarray, "k n"]
"""What each of n nodes counts for each of k samples along a side."""

Nodes = Float[np.ndarray, "2 y x"]
"""Columns and rows of a raster at the nodes of a square."""


def cut(sheets: Sequence[Sheet], zone: int, north: bool, window: Window) -> tuple[Pixels, Valid] | None:
    """A square of a UTM plane, its upper edge to grid north, and which of its pixels show the ground.

    Where rasters overlap the first counts. Pixels that no raster shows have the mean colour of the others; None where
    there are no others. Raises DataError for a raster that is damaged there.
    """
    whole: Layers | None = None
    for sheet in sheets:
        sampled = _sampled(sheet, zone, north, window)
        if sampled is not None:
            # What a raster shows where those before it do not.
            whole = sampled if whole is None else whole + sampled * (1 - whole[..., 3:])
        if whole is not None and whole[..., 3].min() >= 1:
            break
    if whole is None or not (shown := whole[..., 3] > _FAINT).any():
        return None
    colours = whole[..., :3] / np.maximum(whole[..., 3:], _FAINT)
    colours[~shown] = colours[shown].mean(axis=0)
    return np.round(colours).astype(np.uint8), shown


def spacing(sheet: Sheet, zone: int, north: bool, window: Window) -> Step:
    """Columns and rows of a raster from one pixel of a square of the plane to the next, near the raster."""
    return _spacing(_nodes(sheet, zone, north, window), window.size_px)


def _sampled(sheet: Sheet, zone: int, north: bool, window: Window) -> Layers | None:
    """The square as one raster shows it; None where it shows nothing of it."""
    nodes = _nodes(sheet, zone, north, window)
    if not np.isfinite(nodes).all():
        return None
    apart = _spacing(nodes, window.size_px)
    finer = _FINER if max(apart) > 1 else 1
    step = Step(max(1.0, apart.columns / finer), max(1.0, apart.rows / finer))
    box = _box(sheet, nodes, step)
    if box is None:
        return None
    patch = sheet.reader.read(box, step)
    between = _hats(window.size_px * finer)
    columns, rows = (between @ part @ between.T for part in nodes)
    inside = (columns >= 0) & (columns <= sheet.width) & (rows >= 0) & (rows <= sheet.height)
    return _shrunk(_bilinear(patch, columns, rows) * inside[..., None], finer)


def _nodes(sheet: Sheet, zone: int, north: bool, window: Window) -> Nodes:
    offsets = np.linspace(-0.5, 0.5, _NODES) * window.side_m
    east, south = np.meshgrid(offsets, -offsets)
    plane: PlanePoints = np.stack([window.easting_m + east.ravel(), window.northing_m + south.ravel()], axis=1)
    return sheet.pixels(unproject(plane, zone, north)).T.reshape(2, _NODES, _NODES)


def _spacing(nodes: Nodes, size_px: int) -> Step:
    """Columns and rows of the raster from one pixel of the square to the next, whichever way both are turned."""
    steps = (_NODES - 1) / size_px
    down, along = np.diff(nodes, axis=1).mean(axis=(1, 2)), np.diff(nodes, axis=2).mean(axis=(1, 2))
    return Step(*(float(step) for step in np.hypot(down, along) * steps))


def _box(sheet: Sheet, nodes: Nodes, step: Step) -> PixelBox | None:
    """The part of the raster that the square needs, with a margin for interpolation; None where there is none."""
    margin = 2 * np.array(step)
    first = np.floor(nodes.min(axis=(1, 2)) - margin)
    last = np.ceil(nodes.max(axis=(1, 2)) + margin)
    column, row = (int(max(0, value)) for value in first)
    right, bottom = (int(min(size, value)) for size, value in zip((sheet.width, sheet.height), last, strict=True))
    if right <= column or bottom <= row:
        return None
    return PixelBox(column, row, right - column, bottom - row)


def _hats(samples: int) -> Shares:
    at = (np.arange(samples) + 0.5) / samples * (_NODES - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(_NODES))))


def _bilinear(patch: Patch, columns: Coordinates, rows: Coordinates) -> Samples:
    """Between the middles of four pixels; what is not valid among these does not count."""
    height, width = patch.valid.shape
    across, down = patch.lattice.cells(columns, rows)
    across, down = np.clip(across - 0.5, 0, width - 1), np.clip(down - 0.5, 0, height - 1)
    left, upper = across.astype(np.int32), down.astype(np.int32)
    right, lower = np.minimum(left + 1, width - 1), np.minimum(upper + 1, height - 1)
    to_right, to_lower = (
        (cells - first).astype(np.float32)[..., None] for cells, first in ((across, left), (down, upper))
    )
    layers = np.empty((height * width, 4), dtype=np.float32)
    layers[:, 3] = patch.valid.ravel()
    layers[:, :3] = patch.pixels.reshape(-1, 3) * layers[:, 3:]
    rows_mixed = []
    for row in (upper, lower):
        mixed = np.take(layers, row * width + left, axis=0)
        mixed += (np.take(layers, row * width + right, axis=0) - mixed) * to_right
        rows_mixed.append(mixed)
    above, below = rows_mixed
    return np.asarray(above + (below - above) * to_lower)


def _shrunk(layers: Samples, finer: int) -> Layers:
    """Means of squares of `finer` samples a side."""
    if finer == 1:
        return layers
    # By slices: to reduce over axes of length two takes numpy five times as long.
    total = sum(layers[row::finer, column::finer] for row in range(finer) for column in range(finer))
    return np.asarray(total / finer**2, dtype=np.float32)
