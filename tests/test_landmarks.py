"""Local features of whole maps: how they are kept, what they vote for, and the places that this gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from geofix.atlas.spots import Found, spot_near
from geofix.atlas.store import FEATURES, Atlas
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.open import open_map
from geofix.files import write_atomically
from geofix.frames import landmarks as module
from geofix.frames.landmarks import Guess, Landmarks, Votes, guesses
from geofix.frames.local_features import LocalFeatures
from geofix.frames.locate import Searched, searched_tiles
from geofix.frames.looks import Camera
from geofix.frames.map_features import BLOCK_PX, CHUNK, MapFeatures
from geofix.frames.verify import FrameFeatures, Verifier
from geofix.index_maps import index_maps
from geofix.locate import Near, locate, look_at_maps
from geofix.models.runs import Run
from geofix.photos import save_png
from geofix.positions import Position, project
from toy_flights import (
    CAMERA,
    NORTH_M,
    SIDE_M,
    WEST_M,
    ZONE,
    blotches,
    frame,
    indexed_map,
    position,
    write_frame,
    write_map,
)

pytest.importorskip("cv2", reason="the verify extra is not installed")


@pytest.fixture(scope="module")
def map_atlas(grid_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return indexed_map(grid_run, tmp_path_factory.mktemp("maps"))


@pytest.fixture
def aerial(tmp_path: Path) -> AerialMap:
    return open_map(write_map(tmp_path))


def some(count: int, seed: int) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    kinds = np.random.default_rng(9).integers(0, 256, (12, 128))
    descriptors = kinds[rng.integers(12, size=count)] + rng.integers(0, 9, (count, 128))
    return LocalFeatures(
        rng.uniform(-60, 60, (count, 2)),
        rng.uniform(2, 6, count),
        rng.uniform(0, 360, count),
        np.clip(descriptors, 0, 255).astype(np.uint8),
    )


def holding(aerial: AerialMap, features: LocalFeatures) -> MapFeatures:
    """A map on which just these features were seen."""
    one = MapFeatures(aerial, 1.0)
    one._chunks[0, 0] = features, np.zeros((len(features), 2), dtype=np.int64)
    return one


# --- features of a map


def chunks_of(one: MapFeatures) -> list[tuple[int, int]]:
    extent = one.aerial.extent
    middle = np.array([[(extent.west_m + extent.east_m) / 2, (extent.south_m + extent.north_m) / 2]])
    return one.chunks_of(middle, np.array([max(extent.width_m, extent.height_m)]))


def test_what_was_looked_at_is_kept(aerial: AerialMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = MapFeatures(aerial, 1.0, tmp_path / "kept")
    chunk = chunks_of(one)[0]
    assert not one.is_kept(chunk)
    features, blocks = one.chunk(chunk)
    assert len(features) > 100 and blocks.shape == (len(features), 2)
    side_m = BLOCK_PX * 1.0
    assert (np.floor(features.points * [1, -1] / side_m) == blocks).mean() > 0.99  # the edge belongs to both
    assert {tuple(block) for block in blocks // CHUNK} == {chunk}
    monkeypatch.setattr(AerialMap, "read", lambda *_: pytest.fail("looked at again"))
    again, same = MapFeatures(aerial, 1.0, tmp_path / "kept").chunk(chunk)
    for name in ("points", "widths", "angles_deg", "descriptors"):
        assert np.array_equal(getattr(again, name), getattr(features, name))
    assert np.array_equal(same, blocks)


@pytest.mark.parametrize("harm", ["cut short", "of another map", "no file of features"])
def test_features_that_cannot_be_used_are_looked_for_again(aerial: AerialMap, tmp_path: Path, harm: str) -> None:
    one = MapFeatures(aerial, 1.0, tmp_path / "kept")
    chunk = chunks_of(one)[0]
    expected = one.chunk(chunk)[0]
    (file,) = (tmp_path / "kept").rglob("*.safetensors")
    content = file.read_bytes()
    fingerprint = aerial.fingerprint.encode()
    broken = {
        "cut short": content[: len(content) // 2],
        "of another map": content.replace(fingerprint, fingerprint[::-1]),
        "no file of features": b"nothing",
    }
    assert broken[harm] != content
    write_atomically(file, broken[harm])
    assert np.array_equal(MapFeatures(aerial, 1.0, tmp_path / "kept").chunk(chunk)[0].points, expected.points)
    assert file.read_bytes() == content


def test_an_atlas_that_cannot_be_written(aerial: AerialMap, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    one = MapFeatures(aerial, 1.0, tmp_path / "kept")
    assert len(one.chunk(chunks_of(one)[0])[0]) > 100


def test_few_chunks_stay_in_memory(aerial: AerialMap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofix.frames.map_features.MOST_CHUNKS", 2)
    one = MapFeatures(aerial, 1.0)
    for column in range(4):
        one.chunk((column, 0))
    assert list(one._chunks) == [(2, 0), (3, 0)]


def test_what_was_seen_around_a_point_stays_in_memory(aerial: AerialMap, monkeypatch: pytest.MonkeyPatch) -> None:
    one = MapFeatures(aerial, 1.0)
    point = np.array([WEST_M + 240.0, NORTH_M - 240.0])
    first = one.around(point, 30.0)
    monkeypatch.setattr(AerialMap, "read", lambda *_: pytest.fail("read again"))
    assert np.array_equal(one.around(point, 30.0).points, first.points) and len(first)
    assert len(one.around(point + 5000, 30.0)) == 0


def test_ground_off_the_map_has_none(aerial: AerialMap) -> None:
    one = MapFeatures(aerial, 1.0)
    assert len(one.around(np.array([WEST_M + 9000.0, NORTH_M]), 50.0)) == 0


def test_chunks_of_squares(aerial: AerialMap) -> None:
    one = MapFeatures(aerial, 1.0)
    side_m = BLOCK_PX * CHUNK
    middles = np.array([[0.5 * side_m, 0.5 * side_m], [2.0 * side_m, 0.5 * side_m]])
    assert one.chunks_of(middles, np.array([10.0, 10.0])) == [(0, 0), (1, 0), (2, 0)]


# --- votes


def naive_votes(frame_: LocalFeatures, there: LocalFeatures, width: float) -> set[tuple[float, ...]]:
    ours, theirs = frame_.roots().astype(float), there.roots().astype(float)
    told = set()
    for i in range(len(frame_)):
        apart = sorted((float(((ours[i] - theirs[j]) ** 2).sum()), j) for j in range(len(there)))[:4]
        for _, j in apart:
            stretch = there.widths[j] / frame_.widths[i]
            turn = (there.angles_deg[j] - frame_.angles_deg[i]) % 360
            x, y = frame_.points[i] * stretch
            a = math.radians(turn)
            east, south = x * math.cos(a) - y * math.sin(a), x * math.sin(a) + y * math.cos(a)
            middle = there.points[j, 0] - east, -there.points[j, 1] + south
            told.add((i, *(round(float(one), 6) for one in (*middle, turn, width * stretch))))
    return told


def test_votes_against_a_naive_loop(aerial: AerialMap) -> None:
    one, other = some(15, 0), some(40, 1)
    votes = Landmarks([(holding(aerial, other), [(0, 0)])]).votes(one, 150.0)
    columns = zip(votes.features, *votes.middles.T, votes.headings_deg, votes.widths_m, strict=True)
    told = {(int(i), *(round(float(part), 6) for part in rest)) for i, *rest in columns}
    assert told == naive_votes(one, other, 150.0) and len(told) == 60


def test_a_frame_votes_for_where_it_lies(aerial: AerialMap) -> None:
    """Turned and stretched: every true pair names the same place, heading and width."""
    there = some(30, 1)
    there.descriptors[:] = np.random.default_rng(3).integers(0, 256, there.descriptors.shape)
    turn, stretch, middle = math.radians(70.0), 1.2, np.array([5.0, -8.0])  # east, south
    back = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    seen = LocalFeatures(
        (there.points - middle) @ back / stretch,
        there.widths / stretch,
        (there.angles_deg - 70) % 360,
        there.descriptors,
    )
    best = guesses(Landmarks([(holding(aerial, there), [(0, 0)])]).votes(seen, 100.0))[0]
    assert best.votes == 30 and best.point == pytest.approx((5.0, 8.0), abs=1e-6)
    assert best.heading_deg == pytest.approx(70.0) and best.width_m == pytest.approx(120.0)


def test_features_that_are_not_kept_do_not_vote(aerial: AerialMap) -> None:
    one, other = some(15, 0), some(40, 1)
    landmarks = Landmarks([(holding(aerial, other), [(0, 0)])])
    kept = np.arange(40) % 2 == 0
    votes = landmarks.votes(one, 150.0, kept)
    alone = Landmarks([(holding(aerial, other.take(np.flatnonzero(kept))), [(0, 0)])]).votes(one, 150.0)
    assert np.array_equal(votes.middles, alone.middles) and len(votes.features) == 60
    assert not len(landmarks.votes(one, 150.0, np.zeros(40, dtype=np.bool_)).features)


def test_features_outside_of_squares(aerial: AerialMap) -> None:
    landmarks = Landmarks(
        [(holding(aerial, some(200, 2)), [(0, 0)]), (holding(aerial, some(50, 4)), [(0, 0)])],
    )
    middles = np.array([[10.0, 20.0], [-40.0, 0.0], [0.0, -50.0]])
    sides = np.array([30.0, 50.0, 30.0])
    for number in (0, 1):
        expected = [
            on != number
            or all(max(abs(point - middle)) > side / 2 for middle, side in zip(middles, sides, strict=True))
            for point, on in zip(landmarks.points, landmarks.on, strict=True)
        ]
        outside = landmarks.outside(number, middles, sides)
        assert outside.tolist() == expected and not outside.all()


def votes_at(places: list[tuple[float, float, float, float, int, int]]) -> Votes:
    """East, north, heading, width, feature, map."""
    columns = np.array(places, dtype=float)
    return Votes(columns[:, :2], columns[:, 2], columns[:, 3], columns[:, 4].astype(int), columns[:, 5].astype(int))


def naive_guesses(votes: Votes, most: int) -> list[tuple[int, int]]:
    """Of each guess the number of its vote, and how many features speak for it."""
    width = float(np.median(votes.widths_m))

    def near(i: int, j: int) -> bool:
        if votes.maps[i] != votes.maps[j]:
            return False
        apart = math.dist(votes.middles[i], votes.middles[j]) / (0.12 * width)
        turned = abs((votes.headings_deg[i] - votes.headings_deg[j] + 180) % 360 - 180)
        chord = math.sin(math.radians(turned) / 2) / math.sin(math.radians(22) / 2)
        stretched = abs(math.log(votes.widths_m[i] / votes.widths_m[j])) / math.log(1.35)
        return apart**2 + chord**2 + stretched**2 <= 1

    count = len(votes.features)
    around = [{j for j in range(count) if near(i, j)} for i in range(count)]
    told = [len({int(votes.features[j]) for j in members}) for members in around]
    free, found = set(range(count)), []
    for i in sorted(range(count), key=lambda i: (-told[i], i)):
        if i in free and len(found) < most:
            found.append((i, told[i]))
            free -= around[i]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_guesses_against_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spots = rng.uniform(0, 60, (6, 2))
    places = []
    for _ in range(80):
        east, north = spots[rng.integers(6)] + rng.normal(0, 5, 2)
        heading, width = rng.choice([10.0, 355.0, 180.0]) + rng.normal(0, 5), rng.choice([100.0, 150.0])
        places.append((east, north, heading % 360, width, int(rng.integers(25)), int(rng.integers(2))))
    votes = votes_at(places)
    expected = naive_guesses(votes, 5)
    found = guesses(votes, 5)
    assert [one.votes for one in found] == [count for _, count in expected]
    assert [one.point for one in found] == [tuple(votes.middles[vote]) for vote, _ in expected]
    assert [one.on for one in found] == [int(votes.maps[vote]) for vote, _ in expected]


def test_one_feature_is_one_vote_however_often_it_is_given() -> None:
    often = [(0.0, 0.0, 0.0, 100.0, 7, 0)] * 9
    twice = [(500.0, 0.0, 0.0, 100.0, 1, 0), (501.0, 0.0, 0.0, 100.0, 2, 0)]
    first, second = guesses(votes_at(often + twice))
    assert (first.votes, first.point[0]) == (2, 500.0) and second.votes == 1


def test_nothing_votes() -> None:
    none = Votes(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0, dtype=int), np.empty(0, dtype=int))
    assert guesses(none) == [] and guesses(Votes.joined([none, none])) == []


def test_features_of_other_widths_are_other_features() -> None:
    one = votes_at([(0.0, 0.0, 0.0, 100.0, 0, 0), (0.0, 0.0, 0.0, 100.0, 3, 0)])
    joined = Votes.joined([one, one])
    assert joined.features.tolist() == [0, 3, 4, 7] and len(joined.middles) == 4


# --- places


def test_what_tiles_say_for_a_place_against_a_naive_loop() -> None:
    rng = np.random.default_rng(5)
    columns, rows = rng.uniform(0, 300, (2, 30))
    places = [position(column, row) for column, row in zip(columns, rows, strict=True)]
    sides = rng.choice([60.0, 90.0], 30)
    apart = np.sort(rng.uniform(0.2, 0.9, 30)).astype(np.float32)
    found = Found(np.arange(30), apart, rng.choice([0.0, 20.0, 180.0], 30))
    at, heading = position(150, 150), 10.0
    latlons = np.array([[one.lat, one.lon] for one in places])
    spot = spot_near(found, latlons, sides, ZONE, at, heading)
    here = project(np.array([[at.lat, at.lon]]), ZONE)[0]
    apart_m = [math.dist(here, point) for point in project(latlons, ZONE)]
    close = [away <= 0.75 * side for away, side in zip(apart_m, sides, strict=True)]
    members = [i for i in range(30) if close[i] and abs((found.headings_deg[i] - 10 + 180) % 360 - 180) <= 35]
    weights = found.weights()
    inside, outside = min(apart[i] for i in members), min(apart[i] for i in range(30) if not close[i])
    assert spot.members.tolist() == members and 0 < len(members) < sum(close)
    assert spot.share == pytest.approx(sum(weights[members]) / sum(weights))
    assert spot.distance == pytest.approx(inside)
    assert spot.lead == pytest.approx((outside - inside) / max(inside, outside))
    far = spot_near(found, latlons, sides, ZONE, position(5000, 5000), heading)
    assert (far.share, far.distance, len(far.members)) == (0.0, pytest.approx(apart[-1]), 0) and far.lead < 0


@pytest.mark.parametrize("camera", [CAMERA, None])
def test_a_frame_is_found_whatever_its_tiles_say(
    map_atlas: Atlas, grid_run: Run, camera: Camera | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = searched_tiles(grid_run, map_atlas.rows, camera, verifier=Verifier.of(map_atlas))
    wrong = Found(np.arange(3), np.array([0.1, 0.2, 0.3], dtype=np.float32), np.zeros(3))
    monkeypatch.setattr(Searched, "_hinted", lambda *_: [])
    for column, row, heading in ((310, 180, 95.0), (150, 300, 222.0)):
        place = searched.place(frame(column, row, heading, 150, 150), wrong)
        assert place.position.metres_to(position(column, row)) < 2
        assert abs((place.heading_deg - heading + 180) % 360 - 180) < 1
        assert place.order > 0.5 and len(place.found.tiles) == 0


def test_maps_side_by_side(grid_run: Run, tmp_path: Path) -> None:
    """A frame is found on the map that it shows, whichever comes first."""
    one = write_map(tmp_path, seed=0)
    other = write_map(tmp_path, seed=1, name="east")
    numbers = (1.0, 0.0, 0.0, -1.0, WEST_M + 600.5, NORTH_M - 0.5)
    other.with_suffix(".pgw").write_text("".join(f"{number}\n" for number in numbers))
    atlas = index_maps([one, other], grid_run, tmp_path / "atlas", scales_m=[SIDE_M]).atlas
    paths = [write_frame(tmp_path / f"{seed}.jpg", 240, 200, 30.0, seed=seed) for seed in (0, 1)]
    first, second = locate(paths, atlas, camera=CAMERA, verify=True)
    assert first.position is not None and first.position.metres_to(position(240, 200)) < 2
    assert second.position is not None and second.position.metres_to(position(840, 200)) < 2
    for told, under in (((first,), one), ((second,), other), ((first, second, second), other)):
        assert atlas.rows.group_under([fix.position for fix in told]) == str(under)
    assert atlas.rows.group_under([]) == str(one)


def test_tiles_that_are_left_out_have_no_landmarks(map_atlas: Atlas) -> None:
    verifier = Verifier.of(map_atlas)
    features = FrameFeatures(frame(240, 200, 30.0, 150, 150))
    at = project(np.array([[position(240, 200).lat, position(240, 200).lon]]), ZONE)[0]

    def best(without: np.ndarray | None) -> Guess:
        return verifier.guesses(features, [150.0], without)[0]

    assert math.dist(best(None).point, at) < 15 and best(None).votes > 60
    apart_m = np.hypot(*(project(map_atlas.rows.latlons, ZONE) - at).T)
    without = np.flatnonzero(apart_m <= 150)
    assert math.dist(best(without).point, at) > 15 or best(without).votes < 20
    assert best(without).votes < best(None).votes / 4


def test_ground_too_large_is_verified_without_landmarks(
    map_atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CHUNKS", 0)
    verifier = Verifier.of(map_atlas)
    assert verifier.landmarks is None
    assert verifier.guesses(FrameFeatures(frame(240, 200, 30.0, 150, 150)), [150.0]) == []
    path = write_frame(tmp_path / "frame.jpg", 240, 200, 30.0)
    fix = locate([path], map_atlas, camera=CAMERA, verify=True)[0]
    assert fix.position is not None and fix.position.metres_to(position(240, 200)) < 2


def test_the_ground_is_looked_at_once_with_progress(grid_run: Run, tmp_path: Path) -> None:
    atlas = index_maps([write_map(tmp_path)], grid_run, tmp_path / "atlas", scales_m=[SIDE_M]).atlas
    steps: list[tuple[int, int]] = []
    look_at_maps(atlas, near=Near(Position(0.0, 0.0), 10.0), progress=lambda *step: steps.append(step))
    assert not steps  # none of the map lies there
    look_at_maps(atlas, progress=lambda *step: steps.append(step))
    files = list((tmp_path / "atlas" / FEATURES).rglob("*.safetensors"))
    assert steps == [(done, len(files)) for done in range(1, len(files) + 1)] and files
    look_at_maps(Atlas.open(tmp_path / "atlas"), progress=lambda *_: pytest.fail("looked at again"))


def test_features_go_with_their_map(grid_run: Run, tmp_path: Path) -> None:
    path = write_map(tmp_path)
    atlas = index_maps([path], grid_run, tmp_path / "atlas", scales_m=[SIDE_M]).atlas
    look_at_maps(atlas)
    (before,) = (tmp_path / "atlas" / FEATURES).iterdir()
    path.write_bytes(save_png(blotches(3)))
    renewed = index_maps([path], grid_run, tmp_path / "atlas", scales_m=[SIDE_M]).atlas
    assert not before.exists()
    look_at_maps(renewed)
    (after,) = (tmp_path / "atlas" / FEATURES).iterdir()
    assert after != before
    renewed.compact()
    assert after.exists()


def test_atlases_of_photos_have_no_ground(street_atlas: Path) -> None:
    look_at_maps(Atlas.open(street_atlas), progress=lambda *_: pytest.fail("nothing to look at"))
