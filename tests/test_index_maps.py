"""Maps in an atlas: their tiles, what is done again and what is not, and the commands around them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import Captured, called, refused
from geofix.atlas.store import Atlas
from geofix.atlas.verify import verify
from geofix.data.maps.open import is_map
from geofix.errors import AtlasError, DataError, UsageError
from geofix.index import index
from geofix.index_maps import OVERLAP, index_maps
from geofix.models.runs import Run
from geofix.photos import save_png
from toy_flights import ZONE, position, write_frame, write_map


def test_a_map_becomes_tiles(grid_run: Run, tmp_path: Path) -> None:
    path = write_map(tmp_path / "maps")
    done = index_maps([path], grid_run, tmp_path / "atlas", scales_m=[120.0, 240.0])
    rows = done.atlas.rows
    assert OVERLAP == 0.75 and (done.added, done.unchanged, done.removed, done.empty) == (13 * 13 + 5 * 5, 0, 0, 0)
    assert rows.tiles is not None and sorted(set(rows.tiles.sides_m.tolist())) == [120.0, 240.0]
    assert set(rows.tiles.planes.tolist()) == {32600 + ZONE}
    first = rows.paths.index(f"{path}#ortho.png@120m@r000c000")
    centre, (south, west, north, east) = position(60, 60), rows.tiles.bounds[first]
    assert rows.latlons[first] == pytest.approx([centre.lat, centre.lon], abs=1e-7)
    assert south < centre.lat < north and west < centre.lon < east
    assert done.atlas.file_of(rows.paths[first]) == path
    assert rows.vectors.shape == (len(rows), grid_run.encoder.descriptor_length)
    near = rows.near(centre, 1.0)
    assert near.tiles is not None and len(near) == 1 == len(near.tiles.sides_m) == len(near.tiles.bounds)


def test_only_what_changed_is_done_again(grid_run: Run, tmp_path: Path) -> None:
    path, atlas = write_map(tmp_path / "maps"), tmp_path / "atlas"
    index_maps([path], grid_run, atlas, scales_m=[240.0])
    same = index_maps([path], grid_run, atlas, scales_m=[240.0])
    assert (same.added, same.unchanged, same.removed) == (0, 25, 0)
    more = index_maps([path], grid_run, atlas, scales_m=[240.0, 480.0])
    assert (more.added, more.unchanged, more.removed) == (1, 25, 0)
    less = index_maps([path], grid_run, atlas, scales_m=[240.0])
    assert (less.added, less.unchanged, less.removed) == (0, 25, 1)
    before = less.atlas.rows.vectors.copy()
    write_map(tmp_path / "maps", seed=5)
    anew = index_maps([path], grid_run, atlas, scales_m=[240.0])
    assert (anew.added, anew.unchanged, anew.removed) == (25, 0, 0)
    assert np.abs(anew.atlas.rows.vectors - before).max() > 0.01
    second = write_map(tmp_path / "second", seed=6)
    both = index_maps([second], grid_run, atlas, scales_m=[240.0])
    assert (both.added, both.removed, both.atlas.count()) == (25, 0, 50)  # the other map stays


def test_a_killed_indexing_goes_on(grid_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, atlas = write_map(tmp_path / "maps"), tmp_path / "atlas"
    monkeypatch.setattr(sys.modules["geofix.index_maps"], "COMMIT_TILES", 10)

    def stop(done: int, _total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_maps([path], grid_run, atlas, scales_m=[240.0], progress=stop)
    assert Atlas.open(atlas).count() == 20
    done = index_maps([path], grid_run, atlas, scales_m=[240.0])
    assert (done.added, done.unchanged) == (5, 20)
    whole = index_maps([path], grid_run, tmp_path / "whole", scales_m=[240.0]).atlas.rows
    order, wanted = (np.argsort(rows.paths) for rows in (done.atlas.rows, whole))
    assert np.allclose(done.atlas.rows.vectors[order], whole.vectors[wanted], atol=1e-5)


def test_photos_and_tiles_keep_apart(grid_run: Run, tmp_path: Path, street: Path) -> None:
    index_maps([write_map(tmp_path / "maps")], grid_run, tmp_path / "tiles", scales_m=[240.0])
    index([street], grid_run, tmp_path / "photos")
    with pytest.raises(
        UsageError, match="ortho.png is a map from the air; put its tiles into an atlas with index_maps"
    ):
        index([write_map(tmp_path / "maps")], grid_run, tmp_path / "photos")
    with pytest.raises(AtlasError, match="is an atlas of tiles, and photos are another kind of answer; index them"):
        index([street], grid_run, tmp_path / "tiles")
    with pytest.raises(AtlasError, match="is an atlas of photos, and tiles are another kind of answer; index them"):
        index_maps([write_map(tmp_path / "maps")], grid_run, tmp_path / "photos")


def test_maps_that_cannot_be_used(grid_run: Run, tmp_path: Path) -> None:
    good = write_map(tmp_path / "maps")
    broken = write_map(tmp_path / "other", name="broken")
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"broken\.png"):
        index_maps([broken], grid_run, tmp_path / "atlas", scales_m=[240.0])
    done = index_maps([broken, good], grid_run, tmp_path / "atlas", scales_m=[240.0])
    assert done.added == 25 and len(done.errors) == 1 and "broken.png" in str(done.errors[0])
    with pytest.raises(DataError, match="None of the 2 maps can be used. The first:"):
        index_maps([broken, broken], grid_run, tmp_path / "second")


def test_what_is_a_map(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = write_map(tmp_path / "maps")
    plain = tmp_path / "plain.png"
    plain.write_bytes(path.read_bytes())
    assert is_map(path) and is_map(path.parent) and not is_map(plain)
    assert not is_map(tmp_path / "nowhere") and not is_map(tmp_path)
    (path.parent / "photo.jpg").write_bytes(b"any")
    assert not is_map(path.parent)  # photos and maps in one folder: it is not for us to choose
    pixels = np.zeros((3, 32, 32), dtype=np.uint8)
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "placed.tif", "w", transform=rasterio.Affine(1, 0, 5, 0, -1, 5), **profile) as file:
        file.write(pixels)
    from PIL import Image

    Image.fromarray(np.moveaxis(pixels, 0, -1)).save(tmp_path / "scan.tif")
    (tmp_path / "broken.tif").write_bytes(b"II*\x00 and no more")
    assert is_map(tmp_path / "placed.tif") and not is_map(tmp_path / "scan.tif")
    assert is_map(tmp_path / "broken.tif")  # so that what is wrong with it is said as of a map


def test_a_changed_and_a_missing_map_are_told(grid_run: Run, tmp_path: Path) -> None:
    path = write_map(tmp_path / "maps")
    atlas = index_maps([path], grid_run, tmp_path / "atlas", scales_m=[240.0]).atlas
    assert verify(atlas, files=True) == []
    path.write_bytes(save_png(np.zeros((480, 480, 3), dtype=np.uint8)))
    assert [str(one) for one in verify(atlas, files=True)] == [
        f"{path} has changed since it was indexed; index it again."
    ]
    path.unlink()
    assert [f"{path} does not exist" in str(one) for one in verify(atlas, files=True)] == [True]


# --- commands


@pytest.fixture
def indexed(capsys: Captured, grid_run: Run, tmp_path: Path) -> Path:
    path = write_map(tmp_path / "maps")
    told = called(capsys, "index", path, "--encoder", grid_run.folder, "--atlas", tmp_path / "atlas", "--scales", "100")
    assert told[0] == 0 and told[1].startswith(f"{tmp_path / 'atlas'}: 289 tiles of 100 m, 289 added, 0 as before, 0")
    assert "confidence not calibrated (`geofix atlas calibrate` learns it on frames)" in told[1]
    return tmp_path / "atlas"


def test_a_flight_from_the_command_line(capsys: Captured, indexed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flight"
    for number in range(4):
        write_frame(folder / f"{number}.jpg", 200 + 15 * number, 220, 90.0)
    files = {name: tmp_path / f"track.{name}" for name in ("gpx", "kml", "geojson")}
    status, out, _ = called(
        capsys, "locate", folder, "--atlas", indexed, "--track", "--interval", "1", "--speed", "20", "--score",
        "--min-confidence", "0", "--picture", tmp_path / "track.png",
        *(part for name, file in files.items() for part in (f"--{name}", file)),
    )  # fmt: skip
    assert status == 0 and "answered: 4 of 4 photos" in out and "time a frame: " in out
    assert "each frame alone: answered 4 of 4" in out
    assert all(file.stat().st_size > 200 for file in files.values())
    assert (tmp_path / "track.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = called(capsys, "locate", folder, "--atlas", indexed, "--altitude", 100, "--fov", 73.7, "--json")
    fixes = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and len(fixes) == 4 and len(fixes[0]["matches"][0]["bounds"]) == 4


def test_a_picture_without_its_map(capsys: Captured, indexed: Path, tmp_path: Path) -> None:
    frame = write_frame(tmp_path / "frame.jpg", 220, 220, 0.0)
    (tmp_path / "maps" / "ortho.png").unlink()
    picture = tmp_path / "track.png"
    status, _, err = called(capsys, "locate", frame, "--atlas", indexed, "--track", "--picture", picture)
    assert status == 0 and picture.exists() and "track.png is drawn without its map: " in err


def test_an_atlas_of_tiles_is_looked_after(capsys: Captured, indexed: Path, tmp_path: Path) -> None:
    status, out, _ = called(capsys, "atlas", "info", indexed)
    assert status == 0 and "tiles: 289" in out and "scales: 100 m" in out and "attribution: none given" in out
    assert f"maps: {tmp_path / 'maps' / 'ortho.png'}" in out
    assert "maps are off by: 5 m at most, 9 times in 10" in out
    status, out, _ = called(capsys, "atlas", "verify", indexed, "--files")
    assert status == 0 and out == f"{indexed}: 289 tiles, whole\n"
    status, out, _ = called(capsys, "atlas", "remove", indexed, tmp_path / "maps" / "ortho.png")
    assert status == 0 and "289 tiles removed, 0 left" in out


def test_tiles_of_missing_maps_are_removed(capsys: Captured, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "maps" / "ortho.png").unlink()
    status, out, _ = called(capsys, "atlas", "remove", indexed, "--missing")
    assert status == 0 and "289 tiles removed, 0 left" in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("index {map} {photo} --encoder E --atlas A", "{map} is a map and {photo} is none; index photos and maps into"),
        ("index {map} --encoder E --atlas A --csv t.csv", "--csv is for photos; leave it out."),
        ("index {photo} --encoder E --atlas A --scales 60", "--scales is for maps; leave it out."),
        ("index {photo} --encoder E --atlas A --map-accuracy 1", "--map-accuracy is for maps; leave it out."),
        (
            "index {map} --encoder {run} --atlas A --map-accuracy -1",
            "The maps' accuracy is -1 m; metres, 0 or more, are",
        ),
        ("locate v.mp4 --atlas A", "v.mp4 is a video; add --track to follow it over a map, frame by frame."),
        ("index {map} --encoder {run} --atlas A --scales wide", "The scales are 'wide'; metres are expected, as in"),
        ("index {map} --encoder {run} --atlas A --overlap 2", "Tiles cannot overlap by 2 of their side; 0 to 0.95"),
        ("locate {photo} --atlas A --altitude 100", "needs both --altitude and --fov; add the other one."),
        ("locate {photo} --atlas A --speed 10", "--speed is for the frames of one flight; add --track, or leave it"),
        ("locate {photo} --atlas A --picture p.png", "--picture is for the frames of one flight; add --track, or"),
    ],
)
def test_commands_that_cannot_be(
    capsys: Captured, grid_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    names = {"map": write_map(tmp_path / "maps"), "photo": write_frame(tmp_path / "photo.jpg", 200, 200, 0.0)}
    monkeypatch.chdir(tmp_path)
    words = [word.format(**names, run=grid_run.folder) for word in command.split()]
    assert message.format(**names) in refused(capsys, *words)


def test_a_tiff_without_georeference_is_refused_where_a_map_is_asked_for(
    capsys: Captured, grid_run: Run, tmp_path: Path
) -> None:
    pytest.importorskip("rasterio", reason="the maps extra is not installed")
    from PIL import Image

    Image.fromarray(np.full((64, 64, 3), 90, dtype=np.uint8)).save(tmp_path / "plain.tif")
    common = ("index", tmp_path / "plain.tif", "--encoder", grid_run.folder, "--atlas", tmp_path / "atlas")
    assert "has no georeference" in refused(capsys, *common, "--scales", "100")
    assert "has no georeference" in refused(capsys, *common, "--crs", "EPSG:32631")
