"""Frames from the air on a map: looks, spots, answers, calibration."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from geofix.atlas.calibration import Calibration
from geofix.atlas.spots import Found, found_tiles, spot_of, spots_of
from geofix.atlas.store import Atlas
from geofix.calibrate import on_photos
from geofix.data.truth import own_positions
from geofix.errors import AtlasError, DataError, PhotoError, UsageError
from geofix.frames.calibrate import ask
from geofix.frames.locate import SHARES, TURNS, fix_of, searched_tiles
from geofix.frames.looks import ANY_TURN, Camera, Look, headings, looks_with_camera, looks_without_camera, squares
from geofix.locate import Near, locate
from geofix.models.runs import Run
from geofix.photos import Photo, read_pixels, save_jpeg
from geofix.positions import Position, grid_convergence_deg, latlons, metres_from, project, unproject
from toy_flights import NORTH_M, SIDE_M, WEST_M, ZONE, frame, indexed_map, position, write_frame


@pytest.fixture(scope="module")
def map_atlas(grid_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return indexed_map(grid_run, tmp_path_factory.mktemp("maps"))


# --- looks


def test_a_camera_knows_how_wide_its_frames_are() -> None:
    # 2 * 100 m * tan(30 deg) = 115.47 m along 400 columns; 300 rows are 86.60 m, and a square turns in 1/sqrt(2) of it.
    assert Camera(100.0, 60.0).turned_square_m(300, 400) == pytest.approx(86.6025 / math.sqrt(2), abs=1e-3)


@pytest.mark.parametrize(
    ("altitude_m", "fov_deg", "message"),
    [
        (0.5, 60.0, "An altitude of 0.5 m was given; 1 to 100000 m above the ground can be."),
        (float("nan"), 60.0, "An altitude of nan m was given; 1 to 100000 m above the ground can be."),
        (100.0, 0.2, "A field of view of 0.2 degrees was given; 1 to 150 can be, as in 73."),
        (100.0, 180.0, "A field of view of 180 degrees was given; 1 to 150 can be, as in 73."),
    ],
)
def test_cameras_that_cannot_be(altitude_m: float, fov_deg: float, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Camera(altitude_m, fov_deg)
    assert str(error.value) == message


def test_looks_go_all_around() -> None:
    assert headings(4) == [0, 90, 180, 270]
    looks = looks_without_camera(headings(4), (1.0, 0.7))
    assert [(one.heading_deg, one.share, one.scale_m) for one in looks[3:5]] == [(270, 1.0, None), (0, 0.7, None)]


@pytest.mark.parametrize(
    ("square_m", "expected"),
    [
        (100.0, [(60.0, 0.6), (90.0, 0.9)]),  # two scales of tiles can be cut from it
        (60.0, [(60.0, 1.0)]),
        (40.0, [(60.0, 1.0)]),  # narrower than all tiles: all of it, compared with the smallest
        (500.0, [(180.0, 0.36)]),  # wider than twice the largest: its middle
    ],
)
def test_a_known_width_chooses_the_scale(square_m: float, expected: list[tuple[float, float]]) -> None:
    looks = looks_with_camera([0.0], square_m, [60.0, 90.0, 180.0])
    assert [(one.scale_m, pytest.approx(one.share)) for one in looks] == expected


def test_a_look_is_north_up_at_its_heading() -> None:
    for heading in (0.0, 30.0, 90.0, 215.0):
        seen = squares(frame(240, 240, heading, 160, 160), [Look(heading)], (100, 100))[0].astype(float)
        side = 160 * ANY_TURN
        cut = frame(240, 240, 0.0, round(side), round(side))
        wanted = squares(cut, [Look(0.0)], (71, 71))[0].astype(float)  # the middle 1/sqrt(2) of that again
        inner = seen[15:85, 15:85]
        assert np.corrcoef(inner.ravel(), wanted[:70, :70].ravel())[0, 1] > 0.95, heading
        wrong = squares(frame(240, 240, heading, 160, 160), [Look(heading + 90)], (100, 100))[0].astype(float)
        assert np.corrcoef(wrong[15:85, 15:85].ravel(), wanted[:70, :70].ravel())[0, 1] < 0.6


@pytest.mark.parametrize(("rows", "columns"), [(120, 200), (200, 120), (90, 90), (3, 5), (1, 1)])
def test_looks_at_frames_of_any_shape(rows: int, columns: int) -> None:
    ramp = np.zeros((rows, columns, 3), dtype=np.uint8)
    ramp[..., 0] = np.linspace(0, 255, columns).astype(np.uint8)
    seen = squares(ramp, [Look(0.0), Look(45.0, 0.5), Look(180.0)], (32, 32))
    assert [one.shape for one in seen] == [(32, 32, 3)] * 3
    if min(rows, columns) > 50:
        cut = min(rows, columns) * ANY_TURN / columns * 255 / 2
        assert seen[0][16, 0, 0] == pytest.approx(127.5 - cut, abs=5) and seen[2][16, 0, 0] > seen[2][16, -1, 0]


# --- spots


def found(distances: list[float], turned: list[float]) -> Found:
    order = range(len(distances))
    return Found(np.array(order), np.array(distances, dtype=np.float32), np.array(turned))


def test_each_tile_comes_once_under_its_best_heading() -> None:
    distances = np.array([[0.2, 0.5], [0.1, 0.3], [0.25, np.inf]], dtype=np.float32)
    neighbours = np.array([[7, 3], [3, 9], [7, -1]])
    best = found_tiles(distances, neighbours, np.array([0.0, 90.0, 180.0]))
    assert best.tiles.tolist() == [3, 7, 9]
    assert best.distances.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert best.headings_deg.tolist() == [90, 0, 90]


def naive_spot(points: np.ndarray, sides: list[float], one: Found) -> dict[str, object]:
    distances = one.distances.tolist()
    span = distances[-1] - distances[0]
    weights = [math.exp(-6 * (d - distances[0]) / span) if span else 1.0 for d in distances]

    def near(i: int, j: int) -> bool:
        return math.dist(points[i], points[j]) <= 0.75 * max(sides[i], sides[j])

    def alike(i: int, j: int) -> bool:
        apart = abs(one.headings_deg[i] - one.headings_deg[j]) % 360
        return min(apart, 360 - apart) <= 35

    count = range(len(distances))
    support = [sum(weights[j] for j in count if near(i, j) and alike(i, j)) for i in count]
    seed = support.index(max(support))
    members = [j for j in count if near(seed, j) and alike(seed, j)]
    pull = [weights[j] / sides[j] ** 2 for j in members]
    outside = [distances[j] for j in count if not near(seed, j)]
    inside, other = min(distances[j] for j in members), min(outside) if outside else distances[-1]
    return {
        "members": members,
        "point": sum(p * points[j] for p, j in zip(pull, members, strict=True)) / sum(pull),
        "share": sum(weights[j] for j in members) / sum(weights),
        "lead": (other - inside) / max(other, inside),
        "distance": inside,
    }


@pytest.mark.parametrize("seed", range(6))
def test_a_spot_against_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.array([WEST_M, NORTH_M]) + rng.uniform(0, 400, (12, 2))
    sides = rng.choice([60.0, 120.0], 12).tolist()
    one = found(np.sort(rng.uniform(0.3, 0.9, 12)).tolist(), rng.choice(headings(24), 12).tolist())
    spot = spot_of(one, unproject(points, ZONE), np.array(sides), ZONE)
    expected = naive_spot(points, sides, one)
    assert spot.members.tolist() == expected["members"]
    for name in ("share", "lead", "distance"):
        assert getattr(spot, name) == pytest.approx(expected[name], abs=1e-6)
    there = project(latlons([spot.position]), ZONE)[0]
    assert math.dist(there, expected["point"]) < 0.01
    assert spot.evidence == (spot.share, spot.lead, spot.distance)


def test_headings_around_north_agree() -> None:
    points = np.array([WEST_M, NORTH_M]) + np.zeros((3, 2))
    spot = spot_of(found([0.5, 0.5, 0.5], [350.0, 10.0, 0.0]), unproject(points, ZONE), np.full(3, 60.0), ZONE)
    assert len(spot.members) == 3 and min(spot.heading_deg, 360 - spot.heading_deg) < 0.01


# --- answers


@pytest.mark.parametrize(("column", "row", "heading"), [(200, 250, 0.0), (310, 180, 95.0), (150, 300, 222.0)])
@pytest.mark.parametrize("known", [False, True])
def test_a_frame_finds_its_place_and_heading(
    map_atlas: Atlas, tmp_path: Path, column: int, row: int, heading: float, known: bool
) -> None:
    path = write_frame(tmp_path / "frame.jpg", column, row, heading)
    width = 2 * 100 * math.tan(math.radians(73.74) / 2)  # 150 m from 100 m
    camera = Camera(100.0, 73.74) if known else None
    assert width == pytest.approx(150, abs=0.1)
    fix = locate([path], map_atlas, camera=camera, min_confidence=0.0)[0]
    there = position(column, row)
    assert fix.position is not None and fix.position.metres_to(there) < 20
    true_heading = heading + grid_convergence_deg(there, ZONE)
    assert fix.heading_deg is not None and abs((fix.heading_deg - true_heading + 180) % 360 - 180) < 15
    assert fix.radius_m is not None and fix.radius_m >= SIDE_M / 4
    best = fix.matches[0]
    assert best.bounds is not None and best.bounds[0] < best.position.lat < best.bounds[2]
    assert "#ortho.png@100m@" in best.path and len(fix.to_dict()["matches"][0]["bounds"]) == 4


def test_tiles_far_behind_the_best_forty_still_have_a_middle() -> None:
    apart = np.concatenate([np.linspace(0.5, 0.5001, 40), [1.4, 1.41]]).astype(np.float32)
    found = Found(np.arange(42), apart, np.zeros(42))
    east = np.concatenate([np.zeros(40), [900.0, 910.0]])
    places = unproject(np.stack([500_000 + east, np.full(42, 5_500_000.0)], axis=1), 31)
    near, far = spots_of(found, places, np.full(42, 100.0), 31, 9)
    assert near.members.tolist() == list(range(40)) and far.members.tolist() == [40, 41]
    assert 900 < metres_from(near.position, latlons([far.position]))[0] < 910
    assert found.weights()[39] == pytest.approx(math.exp(-6)) and (found.weights() > 0).all()


def test_looks_that_a_frame_gets(map_atlas: Atlas) -> None:
    searched = searched_tiles(map_atlas.run(), map_atlas.rows)
    assert len(searched.looks(100, 150)) == TURNS * len(SHARES)
    known = searched_tiles(map_atlas.run(), map_atlas.rows, Camera(100.0, 73.74))
    assert {one.scale_m for one in known.looks(150, 150)} == {SIDE_M}


def test_a_frame_on_no_tile_cannot_be_told(map_atlas: Atlas, tmp_path: Path) -> None:
    path = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0)
    fix = locate([path], map_atlas, min_confidence=1.0)[0]
    assert fix.position is None and fix.reason is not None
    assert fix.reason.startswith("can't tell, perhaps not on this map: only ")
    # A calibration says below what confidence one frame in twenty lies that is on a map.
    zeros, ones = (0.0,) * 3, (1.0,) * 3
    learned = Calibration(zeros, 0.0, zeros, ones, (0.0, 1.0), (9.0, 9.0), 40, 0.5, "here", "a way", least=0.6)
    told = fix_of("f", read_pixels(path), searched_tiles(map_atlas.run(), map_atlas.rows), learned, 0.7)[0].reason
    assert told is not None and told.startswith("can't tell, most likely not on this map: only ")
    assert told.endswith("(confidence 0.50; 5% of the frames that are on a map are below 0.60)")
    far = locate([path], map_atlas, near=Near(Position(10.0, 10.0), 1000.0))[0]
    assert far.position is None and far.reason == "can't tell: the atlas has no tile there"


def test_frames_that_cannot_be_read(map_atlas: Atlas, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    fixes = locate([tmp_path / "broken.jpg", write_frame(tmp_path / "good.jpg", 200, 200, 0.0)], map_atlas)
    assert fixes[0].error is not None and fixes[1].error is None


def test_options_of_the_other_kind(map_atlas: Atlas, street_atlas: Path, tmp_path: Path) -> None:
    path = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0)
    with pytest.raises(UsageError, match="holds photos; altitude and field of view help on maps from the air only"):
        locate([path], Atlas.open(street_atlas), camera=Camera(100.0, 60.0))
    with pytest.raises(UsageError, match="holds photos; altitude and field of view help"):
        on_photos(Atlas.open(street_atlas), [], camera=Camera(100.0, 60.0))


# --- calibration


def test_frames_are_asked_with_and_without_their_place(map_atlas: Atlas, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [
        write_frame(tmp_path / f"{number}.jpg", *rng.uniform(100, 380, 2), float(rng.uniform(0, 360)))
        for number in range(6)
    ]
    truth = own_positions(paths)
    frames = [Photo(path.name, path, truth[str(path)]) for path in paths]
    searched = searched_tiles(map_atlas.run(), map_atlas.rows)
    (tmp_path / "broken.jpg").write_bytes(b"no")
    errors: list[PhotoError] = []
    broken = Photo("broken.jpg", tmp_path / "broken.jpg", position(200, 200))
    lost = Photo("lost.jpg", paths[0], Position(10.0, 10.0))
    asked = ask(searched, [*frames, broken, lost, Photo("none.jpg", paths[0])], errors=errors)
    assert asked.evidence.shape == (6, 3) and (asked.errors_m < 25).all()
    assert len(errors) == 1 and "broken.jpg" in str(errors[0])
    # The frame off the map is a stranger only; what is asked without its place looks worse.
    assert asked.strangers.shape == (7, 3)
    assert asked.evidence[:, 2].mean() < asked.strangers[:, 2].mean()


def test_too_few_frames_to_learn_from(map_atlas: Atlas, tmp_path: Path) -> None:
    path = write_frame(tmp_path / "a.jpg", 200, 200, 0.0)
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(save_jpeg(frame(200, 200, 0, 100, 100)))
    errors: list[PhotoError] = []
    with pytest.raises(DataError, match="1 of 2 frames have a position on the map, and too few of them were located"):
        on_photos(map_atlas, [Photo("a.jpg", path, position(200, 200)), Photo("plain.jpg", plain)], errors=errors)
    assert [str(error) for error in errors] == ["plain.jpg has no position in its name or EXIF."]


def test_an_empty_atlas_of_tiles(grid_run: Run, tmp_path: Path) -> None:
    atlas = Atlas.open_or_create(tmp_path / "atlas", grid_run, "tiles")
    with pytest.raises(AtlasError, match="holds no tiles; fill it with"):
        locate([tmp_path / "any.jpg"], atlas)
    with pytest.raises(AtlasError, match="holds no tiles; fill it with"):
        on_photos(atlas, [])
    assert torch.is_grad_enabled()
