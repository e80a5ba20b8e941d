"""The whole town in one georeferenced picture: a GeoTIFF, or a PNG with a world file. The one door to rasterio."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geofix.errors import MissingExtraError, UsageError, storage_error
from geofix.files import write_atomically
from geofix.photos import MAX_PIXELS, save_png
from geofix.positions import utm_epsg, utm_wkt
from geofix.shapes import Pixels
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Town
from geofix.world.renderer.above import MapCamera, render_above

SURVEY = Conditions(occlusion=0.3)
_MARGIN_M = 50.0  # of open country around the houses
_TILE = 512  # pixels drawn at once
_BLOCK = 256  # pixels of a GeoTIFF's own tiles
_SMALLEST_OVERVIEW = 128
_GEOTIFF, _PNG = (".tif", ".tiff"), (".png",)

Tile = tuple[int, int, Pixels]
"""First row, first column, and what is there."""


@dataclass(frozen=True)
class Orthophoto:
    """What was written: the picture, its size in pixels, and where its upper left corner lies in which plane."""

    path: Path
    width: int
    height: int
    west_m: float
    north_m: float
    metres_per_pixel: float
    epsg: int


def write_orthophoto(
    out: Path,
    town: Town,
    *,
    metres_per_pixel: float = 0.5,
    conditions: Conditions = SURVEY,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Orthophoto:
    """Render a town from straight above, every roof over its own floor, in the plane of its UTM zone.

    `out` is a .tif (tiled, deflated, with overviews; needs the extra `maps`), a .png (a .pgw and a .prj are put
    beside it), or a folder, which gets orthophoto.tif where rasterio is installed and orthophoto.png elsewhere.
    The sensor's noise is left out. A file appears only when it is whole and replaces one of the same name;
    `progress` is told the tiles done and their total. The same arguments give the same pixels. Raises UsageError,
    StorageError or MissingExtraError.
    """
    plan = planned_orthophoto(out, town, metres_per_pixel)
    path = plan.path
    if path.suffix.lower() in _PNG and plan.width * plan.height > MAX_PIXELS:
        raise UsageError(
            f"A PNG of {plan.width}x{plan.height} pixels is larger than the {MAX_PIXELS / 1e6:.0f} megapixels that "
            "can be read back; write a .tif, or choose more metres a pixel."
        )
    tiles = _tiles(town, plan, replace(conditions, noise=0.0), seed, progress or (lambda _done, _total: None))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (_write_geotiff if path.suffix.lower() in _GEOTIFF else _write_png)(plan, town, tiles)
    except OSError as error:
        raise storage_error(error, path) from error
    return plan


def planned_orthophoto(out: Path, town: Town, metres_per_pixel: float = 0.5) -> Orthophoto:
    """What `write_orthophoto` writes for the same arguments. Raises UsageError."""
    return _plan(_path(out), town, metres_per_pixel)


def check_orthophoto(out: Path) -> None:
    """Refuse what could not be written, before anything is drawn. Raises UsageError or MissingExtraError."""
    if _path(out).suffix.lower() in _GEOTIFF:
        _rasterio()


def _path(out: Path) -> Path:
    if out.is_dir() or not out.suffix:
        return out / ("orthophoto.tif" if importlib.util.find_spec("rasterio") else "orthophoto.png")
    if out.suffix.lower() not in _GEOTIFF + _PNG:
        raise UsageError(f"{out} does not end like an orthophoto; name a .tif, a .png or a folder.")
    return out


def _plan(path: Path, town: Town, metres_per_pixel: float) -> Orthophoto:
    """The picture around all houses and streets, its corners at whole pixels from the zone's origin."""
    MapCamera(0.0, 0.0, metres_per_pixel)  # says what is wrong with the scale
    points = np.concatenate([town.walls.lines.reshape(-1, 2), town.streets.lines.reshape(-1, 2), town.masts.points])
    low, high = points.min(axis=0) - _MARGIN_M, points.max(axis=0) + _MARGIN_M
    west, south = (math.floor(side / metres_per_pixel) for side in low)
    east, north = (math.ceil(side / metres_per_pixel) for side in high)
    corner = west * metres_per_pixel, north * metres_per_pixel
    epsg = utm_epsg(town.zone, town.north)
    return Orthophoto(path, east - west, north - south, *corner, metres_per_pixel, epsg)


def _tiles(
    town: Town, plan: Orthophoto, conditions: Conditions, seed: int, progress: Callable[[int, int], None]
) -> Iterator[Tile]:
    """The picture tile by tile, row by row. One seed for all: the same sun, exposure and parked cars."""
    starts = [(row, column) for row in range(0, plan.height, _TILE) for column in range(0, plan.width, _TILE)]
    for done, (row, column) in enumerate(starts, start=1):
        west, north = plan.west_m + column * plan.metres_per_pixel, plan.north_m - row * plan.metres_per_pixel
        pixels = render_above(town, MapCamera(west, north, plan.metres_per_pixel, _TILE, _TILE), conditions, seed)
        yield row, column, np.ascontiguousarray(pixels[: plan.height - row, : plan.width - column])
        progress(done, len(starts))


def _write_geotiff(plan: Orthophoto, _town: Town, tiles: Iterator[Tile]) -> None:
    rasterio = _rasterio()
    partial = plan.path.with_name(f".{plan.path.name}.part")
    shrunk = [2**power for power in range(1, 12) if min(plan.width, plan.height) >> power >= _SMALLEST_OVERVIEW]
    try:
        with rasterio.open(
            partial,
            "w",
            driver="GTiff",
            width=plan.width,
            height=plan.height,
            count=3,
            dtype="uint8",
            photometric="RGB",
            crs=f"EPSG:{plan.epsg}",
            transform=rasterio.Affine(plan.metres_per_pixel, 0, plan.west_m, 0, -plan.metres_per_pixel, plan.north_m),
            tiled=True,
            blockxsize=_BLOCK,
            blockysize=_BLOCK,
            compress="deflate",
            predictor=2,
            BIGTIFF="IF_SAFER",
        ) as file:
            for row, column, pixels in tiles:
                window = rasterio.windows.Window(column, row, pixels.shape[1], pixels.shape[0])
                file.write(np.moveaxis(pixels, -1, 0), window=window)
            file.update_tags(CE90_M="0")  # it lies exactly where it says
            file.build_overviews(shrunk, rasterio.enums.Resampling.average)
        partial.replace(plan.path)
    finally:
        partial.unlink(missing_ok=True)


def _rasterio() -> Any:
    try:
        import rasterio
        import rasterio.enums
        import rasterio.windows
    except ImportError as error:
        raise MissingExtraError("Writing a GeoTIFF", "maps") from error
    return rasterio


def _write_png(plan: Orthophoto, town: Town, tiles: Iterator[Tile]) -> None:
    """The picture, a world file (pixel size and the middle of the first pixel), and its plane as text."""
    whole = np.empty((plan.height, plan.width, 3), dtype=np.uint8)
    for row, column, pixels in tiles:
        whole[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
    scale = plan.metres_per_pixel
    numbers = (scale, 0.0, 0.0, -scale, plan.west_m + scale / 2, plan.north_m - scale / 2)
    write_atomically(plan.path.with_suffix(".pgw"), "".join(f"{number:.10g}\n" for number in numbers))
    write_atomically(plan.path.with_suffix(".prj"), utm_wkt(town.zone, town.north) + "\n")
    write_atomically(plan.path, save_png(whole))
