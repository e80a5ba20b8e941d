"""Places verified on the map: what is matched, what is seen, and what locate and calibrate make of it."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from commands import called
from conftest import hide
from geofix.atlas.calibration import Calibration
from geofix.atlas.spots import PLACES, VERIFIED_METHOD, Found, Spot
from geofix.atlas.store import METHODS, Atlas
from geofix.atlas.verify import verify as verify_atlas
from geofix.calibrate import on_photos
from geofix.cli import run
from geofix.data.maps.source import Window
from geofix.data.truth import own_positions
from geofix.errors import DataError, MissingExtraError, UsageError
from geofix.frames.calibrate import ask, learned_on
from geofix.frames.local_features import LocalFeatures, features_of
from geofix.frames.locate import Place, searched_tiles
from geofix.frames.looks import Camera
from geofix.frames.map_features import BLOCK_PX, CHUNK
from geofix.frames.verify import FrameFeatures, Hint, Seen, Verifier, agreement, best_of, matched, seen_at
from geofix.index_maps import VERIFIED_FRAMES, frames_calibration, index_maps
from geofix.locate import locate, locate_flight
from geofix.models.runs import Run, load_run
from geofix.photos import Photo, read_pixels
from geofix.positions import Position, grid_convergence_deg
from toy_flights import CAMERA, NORTH_M, SIDE_M, WEST_M, ZONE, frame, indexed_map, position, write_frame, write_map

pytest.importorskip("cv2", reason="the verify extra is not installed")


@pytest.fixture(scope="module")
def map_atlas(grid_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return indexed_map(grid_run, tmp_path_factory.mktemp("maps"))


def spot(column: float, row: float, heading_deg: float) -> Spot:
    """A spot at a pixel of the toy map."""
    return Spot(position(column, row), heading_deg, ZONE, np.array([0]), 1.0, 1.0, 0.1, 5.0)


def looked(
    verifier: Verifier, pixels: np.ndarray, spots: list[Spot], tiles: tuple[str, ...], widths_m: list[float]
) -> list[Seen]:
    hints = [Hint(one, tile, width_m) for one, tile, width_m in zip(spots, tiles, widths_m, strict=True)]
    return seen_at(verifier, FrameFeatures(pixels), hints)


def frame_features(pixels: np.ndarray, width_m: float, unit_m: float) -> LocalFeatures:
    return FrameFeatures(pixels).of(width_m, unit_m)


# --- matching


def scattered(count: int, seed: int) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    kinds = np.random.default_rng(9).integers(0, 256, (6, 128))  # few kinds, so that many are alike
    descriptors = kinds[rng.integers(6, size=count)] + rng.integers(0, 3, (count, 128))
    return LocalFeatures(
        rng.uniform(-30, 30, (count, 2)),
        rng.choice([2.0, 2.5, 4.0], count),
        rng.choice([0.0, 15.0, 100.0, 350.0], count),
        np.clip(descriptors, 0, 255).astype(np.uint8),
    )


def naive_pairs(frame_: LocalFeatures, there: LocalFeatures, heading: float, off: float) -> set[tuple[int, int]]:
    angle = math.radians(heading)
    ours, theirs = frame_.roots().astype(float), there.roots().astype(float)

    def may(i: int, j: int) -> bool:
        x, y = frame_.points[i]
        right, down = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
        if max(abs(right - there.points[j, 0]), abs(down - there.points[j, 1])) > off:
            return False
        turned = (there.angles_deg[j] - frame_.angles_deg[i] - heading) % 360
        ratio = there.widths[j] / frame_.widths[i]
        return min(turned, 360 - turned) <= 20 and 1 / 1.35 <= ratio <= 1.35

    alike = {(i, j): ours[i] @ theirs[j] for i in range(len(frame_)) for j in range(len(there)) if may(i, j)}
    best_here = {i: max((a, -j) for (k, j), a in alike.items() if k == i) for i in {i for i, _ in alike}}
    best_there = {j: max((a, -i) for (i, k), a in alike.items() if k == j) for j in {j for _, j in alike}}
    return {(i, j) for i, j in alike if best_here[i][1] == -j and best_there[j][1] == -i}


@pytest.mark.parametrize(("heading", "seed"), [(0.0, 0), (15.0, 1), (100.0, 2), (350.0, 3)])
def test_matching_against_a_naive_loop(heading: float, seed: int) -> None:
    one, other = scattered(25, seed), scattered(40, seed + 10)
    expected = naive_pairs(one, other, heading, 20.0)
    assert expected and {tuple(pair) for pair in matched(one, other, heading, 20.0).tolist()} == expected


def test_nothing_to_match() -> None:
    none = LocalFeatures.none()
    for one, other in ((none, scattered(5, 0)), (scattered(5, 0), none), (none, none)):
        assert matched(one, other, 0.0, 20.0).shape == (0, 2)


# --- agreement


def naive_agreement(look: np.ndarray, ground: np.ndarray) -> float:
    told = []
    for layer in (lambda p: sum(p) / 3, lambda p: p[0] - p[1], lambda p: p[2] - p[1]):
        cells = []
        for square in (look.astype(float), ground.astype(float)):
            cells.append(
                [
                    np.mean([layer(square[y, x]) for y in range(4 * i, 4 * i + 4) for x in range(4 * j, 4 * j + 4)])
                    for i in range(16)
                    for j in range(16)
                ]
            )
        told.append(float(np.corrcoef(cells[0], cells[1])[0, 1]))
    return min(told)


def test_agreement_against_a_naive_loop() -> None:
    one = frame(240, 240, 0.0, 64, 64)
    moved = frame(250, 236, 0.0, 64, 64)
    assert agreement(one, moved) == pytest.approx(naive_agreement(one, moved), abs=1e-9)
    assert agreement(one, one) == pytest.approx(1.0)


def test_colours_that_disagree_count() -> None:
    """One shape in other colours: brightness alone would agree wholly."""
    shape = frame(240, 240, 0.0, 64, 64)[..., :1] // 2
    yellow, blue = (np.concatenate([shape * a, shape * b, shape * c], axis=2) for a, b, c in ((2, 2, 1), (1, 1, 2)))
    assert agreement(yellow, yellow) == pytest.approx(1.0) and agreement(yellow, blue) < -0.9


def test_what_has_no_contrast_is_not_compared() -> None:
    grey = np.repeat(frame(240, 240, 0.0, 64, 64)[..., :1], 3, axis=2)
    assert agreement(grey, frame(240, 240, 0.0, 64, 64)) > 0
    flat = np.full((64, 64, 3), 100, dtype=np.uint8)
    assert agreement(flat, grey) == 0.0


def seen(inliers: int, alike: float) -> Seen:
    return Seen(Position(60.0, 10.0), 0.0, ZONE, 150.0, 100, inliers, alike)


def test_the_best_place_is_the_one_the_map_speaks_for() -> None:
    assert best_of([seen(5, 0.0), seen(20, 0.5), seen(30, 0.2)]) == 1
    assert best_of([seen(5, 0.0), seen(40, -0.3)]) == 0
    assert best_of([seen(5, 0.0), seen(40, -0.3), seen(3, 0.0)], likeliest=2) == 2  # none: the likeliest by its tiles
    assert seen(20, 0.5).support == 10 and seen(40, -0.3).support == 0
    assert seen(20, 0.5).evidence == (math.log(21), 0.5)


# --- the map


def test_features_around_a_point_are_those_of_the_map(map_atlas: Atlas) -> None:
    """Across the borders of blocks, too, and in metres east and south of the point."""
    verifier = Verifier.of(map_atlas)
    aerial = verifier.map_of(map_atlas.rows.paths[0])
    ground = verifier.features_of(aerial)
    assert ground.unit_m == aerial.metres_per_pixel == pytest.approx(1.0, abs=1e-3)
    edge = np.ceil(WEST_M / BLOCK_PX) * BLOCK_PX  # between two columns of blocks
    point = np.array([edge, NORTH_M - 240])
    around = ground.around(point, 60.0)
    assert (np.abs(around.points) <= 60).all() and (around.points[:, 0] < 0).any() and (around.points[:, 0] > 0).any()
    pixels = aerial.read(Window(float(point[0]), float(point[1]), 200.0, 200))
    assert pixels is not None
    whole = features_of(pixels, 2000).measured(np.full(2, 100.0), 1.0)
    near = [np.hypot(*(whole.points - one).T).min() for one in around.points]
    assert len(near) > 30 and np.mean(np.array(near) < 0.5) > 0.9


@pytest.mark.parametrize("heading", [0.0, 95.0, 222.0])
@pytest.mark.parametrize(("off", "turn"), [((0, 0), 0), ((18, -15), 7)])
def test_a_place_is_seen_to_a_pixel(map_atlas: Atlas, heading: float, off: tuple[int, int], turn: float) -> None:
    pixels = frame(240, 250, heading, 150, 150)
    guess = spot(240 + off[0], 250 + off[1], heading + turn)
    one = looked(Verifier.of(map_atlas), pixels, [guess], map_atlas.rows.paths[:1], [150.0])[0]
    assert one.position.metres_to(position(240, 250)) < 1.5
    assert abs((one.heading_deg - heading + 180) % 360 - 180) < 1
    assert one.inliers > 25 and one.agreement > 0.8 and one.zone == ZONE
    assert one.width_m == pytest.approx(150, rel=0.01)


def test_a_wrong_place_stays_as_it_was(map_atlas: Atlas) -> None:
    pixels = frame(150, 150, 30.0, 150, 150)
    guesses = [spot(320, 320, 30.0), spot(150, 150, 120.0), spot(150, 150, 30.0)]
    wrong, turned, right = looked(Verifier.of(map_atlas), pixels, guesses, map_atlas.rows.paths[:3], [150.0] * 3)
    assert wrong.support < 5 and turned.support < 5 and right.support > 20
    assert best_of([wrong, turned, right]) == 2
    blank = np.full((150, 150, 3), 100, dtype=np.uint8)
    none = looked(Verifier.of(map_atlas), blank, guesses[:1], map_atlas.rows.paths[:1], [150.0])[0]
    assert (none.matched, none.inliers, none.agreement) == (0, 0, 0.0)
    assert none.position == guesses[0].position and none.heading_deg == 30.0


def test_a_frame_finer_than_the_map_is_made_as_coarse() -> None:
    pixels = np.repeat(np.repeat(frame(240, 240, 0.0, 120, 90), 3, axis=0), 3, axis=1)
    fine, plain = frame_features(pixels, 120.0, 1.0), frame_features(frame(240, 240, 0.0, 120, 90), 120.0, 1.0)
    assert len(fine) == pytest.approx(len(plain), rel=0.2)
    assert np.abs(fine.points).max() <= 60 and np.abs(fine.points[:, 1]).max() <= 45
    # A coarser one is left as it is: what it does not show cannot be had.
    assert len(frame_features(frame(240, 240, 0.0, 120, 90), 480.0, 1.0)) == len(plain)


def test_a_frame_wider_than_the_map_is_looked_at_in_its_middle(map_atlas: Atlas) -> None:
    verifier = Verifier.of(map_atlas)
    pixels = frame(240, 250, 0.0, 150, 150)
    one = looked(verifier, pixels, [spot(240, 250, 0.0)], map_atlas.rows.paths[:1], [200_000.0])[0]
    chunks = verifier.features_of(verifier.map_of(map_atlas.rows.paths[0]))._chunks
    assert one.support == 0 and len(chunks) <= (2 * 8 * SIDE_M / BLOCK_PX / CHUNK + 2) ** 2


# --- answers


def test_what_the_map_does_not_speak_for_stays_where_the_tiles_have_it() -> None:
    guess, found = spot(200, 200, 30.0), Found(np.array([3, 4]), np.array([0.1, 0.2], dtype=np.float32), np.zeros(2))
    place = Place.verified(guess, seen(9, -0.2), found)
    assert (place.position, place.heading_deg, place.radius_m) == (guess.position, 30.0, guess.spread_m)
    assert place.order == 0 and place.found is found and place.evidence == (math.log(10), -0.2, 1.0, 1.0, 0.1)
    told = Place.verified(guess, seen(40, 0.5), found)
    assert told.position == seen(40, 0.5).position and told.order == 0.5 and told.radius_m == 5
    assert told.found.tiles.tolist() == [3]  # the spot's own


@pytest.mark.parametrize("camera", [CAMERA, None])
def test_locate_verified(map_atlas: Atlas, tmp_path: Path, camera: Camera | None) -> None:
    where = [(200, 250, 0.0), (310, 180, 95.0), (150, 300, 222.0)]
    paths = [write_frame(tmp_path / f"{number}.jpg", *one) for number, one in enumerate(where)]
    plain = locate(paths, map_atlas, camera=camera, min_confidence=0.0)
    fixes = locate(paths, map_atlas, camera=camera, verify=True)
    for (column, row, heading), fix, before in zip(where, fixes, plain, strict=True):
        there = position(column, row)
        assert fix.position is not None and before.position is not None and not fix.calibrated
        assert fix.position.metres_to(there) < 2 and fix.radius_m == 5
        turned = fix.heading_deg - heading - grid_convergence_deg(there, ZONE) if fix.heading_deg is not None else 180
        assert abs((turned + 180) % 360 - 180) < 1
        assert fix.confidence > before.confidence or fix.confidence > 0.6


@pytest.mark.parametrize(("convincing", "looked_at"), [(0, [3]), (4, [3, 3]), (99, [3, 3, 3])])
def test_further_places_are_looked_at_until_the_map_speaks_for_one(
    map_atlas: Atlas,
    grid_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    convincing: int,
    looked_at: list[int],
) -> None:
    rounds: list[int] = []

    def counted(verifier: object, pixels: object, hints: list[Hint]) -> list[Seen]:
        first = sum(rounds)
        if hints:
            rounds.append(len(hints))
        return [
            replace(seen(60, 0.9 if first + number == convincing else 0.01), position=one.spot.position)
            for number, one in enumerate(hints)
        ]

    monkeypatch.setattr("geofix.frames.locate.seen_at", counted)
    monkeypatch.setattr(Verifier, "guesses", lambda *_: [])  # landmarks would point there at once
    monkeypatch.setattr("geofix.frames.locate.PLACES", 3)
    path = write_frame(tmp_path / "frame.jpg", 200, 250, 0.0)
    searched = searched_tiles(grid_run, map_atlas.rows, CAMERA, verifier=Verifier.of(map_atlas))
    pixels = read_pixels(path)
    looks = searched.looks(*pixels.shape[:2])
    found = searched.found(searched.described(pixels, looks), looks)
    assert len(found.tiles) > 40
    place = searched.place(pixels, found)
    assert rounds == looked_at
    assert place.evidence[1] == (0.01 if convincing == 99 else 0.9)


def test_a_frame_of_another_map_cannot_be_told(map_atlas: Atlas, tmp_path: Path) -> None:
    path = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0, seed=1)
    fix = locate([path], map_atlas, camera=CAMERA, verify=True)[0]
    assert fix.position is None and fix.reason is not None
    assert fix.reason.startswith("can't tell, perhaps not on this map: only ")
    assert " local features lie on the map as they do in the frame (confidence 0." in fix.reason
    assert len(fix.matches) == 20  # what was looked at is named all the same


def test_a_verified_track(map_atlas: Atlas, tmp_path: Path) -> None:
    way = [(180 + 12 * step, 200 + 8 * step) for step in range(6)]
    paths = [write_frame(tmp_path / f"{step}.jpg", *where, 124.0) for step, where in enumerate(way)]
    flown = locate_flight(paths, map_atlas, camera=CAMERA, verify=True)
    for where, alone, smoothed in zip(way, flown.alone, flown.fixes, strict=True):
        assert alone.position is not None and alone.position.metres_to(position(*where)) < 2
        assert smoothed.position == alone.position and smoothed.radius_m == alone.radius_m
        assert smoothed.confidence > alone.confidence and not smoothed.calibrated


# --- calibration


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("frames")
    paths = [
        write_frame(folder / f"{number}.jpg", *rng.uniform(100, 380, 2), float(rng.uniform(0, 360)))
        for number in range(42)
    ]
    truth = own_positions(paths)
    return [Photo(path.name, path, truth[str(path)]) for path in paths]


SEEN_BY = ["--altitude", "100", "--fov", "73.74", "--verify"]


@pytest.fixture(scope="module")
def calibrated(map_atlas: Atlas, frames: list[Photo], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An atlas that learned on all the frames by the command, and what that said."""
    folder = Path(shutil.copytree(map_atlas.folder, tmp_path_factory.mktemp("calibrated") / "atlas"))
    with redirect_stdout(StringIO()) as out:
        assert run(["atlas", "calibrate", str(folder), str(frames[0].path.parent), *SEEN_BY]) == 0
    return folder, out.getvalue()


