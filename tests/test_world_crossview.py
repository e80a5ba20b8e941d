"""Cross-view datasets: folders and names, poses that look at their place, whole or nothing."""

import csv
import hashlib
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofix.data.layouts import open_dataset
from geofix.data.places import benchmark
from geofix.errors import UsageError
from geofix.photos import read_capture, read_pixels
from geofix.positions import Position, project
from geofix.world.conditions import Conditions
from geofix.world.writers.crossview import LAYOUTS, CrossviewSummary, Flight, write_crossview
from geofix.world.writers.flights import APART_M, town_with_places

SMALL = {"size": 24, "drone_views": 2, "street_views": 1}


@pytest.fixture(scope="module")
def university(tmp_path_factory: pytest.TempPathFactory) -> CrossviewSummary:
    return write_crossview(tmp_path_factory.mktemp("world") / "views", places=7, seed=2, **{**SMALL, "drone_views": 3})


def rows(root: Path, name: str) -> list[dict[str, str]]:
    with (root / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def digest(root: Path) -> str:
    total = hashlib.sha256()
    for name in names(root):
        total.update(name.encode() + (root / name).read_bytes())
    return total.hexdigest()


def position(row: dict[str, str]) -> Position:
    return Position(float(row["lat"]), float(row["lon"]))


def test_university_1652_has_its_folders_and_names(university: CrossviewSummary) -> None:
    assert university.places == {"query": 4, "distractor": 1, "train": 2}
    assert university.by_view == {"satellite": 7, "drone": 21, "street": 7}
    found = names(university.root)
    assert "train/drone/0005/image-01.jpeg" in found and "train/satellite/0006/0006.jpg" in found
    assert "test/query_drone/0000/image-03.jpeg" in found and "test/gallery_satellite/0004/0004.jpg" in found
    assert "test/query_satellite/0004/0004.jpg" not in found  # a distractor is not asked about
    assert "train/street/0005/1.jpg" in found
    assert [path.name for path in sorted((university.root / "train/google").iterdir())] == ["0005", "0006"]
    assert sorted(path.name for path in university.root.iterdir()) == [
        "cameras.csv", "places.csv", "test", "tiles.csv", "train",
    ]  # fmt: skip


def test_university_1652_reads_back_with_distractors(university: CrossviewSummary) -> None:
    dataset = open_dataset(university.root)
    assert (dataset.layout, dataset.problems) == ("university-1652", ())
    mark = benchmark(dataset.split("test"))
    assert (len(mark.queries), len(mark.gallery)) == (12, 5)
    assert all(len(found) == 1 for found in mark.relevant)


def test_what_is_asked_is_also_in_the_gallery_with_the_same_bytes(university: CrossviewSummary) -> None:
    for name in names(university.root):
        if "/query_" in name:
            there = university.root / name.replace("query_", "gallery_")
            assert there.read_bytes() == (university.root / name).read_bytes()


def test_sues_200_has_a_data_set_for_every_altitude(tmp_path: Path) -> None:
    summary = write_crossview(tmp_path / "views", places=3, layout="sues-200", **{**SMALL, "drone_views": 1})
    assert summary.places == {"query": 2, "train": 1}
    found = names(summary.root)
    for height in (150, 200, 250, 300):
        assert f"Training/{height}/drone/0003/0.jpg" in found
        assert f"Training/{height}/satellite/0003/0.png" in found
        for view, picture in (("drone", "0.jpg"), ("satellite", "0.png")):
            assert f"Testing/{height}/query_{view}/0001/{picture}" in found
            assert all(f"Testing/{height}/gallery_{view}/000{place}/{picture}" in found for place in (1, 2, 3))
    heights = {row["path"].split("/")[1]: float(row["height_m"]) for row in rows(summary.root, "cameras.csv")}
    assert heights == {"150": 150, "200": 200, "250": 250, "300": 300}
    dataset = open_dataset(summary.root)
    assert (dataset.layout, dataset.problems, len(dataset.splits)) == ("sues-200", (), 8)
    assert read_pixels(summary.root / "Testing/150/query_satellite/0001/0.png").shape == (24, 24, 3)


def test_plain_views_have_three_splits(tmp_path: Path) -> None:
    summary = write_crossview(tmp_path / "views", places=7, layout="plain-views", **SMALL)
    assert summary.places == {"query": 3, "train": 3, "val": 1}
    dataset = open_dataset(summary.root)
    assert (dataset.layout, dataset.problems, sorted(dataset.splits)) == ("plain-views", (), ["test", "train", "val"])
    assert sorted(dataset.split("val").views) == ["drone", "satellite", "street"]


def test_places_keep_apart_and_so_do_the_splits() -> None:
    _, places = town_with_places((12, 3, 15), 1)
    assert [sum(place.quarter == quarter for place in places) for quarter in range(3)] == [12, 3, 15]
    points, quarter = np.concatenate([place.point for place in places]), np.array([place.quarter for place in places])
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(points))
    assert apart.min() >= APART_M
    assert apart[quarter[:, None] != quarter[None]].min() > 90


def test_drones_spiral_down_around_their_place_and_look_at_it(university: CrossviewSummary) -> None:
    where = {row["place"]: position(row) for row in rows(university.root, "places.csv")}
    cameras = [row for row in rows(university.root, "cameras.csv") if "/drone/" in row["path"]]
    assert [float(row["height_m"]) for row in cameras[:3]] == [256.0, 188.75, 121.5]
    for row in cameras:
        here, there = position(row), where[row["path"].split("/")[2]]
        back = float(row["height_m"]) / math.tan(math.radians(-float(row["pitch_deg"])))
        aim = here.moved(float(row["heading_deg"]), back)
        assert aim.metres_to(there) < 0.05 * float(row["height_m"]) + 0.2
        focal = int(row["width"]) / 2 / math.tan(math.radians(float(row["hfov_deg"])) / 2)
        assert float(row["focal_px"]) == pytest.approx(focal, abs=1e-3)
        assert (float(row["principal_x_px"]), float(row["principal_y_px"])) == (12, 12)


