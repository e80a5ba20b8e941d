"""Aerial maps: where every tile's pixels lie on Earth, for every kind of map, and what bad ones say."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyproj import CRS, Geod, Transformer

from conftest import hide_rasterio
from geofix.data.maps import geotiff, tile_pyramid
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.grid import MapTile, default_scales, read_tile, tiles
from geofix.data.maps.open import open_map
from geofix.data.maps.source import PixelBox, Step, Window
from geofix.errors import DataError, MissingExtraError, UsageError
from geofix.photos import save_png
from geofix.positions import Position, crs_name, from_crs, to_crs, utm_wkt
from geofix.world.geometry.town import build_town
from geofix.world.writers.orthophoto import write_orthophoto

SIDE = 240  # pixels of most maps here: red is the column, green the row
GEOD = Geod(ellps="WGS84")
NORTH_EAST = 458_000.0, 6_650_000.0  # of zone 33, near 60 degrees north
Numbers = tuple[float, float, float, float, float, float]


def chart(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    pixels = np.full((height, width, 3), 77, dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return pixels


def write_tiff(path: Path, pixels: np.ndarray, crs: str | None, numbers: Numbers | None, **more: Any) -> Path:
    """(rows, columns, bands) as a tiled GeoTIFF; `numbers` are a to f of the affine."""
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **more}
    mask, colours = profile.pop("mask", None), profile.pop("colormap", None)
    height, width, bands = pixels.shape
    if numbers:
        profile["transform"] = rasterio.Affine(*numbers)
    profile |= {"width": width, "height": height, "count": bands, "dtype": pixels.dtype, "crs": crs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.moveaxis(pixels, -1, 0))
            if colours:
                file.write_colormap(1, colours)
            if mask is not None:
                file.write_mask(mask)
    return path


def upright(x: float, y: float, right: float, down: float | None = None) -> Numbers:
    return (right, 0.0, x, 0.0, -(right if down is None else down), y)


def turned(x: float, y: float, scale: float, degrees: float) -> Numbers:
    cos, sin = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    return (cos, sin, x, sin, -cos, y)


def write_world_file(picture: Path, numbers: Numbers, prj: str | None) -> Path:
    a, b, c, d, e, f = numbers
    words = (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2)
    picture.with_suffix(".pgw").write_text("\n".join(f"{word:.12g}" for word in words))
    if prj:
        picture.with_suffix(".prj").write_text(prj)
    return picture


def mercator(lat: float, lon: float, zoom: int) -> tuple[int, int]:
    """The usual formula of web maps for the tile of a position."""
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * 2**zoom), int(y * 2**zoom)


def corner(zoom: int, column: int, row: int) -> Numbers:
    """The affine of a web map's tile of 256 pixels, by the size of the world."""
    world = 2 * math.pi * 6378137
    scale = world / 256 / 2**zoom
    return upright(column * 256 * scale - world / 2, world / 2 - row * 256 * scale, scale)


ZOOM = 18
COLUMN, ROW = (number | 1 for number in mercator(60.0, 14.2, ZOOM))  # odd: four parents for four pictures


def pyramid_tile(column: int, row: int) -> np.ndarray:
    """A quarter of a chart of 512 pixels: red and green are half the column and half the row."""
    pixels = np.full((256, 256, 3), 77, dtype=np.uint8)
    pixels[..., 0] = np.arange(256) // 2 + 128 * (column - COLUMN)
    pixels[..., 1] = np.arange(256)[:, None] // 2 + 128 * (row - ROW)
    return pixels


QUARTERS = [(COLUMN + right, ROW + down) for right in (0, 1) for down in (0, 1)]


def write_folder(root: Path, *, tms: bool = False, leave_out: int = 0, suffix: str = "png") -> Path:
    for column, row in QUARTERS[: len(QUARTERS) - leave_out]:
        written = 2**ZOOM - 1 - row if tms else row
        file = root / str(ZOOM) / str(column) / f"{written}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pyramid_tile(column, row)).save(file, **({"lossless": True} if suffix == "webp" else {}))
    return root


def write_mbtiles(path: Path, said: dict[str, str], pictures: dict[tuple[int, int, int], bytes] | None = None) -> Path:
    """Rows as they are to be written; by default the four quarters in TMS order."""
    if pictures is None:
        pictures = {(ZOOM, c, 2**ZOOM - 1 - r): save_png(pyramid_tile(c, r)) for c, r in QUARTERS}
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE metadata (name text, value text)")
    file.execute("CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)")
    file.executemany("INSERT INTO metadata VALUES (?, ?)", said.items())
    file.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", [(*key, data) for key, data in pictures.items()])
    file.commit()
    file.close()
    return path


TIFFS: dict[str, tuple[str, Numbers]] = {
    "utm": ("EPSG:32633", upright(*NORTH_EAST, 0.5)),
    "neighbouring-zone": ("EPSG:32632", upright(795_000.0, 6_660_000.0, 0.5)),
    "south": ("EPSG:32756", upright(334_000.0, 6_252_000.0, 0.5)),
    "lambert": ("EPSG:2154", upright(652_000.0, 6_862_000.0, 0.5)),
    "with-heights": ("EPSG:25833+5773", upright(*NORTH_EAST, 0.5)),
    "feet": ("EPSG:2263", upright(987_000.0, 213_000.0, 1.5)),
    "web-mercator": ("EPSG:3857", upright(1_580_000.0, 8_400_000.0, 1.0)),
    "degrees": ("EPSG:4326", upright(14.2, 60.0, 8e-6, 3e-6)),
    "rotated": ("EPSG:32633", turned(*NORTH_EAST, 0.5, 30.0)),
    "turned-round": ("EPSG:32633", turned(*NORTH_EAST, 0.5, 170.0)),
    "rows-to-the-north": ("EPSG:32633", (0.5, 0.0, NORTH_EAST[0], 0.0, 0.5, NORTH_EAST[1])),
}
KINDS = [*TIFFS, "png", "folder", "tms-folder", "mbtiles"]


