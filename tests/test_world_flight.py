"""A flight over a rendered town: what is written, where its frames are, and that map and frames agree."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from commands import Captured, called, refused
from geofix.data.maps.open import is_map, open_map
from geofix.data.maps.source import Window
from geofix.errors import UsageError
from geofix.frames.looks import Look, squares
from geofix.photos import read_capture, read_pixels
from geofix.positions import Position, latlons, project
from geofix.world.writers import flight
from geofix.world.writers.flight import FlightSummary, write_flight

SMALL = {"places": 60, "frames": 2, "track": 4, "altitudes_m": (70.0, 90.0)}


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> FlightSummary:
    return write_flight(tmp_path_factory.mktemp("world") / "flight", seed=5, **SMALL)  # type: ignore[arg-type]


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "cameras.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_a_flight_consists_of(flown: FlightSummary) -> None:
    assert flown.frames == {"frames": 2, "track": 4, "elsewhere": 2}
    found = sorted(path.relative_to(flown.root).as_posix() for path in flown.root.rglob("*.jpg"))
    assert found == sorted(row["path"] for row in rows(flown.root)) and len(found) == 8
    assert is_map(flown.root / "map")
    for row in rows(flown.root):
        capture = read_capture(flown.root / row["path"])
        assert capture.position is not None
        assert capture.position.metres_to(Position(float(row["lat"]), float(row["lon"]))) < 0.1
        assert read_pixels(flown.root / row["path"]).shape == (384, 512, 3)
        assert float(row["pitch_deg"]) == -90 and 70 <= float(row["height_m"]) <= 90


def test_frames_lie_on_the_map_and_show_it(flown: FlightSummary) -> None:
    aerial = open_map(flown.root / "map")
    for row in rows(flown.root):
        here = Position(float(row["lat"]), float(row["lon"]))
        if row["path"].startswith("elsewhere"):
            assert not aerial.bounds.south < here.lat < aerial.bounds.north
            continue
        width = 2 * float(row["height_m"]) * math.tan(math.radians(float(row["hfov_deg"]) / 2))
        point = aerial.points(latlons([here]))[0]
        side = width * 384 / 512 / math.sqrt(2)
        shown = aerial.read(Window(float(point[0]), float(point[1]), side, 64))
        assert shown is not None
        if not row["path"].startswith("frames"):
            continue
        pixels = read_pixels(flown.root / row["path"])
        heading = float(row["heading_deg"])
        like = [
            float(np.corrcoef(squares(pixels, [Look(turn)], (64, 64))[0].ravel(), shown.ravel())[0, 1])
            for turn in (heading, heading + 90, heading + 180)
        ]
        assert like[0] > max(like[1:]) + 0.1


def test_a_track_is_flown_forwards(flown: FlightSummary) -> None:
    way = [row for row in rows(flown.root) if row["path"].startswith("track")]
    points = project(np.array([[float(row["lat"]), float(row["lon"])] for row in way]), 31)
    steps = np.diff(points, axis=0)
    assert np.hypot(*steps.T) == pytest.approx(np.full(3, flight.SPEED_M_S * flight.SECONDS), abs=0.1)
    for (east, north), row in zip(steps, way[1:], strict=True):
        course = math.degrees(math.atan2(east, north))
        assert abs((course - float(row["heading_deg"]) + 180) % 360 - 180) < 4  # of grid and of true north
    times = [read_capture(flown.root / row["path"]).taken_at or "" for row in way]
    assert times == sorted(times) and len(set(times)) == 4


def test_the_same_arguments_give_the_same_pictures(flown: FlightSummary, tmp_path: Path) -> None:
    again = write_flight(tmp_path / "again", seed=5, **SMALL)  # type: ignore[arg-type]
    for path in flown.root.rglob("*.jpg"):
        assert (again.root / path.relative_to(flown.root)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": -1}, "-1 frames and a track of 4 were asked for; 0 or more are expected"),
        ({"altitudes_m": (5.0, 50.0)}, "A flight at 5 m is too low; 20 m above the ground or more is expected"),
        ({"altitudes_m": (400.0, 500.0)}, "degrees shows more than the whole town; fly lower, or ask for more"),
        ({"fov_deg": 170.0}, "A field of view of 170.0 degrees cannot be drawn; choose 5 to 120"),
    ],
)
def test_flights_that_cannot_be_flown(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        write_flight(tmp_path / "flight", **{**SMALL, **changes})  # type: ignore[arg-type]
    assert not (tmp_path / "flight").exists()


def test_a_flight_from_the_command_line(capsys: Captured, tmp_path: Path) -> None:
    out = tmp_path / "flight"
    status, told, _ = called(
        capsys, "data", "world", out, "--kind", "flight", "--places", 40, "--frames", 1, "--track", 2,
        "--altitude", "70,80", "--fov", 50,
    )  # fmt: skip
    assert status == 0 and told.startswith(f"{out}: a map of ") and "frames: 1 frames, 2 track, 1 elsewhere" in told
    assert "--track does not go with --kind places" in refused(capsys, "data", "world", tmp_path / "no", "--track", 3)
    words = ("data", "world", tmp_path / "no", "--kind", "crossview", "--outskirts", 100)
    assert "--outskirts 100 needs --anywhere, and 0 to 500 metres are expected." in refused(capsys, *words)


def test_places_anywhere(capsys: Captured, tmp_path: Path) -> None:
    status, told, _ = called(
        capsys, "data", "world", tmp_path / "views", "--kind", "crossview", "--layout", "plain-views", "--anywhere",
        "--outskirts", 200, "--shares", "0.5,0.25", "--places", 8, "--drone-views", 1, "--pitch", 90, "--heading", 0,
        "--fov", 45, "--altitude", 100,
    )  # fmt: skip
    assert status == 0 and "places: 2 query, 4 train, 2 val; pictures: 8 satellite, 8 drone" in told
    assert not (tmp_path / "views" / "train" / "street").exists()


def test_a_survey_is_sharper_than_what_a_satellite_sees(capsys: Captured, tmp_path: Path) -> None:
    words = ("--kind", "crossview", "--layout", "plain-views", "--anywhere", "--places", 3, "--drone-views", 1)
    for name, more in (("space", ()), ("survey", ("--survey",))):
        assert called(capsys, "data", "world", tmp_path / name, *words, "--altitude", 109, *more)[0] == 0

    def sharp(root: Path) -> float:
        tiles = [read_pixels(path).astype(float) for path in sorted(root.rglob("satellite/*/*.jpg"))]
        return float(np.mean([np.abs(np.diff(tile, axis=1)).mean() for tile in tiles]))

    assert sharp(tmp_path / "survey") > 1.5 * sharp(tmp_path / "space")