@pytest.fixture(scope="module")
def learned(calibrated: tuple[Path, str]) -> Calibration:
    found = Atlas.open(calibrated[0]).calibration_of(verified=True)
    assert found is not None
    return found


def test_verified_answers_have_a_calibration_of_their_own(
    map_atlas: Atlas, frames: list[Photo], learned: Calibration, tmp_path: Path
) -> None:
    assert learned.method == VERIFIED_METHOD and len(learned.weights) == 5 and str(PLACES) in VERIFIED_METHOD
    assert learned.weights[0] + learned.weights[1] > 0
    folder = Path(shutil.copytree(map_atlas.folder, tmp_path / "atlas"))
    assert Atlas.open(folder).calibration_of(verified=True) is None
    Atlas.open(folder).set_calibration(learned, verified=True)
    opened = Atlas.open(folder)
    assert opened.calibration_of(verified=True) == learned and opened.calibration is None
    verified, plain = (locate([frames[0].path], opened, camera=CAMERA, verify=verify)[0] for verify in (True, False))
    assert verified.calibrated and verified.confidence > 0.8 and not plain.calibrated
    strange = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0, seed=1)
    assert locate([strange], opened, camera=CAMERA, verify=True)[0].position is None
    # What was learned on other contents goes with them, whichever kind it is.
    opened.remove([opened.rows.paths[0]])
    assert opened.calibration_of(verified=True) is None
    assert "verified_calibration" in opened.manifest and opened.manifest["verified_calibration"] is None