def made(kind: str, folder: Path) -> tuple[Path, str, Numbers, float]:
    """A map of a kind, its system and affine, and pixels in one step of red or green."""
    if kind == "png":
        crs, numbers = "EPSG:32633", turned(*NORTH_EAST, 0.5, 12.0)
        (folder / "map.png").write_bytes(save_png(chart()))
        return write_world_file(folder / "map.png", numbers, utm_wkt(33)), crs, numbers, 1.0
    if kind == "mbtiles":
        return write_mbtiles(folder / "map.mbtiles", {"format": "png"}), "EPSG:3857", corner(ZOOM, COLUMN, ROW), 2.0
    if kind.endswith("folder"):
        root = write_folder(folder / "map", tms=kind == "tms-folder")
        if kind == "tms-folder":
            (root / "tilemapresource.xml").write_text(
                "<TileMap><SRS>EPSG:3857</SRS><BoundingBox minx='60' miny='14' maxx='61' maxy='15'/>"
                "<TileSets profile='mercator'/></TileMap>"
            )
        return root, "EPSG:3857", corner(ZOOM, COLUMN, ROW), 2.0
    crs, numbers = TIFFS[kind]
    return write_tiff(folder / "map.tif", chart(), crs, numbers), crs, numbers, 1.0


def metres_off(tile: MapTile, pixels: np.ndarray, crs: str, numbers: Numbers, step: float) -> np.ndarray:
    """For each pixel inside the map: from where the tile says it lies to where its colour does, in metres."""
    size = len(pixels)
    down, right = (part.ravel() for part in np.indices((size, size)))
    east = tile.easting_m + ((right + 0.5) / size - 0.5) * tile.side_m
    north = tile.northing_m - ((down + 0.5) / size - 0.5) * tile.side_m
    lon, lat = Transformer.from_crs(tile.crs, "EPSG:4326", always_xy=True).transform(east, north)
    a, b, c, d, e, f = numbers
    to_degrees = Transformer.from_crs(CRS(crs).to_2d(), "EPSG:4326", always_xy=True)
    x, y = to_degrees.transform(lon, lat, direction="INVERSE")
    place = np.linalg.solve([[a, b], [d, e]], [x - c, y - f])
    inside = ((place > 1) & (place < 255 * step if step > 1 else place < SIDE - 1)).all(axis=0)
    assert inside.mean() > 0.9
    column, row = (pixels[down, right, :2].T.astype(float) + 0.5) * step
    shown = to_degrees.transform(a * column + b * row + c, d * column + e * row + f)
    return np.asarray(GEOD.inv(lon, lat, *shown)[2][inside])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_px", [48, 300])
