"""Tracks: the Bayes filter against sums over all ways, frames of photos and videos, and what is written of them."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from conftest import hide
from geofix.atlas.spots import Found
from geofix.atlas.store import Atlas
from geofix.data.maps.open import open_map
from geofix.errors import DataError, MissingExtraError, UsageError
from geofix.fixes import Fix
from geofix.frames import bayes
from geofix.frames.bayes import LEARNED_M, Grid, believed, claimed, point_of, reaches_m, smoothed
from geofix.frames.locate import searched_tiles
from geofix.frames.shots import Shot, is_video, shots
from geofix.frames.track import locate_track, middle_and_slowest
from geofix.index_maps import index_maps
from geofix.locate import locate_flight
from geofix.models.runs import Run
from geofix.photos import read_pixels
from geofix.positions import latlons, project
from geofix.reports.exports import fixes_geojson, fixes_gpx, fixes_kml, unbroken
from geofix.reports.tracks import track_png
from toy_flights import ZONE, position, write_frame, write_map

WAY = [(150 + 12 * step, 160 + 14 * step) for step in range(12)]  # columns and rows, 18 m apart
HEADING = 139.0


@pytest.fixture(scope="module")
def flown_atlas(grid_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("maps")
    return index_maps([write_map(folder)], grid_run, folder / "atlas", scales_m=[100.0]).atlas


# --- the filter


def naive(said: list[np.ndarray], reach: list[float], moves: np.ndarray | None = None) -> list[np.ndarray]:
    """The probability of each cell at each frame, added up over every way through the cells."""
    shape = said[0].shape
    cells = list(itertools.product(range(shape[0]), range(shape[1])))

    def step(here: tuple[int, int], there: tuple[int, int], number: int) -> float:
        go = (0, 0) if moves is None else (round(moves[number][1]), round(moves[number][0]))
        start = (here[0] + go[0], here[1] + go[1])
        if not (0 <= start[0] < shape[0] and 0 <= start[1] < shape[1]):
            return 0.0
        apart = math.dist(start, there)
        return min(1.0, max(0.0, reach[number] + 0.5 - apart)) if reach[number] >= 0.5 else float(apart == 0)

    steps = []
    for number in range(len(said) - 1):
        table = np.array([[step(here, there, number) for there in cells] for here in cells])
        steps.append(table)
    totals = [np.zeros(len(cells)) for _ in said]
    for way in itertools.product(range(len(cells)), repeat=len(said)):
        chance = math.prod(said[number].ravel()[cell] for number, cell in enumerate(way))
        for number in range(len(said) - 1):
            chance *= steps[number][way[number], way[number + 1]]
        for number, cell in enumerate(way):
            totals[number][cell] += chance
    return [total.reshape(shape) / total.sum() for total in totals]


@pytest.mark.parametrize("reach", [0.0, 1.0, 1.3, 9.0])
def test_the_filter_is_the_sum_over_all_ways(monkeypatch: pytest.MonkeyPatch, reach: float) -> None:
    monkeypatch.setattr(bayes, "_LOST", 0.0)
    rng = np.random.default_rng(3)
    # Away from the edges: what a step takes off the map is lost in the filter and was never there in the sum.
    said = [np.pad(rng.random((3, 2)), 0) for _ in range(3)]
    found = smoothed(said, [reach * 10.0] * 2, 10.0)
    kernel = [reach, reach]
    wide = [np.pad(one, 12) for one in said]
    again = smoothed(wide, [reach * 10.0] * 2, 10.0)
    expected = naive(said, kernel)
    for ours, wider, theirs in zip(found, again, expected, strict=True):
        assert wider[12:-12, 12:-12] == pytest.approx(theirs, abs=1e-9)
        assert ours.sum() == pytest.approx(1) and ours.shape == (3, 2)


def test_odometry_moves_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bayes, "_LOST", 0.0)
    rng = np.random.default_rng(4)
    said = [np.pad(rng.random((2, 3)), 3) for _ in range(3)]
    moves = np.array([[10.0, 0.0], [0.0, -10.0]])
    found = smoothed(said, [10.0, 10.0], 10.0, moves)
    small = [one[2:-2, 2:-2] for one in said]
    expected = naive([one[1:-1, 1:-1] for one in [np.pad(part, 1) for part in small]], [1.0, 1.0], moves / 10)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[2:-2, 2:-2] == pytest.approx(theirs, abs=0.02)


def test_a_lost_track_is_found_again() -> None:
    sure = np.full((20, 20), 1e-6)
    first, far = sure.copy(), sure.copy()
    first[2, 2], far[17, 17] = 1.0, 1.0
    found = smoothed([first, first, far, far, far], [10.0] * 4, 10.0)
    assert [np.unravel_index(int(np.argmax(one)), one.shape) for one in found] == [(2, 2)] * 2 + [(17, 17)] * 3


def test_one_frame_and_none() -> None:
    assert smoothed([], [], 1.0) == []
    one = np.array([[0.25, 0.75]])
    assert smoothed([one], [], 1.0)[0] == pytest.approx(one)
    with pytest.raises(ValueError, match="2 frames have 1 steps between them, not 0"):
        smoothed([one, one], [], 1.0)


def test_a_frame_says_as_much_as_it_is_sure_of() -> None:
    places = latlons([position(100, 100), position(300, 300)])
    grid = Grid.over(places, np.array([80.0, 80.0]), ZONE)
    assert (grid.rows, grid.columns, grid.side_m) == (28, 28, 10.0)
    found = Found(np.array([0, 1]), np.array([0.1, 0.9], dtype=np.float32), np.array([0.0, 0.0]))
    claim = claimed(grid, found, places, np.array([80.0, 80.0]))
    assert claim is not None and claim.sum() == pytest.approx(1)
    for nothing in (believed([claim], [0.0], [], grid)[0], believed([None], [0.9], [], grid)[0]):
        assert nothing == pytest.approx(np.full((28, 28), 1 / 784))
    [sure] = believed([claim], [0.8], [], grid)
    assert sure.sum() == pytest.approx(1) and sure.min() == pytest.approx(0.2 / 784, rel=1e-3)
    row, column = np.unravel_index(int(np.argmax(sure)), sure.shape)
    east, north = grid.middles()
    assert math.dist((east[column], north[row]), project(places[:1], ZONE)[0]) < 10
    point = point_of(sure, grid, 40.0)
    assert point.position.metres_to(position(100, 100)) < 5
    assert 0.6 < point.confidence < 0.85 and point.radius_m > 100  # a fifth of it lies anywhere
    assert claimed(grid, Found.none(), places[:0], np.empty(0)) is None


def naive_beliefs(claims: list[np.ndarray], confidences: list[float], reach: float) -> list[np.ndarray]:
    """The same in loops: `reach` in cells, frames no nearer than LEARNED_M to each other."""
    rows, columns = claims[0].shape
    cells = list(itertools.product(range(rows), range(columns)))
    remembered = {cell: 1 / len(cells) for cell in cells}
    beliefs = []
    for number, (claim, confidence) in enumerate(zip(claims, confidences, strict=True)):
        if number:
            spread = dict.fromkeys(cells, 0.0)
            for here, there in itertools.product(cells, cells):
                spread[there] += remembered[here] * min(1.0, max(0.0, reach + 0.5 - math.dist(here, there)))
            total = sum(spread.values())
            remembered = {cell: 0.99 * spread[cell] / total + 0.01 / len(cells) for cell in cells}
        wrong = 0.9 * sum(claim[cell] * remembered[cell] for cell in cells) + 0.1 / len(cells)
        believed = np.array([confidence * claim[cell] + (1 - confidence) * wrong for cell in cells])
        beliefs.append(believed.reshape(rows, columns) / believed.sum())
        remembered = {cell: 0.8 * remembered[cell] + 0.2 * claim[cell] for cell in cells}
    return beliefs


def small_grid(rows: int, columns: int, side_m: float) -> Grid:
    return Grid(458_000.0, 6_650_000.0, side_m, rows, columns, ZONE, True)


def test_beliefs_against_a_naive_loop() -> None:
    rng = np.random.default_rng(5)
    claims = [one / one.sum() for one in rng.random((3, 4, 5)) ** 6]
    confidences = [0.9, 0.3, 0.6]
    found = believed(claims, confidences, [60.0, 60.0], small_grid(4, 5, 40.0))
    for ours, theirs in zip(found, naive_beliefs(claims, confidences, 1.5), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def spike(row: int, column: int, shape: tuple[int, int] = (20, 20)) -> np.ndarray:
    claim = np.full(shape, 1e-9)
    claim[row, column] = 1.0
    return claim / claim.sum()


def test_the_same_claim_again_rules_out_less() -> None:
    grid = small_grid(20, 20, 40.0)
    claims = [spike(5, 5), spike(5, 6), spike(15, 15)]
    first, again, new = believed(claims, [0.3, 0.3, 0.3], [60.0, 60.0], grid)
    odds = [one.max() / np.median(one) for one in (first, again, new)]
    assert odds[0] > 5 * odds[1] and odds[2] > 4 * odds[1] > 4
    # Weak frames that repeat each other stay weak; strong ones become sure.
    for confidence, held in ((0.1, False), (0.9, True)):
        said = believed([spike(5, 5)] * 6, [confidence] * 6, [60.0] * 5, grid)
        there = smoothed(said, [60.0] * 5, 40.0)[3]
        near = there[3:8, 3:8].sum()
        assert (near > 0.9) == held, (confidence, near)


def test_a_stretch_of_flight_counts_once_however_many_frames_it_has() -> None:
    grid = small_grid(20, 20, 40.0)
    for reach_m, count, share in ((2 * LEARNED_M, 5, 1.0), (LEARNED_M, 5, 0.5), (LEARNED_M / 5, 11, 0.1)):
        said = believed([spike(5, 5)] * count, [0.9] * count, [reach_m] * (count - 1), grid)
        alone = believed([spike(5, 5)] * count, [0.9] * count, [2 * LEARNED_M] * (count - 1), grid)
        # In the middle; at the ends there is no neighbour on one side.
        logs = [np.log(one[count // 2].max() / np.median(one[count // 2])) for one in (said, alone)]
        assert logs[0] < share * np.log(0.9 / 0.1 * 400) + 1e-9 and logs[0] <= logs[1] + 1e-9
    still = believed([spike(5, 5)] * 4, [0.9] * 4, [50.0] * 3, grid, np.zeros((3, 2)))
    assert still[1] == pytest.approx(np.full((20, 20), 1 / 400)) and still[0].max() > 0.05
    moving = believed([spike(5, 5)] * 2, [0.9] * 2, [50.0], grid, np.array([[LEARNED_M, 0.0]]))
    assert moving[0].max() == pytest.approx(believed([spike(5, 5)], [0.9], [], grid)[0].max())


def test_times_and_speeds_become_reaches() -> None:
    assert reaches_m([0.0, 2.0, None, 5.0, 4.0], 10.0, 0.5) == [20.0, 5.0, 5.0, 5.0]
    assert reaches_m([], 10.0, 0.5) == reaches_m([None], 10.0, 0.5) == []
    for speed, interval in ((0.0, 1.0), (float("nan"), 1.0), (5000.0, 1.0), (10.0, 0.0)):
        with pytest.raises(UsageError, match="up to 1000 m/s and a day, both above 0, can be"):
            reaches_m([None, None], speed, interval)


# --- flights


def frames(folder: Path, seed_of_some: dict[int, int] | None = None) -> list[Path]:
    """The frames of WAY; some of them of another map."""
    return [
        write_frame(folder / f"{number:02d}.jpg", *spot, HEADING, (seed_of_some or {}).get(number, 0))
        for number, spot in enumerate(WAY)
    ]


def test_a_flight_is_smoothed_and_found_again(flown_atlas: Atlas, tmp_path: Path) -> None:
    paths = frames(tmp_path, dict.fromkeys(range(4, 8), 9))
    flown = locate_flight(paths, flown_atlas, min_confidence=0.1)
    assert [fix.photo for fix in flown.fixes] == [str(path) for path in paths]
    there = [position(*spot) for spot in WAY]
    for number in (0, 1, 2, 3, 8, 9, 10, 11):
        fix = flown.fixes[number]
        assert fix.position is not None and fix.position.metres_to(there[number]) < 30, number
        assert fix.heading_deg is not None and abs((fix.heading_deg - HEADING + 180) % 360 - 180) < 20
        assert fix.radius_m is not None and not fix.calibrated
    errors_m = [
        fix.position.metres_to(spot) for fix, spot in zip(flown.fixes, there, strict=True) if fix.position is not None
    ]
    assert max(errors_m) < 120  # what was lost lies between what was found
    middle_s, slowest_s = middle_and_slowest(flown.latencies_s)
    assert 0 < middle_s <= slowest_s


def test_a_broken_frame_lies_between_its_neighbours(flown_atlas: Atlas, tmp_path: Path) -> None:
    paths = frames(tmp_path)
    paths[5].write_bytes(b"\xff\xd8\xff no")
    flown = locate_flight(paths, flown_atlas, min_confidence=0.0)
    fix = flown.fixes[5]
    assert fix.error is not None and fix.position is not None and fix.position.metres_to(position(*WAY[5])) < 40
    assert flown.latencies_s[5] == 0


def test_flights_that_cannot_be(flown_atlas: Atlas, street_atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no")
    with pytest.raises(DataError, match=r"None of the 1 frames could be located on. The first: .*broken.jpg"):
        locate_flight([tmp_path / "broken.jpg"], flown_atlas)
    with pytest.raises(UsageError, match="holds photos; a track is of frames on a map from the air"):
        locate_flight([tmp_path / "broken.jpg"], Atlas.open(street_atlas))
    searched = searched_tiles(flown_atlas.run(), flown_atlas.rows)
    one = frames(tmp_path)[0]
    with pytest.raises(UsageError, match="Odometry of 3 steps was given for 1 frames; one less is expected"):
        locate_track(shots([one], 1.0), searched, None, min_confidence=0.0, moves_m=np.zeros((3, 2)))


def test_more_frames_than_can_be_smoothed(flown_atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofix.frames.track.MOST_TRACK_CELLS", 3000)
    with pytest.raises(DataError, match="12 frames are more than can be smoothed on so large a map; give 1 at a time"):
        locate_flight(frames(tmp_path), flown_atlas)


# --- videos


def write_video(path: Path, count: int = 20, rate: int = 10) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1  # the bytes of a frame hang on it
        for number in range(count):
            pixels = np.full((48, 64, 3), 10 * number % 250, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_a_video_gives_a_frame_now_and_then(tmp_path: Path) -> None:
    path = write_video(tmp_path / "flight.avi")
    assert is_video(path) and not is_video(tmp_path / "photo.jpg")
    seen = list(shots([path], 0.5))
    assert [one.time_s for one in seen] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    assert [one.name for one in seen][:2] == [f"{path}@0.00", f"{path}@0.50"]
    for one, grey in zip(seen, (0, 50, 100, 150), strict=True):
        assert one.pixels is not None and one.pixels.shape == (48, 64, 3)
        assert one.pixels.mean() == pytest.approx(grey, abs=6) and one.error is None


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6])  # at 0.7 of its bytes mkv has 93 % of the frames here
@pytest.mark.parametrize("ending", ["avi", "mkv"])
def test_a_video_that_ends_half_way(tmp_path: Path, ending: str, share: float) -> None:
    path = write_video(tmp_path / f"flight.{ending}", count=200)
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    seen = list(shots([path], 0.5))
    assert len(seen) > 3 and all(one.pixels is not None for one in seen[:-1])
    assert seen[-1].pixels is None and seen[-1].ends and f"flight.{ending}" in str(seen[-1].error)
    assert "frames before were used" in str(seen[-1].error) or "frames before were" in str(seen[-1].error)


def test_a_video_that_breaks_off_adds_no_frame_to_the_track(flown_atlas: Atlas, tmp_path: Path) -> None:
    paths = [write_frame(tmp_path / f"{step}.jpg", 200 + 12 * step, 200, 124.0) for step in range(3)]
    broken = tmp_path / "cut.mp4"
    broken.write_bytes(b"no video at all")
    whole, cut = (locate_flight(one, flown_atlas, min_confidence=0.0) for one in (paths, [*paths, broken]))
    assert cut.fixes[:3] == whole.fixes and len(cut.fixes) == len(cut.times_s) == len(cut.latencies_s) == 4
    assert cut.fixes[3].position is None and "is no video that can be read" in str(cut.fixes[3].error)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty (0 bytes); copy it again"), (b"no video at all", "is no video that can be read (")],
)
def test_files_that_are_no_video(tmp_path: Path, data: bytes, message: str) -> None:
    pytest.importorskip("av")
    path = tmp_path / "flight.mp4"
    path.write_bytes(data)
    seen = list(shots([path], 1.0))
    assert len(seen) == 1 and message in str(seen[0].error)
    missing = list(shots([tmp_path / "nowhere.mp4"], 1.0))
    assert "cannot be read (No such file or directory)" in str(missing[0].error)


def test_a_video_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "av")
    with pytest.raises(MissingExtraError, match=r"Reading a video needs .* pip install 'geofix\[video\]'"):
        list(shots([tmp_path / "flight.mp4"], 1.0))


def test_photos_say_when_they_were_taken(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "a.jpg", 200, 200, 0.0)
    seen = list(shots([path, tmp_path / "nowhere.jpg"], 1.0))
    assert seen[0].time_s is None and np.array_equal(seen[0].pixels, read_pixels(path))
    assert isinstance(seen[1], Shot) and "nowhere.jpg does not exist" in str(seen[1].error)


# --- what is written


def some_fixes() -> list[Fix]:
    spots = [position(*spot) for spot in WAY[:6]]
    fixes = [Fix(f"{number}.jpg", spot, radius_m=20.0) for number, spot in enumerate(spots)]
    fixes[3] = Fix("3.jpg", reason="can't tell")
    return fixes


def test_a_track_breaks_where_there_is_no_answer() -> None:
    parts = unbroken(some_fixes())
    assert [len(part) for part in parts] == [3, 2]
    assert unbroken([]) == unbroken(some_fixes()[:1]) == []


def test_gpx_holds_a_track_or_waypoints() -> None:
    space = {"g": "http://www.topografix.com/GPX/1/1"}
    flown = ElementTree.fromstring(fixes_gpx(some_fixes(), line=True))
    assert flown.get("version") == "1.1" and not flown.findall("g:wpt", space)
    assert [len(part) for part in flown.findall("g:trk/g:trkseg", space)] == [3, 2]
    first = flown.find("g:trk/g:trkseg/g:trkpt", space)
    assert first is not None and float(first.get("lat", 0)) == pytest.approx(position(*WAY[0]).lat, abs=1e-7)
    points = ElementTree.fromstring(fixes_gpx(some_fixes()))
    assert [point.findtext("g:name", None, space) for point in points.findall("g:wpt", space)] == [
        "0.jpg", "1.jpg", "2.jpg", "4.jpg", "5.jpg",
    ]  # fmt: skip


def test_geojson_and_kml_hold_the_line() -> None:
    plain, flown = (json.loads(fixes_geojson(some_fixes(), line=line))["features"] for line in (False, True))
    assert (len(plain), len(flown)) == (6, 7)
    assert flown[-1]["geometry"]["type"] == "MultiLineString"
    assert [len(part) for part in flown[-1]["geometry"]["coordinates"]] == [3, 2]
    assert fixes_kml(some_fixes()).count("<LineString>") == 0
    assert fixes_kml(some_fixes(), line=True).count("<LineString>") == 2


def test_a_track_is_drawn_with_its_map_and_without(tmp_path: Path) -> None:
    aerial = open_map(write_map(tmp_path))
    fixes = some_fixes()
    (tmp_path / "with.png").write_bytes(track_png(fixes, fixes, aerial))
    (tmp_path / "without.png").write_bytes(track_png(fixes, fixes, None))
    drawn, bare = (read_pixels(tmp_path / name).astype(int) for name in ("with.png", "without.png"))
    assert drawn.shape == bare.shape and (bare.min(axis=2) > 250).mean() > 0.7
    assert (drawn.min(axis=2) > 250).mean() < 0.4
    (tmp_path / "nothing.png").write_bytes(track_png([Fix("a.jpg", reason="lost")], [], None))
    assert read_pixels(tmp_path / "nothing.png").shape[0] > 500
