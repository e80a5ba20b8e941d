"""What frames say of their own taking, used on request: which parts, what they narrow, tilted cameras."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from commands import called, refused
from geofix.atlas.store import Atlas
from geofix.errors import DataError, UsageError
from geofix.frames.level import MOST_TILT_DEG, levelled, sources
from geofix.frames.locate import SHARES, TURNS, Searched, searched_tiles
from geofix.frames.looks import Camera
from geofix.frames.shots import shots
from geofix.frames.trust import GPS_WITHIN_M, HEADING_WITHIN_DEG, Ledger, Trust, aimed, aimed_positions, viewed
from geofix.index_maps import index_maps
from geofix.locate import locate, locate_flight
from geofix.models.runs import Run
from geofix.orientation import Orientation
from geofix.photos import read_pixels
from geofix.positions import Position, grid_convergence_deg
from geofix.telemetry import Telemetry
from toy_drones import attributes, photo
from toy_flights import SIDE_PX, ZONE, blotches, frame, position, write_map

SIDE_M = 100.0
FILM_MM = 20  # 74.8 degrees across a square picture, so 153 m from 100 m
EVERYTHING = Trust.parse("altitude,fov,heading,gps,tilt")


@pytest.fixture(scope="module")
def map_atlas(grid_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("maps")
    return index_maps([write_map(folder)], grid_run, folder / "atlas", scales_m=[SIDE_M]).atlas


@pytest.fixture(scope="module")
def searched(map_atlas: Atlas) -> Searched:
    return searched_tiles(map_atlas.run(), map_atlas.rows)


def aslant(column: float, row: float, heading_deg: float, tilt_deg: float, size: int = 150) -> np.ndarray:
    """What a camera 100 m above the map sees that looks `tilt_deg` ahead of straight down; the ground in its middle is
    at (column, row), and a pixel there is 1 m across, as `frame` has it. Pixel by pixel.
    """
    ground = blotches()
    tilt, turn = math.radians(tilt_deg), math.radians(heading_deg)
    height, length = 100.0 * math.cos(tilt), size / 1.5  # the middle lies 100 m away, a focal length of 100 pixels
    seen = np.zeros((size, size, 3), dtype=np.uint8)
    for down in range(size):
        for right in range(size):
            u, v = (right + 0.5 - size / 2) / length, (down + 0.5 - size / 2) / length
            fall = math.cos(tilt) + v * math.sin(tilt)  # metres down for each metre along the optical axis
            ahead = height * (math.sin(tilt) - v * math.cos(tilt)) / fall - height * math.tan(tilt)
            aside = height * u / fall
            x = column + ahead * math.sin(turn) + aside * math.cos(turn)
            y = row - ahead * math.cos(turn) + aside * math.sin(turn)
            seen[down, right] = ground[int(np.clip(y, 0, SIDE_PX - 1)), int(np.clip(x, 0, SIDE_PX - 1))]
    return seen


def dji(heading_deg: float, tilt_deg: float = 0.0, altitude_m: float = 100.0, **more: object) -> bytes:
    """A packet of a drone over the map; the heading is from grid north, as that of `frame`."""
    true_deg = heading_deg + grid_convergence_deg(position(240, 240), ZONE)
    return attributes(
        drone_dji_RelativeAltitude=f"{altitude_m:+.2f}",
        drone_dji_GimbalYawDegree=f"{true_deg:+.2f}",
        drone_dji_GimbalPitchDegree=f"{tilt_deg - 90:+.2f}",
        drone_dji_GimbalRollDegree="+0.00",
        **more,
    )


def write_photo(path: Path, pixels: np.ndarray, xmp: bytes, where: Position | None) -> Path:
    path.write_bytes(photo(pixels, xmp, film_mm=FILM_MM, position=where))
    return path


# --- what is asked for


def test_trust_is_parsed() -> None:
    assert Trust.parse("heading=30, gps=150") == Trust(heading_within_deg=30.0, gps_within_m=150.0)
    assert Trust.parse("heading,gps") == Trust(heading_within_deg=HEADING_WITHIN_DEG, gps_within_m=GPS_WITHIN_M)
    assert Trust.parse("altitude", fov_deg=73.0) == Trust(altitude=True, fov_deg=73.0)
    assert EVERYTHING.parts == ("altitude", "fov", "heading", "gps", "tilt")
    assert Trust.parse("tilt", fov_deg=73.0).parts == ("tilt",)
    assert [Trust.parse(text).narrows for text in ("heading", "gps", "altitude,fov", "fov,tilt")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("speed", {}, "--trust 'speed' is nothing that frames say; choose from altitude, fov, heading, gps and tilt"),
        ("", {}, "--trust '' is nothing that frames say; choose from altitude, fov, heading, gps and tilt"),
        ("altitude=3,fov", {}, "--trust altitude=3 has a number; only heading=DEGREES and gps=METRES take one."),
        ("heading=north", {}, "--trust heading=north is no number; degrees are expected, as in heading=20."),
        ("gps=", {}, "--trust gps= is no number; metres are expected, as in gps=20."),
        ("heading=0", {}, "--trust heading=0 is no tolerance; 0 to 180 degrees can be."),
        ("heading=nan", {}, "--trust heading=nan is no tolerance; 0 to 180 degrees can be."),
        ("gps=-5", {}, "--trust gps=-5 is no radius; metres above 0 are expected."),
        ("gps=inf", {}, "--trust gps=inf is no radius; metres above 0 are expected."),
        ("altitude", {}, "How wide a frame is needs its field of view, too; add fov to --trust, or --fov."),
        ("heading", {"altitude_m": 90.0}, "How wide a frame is needs its field of view, too; add fov to --trust"),
        ("fov", {}, "How wide a frame is needs its altitude, too; add altitude to --trust, or --altitude."),
        ("tilt", {}, "Levelling a tilted frame needs its field of view; add fov to --trust, or --fov."),
        ("fov,altitude", {"fov_deg": 73.0}, "--fov 73 was given and --trust fov reads it from frames; leave one out."),
        (
            "fov,altitude",
            {"altitude_m": 90.0},
            "--altitude 90 was given and --trust altitude reads it from frames; leave",
        ),
        ("altitude", {"fov_deg": 200.0}, "A field of view of 200 degrees was given; 1 to 150 can be, as in 73."),
    ],
)
def test_what_cannot_be_trusted(text: str, given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as error:
        Trust.parse(text, **given)
    assert str(error.value).startswith(message)


# --- frames that looked aslant


@pytest.mark.parametrize(("tilt", "roll"), [(12.0, 0.0), (25.0, 0.0), (10.0, 8.0), (0.0, 20.0)])
def test_where_levelled_pixels_come_from_by_rays(tilt: float, roll: float) -> None:
    turned = Orientation(40.0, tilt - 90.0, roll)
    rows, columns, across = 3, 4, 0.7
    found = sources(turned, rows, columns, across)
    forward, right, down = turned.axes.T
    middle = forward / forward[2]  # on the ground, one below
    distance = 1 / forward[2]
    heading = math.radians(turned.heading_deg)
    for row in range(rows):
        for column in range(columns):
            aside = distance * across * (2 * (column + 0.5) / columns - 1)
            back = distance * across * rows / columns * (2 * (row + 0.5) / rows - 1)
            north = middle[0] - back * math.cos(heading) - aside * math.sin(heading)
            east = middle[1] - back * math.sin(heading) + aside * math.cos(heading)
            ray = np.array([north, east, 1.0])
            u, v = ray @ right / (ray @ forward), ray @ down / (ray @ forward)
            assert found[row, column] == pytest.approx((u / across, v / (across * rows / columns)), abs=1e-9)


def test_straight_down_nothing_moves() -> None:
    pixels = frame(240, 240, 30.0, 60, 40)
    assert np.abs(levelled(pixels, Orientation(77.0, -90.0), 60.0).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(("tilt", "heading"), [(10.0, 0.0), (20.0, 60.0), (28.0, 200.0)])
def test_a_levelled_frame_is_the_one_from_above(tilt: float, heading: float) -> None:
    fov_deg = 2 * math.degrees(math.atan(0.75))
    seen = levelled(aslant(240, 240, heading, tilt), Orientation(heading, tilt - 90.0), fov_deg).astype(float)
    above = frame(240, 240, heading, 150, 150).astype(float)
    slanted = aslant(240, 240, heading, tilt).astype(float)
    inner = slice(25, 125)
    alike = [np.corrcoef(one[inner, inner].ravel(), above[inner, inner].ravel())[0, 1] for one in (seen, slanted)]
    assert alike[0] > 0.93 and alike[0] > alike[1] + 0.03


def test_too_far_aslant_to_be_levelled() -> None:
    with pytest.raises(DataError) as error:
        levelled(frame(240, 240, 0, 20, 20), Orientation(0.0, -50.0), 60.0)
    assert str(error.value) == (
        f"its camera looked 40 degrees off straight down, more than the {MOST_TILT_DEG:g} that can be levelled"
    )


# --- what is narrowed


def said(**more: object) -> Telemetry:
    whole = {"position": position(240, 240), "altitude_m": 100.0, "fov_deg": 73.74, "heading_deg": 10.0}
    return Telemetry(**{**whole, "orientation": Orientation(10.0, -90.0), **more})  # type: ignore[arg-type]


PIXELS = np.zeros((150, 150, 3), dtype=np.uint8)


def test_nothing_is_used_that_was_not_asked_for(searched: Searched) -> None:
    for trust in (Trust(), Trust(altitude_m=80.0, fov_deg=50.0)):
        view = viewed(PIXELS, said(), searched, trust)
        assert view.without is None and view.searched.turns == searched.turns and view.reason is None
        assert np.array_equal(view.pixels, PIXELS)
        assert view.searched.camera == (Camera(80.0, 50.0) if trust.fov_deg else None)
    nothing = viewed(PIXELS, Telemetry(), searched, EVERYTHING)
    assert nothing.without is None and nothing.searched.turns == searched.turns and nothing.searched.camera is None


def test_every_frame_has_its_own_camera(searched: Searched) -> None:
    for altitude_m in (80.0, 120.0):
        view = viewed(PIXELS, said(altitude_m=altitude_m), searched, Trust.parse("altitude,fov"))
        assert view.searched.camera == Camera(altitude_m, 73.74)
    assert viewed(PIXELS, said(), searched, Trust.parse("altitude", fov_deg=50.0)).searched.camera == Camera(
        100.0, 50.0
    )
    # Levelled, it is as far from the ground as the drone was: 100 / cos(20 degrees).
    tilted = viewed(PIXELS, said(orientation=Orientation(10.0, -70.0)), searched, Trust.parse("altitude,fov,tilt"))
    assert tilted.searched.camera is not None and tilted.searched.camera.altitude_m == pytest.approx(106.418, abs=1e-3)


def test_headings_are_looked_at_around_the_one_that_is_said(searched: Searched) -> None:
    grid_deg = 10.0 - grid_convergence_deg(position(240, 240), ZONE)
    for within, magnetic, steps in ((20, False, 1), (14, False, 0), (31, False, 2), (20, True, 2), (175, True, None)):
        view = viewed(PIXELS, said(magnetic=magnetic), searched, Trust.parse(f"heading={within}"))
        if steps is None:
            assert view.searched.turns == searched.turns
            continue
        expected = [(grid_deg + 15 * step) % 360 for step in range(-steps, steps + 1)]
        assert view.searched.turns == pytest.approx(expected, abs=0.01)
    assert len(view.searched.looks(150, 150)) == TURNS * len(SHARES)


def test_tiles_beyond_the_radius_are_as_if_not_there(searched: Searched) -> None:
    view = viewed(PIXELS, said(), searched, Trust.parse("gps=60"))
    assert view.without is not None and 0 < len(view.without) < len(searched.rows)
    gone = set(view.without.tolist())
    for row, (lat, lon) in enumerate(searched.rows.latlons):
        apart_m = position(240, 240).metres_to(Position(float(lat), float(lon)))
        assert (row in gone) == (apart_m - SIDE_M / 2 > 60), row
    far = viewed(PIXELS, said(position=Position(10.0, 10.0)), searched, Trust.parse("gps"))
    assert far.reason == "can't tell: the map has no tile within 200 m of where the frame says it was taken"


def test_the_circle_lies_around_the_ground_in_the_middle() -> None:
    tilted = said(orientation=Orientation(90.0, -70.0))
    here = position(240, 240)
    assert aimed(tilted, Trust.parse("gps")) == here
    assert aimed(tilted, Trust.parse("gps,tilt", fov_deg=70.0)) == here  # without an altitude it cannot be moved
    ground = aimed(tilted, Trust.parse("gps,tilt,altitude", fov_deg=70.0))
    assert ground is not None and ground.metres_to(here.moved(90.0, 36.397)) < 0.01  # 100 m * tan(20 degrees)
    assert aimed(said(orientation=Orientation(90.0, -40.0)), EVERYTHING) == here  # beyond what is levelled
    assert aimed(Telemetry(), EVERYTHING) is None


def test_the_ledger_says_what_was_used() -> None:
    ledger = Ledger(Trust.parse("altitude,fov,heading,gps"))
    ledger.note("a.jpg", said(magnetic=True))
    ledger.note(
        "b.jpg", said(altitude_m=None, reasons={"altitude_m": "it is high"}, orientation=Orientation(0.0, -76.0))
    )
    ledger.note("c.mp4@1.00", None)
    assert ledger.told() == [
        "trusted: altitude of 1, fov of 2, heading of 2, gps of 2 of 3 frames",
        "altitude was not used of 2 frames (b.jpg: it is high)",
        "fov was not used of 1 frame (c.mp4@1.00: a frame of a video carries none)",
        "heading was not used of 1 frame (c.mp4@1.00: a frame of a video carries none)",
        "gps was not used of 1 frame (c.mp4@1.00: a frame of a video carries none)",
        "the headings of 1 frame are from magnetic north; they were trusted to within 40 degrees",
        "1 frame did not look straight down, b.jpg least (by 14 degrees); add tilt to --trust to level them",
    ]
    blind = Ledger(Trust.parse("altitude,fov,tilt"))
    blind.note("a.jpg", said(fov_deg=None))
    assert blind.told() == [
        "trusted: altitude of 0, fov of 0, tilt of 0 of 1 frame",
        "altitude was not used of 1 frame (a.jpg: its field of view is not known)",
        "fov was not used of 1 frame (a.jpg: it carries none in EXIF or XMP)",
        "tilt was not used of 1 frame (a.jpg: its field of view is not known)",
    ]
    level = Ledger(EVERYTHING)
    level.note("b.jpg", said(orientation=Orientation(0.0, -76.0)))
    assert level.told() == ["trusted: altitude of 1, fov of 1, heading of 1, gps of 1, tilt of 1 of 1 frame"]


# --- located


def test_wrong_telemetry_misleads_only_where_it_is_trusted(map_atlas: Atlas, tmp_path: Path) -> None:
    there, elsewhere = (200, 250), (420, 60)
    wrong = write_photo(tmp_path / "wrong.jpg", frame(*there, 95.0, 150, 150), dji(275.0), position(*elsewhere))
    right = write_photo(tmp_path / "right.jpg", frame(*there, 95.0, 150, 150), dji(95.0), position(*there))
    bare = write_photo(tmp_path / "bare.jpg", frame(*there, 95.0, 150, 150), b"", None)
    plain, same, none = locate([wrong, right, bare], map_atlas, min_confidence=0.0)
    assert plain.position == same.position == none.position and plain.heading_deg == same.heading_deg
    assert plain.position is not None and plain.position.metres_to(position(*there)) < 20
    misled, led = locate([wrong, right], map_atlas, min_confidence=0.0, trust=Trust.parse("gps=60"))
    assert misled.position is not None and misled.position.metres_to(position(*elsewhere)) < 60 + SIDE_M / 2
    assert led.position is not None and led.position.metres_to(position(*there)) < 20 and not led.calibrated
    turned, kept = locate([wrong, right], map_atlas, min_confidence=0.0, trust=Trust.parse("heading"))
    assert turned.heading_deg is not None and abs((turned.heading_deg - 275 + 180) % 360 - 180) <= 20
    assert kept.heading_deg is not None and abs((kept.heading_deg - 95 + 180) % 360 - 180) <= 20


@pytest.mark.parametrize(("tilt", "heading"), [(18.0, 40.0), (27.0, 130.0)])
def test_a_tilted_frame_is_levelled_and_found(map_atlas: Atlas, tmp_path: Path, tilt: float, heading: float) -> None:
    pixels = aslant(230, 240, heading, tilt)
    altitude_m = 100 * math.cos(math.radians(tilt))
    # The drone hung behind the ground in the middle of its frame, by altitude * tan(tilt).
    true_deg = heading + grid_convergence_deg(position(240, 240), ZONE)
    drone = position(230, 240).moved(true_deg + 180, altitude_m * math.tan(math.radians(tilt)))
    path = write_photo(tmp_path / "tilted.jpg", pixels, dji(heading, tilt, altitude_m), drone)
    told: list[str] = []
    fix = locate([path], map_atlas, min_confidence=0.0, trust=Trust.parse("altitude,fov,gps=30,tilt"), say=told)[0]
    assert fix.position is not None and fix.position.metres_to(position(230, 240)) < 12
    assert told == ["trusted: altitude of 1, fov of 1, gps of 1, tilt of 1 of 1 frame"]
    truth = aimed_positions({str(path): drone}, Trust.parse("altitude,fov,tilt"))
    assert truth[str(path)].metres_to(position(230, 240)) < 0.5
    assert aimed_positions({str(path): drone}, Trust.parse("gps")) == {str(path): drone}
    gone = {str(tmp_path / "gone.jpg"): drone}
    assert aimed_positions(gone, Trust.parse("altitude,fov,tilt")) == gone


def test_a_frame_to_the_horizon_is_no_answer(map_atlas: Atlas, tmp_path: Path) -> None:
    path = write_photo(tmp_path / "far.jpg", frame(200, 200, 0, 150, 150), dji(0.0, 60.0), position(200, 200))
    fix = locate([path], map_atlas, min_confidence=0.0, trust=EVERYTHING)[0]
    assert fix.position is None and fix.error is None
    assert fix.reason == (
        "can't tell: its camera looked 60 degrees off straight down, more than the 30 that can be levelled"
    )
    with pytest.raises(DataError, match="None of the 1 frames could be located on. The first: can't tell: its camera"):
        locate_flight([path], map_atlas, trust=EVERYTHING)


def test_a_track_takes_each_frame_at_its_word(map_atlas: Atlas, tmp_path: Path) -> None:
    way = [(150 + 12 * step, 160 + 14 * step) for step in range(6)]
    paths = [
        write_photo(tmp_path / f"{number}.jpg", frame(*spot, 139.0, 150, 150), dji(139.0), position(*spot))
        for number, spot in enumerate(way)
    ]
    paths[3].write_bytes(b"\xff\xd8\xff no")
    told: list[str] = []
    flown = locate_flight(paths, map_atlas, min_confidence=0.1, trust=EVERYTHING, say=told, interval_s=2.0)
    for number in (0, 1, 2, 4, 5):
        fix = flown.fixes[number]
        assert fix.position is not None and fix.position.metres_to(position(*way[number])) < 30, number
    assert told == ["trusted: altitude of 5, fov of 5, heading of 5, gps of 5, tilt of 5 of 5 frames"]
    assert flown.fixes[3].error is not None
    assert all(shot.telemetry is None for shot in shots(paths, 1.0))
    assert all(shot.telemetry is not None for shot in shots(paths, 1.0, telemetry=True) if shot.pixels is not None)


def test_photos_that_are_no_frames(street_atlas: Path, tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", frame(200, 200, 0, 150, 150), b"", None)
    with pytest.raises(UsageError, match="holds photos; --trust helps with frames on maps from the air only"):
        locate([path], Atlas.open(street_atlas), trust=Trust.parse("gps"))


def test_an_empty_circle_needs_no_trust(map_atlas: Atlas, tmp_path: Path) -> None:
    from geofix.locate import Near

    path = write_photo(tmp_path / "a.jpg", frame(200, 200, 0, 150, 150), dji(0.0), position(200, 200))
    far = locate([path], map_atlas, near=Near(Position(10.0, 10.0), 1000.0), trust=EVERYTHING)[0]
    assert far.reason == "can't tell: the atlas has no tile there"


def test_the_command(map_atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_photo(tmp_path / "a.jpg", frame(200, 250, 95.0, 150, 150), dji(95.0), position(200, 250))
    base = ["locate", str(path), "--atlas", str(map_atlas.folder), "--min-confidence", "0"]
    trusted = ["--trust", "altitude,heading=25,gps=80", "--fov", "74.8"]
    status, out, err = called(capsys, *base, *trusted, "--json", "--score")
    assert status == 0
    assert "geofix: trusted: altitude of 1, heading of 1, gps of 1 of 1 frame" in err
    assert "geofix: the scores compare with positions that --trust gps used to narrow the search" in err
    assert Position(**json.loads(out)["position"]).metres_to(position(200, 250)) < 20
    status, out, err = called(capsys, *base, "--track", *trusted, "--json")
    assert status == 0 and "geofix: trusted: altitude of 1, heading of 1, gps of 1 of 1 frame" in err
    assert called(capsys, *base, "--json")[2] == ""
    assert "--trust 'wind' is nothing that frames say" in refused(capsys, *base, "--trust", "wind")


def test_frames_are_read_the_same_with_and_without(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", frame(200, 250, 95.0, 150, 150), dji(95.0), position(200, 250))
    for telemetry in (False, True):
        shot = next(iter(shots([path], 1.0, telemetry)))
        assert np.array_equal(shot.pixels, read_pixels(path))
