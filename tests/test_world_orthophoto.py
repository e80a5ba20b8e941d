"""The orthophoto: where its pixels lie on Earth, no seams between its tiles, with and without rasterio."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from conftest import hide_rasterio
from geofix.errors import MissingExtraError, StorageError, UsageError
from geofix.photos import read_pixels
from geofix.positions import Position, utm_epsg, utm_wkt
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Town, build_town
from geofix.world.renderer.above import MapCamera, render_above
from geofix.world.writers import orthophoto
from geofix.world.writers.orthophoto import SURVEY, write_orthophoto


@pytest.fixture(scope="module")
def town() -> Town:
    return build_town(1, 0)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orthophoto, "_TILE", 48)


def test_a_png_has_a_world_file_and_its_plane_beside_it(tmp_path: Path, town: Town, small_tiles: None) -> None:
    told: list[tuple[int, int]] = []
    done = write_orthophoto(tmp_path / "town.png", town, metres_per_pixel=2.0, progress=lambda *step: told.append(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["town.pgw", "town.png", "town.prj"]
    pixels = read_pixels(done.path)
    assert pixels.shape == (done.height, done.width, 3)
    assert told[-1] == (len(told), len(told)) and len(told) > 4
    scale, turned, tilted, down, east, north = (float(line) for line in (tmp_path / "town.pgw").read_text().split())
    assert (scale, turned, tilted, down) == (2, 0, 0, -2)
    assert (east, north) == (done.west_m + 1, done.north_m - 1)
    assert "UTM_Zone_31N" in (tmp_path / "town.prj").read_text()
    around = town.walls.lines.reshape(-1, 2)
    assert (around.min(axis=0) > [done.west_m, done.north_m - 2 * done.height]).all()
    assert (around.max(axis=0) < [done.west_m + 2 * done.width, done.north_m]).all()


def test_its_tiles_meet_without_a_seam(tmp_path: Path, town: Town, small_tiles: None) -> None:
    done = write_orthophoto(tmp_path / "town.png", town, metres_per_pixel=2.0, seed=3)
    camera = MapCamera(done.west_m, done.north_m, 2.0, done.width, done.height)
    whole = render_above(town, camera, SURVEY, 3).astype(int)
    away = np.abs(read_pixels(done.path).astype(int) - whole).max(axis=2)
    assert (away > 3).mean() < 0.01
    edges = np.concatenate([away[:, 47::48].ravel(), away[:, 48::48].ravel()])
    assert (edges > 3).mean() < 0.02


def test_a_geotiff_says_where_it_lies_and_has_overviews(tmp_path: Path, town: Town) -> None:
    rasterio = pytest.importorskip("rasterio")
    done = write_orthophoto(tmp_path / "town.tif", town, metres_per_pixel=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["town.tif"]
    with rasterio.open(done.path) as file:
        assert (file.width, file.height, file.count, file.dtypes[0]) == (done.width, done.height, 3, "uint8")
        assert file.crs.to_epsg() == done.epsg == utm_epsg(town.zone, town.north)
        assert tuple(file.bounds)[0::3] == (done.west_m, done.north_m)
        assert file.overviews(1)[0] == 2
        assert file.profile["tiled"] and file.profile["compress"] == "deflate"
        east, north = (float(part) for part in town.spots.points[0])
        row, column = file.index(east, north)
        pixels = np.moveaxis(file.read(), 0, -1)
    assert (column, row) == (int((east - done.west_m) * 2), int((done.north_m - north) * 2))
    road = pixels[row - 1 : row + 2, column - 1 : column + 2].mean(axis=(0, 1))
    assert np.ptp(road) < 40 and road.mean() < 170  # the spot stands on asphalt
    png = write_orthophoto(tmp_path / "town.png", town, metres_per_pixel=0.5)
    assert np.array_equal(read_pixels(png.path), pixels)


def test_a_folder_gets_what_can_be_written(tmp_path: Path, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert write_orthophoto(tmp_path / "maps", town, metres_per_pixel=8.0).path == tmp_path / "maps" / "orthophoto.png"
    monkeypatch.undo()
    if importlib.util.find_spec("rasterio"):
        assert write_orthophoto(tmp_path, town, metres_per_pixel=8.0).path == tmp_path / "orthophoto.tif"


def test_without_rasterio_a_geotiff_is_refused_with_the_line_that_helps(
    tmp_path: Path, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_rasterio(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"Writing a GeoTIFF needs .* pip install 'geofix\[maps\]'"):
        write_orthophoto(tmp_path / "town.tif", town, metres_per_pixel=4.0)
    assert list(tmp_path.iterdir()) == []


def test_the_same_arguments_give_the_same_bytes_and_conditions_count(tmp_path: Path, town: Town) -> None:
    names = ("one", "two", "noisy", "winter")
    conditions = (SURVEY, SURVEY, Conditions(occlusion=0.3, noise=0.5), Conditions(season=1.0))
    for name, under in zip(names, conditions, strict=True):
        write_orthophoto(tmp_path / f"{name}.png", town, metres_per_pixel=5.0, conditions=under)
    one, two, noisy, winter = ((tmp_path / f"{name}.png").read_bytes() for name in names)
    assert one == two == noisy != winter


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("town.jpg", 0.5, r"town.jpg does not end like an orthophoto; name a .tif, a .png or a folder"),
        ("town.png", 0.0, "A map of 0.0 metres a pixel"),
        ("town.png", float("nan"), "all of them must be finite"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, town: Town, name: str, scale: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_orthophoto(tmp_path / name, town, metres_per_pixel=scale)
    assert list(tmp_path.iterdir()) == []


def test_a_png_too_large_to_be_read_back_is_refused(
    tmp_path: Path, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthophoto, "MAX_PIXELS", 2_000)
    with pytest.raises(UsageError, match=r"A PNG of \d+x\d+ pixels is larger than .* write a .tif, or choose more"):
        write_orthophoto(tmp_path / "town.png", town, metres_per_pixel=1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["town.tif", "town.png"])
def test_a_run_that_breaks_leaves_nothing(tmp_path: Path, town: Town, small_tiles: None, name: str) -> None:
    if name == "town.tif":
        pytest.importorskip("rasterio")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_orthophoto(tmp_path / name, town, metres_per_pixel=2.0, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path, town: Town) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        write_orthophoto(tmp_path / "file" / "town.png", town, metres_per_pixel=8.0)


def test_a_zone_s_plane_as_code_and_as_text() -> None:
    assert (utm_epsg(31), utm_epsg(56, north=False)) == (32631, 32756)
    text = utm_wkt(56, north=False)
    assert text.startswith("PROJCS[") and "UTM_Zone_56S" in text
    assert Position(-33.9, 151.2).utm().zone == 56