def test_a_calibration_of_another_verification_is_not_used(map_atlas: Atlas, learned: Calibration) -> None:
    map_atlas.set_calibration(replace(learned, method=METHODS["tiles"]), verified=True)
    assert Atlas.open(map_atlas.folder).calibration_of(verified=True) is None
    map_atlas.set_calibration(None, verified=True)


def test_a_damaged_one_is_named(map_atlas: Atlas, learned: Calibration, tmp_path: Path) -> None:
    atlas = Atlas.open(Path(shutil.copytree(map_atlas.folder, tmp_path / "atlas")))
    atlas.set_calibration(replace(learned, weights=(1.0,)), verified=True)
    [problem] = verify_atlas(atlas)
    assert str(problem).startswith("The calibration in atlas.json is damaged (its lists differ in length); run ")


def test_strangers_are_never_seen_where_they_are(map_atlas: Atlas, frames: list[Photo]) -> None:
    """Tiles that show the place are taken out, and the map around others must not bring it back."""
    searched = searched_tiles(map_atlas.run(), map_atlas.rows, CAMERA, verifier=Verifier.of(map_atlas))
    asked = ask(searched, frames[:10])
    assert asked.evidence.shape == (10, 5) and asked.strangers.shape[1] == 5 == searched.evidence_length
    assert asked.errors_m.max() < 2
    assert np.expm1(asked.strangers[:, 0]).max() < np.expm1(asked.evidence[:, 0]).min()
    nothing = ask(searched, [])
    assert nothing.evidence.shape == (0, 5) == nothing.strangers.shape
    assert learned_on(asked, SIDE_M, "few", verified=True) is None