def test_tiles_are_where_their_table_says(university: CrossviewSummary) -> None:
    where = {row["place"]: position(row) for row in rows(university.root, "places.csv")}
    for row in rows(university.root, "tiles.csv"):
        middle = where[row["path"].split("/")[2]]
        assert position(row).metres_to(middle) < 0.1
        assert row["crs"] == "EPSG:32631"
        ((east, north),) = project(np.array([[middle.lat, middle.lon]]), 31).tolist()
        assert float(row["west_m"]) == pytest.approx(east - 45, abs=0.02)
        assert float(row["north_m"]) == pytest.approx(north + 45, abs=0.02)
        assert float(row["metres_per_pixel"]) * int(row["width"]) == pytest.approx(90)


def test_exif_agrees_with_the_table(university: CrossviewSummary) -> None:
    for row in rows(university.root, "cameras.csv"):
        capture = read_capture(university.root / row["path"])
        assert capture.position is not None and capture.position.metres_to(position(row)) < 0.1
        assert capture.heading_deg == pytest.approx(float(row["heading_deg"]), abs=0.02)
        assert capture.taken_at is not None and capture.taken_at.startswith("2024-")
    tile = rows(university.root, "tiles.csv")[0]
    capture = read_capture(university.root / tile["path"])
    assert capture.position is not None and capture.position.metres_to(position(tile)) < 0.1
    assert capture.taken_at == "2021-09-14T10:40:00"


def test_the_tiles_of_two_places_differ(university: CrossviewSummary) -> None:
    tiles = sorted((university.root / "test/gallery_satellite").rglob("*.jpg"))
    pixels = [read_pixels(path).astype(float) for path in tiles]
    apart = [np.abs(one - two).mean() for number, one in enumerate(pixels) for two in pixels[:number]]
    assert min(apart) > 8


def test_conditions_take_turns_and_the_flight_is_as_asked(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    summary = write_crossview(
        tmp_path / "views",
        places=1,
        size=24,
        street_views=0,
        flight=Flight((80.0,), views=4, pitch_deg=90.0, heading_deg=45.0),
        conditions=(Conditions(), Conditions(night=1.0, jpeg_quality=50)),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 5) for done in range(1, 6)]
    assert summary.by_view == {"satellite": 1, "drone": 4}
    cameras = [row for row in rows(summary.root, "cameras.csv") if "gallery" in row["path"]]
    assert [float(row["night"]) for row in cameras] == [0, 1, 0, 1]
    assert {(row["pitch_deg"], row["height_m"]) for row in cameras} == {("-90.0", "80.0")}
    assert all(abs(float(row["heading_deg"]) - 45) < 4 for row in cameras)  # the grid leans
    bright = [read_pixels(summary.root / row["path"]).mean() for row in cameras]
    assert max(bright[1], bright[3]) < 0.5 * min(bright[0], bright[2])


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    arguments = {"places": 1, "seed": 4, "size": 20, "drone_views": 1, "street_views": 1}
    write_crossview(tmp_path / "here", **arguments)
    code = (
        "import sys; from pathlib import Path; from geofix.world.writers.crossview import write_crossview\n"
        f"write_crossview(Path(sys.argv[1]), **{arguments!r})"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    assert digest(tmp_path / "here") == digest(tmp_path / "there")
    write_crossview(tmp_path / "other", **{**arguments, "seed": 5})
    assert digest(tmp_path / "here") != digest(tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"places": 0}, "A town with 0 places cannot be rendered; ask for at least 1 with --places"),
        ({"places": -2}, "A town with -2 places"),
        ({"seed": -1}, "seed is -1"),
        (
            {"layout": "universty"},
            "no cross-view layout 'universty'; known are: university-1652, sues-200, plain",
        ),
        ({"size": 8}, "8x8 pixels were asked for; at least 16x16"),
        ({"drone_views": 0}, "0 drone views of every place were asked for; at least 1"),
        ({"street_views": -1}, "-1 street views of every place"),
        ({"conditions": ()}, "at least one is needed to fly under"),
        ({"flight": Flight((60.0, 21.0))}, r"A flight down to 21 m would be among roofs up to [\d.]+ m high; choose"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_crossview(tmp_path / "out", **{"places": 2, **SMALL, **arguments})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"altitudes_m": (100.0, 5.0)}, "cannot fly at 100, 5 m; name altitudes of 20 to 2000 m"),
        ({"altitudes_m": ()}, "cannot fly at no altitude m"),
        ({"altitudes_m": (math.nan,)}, "cannot fly at nan m"),
        ({"pitch_deg": 5.0}, "pitched 5.0 degrees"),
        ({"hfov_deg": 150.0}, "field of view of 150.0 degrees"),
        ({"views": 0}, "0 drone views"),
    ],
)
def test_flights_that_cannot_be_flown_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(LAYOUTS["university-1652"].flight, **change)


def test_a_run_that_is_killed_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from geofix.world.writers.crossview import write_crossview\n"
        "write_crossview(Path(sys.argv[1]), places=3, size=64)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.partial/*/*/*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "out").exists()
    write_crossview(tmp_path / "out", places=1, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