def test_what_a_tile_shows_lies_where_it_says(kind: str, size_px: int, tmp_path: Path) -> None:
    path, crs, numbers, step = made(kind, tmp_path)
    aerial = open_map(path)
    found = tiles(aerial, size_px=size_px, scales_m=[30.0, 60.0], least_valid=0.96)
    assert {tile.side_m for tile in found} == {30.0, 60.0}
    pixel_m = step * aerial.metres_per_pixel * (2 if kind == "degrees" else 1)
    for tile in (found[0], found[len(found) // 2], found[-1]):
        pixels = read_tile(aerial, tile, size_px)
        assert pixels.shape == (size_px, size_px, 3) and pixels.dtype == np.uint8
        assert (pixels[..., 2] == 77).all()
        off = metres_off(tile, pixels, crs, numbers, step)
        assert off.max() < pixel_m + tile.metres_per_pixel / 4 and off.mean() < 0.6 * pixel_m
        assert tile.centre.metres_to(aerial_position(tile)) < 1e-3


def aerial_position(tile: MapTile) -> Position:
    lon, lat = Transformer.from_crs(tile.crs, "EPSG:4326", always_xy=True).transform(tile.easting_m, tile.northing_m)
    return Position(float(lat), float(lon))


@pytest.mark.parametrize("kind", ["web-mercator", "degrees", "folder", "mbtiles"])
def test_sides_are_metres_on_the_ground(kind: str, tmp_path: Path) -> None:
    """At 60 degrees north a metre of web mercator is half a metre, and a degree of longitude half one of latitude."""
    path, crs, numbers, _ = made(kind, tmp_path)
    aerial = open_map(path)
    tile = tiles(aerial, size_px=64, scales_m=[50.0], least_valid=1.0)[0]
    south, west, north, east = tile.bounds
    assert GEOD.inv(west, (south + north) / 2, east, (south + north) / 2)[2] == pytest.approx(50, abs=1.5)
    assert GEOD.inv(west, south, west, north)[2] == pytest.approx(50, abs=1.5)  # the box turns with the meridians
    column, row = SIDE / 2, SIDE / 2
    a, b, c, d, e, f = numbers
    to = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    here, right, below = (
        to.transform(a * x + b * y + c, d * x + e * y + f)
        for x, y in ((column, row), (column + 1, row), (column, row + 1))
    )
    expected = min(GEOD.inv(*here, *right)[2], GEOD.inv(*here, *below)[2])
    assert aerial.metres_per_pixel == pytest.approx(expected, rel=2e-3)


def test_a_map_says_what_it_is(tmp_path: Path) -> None:
    path, *_ = made("utm", tmp_path)
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path, "r+") as file:
        file.update_tags(TIFFTAG_COPYRIGHT="Survey of the town", CE90_M="2.5")
    aerial = open_map(path)
    assert (aerial.name, aerial.path, aerial.crs, aerial.plane) == ("map.tif", path, "EPSG:32633", "EPSG:32633")
    assert (aerial.attribution, aerial.ce90_m) == ("Survey of the town", 2.5)
    assert aerial.metres_per_pixel == pytest.approx(0.5)
    assert aerial.extent == pytest.approx((458_000, 6_649_880, 458_120, 6_650_000))
    to = Transformer.from_crs(32633, 4326, always_xy=True)
    corners = np.array([to.transform(x, y) for x in (458_000, 458_120) for y in (6_649_880, 6_650_000)])
    assert aerial.bounds == pytest.approx((*corners.min(axis=0)[::-1], *corners.max(axis=0)[::-1]))
    [tile] = tiles(aerial, size_px=64, scales_m=[120.0])
    assert (tile.name, tile.attribution) == ("map.tif@120m@r000c000", "Survey of the town")
    assert (tile.path, tile.metres_per_pixel, tile.bounds) == (path, 120 / 64, pytest.approx(aerial.bounds))


def test_a_tile_of_the_whole_map_is_the_map(tmp_path: Path) -> None:
    path, *_ = made("utm", tmp_path)
    aerial = open_map(path)
    [tile] = tiles(aerial, size_px=SIDE, scales_m=[120.0])
    assert np.array_equal(read_tile(aerial, tile, SIDE), chart())
    half = read_tile(aerial, tile, SIDE // 2).astype(float)
    means = chart().reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - means).max() <= 1


def test_small_tiles_of_a_fine_pattern_are_grey_and_not_moire(tmp_path: Path) -> None:
    board = np.repeat((np.indices((SIDE, SIDE)).sum(axis=0) % 2 * 200 + 20).astype(np.uint8)[..., None], 3, axis=2)
    picture = tmp_path / "board.png"
    picture.write_bytes(save_png(board))
    write_world_file(picture, upright(*NORTH_EAST, 0.5), utm_wkt(33))
    for path in (picture, write_tiff(tmp_path / "board.tif", board, "EPSG:32633", upright(*NORTH_EAST, 0.5))):
        aerial = open_map(path)
        [tile] = tiles(aerial, size_px=40, scales_m=[120.0])
        assert np.abs(read_tile(aerial, tile, 40).astype(int) - 120).max() < 15


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
@pytest.mark.parametrize("kind", ["utm", "degrees"])
def test_tiles_cover_the_map_and_overlap(kind: str, overlap: float, tmp_path: Path) -> None:
    path, *_ = made(kind, tmp_path)
    aerial = open_map(path)
    for scale in (17.0, 31.0, 60.0):
        found = tiles(aerial, size_px=32, scales_m=[scale], overlap=overlap, least_valid=0.5)
        assert found.skipped == 0
        for low, high, middles in (
            (aerial.extent.west_m, aerial.extent.east_m, sorted({tile.easting_m for tile in found})),
            (aerial.extent.south_m, aerial.extent.north_m, sorted({tile.northing_m for tile in found})),
        ):
            assert middles[0] - scale / 2 == pytest.approx(low) and middles[-1] + scale / 2 == pytest.approx(high)
            steps = np.diff(middles)
            assert (steps <= scale * (1 - overlap) + 1e-6).all() and np.ptp(steps) < 1e-6
            fewer = (len(middles) - 2) * scale * (1 - overlap)
            assert fewer < middles[-1] - middles[0] + 1e-3  # no more of them than it takes


def test_names_are_unique_readable_and_stay(tmp_path: Path) -> None:
    path, *_ = made("rotated", tmp_path)
    first, second = (tiles(open_map(path), size_px=32, scales_m=[12.5, 40.0, 40.0]) for _ in range(2))
    assert first == second and first.skipped > 0 and first.scales_m == (12.5, 40.0)
    names = [tile.name for tile in first]
    assert len(set(names)) == len(names) and all(
        name.startswith(("map.tif@12.5m@r", "map.tif@40m@r")) for name in names
    )
    north, south = first[0], [tile for tile in first if tile.side_m == 12.5][-1]
    assert north.name < south.name and north.northing_m > south.northing_m
    assert first[1:3] == first.tiles[1:3]


def test_default_scales_follow_pixels_and_extent(tmp_path: Path) -> None:
    aerial = open_map(made("utm", tmp_path)[0])  # 120 m, 0.5 m a pixel
    assert default_scales(aerial, 32) == (16, 32, 64)
    assert default_scales(aerial, 60) == (30, 60, 120)
    assert default_scales(aerial, 512) == (120,)  # smaller than one tile: the whole of it
    assert [tile.name for tile in tiles(aerial, size_px=512)] == ["map.tif@120m@r000c000"]
    strip = replace(aerial, extent=aerial.extent._replace(east_m=aerial.extent.west_m + 9600))
    assert default_scales(strip, 32) == (120,)
    wide = replace(aerial, extent=aerial.extent._replace(east_m=aerial.extent.west_m + 1600))
    assert default_scales(wide, 32) == (50, 100)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"size_px": 8}, "Tiles of 8 pixels show nothing"),
        ({"overlap": 1.0}, "cannot overlap by 1 of their side; 0 to 0.95"),
        ({"least_valid": 0.0}, "cannot show 0 of ground"),
        ({"scales_m": []}, "Scales of no m were asked for"),
        ({"scales_m": [10.0, -1.0]}, "Scales of 10, -1 m were asked for; one or more above 0"),
        ({"scales_m": [1e-6]}, r"would make .*, more than the 1000000"),
        ({"scales_m": [0.05]}, r"would make \d+ tiles of 0.05 m, more than the 1000000"),
    ],
)
def test_choices_that_make_no_sense(choices: dict[str, Any], said: str, tmp_path: Path) -> None:
    aerial = open_map(made("png", tmp_path)[0])
    with pytest.raises(UsageError, match=said):
        tiles(aerial, **{"size_px": 32, **choices})