def test_an_encoder_may_bring_both_calibrations(grid_run: Run, learned: Calibration, tmp_path: Path) -> None:
    assert frames_calibration(grid_run, verified=True) is None
    shutil.copytree(grid_run.folder, tmp_path / "run")
    (tmp_path / "run" / VERIFIED_FRAMES).write_text(json.dumps(learned.to_dict()), encoding="utf-8")
    run = load_run(tmp_path / "run")
    path = write_map(tmp_path)

    def brought(ce90_m: float | None) -> Calibration | None:
        return index_maps([path], run, tmp_path / "atlas", scales_m=[SIDE_M], ce90_m=ce90_m).atlas.calibration_of(True)

    assert brought(0.0) == learned
    assert brought(None) == learned.widened(5.0)  # this map says nothing of its accuracy
    assert brought(3.0) == learned.widened(3.0)
    atlas = Atlas.open(tmp_path / "atlas")
    assert atlas.calibration is None and atlas.ce90_m == 3
    own = replace(learned, source="frames of mine")
    atlas.set_calibration(own, verified=True)
    assert brought(8.0) == own  # what was learned on the atlas itself knows what its maps are off by


# --- commands


def test_the_commands(calibrated: tuple[Path, str], frames: list[Photo], capsys: pytest.CaptureFixture[str]) -> None:
    folder, said = calibrated
    assert "calibrated on 42 of frames with known positions, 100.0% of them found within 50 m" in said
    status, out, _ = called(capsys, "atlas", "info", folder)
    assert "\ncalibration: none" in out and "\ncalibration with --verify: on 42 of frames" in out
    status, out, _ = called(capsys, "locate", frames[0].path, "--atlas", folder, "--json", *SEEN_BY)
    [fix] = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and fix["calibrated"] and 0 < fix["radius_m"] < 1  # as learned here
    status, out, _ = called(capsys, "locate", frames[0].path, "--atlas", folder, "--track", "--json", *SEEN_BY)
    assert status == 0 and json.loads(out)["position"] is not None


# --- what cannot be


def test_verifying_needs_its_extra(map_atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0)
    hide(monkeypatch, "cv2")
    with pytest.raises(MissingExtraError, match=r"Verifying places on a map needs .* pip install 'geofix\[verify\]'"):
        locate([path], map_atlas, verify=True)


def test_photos_are_not_verified(street_atlas: Path, tmp_path: Path) -> None:
    path = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0)
    for verb in (lambda atlas: locate([path], atlas, verify=True), lambda atlas: on_photos(atlas, [], verify=True)):
        with pytest.raises(UsageError, match="holds photos; places are verified on maps from the air only."):
            verb(Atlas.open(street_atlas))


def test_a_map_that_is_gone(grid_run: Run, tmp_path: Path) -> None:
    aerial = write_map(tmp_path / "map")
    atlas = index_maps([aerial], grid_run, tmp_path / "atlas", scales_m=[SIDE_M]).atlas
    path = write_frame(tmp_path / "frame.jpg", 200, 200, 0.0)
    aerial.unlink()
    with pytest.raises(DataError, match="ortho.png does not exist; known maps are"):
        locate([path], atlas, verify=True)
    assert locate([path], atlas, min_confidence=0.0)[0].position is not None