def test_a_map_smaller_than_the_smallest_scale_is_refused_with_its_size(tmp_path: Path) -> None:
    aerial = open_map(made("utm", tmp_path)[0])
    [tile] = tiles(aerial, size_px=32, scales_m=[150.0])  # 64 % of it is map
    border = read_tile(aerial, tile, 32)
    assert (border[:3] == border[0, 0]).all() and border[0, 0, 0] == pytest.approx(119, abs=2)  # the mean colour
    with pytest.raises(DataError, match=r"No tile of 200 m shows 60% of ground: .*map.tif is 120 x 120 m .*smaller"):
        tiles(aerial, size_px=32, scales_m=[200.0])


def transparent_half() -> np.ndarray:
    """The chart with an alpha channel; the western half is transparent, and black, as exporters leave it."""
    pixels = np.dstack([chart(), np.full((SIDE, SIDE), 255, dtype=np.uint8)])
    pixels[:, : SIDE // 2] = 0
    return pixels


@pytest.mark.parametrize("how", ["alpha", "nodata", "mask", "nan", "png"])
def test_what_is_not_map_is_left_out_and_counted(how: str, tmp_path: Path) -> None:
    pixels, numbers = transparent_half(), upright(*NORTH_EAST, 0.5)
    path = tmp_path / "map.tif"
    if how == "png":
        path = tmp_path / "map.png"
        Image.fromarray(pixels).save(path)
        write_world_file(path, numbers, utm_wkt(33))
    elif how == "alpha":
        write_tiff(path, pixels, "EPSG:32633", numbers, photometric="RGB", alpha="YES")
    elif how == "nodata":
        write_tiff(path, pixels[..., :3], "EPSG:32633", numbers, nodata=0)
    elif how == "mask":
        write_tiff(path, chart(), "EPSG:32633", numbers, mask=pixels[..., 3] > 0)
    else:
        values = np.where(pixels[..., 3:] > 0, chart() / np.float32(255), np.float32(np.nan))
        write_tiff(path, values.astype(np.float32), "EPSG:32633", numbers)
    aerial = open_map(path)
    found = tiles(aerial, size_px=40, scales_m=[20.0])
    # 11 columns of 20 m, every 10 m; from the fifth on, at 50 m, half of it or more is map, and 60 % from the sixth on.
    assert {tile.name[-3:] for tile in found} == {f"{column:03d}" for column in range(6, 11)}
    assert (len(found), found.skipped) == (11 * 5, 11 * 6)
    [whole] = tiles(aerial, size_px=SIDE, scales_m=[120.0], least_valid=0.4)
    read = read_tile(aerial, whole, SIDE)
    assert (np.ptp(read[:, :119], axis=(0, 1)) == 0).all()  # filled
    assert np.abs(read[0, 0].astype(float) - read[:, 121:].mean(axis=(0, 1))).max() < 2
    if how != "nan":
        assert np.abs(read[:, 121:].astype(int) - chart()[:, 121:]).max() <= 1
    assert aerial.read(Window(NORTH_EAST[0] + 20, NORTH_EAST[1] - 50, 10.0, 32)) is None
    for far_m in (9e3, 9e6, 9e9):
        assert aerial.read(Window(NORTH_EAST[0] + far_m, NORTH_EAST[1], 10.0, 32)) is None


def test_grey_deep_palette_and_many_bands_become_rgb(tmp_path: Path) -> None:
    numbers, grey = upright(*NORTH_EAST, 0.5), chart()[..., :1]

    def whole(path: Path) -> np.ndarray:
        aerial = open_map(path)
        return read_tile(aerial, tiles(aerial, size_px=SIDE, scales_m=[120.0])[0], SIDE)

    read = whole(write_tiff(tmp_path / "grey.tif", grey, "EPSG:32633", numbers))
    assert np.array_equal(read, np.repeat(grey, 3, axis=2))
    many = np.concatenate([chart(), chart()[..., ::-1]], axis=2)
    assert np.array_equal(whole(write_tiff(tmp_path / "many.tif", many, "EPSG:32633", numbers)), chart())
    palette = {index: (255 - index, index // 2, 9, 255) for index in range(256)}
    read = whole(write_tiff(tmp_path / "palette.tif", grey, "EPSG:32633", numbers, colormap=palette))
    assert np.array_equal(read[5, :, 0], 255 - grey[5, :, 0]) and (read[..., 2] == 9).all()


def test_sixteen_bits_are_stretched_alike_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    folder.mkdir()
    ramp = np.linspace(2000, 4000, 2 * SIDE).astype(np.uint16)
    deep = np.repeat(np.repeat(ramp[None, :, None], SIDE, axis=0), 3, axis=2)
    deep[0, 0] = 65535  # one hot pixel must not make all others black
    for part, name in enumerate("ab"):
        numbers = upright(NORTH_EAST[0] + 120 * part, NORTH_EAST[1], 0.5)
        write_tiff(folder / f"{name}.tif", deep[:, SIDE * part : SIDE * (part + 1)], "EPSG:32633", numbers)
    aerial = open_map(folder)
    assert (aerial.name, len(aerial.sheets), aerial.extent.width_m) == ("sheets", 2, 240)
    found = tiles(aerial, size_px=60, scales_m=[60.0], overlap=0.5)
    west, east = (read_tile(aerial, found[column], 60).astype(int) for column in (2, 3))
    assert found[3].easting_m - found[2].easting_m == pytest.approx(30)
    assert np.abs(west[5:, 30:] - east[5:, :30]).max() <= 1  # across the sheets' common edge
    low, high = np.percentile(ramp, (2, 98))
    expected = np.clip((ramp[2 * 60 + 60].astype(float) - low) / (high - low), 0, 1) * 255
    assert west[30, 30, 1] == pytest.approx(expected, abs=3)


def test_several_sheets_are_one_map_without_a_seam(tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    folder.mkdir()
    x, y = NORTH_EAST
    write_tiff(folder / "a.tif", chart()[:, :130], "EPSG:32633", upright(x, y, 0.5))
    east = folder / "b.png"
    east.write_bytes(save_png(np.ascontiguousarray(chart()[:, 130:])))
    write_world_file(east, upright(x + 65, y, 0.5), utm_wkt(33))
    (folder / "notes.txt").write_text("flown in May")
    aerial = open_map(folder)
    found = tiles(aerial, size_px=SIDE, scales_m=[120.0], least_valid=1.0)
    assert np.abs(read_tile(aerial, found[0], SIDE).astype(int) - chart()).max() <= 1
    other = write_tiff(tmp_path / "other.tif", chart(), "EPSG:32633", upright(x, y, 0.5))
    with pytest.raises(UsageError, match=r"is a tile of .*sheets, not of .*other.tif; open its own map"):
        read_tile(open_map(other), found[0], 32)


def test_a_rendered_town_s_orthophoto_as_tiff_and_as_png_is_the_same_map(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    town = build_town(1, 0)
    tif, png = (write_orthophoto(tmp_path / f"town.{kind}", town, metres_per_pixel=2.0).path for kind in ("tif", "png"))
    one, two = open_map(tif), open_map(png)
    assert (one.crs, one.extent) == (two.crs, pytest.approx(two.extent))
    first, second = (tiles(aerial, size_px=48, scales_m=[60.0, 100.0]) for aerial in (one, two))
    assert [tile.name.partition("@")[2] for tile in first] == [tile.name.partition("@")[2] for tile in second]
    off = [
        np.abs(read_tile(one, a, 48) - read_tile(two, b, 48).astype(int)).mean()
        for a, b in zip(first, second, strict=True)
    ]
    assert max(off) < 3  # they halve it in other places


def huge(path: Path, side: int = 40_000) -> Path:
    """A GeoTIFF of 4.8 gigabytes that is nearly all empty, and 100 kB on disk."""
    rasterio = pytest.importorskip("rasterio")
    numbers = rasterio.Affine(*upright(*NORTH_EAST, 0.1))
    profile = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "nodata": 0}
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32633",
        transform=numbers, sparse_ok=True, BIGTIFF="YES", **profile,
    ) as file:  # fmt: skip
        part = np.moveaxis(np.tile(chart(), (10, 10, 1))[:2048, :2048] + 1, -1, 0)
        file.write(part, window=rasterio.windows.Window(4096, 8192, 2048, 2048))
    return path


def test_a_huge_tiff_is_read_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aerial = open_map(huge(tmp_path / "huge.tif"))
    asked: list[tuple[int, int]] = []
    read = geotiff.GeoTiffReader.read

    def watched(self: geotiff.GeoTiffReader, box: PixelBox, step: Step) -> Any:
        patch = read(self, box, step)
        asked.append((box.width * box.height, patch.valid.size))
        return patch

    monkeypatch.setattr(geotiff.GeoTiffReader, "read", watched)
    found = tiles(aerial, size_px=64, scales_m=[100.0, 200.0])
    assert asked == [] and 0 < len(found) < 20 and found.skipped > 5000
    for tile in found:
        assert read_tile(aerial, tile, 64).std() > 5
    assert max(pixels for pixels, _ in asked) < 2100**2 and max(cells for _, cells in asked) < 140**2


def test_overviews_are_used(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = write_tiff(tmp_path / "map.tif", np.tile(chart(), (4, 4, 1)), "EPSG:32633", upright(*NORTH_EAST, 0.1))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    with rasterio.open(path, "r+", overview_level=2) as file:  # spoil it, to tell where pixels come from
        file.write(np.full((3, file.height, file.width), 200, dtype=np.uint8))
    aerial = open_map(path)
    [tile] = tiles(aerial, size_px=32, scales_m=[96.0])
    assert np.abs(read_tile(aerial, tile, 32).astype(int) - 200).max() < 2
    assert read_tile(aerial, tile, 400)[..., 2].max() == 77


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    for number, kind in enumerate(("utm", "png", "folder", "mbtiles")):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, *_ = made(kind, folder)
        before = open_map(path).fingerprint
        assert before == open_map(path).fingerprint and len(before) == 16
        file = next(one for one in sorted(folder.rglob("*")) if one.is_file())
        state = file.stat()
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
        assert open_map(path).fingerprint != before
    changed = write_world_file(path.with_name("map.png"), upright(*NORTH_EAST, 0.5), None)
    changed.write_bytes(save_png(chart()))
    assert open_map(changed, crs="EPSG:32633").fingerprint != open_map(changed, crs="EPSG:32632").fingerprint


@pytest.mark.parametrize("kind", ["rotated", "png", "folder", "mbtiles"])
def test_threads_read_the_same(kind: str, tmp_path: Path) -> None:
    path, *_ = made(kind, tmp_path)
    aerial = open_map(path)
    found = tiles(aerial, size_px=64, scales_m=[20.0, 45.0])
    alone = [read_tile(aerial, tile, 64) for tile in found]
    tile_pyramid._picture.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda tile: read_tile(aerial, tile, 64), list(found) * 3))
    assert all(np.array_equal(one, other) for one, other in zip(alone * 3, together, strict=True))


def test_many_sheets_close_their_files(tmp_path: Path) -> None:
    for number in range(12):
        write_tiff(
            tmp_path / f"{number:02d}.tif",
            chart(),
            "EPSG:32633",
            upright(NORTH_EAST[0] + 120 * number, NORTH_EAST[1], 0.5),
        )
    aerial = open_map(tmp_path)
    assert aerial.extent.width_m == 12 * 120
    [*_, last] = tiles(aerial, size_px=32, scales_m=[120.0])
    assert np.abs(read_tile(aerial, last, SIDE).astype(int) - chart()).max() <= 1
    assert len(geotiff._open_files.held) == geotiff._OPEN_FILES


# Web maps


def test_missing_pictures_are_skipped_and_counted(tmp_path: Path) -> None:
    whole = tiles(open_map(write_folder(tmp_path / "whole")), size_px=32, scales_m=[20.0])
    for suffix in ("png", "jpg"):  # looked into, and not looked into
        aerial = open_map(write_folder(tmp_path / suffix, leave_out=1, suffix=suffix))
        found = tiles(aerial, size_px=32, scales_m=[20.0])
        assert len(found) + found.skipped == len(whole) + whole.skipped
        assert found.skipped == pytest.approx(len(whole) / 4, abs=len(whole) / 12)
        east, south = aerial.extent.east_m - 12, aerial.extent.south_m + 12
        assert not any(tile.easting_m > east and tile.northing_m < south for tile in found)


def test_a_damaged_picture_counts_as_missing(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "map", suffix="webp")
    (root / f"{ZOOM}/{COLUMN + 1}/{ROW + 1}.webp").write_bytes(b"half a file")
    found = tiles(open_map(root), size_px=32, scales_m=[20.0])
    assert found.skipped > 20


def test_a_whole_coarser_zoom_is_used_and_a_holed_one_is_not(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "map")
    parents = {(column // 2, row // 2) for column, row in QUARTERS}
    for column, row in parents:
        (root / str(ZOOM - 1) / str(column)).mkdir(parents=True, exist_ok=True)
        (root / str(ZOOM - 1) / str(column) / f"{row}.png").write_bytes(save_png(np.full((256, 256, 3), 200, np.uint8)))
    aerial = open_map(root)
    [tile] = tiles(aerial, size_px=32, scales_m=[max(aerial.extent.width_m, aerial.extent.height_m)])
    assert (read_tile(aerial, tile, 32) == 200).all()
    assert (read_tile(aerial, tile, 512)[..., 2] == 77).all()
    (root / str(ZOOM - 1) / str(column) / f"{row}.png").unlink()
    aerial = open_map(root)
    assert (read_tile(aerial, tile, 32)[..., 2] == 77).all()


@pytest.mark.parametrize("kind", ["folder", "png", "utm", "rotated"])
def test_small_tiles_are_large_ones_made_small(kind: str, tmp_path: Path) -> None:
    """Wherever a tile begins among the coarser pixels that it is made of."""
    aerial = open_map(made(kind, tmp_path)[0])
    for tile in tiles(aerial, size_px=32, scales_m=[47.0], least_valid=1.0)[::2]:
        fine = read_tile(aerial, tile, 16 * 24).astype(float).reshape(24, 16, 24, 16, 3).mean(axis=(1, 3))
        off = (read_tile(aerial, tile, 24) - fine)[1:-1, 1:-1]  # corners may lie on the map's edge
        assert np.abs(off).max() < 1.2  # one is two pixels of the web maps, and rounding takes half of one


def test_transparent_pictures_of_512_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((512, 512, 4), dtype=np.uint8)
    pixels[:, 256:] = (10, 20, 30, 255)
    file = tmp_path / "map" / str(ZOOM) / str(COLUMN) / f"{ROW}.png"
    file.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(file)
    aerial = open_map(tmp_path / "map")
    assert (aerial.sheets[0].width, aerial.sheets[0].height) == (512, 512)
    found = tiles(aerial, size_px=32, scales_m=[20.0])
    middle = (aerial.extent.west_m + aerial.extent.east_m) / 2
    assert len(found) and found.skipped and all(tile.easting_m > middle for tile in found)
    assert all((read_tile(aerial, tile, 32) == (10, 20, 30)).all() for tile in found)


def test_mbtiles_say_whose_they_are_and_where_they_end(tmp_path: Path) -> None:
    a, _, x, _, e, y = corner(ZOOM, COLUMN, ROW)
    to = Transformer.from_crs(3857, 4326, always_xy=True)
    (west, north), (east, south) = to.transform(x + 100 * a, y + 60 * e), to.transform(x + 400 * a, y + 460 * e)
    said = {
        "format": "png", "attribution": "&copy; <a href='https://example.org'>Town</a>", "minzoom": "18",
        "maxzoom": "18", "ce90_m": "8.5", "bounds": f"{west:.9f},{south:.9f},{east:.9f},{north:.9f}",
    }  # fmt: skip
    aerial = open_map(write_mbtiles(tmp_path / "map.mbtiles", said))
    assert (aerial.attribution, aerial.ce90_m) == ("&copy; Town", 8.5)
    assert (aerial.sheets[0].width, aerial.sheets[0].height) == (300, 400)
    assert aerial.bounds == pytest.approx((south, west, north, east), abs=1e-6)
    for tile in tiles(aerial, size_px=64, scales_m=[40.0], least_valid=1.0):
        off = metres_off(tile, read_tile(aerial, tile, 64), "EPSG:3857", corner(ZOOM, COLUMN, ROW), 2.0)
        assert off.max() < 2.3 * aerial.metres_per_pixel + 0.2


def test_rows_count_as_the_metadata_say(tmp_path: Path) -> None:
    pictures = {(ZOOM, c, r): save_png(pyramid_tile(c, r)) for c, r in QUARTERS}
    from_north = open_map(write_mbtiles(tmp_path / "a.mbtiles", {"format": "png", "scheme": "xyz"}, pictures))
    from_south = open_map(write_mbtiles(tmp_path / "b.mbtiles", {"format": "png"}))
    assert from_north.bounds == from_south.bounds
    root = write_folder(tmp_path / "map", tms=True)
    (root / "metadata.json").write_text(
        json.dumps({"scheme": "tms", "attribution": "Town", "ce90_m": 3, "bounds": [14, 59, 15, 61]})
    )
    folder = open_map(root)
    assert folder.bounds == pytest.approx(from_north.bounds) and folder.attribution == "Town"
    assert (folder.ce90_m, from_south.ce90_m) == (3.0, None)


# Maps that cannot be used


@pytest.mark.parametrize(
    ("said", "pictures", "message"),
    [
        ({"format": "pbf"}, None, "holds vector tiles .pbf., drawings without pixels; tiles of png, jpg or webp"),
        ({}, {(3, 1, 1): b"\x1f\x8b\x08\x00"}, "holds vector tiles"),
        ({"format": "tiff"}, None, "holds tiles of the format 'tiff'; png, jpg or webp was expected"),
        ({"format": "png", "ce90_m": "-1"}, None, "says that its ce90_m is '-1'; metres, 0 or more, are expected"),
        ({"format": "png", "ce90_m": "good"}, None, "says that its ce90_m is 'good'; metres, 0 or more, are expected"),
        ({"format": "png"}, {}, "holds no tiles; make it again"),
        (
            {"format": "png"},
            {(3, 1, 1): b"no picture"},
            r"No tile of .* can be used \(3/1/6 is no image .*make the tiles",
        ),
        ({"format": "png"}, {(3, 1, 1): save_png(chart())}, "240x240 pixels instead of 256x256 or 512x512"),
        ({"format": "png"}, {(99, 1, 1): b""}, "has tiles of zoom 99; 0 to 30 was expected"),
        ({"bounds": "59,14,61,15"}, None, r"59,14,61,15\) hold latitudes where longitudes should be; mend or remove"),
        ({"bounds": "1,2,3,4"}, None, r"1,2,3,4\) lie beside all of its tiles; mend or remove"),
        ({"bounds": "-33.9,151.1,-33.8,151.2"}, None, "is no box .* in degrees; the two seem to be swapped; mend"),
        ({"bounds": "15,60,14,61"}, None, "'15,60,14,61', which is no box of west,south,east,north in degrees; mend"),
        ({"bounds": "everywhere"}, None, "'everywhere'; west,south,east,north in degrees was expected"),
    ],
)
def test_mbtiles_that_cannot_be_used(
    said: dict[str, str], pictures: dict[tuple[int, int, int], bytes] | None, message: str, tmp_path: Path
) -> None:
    path = write_mbtiles(tmp_path / "map.mbtiles", said, pictures)
    with pytest.raises(DataError, match=message):
        open_map(path)


def test_files_that_are_no_mbtiles(tmp_path: Path) -> None:
    path = tmp_path / "map.mbtiles"
    path.write_bytes(b"no database at all, but long enough to have a header" * 20)
    with pytest.raises(DataError, match=r"is no MBTiles that can be read \(file is not a database\); copy it again"):
        open_map(path)
    path.unlink()
    sqlite3.connect(path).executescript("CREATE TABLE birds (name)").connection.close()
    with pytest.raises(DataError, match="is an SQLite file without the table tiles"):
        open_map(path)


def test_folders_that_are_no_web_map_of_ours(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "map")
    (root / "tilemapresource.xml").write_text("<TileMap><SRS>EPSG:4326</SRS><TileSets profile='geodetic'/></TileMap>")
    with pytest.raises(DataError, match=r"tiles lie in 'epsg:4326 geodetic'; web mercator \(EPSG:3857\) was expected"):
        open_map(root)
    (root / "tilemapresource.xml").write_text("<TileMap")
    with pytest.raises(DataError, match=r"tilemapresource.xml is no XML .*; mend or remove it"):
        open_map(root)
    (root / "tilemapresource.xml").unlink()
    (root / "metadata.json").write_text("{")
    with pytest.raises(DataError, match=r"metadata.json is no JSON .*; mend or remove it"):
        open_map(root)


def test_paths_that_hold_no_map(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing does not exist; known maps are a GeoTIFF"):
        open_map(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is empty; known maps are"):
        open_map(tmp_path / "empty")
    (tmp_path / "empty" / "photo.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds no map that can be placed \(photo.jpg\); known maps are"):
        open_map(tmp_path / "empty")
    (tmp_path / "words.txt").write_text("words")
    with pytest.raises(DataError, match=r"words.txt is no map \(it starts with b'word'\); known maps are"):
        open_map(tmp_path / "words.txt")
    (tmp_path / "photo.png").write_bytes(save_png(chart()))
    with pytest.raises(DataError, match=r"photo.png is a picture without a world file, .* export it with"):
        open_map(tmp_path / "photo.png")


def test_a_picture_that_does_not_say_where_it_lies(tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    picture.write_bytes(save_png(chart()))
    write_world_file(picture, upright(*NORTH_EAST, 0.5), None)
    with pytest.raises(
        DataError, match=r"has a world file but no .prj beside it, .* name the system, such as EPSG:32633"
    ):
        open_map(picture)
    assert open_map(picture, crs="EPSG:32633").crs == "EPSG:32633"
    with pytest.raises(DataError, match="'EPSG:1' is no coordinate reference system; a code such as EPSG:32633"):
        open_map(picture, crs="EPSG:1")
    picture.with_suffix(".prj").write_text("LOCAL_CS")
    with pytest.raises(DataError, match=r"map.prj names no usable coordinate reference system: 'LOCAL_CS' is no"):
        open_map(picture)
    picture.with_suffix(".prj").write_text(utm_wkt(33))
    for words, message in (
        ("0.5 0 0 -0.5 458000", "map.pgw holds 5 words instead of the six numbers of a world file"),
        ("0.5 0 0 -0.5 nan 1", "map.pgw holds numbers that are not finite"),
        ("0.5 0 0.5 0 1 1", "by which its pixels have no area; export it again"),
    ):
        picture.with_suffix(".pgw").write_text(words)
        with pytest.raises(DataError, match=message):
            open_map(picture)
    write_world_file(picture, upright(*NORTH_EAST, 0.5), None)
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    picture.write_bytes(save_png(noise)[:3000])
    with pytest.raises(DataError, match="is damaged"):
        tiles(open_map(picture), size_px=32)
    picture.write_bytes(b"words")
    with pytest.raises(DataError, match="is no image that can be read"):
        open_map(picture)


def test_a_plain_tiff_is_placed_by_a_world_file(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "map.tif", chart(), None, None)
    with pytest.raises(DataError, match=r"map.tif has no georeference .* export it with its georeference"):
        open_map(path)
    x, y = NORTH_EAST
    (tmp_path / "map.tfw").write_text(f"0.5\n0\n0\n-0.5\n{x + 0.25}\n{y - 0.25}\n")
    with pytest.raises(
        DataError, match="map.tif does not say in which coordinate reference system it lies; put a .prj"
    ):
        open_map(path)
    assert open_map(path, crs="EPSG:32633").extent == pytest.approx((x, y - 120, x + 120, y))
    (tmp_path / "map.prj").write_text(utm_wkt(33))
    assert open_map(path).crs == "EPSG:32633"
    assert open_map(path).fingerprint != open_map(path, crs="EPSG:32633").fingerprint


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_a_tiff_that_is_damaged(tmp_path: Path, interleave: str) -> None:
    """Also where the bands lie one after another, so that the first is whole in a file that was cut short."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    path = write_tiff(tmp_path / "map.tif", noise, "EPSG:32633", upright(*NORTH_EAST, 0.5), interleave=interleave)
    whole = path.read_bytes()
    for rest in (len(whole) * 3 // 4, 4000, 9):
        path.write_bytes(whole[:rest])
        with pytest.raises(DataError, match=r"map.tif is damaged or cut short, or is no GeoTIFF .*; copy it again"):
            open_map(path)
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 9000] = bytes(9000)
    path.write_bytes(broken)
    aerial = open_map(path)
    with pytest.raises(DataError, match=r"map.tif is damaged"):
        for tile in tiles(aerial, size_px=32):
            read_tile(aerial, tile, 32)


@pytest.mark.parametrize(
    ("crs", "numbers", "message"),
    [
        ("EPSG:4326", upright(-33.9, 151.2, 1e-5), "Latitude 151.* while longitude -33.9 would fit.*swapped"),
        ("EPSG:4326", upright(14.0, 87.0, 1e-5), "lies between latitudes 87.0 and 87.0; maps between -80 and 84"),
        ("EPSG:4326", upright(179.999, 20.0, 1e-5), "180.0.* is not on Earth"),
        ("EPSG:3857", upright(20_037_450.0, 2e6, 1.0), "across the antimeridian or around the world; cut it into"),
        ("EPSG:4326", upright(0.0, 50.0, 0.05), "km wide, and 500 km at most can be one map; cut out the part"),
        ("EPSG:32633", upright(9e9, 9e9, 0.5), "does not lie on Earth by its georeference"),
    ],
)
def test_maps_where_no_plane_fits(crs: str, numbers: Numbers, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_map(write_tiff(tmp_path / "map.tif", chart(), crs, numbers))


def test_without_rasterio_a_geotiff_is_refused_with_the_line_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map.tif"
    path.write_bytes(b"II*\x00")
    picture, *_ = made("png", tmp_path)
    hide_rasterio(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"Reading a GeoTIFF needs .* pip install 'geofix\[maps\]'"):
        open_map(path)
    aerial = open_map(picture)
    assert read_tile(aerial, tiles(aerial, size_px=32)[0], 32).std() > 0
    assert isinstance(open_map(write_folder(tmp_path / "web")), AerialMap)


def test_names_of_systems() -> None:
    assert crs_name("epsg:32633") == crs_name(utm_wkt(33)) == crs_name("EPSG:32633+5773") == "EPSG:32633"
    assert crs_name(CRS.from_proj4("+proj=tmerc +lat_0=50 +lon_0=14 +type=crs").to_wkt()).startswith("PROJCRS[")
    for text in ("", "EPSG:5773", "EPSG:4978", 'LOCAL_CS["plan",UNIT["metre",1]]'):
        with pytest.raises(DataError, match="EPSG:32633 is expected"):
            crs_name(text)
    there = np.array([[60.0, 14.2], [59.0, 15.5]])
    assert from_crs(to_crs(there, "EPSG:3857"), "EPSG:3857") == pytest.approx(there, abs=1e-9)
    assert to_crs(there, "EPSG:4326") == pytest.approx(there[:, ::-1])
