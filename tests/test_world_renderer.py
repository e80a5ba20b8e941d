"""The renderer against a naive ray loop, its textures' anchoring, and what day and night look like."""

import math
import subprocess
import sys

import numpy as np
import pytest

from geofix.errors import UsageError
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.geometry.town import FRONT, Town, build_town, roof_profile
from geofix.world.renderer.facades import PIXELS_PER_M, painted
from geofix.world.renderer.frame import Frame
from geofix.world.renderer.street import Camera, drawn, render
from geofix.world.renderer.walls import facade_style, paint_walls


@pytest.fixture(scope="module")
def town() -> Town:
    return build_town(6, 0)


def camera_at(town: Town, spot: int, offset_deg: float = 40, **more: float) -> Camera:
    east, north = town.spots.points[spot]
    heading = float(town.spots.bearing_deg[spot] + offset_deg) % 360
    return Camera(float(east), float(north), heading_deg=heading, **{"width": 48, "height": 36, **more})


def outline(town: Town, wall: int, along: float) -> float:
    kind, chimney = np.array(town.walls.roof[wall]), np.array(town.walls.chimney[wall])
    rise = float(roof_profile(kind, np.array([along]), chimney)[0])
    return float(town.walls.eave_m[wall] + town.walls.roof_m[wall] * rise)


def first_wall(town: Town, camera: Camera, column: int, row: int) -> tuple[int, float, float, float]:
    """Wall, metres along it, height and depth of the first wall on one pixel's ray; (-1, 0, 0, inf) if none."""
    heading = math.radians(camera.heading_deg)
    across = (column + 0.5 - camera.width / 2) / camera.focal
    east, north = (
        math.sin(heading) + math.cos(heading) * across,
        math.cos(heading) - math.sin(heading) * across,
    )
    slope = (camera.horizon - row - 0.5) / camera.focal
    found = (-1, 0.0, 0.0, math.inf)
    for wall, (e0, n0, e1, n1) in enumerate(town.walls.lines.tolist()):
        x, y, run_x, run_y = e0 - camera.easting_m, n0 - camera.northing_m, e1 - e0, n1 - n0
        turn = north * run_x - east * run_y
        if x * run_y - y * run_x >= 0 or turn == 0:  # seen from behind, or edge-on
            continue
        along, depth = (x * -north + y * east) / turn, (y * run_x - x * run_y) / turn
        height = camera.height_m + slope * depth
        if depth > 0.3 and 0 <= along <= 1 and depth < found[3] and 0 <= height < outline(town, wall, along):
            found = (wall, along * math.hypot(run_x, run_y), height, depth)
    return found


def test_every_pixel_shows_the_first_wall_on_its_ray_at_the_right_depth(town: Town) -> None:
    camera = camera_at(town, 3, width=24, height=18)
    frame = Frame(camera)
    paint_walls(frame, town, Conditions(), 180.0, 0.5)
    depth = [[first_wall(town, camera, column, row)[3] for column in range(24)] for row in range(18)]
    naive = np.where(np.array(depth) < 110, depth, np.inf)
    shown = np.where(frame.depth_m < 110, frame.depth_m, np.inf)
    assert np.isfinite(naive).mean() > 0.4
    same = np.isclose(shown, naive, rtol=1e-3) | (np.isinf(shown) & np.isinf(naive))
    assert same.mean() > 0.985  # rounding may differ on an outline


def test_a_facade_point_shows_at_the_pixel_it_projects_to(town: Town) -> None:
    camera = camera_at(town, 3, width=320, height=240)
    frame = Frame(camera)
    paint_walls(frame, town, Conditions(), 180.0, 0.5)
    shown, expected = [], []
    for row in range(10, 200, 9):
        for column in range(5, 320, 9):
            wall, along, height, depth = first_wall(town, camera, column, row)
            if wall < 0 or depth > 20:
                continue
            texture = painted(facade_style(town, wall, Conditions()))[..., :3].astype(float)
            u, v = int(along * PIXELS_PER_M), int(height * PIXELS_PER_M)
            expected.append(texture[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2].mean(axis=(0, 1)))
            shown.append(frame.colours[row, column, :3].astype(float))
    misses = np.abs(np.array(shown) - np.array(expected)).max(axis=1)
    assert len(misses) > 200
    assert np.median(misses) < 3.5
    assert (misses < 40).mean() > 0.86


def test_two_views_agree_on_a_facade(town: Town) -> None:
    """A wall point seen from two places 4 m apart has about the same colour in both."""
    first = camera_at(town, 3, 60, width=160, height=120)
    heading = np.deg2rad(town.spots.bearing_deg[3])
    second = Camera(
        first.easting_m + 4 * np.sin(heading), first.northing_m + 4 * np.cos(heading), heading_deg=first.heading_deg,
        width=160, height=120,
    )  # fmt: skip
    frames = [Frame(first), Frame(second)]
    for frame in frames:
        paint_walls(frame, town, Conditions(), 180.0, 0.5)
    pairs = []
    for row, column in [(r, c) for r in range(20, 70, 4) for c in range(10, 150, 6)]:
        wall, along, height, depth = first_wall(town, first, column, row)
        if wall < 0 or depth > 30:
            continue
        start, end = town.walls.lines[wall, :2], town.walls.lines[wall, 2:]
        point = start + (end - start) * along / np.hypot(*(end - start))
        right, ahead = frames[1].seen(point[None])
        there = int(second.focal * right[0] / ahead[0] + 80)
        low = int(second.horizon - second.focal * (height - second.height_m) / ahead[0])
        inside = ahead[0] > 1 and 0 <= there < 160 and 0 <= low < 120
        if inside and abs(frames[1].depth_m[low, there] - ahead[0]) < 0.3:
            pairs.append((frames[0].colours[row, column, :3], frames[1].colours[low, there, :3]))
    one, two = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assert len(pairs) > 40
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.8


def test_night_is_darker_but_its_lit_windows_outshine_its_walls(town: Town) -> None:
    camera = camera_at(town, 3, width=160, height=120)
    clear = {"noise": 0.0, "occlusion": 0.0}
    day = render(town, camera, Conditions(**clear), 0).astype(float)
    night = render(town, camera, Conditions(night=1.0, **clear), 0).astype(float)
    streams = [np.random.default_rng(part) for part in (0, 1)]
    glow = drawn(town, camera, Conditions(**clear), *streams).colours[..., 3]
    assert night.mean() < 0.5 * day.mean()
    assert (glow > 150).sum() > 50
    assert night[glow > 150].mean() > 3 * night[glow == 0].mean()


def test_the_sky_is_above_the_ground_below_and_both_are_plausible(town: Town) -> None:
    frame = drawn(town, camera_at(town, 2, 0), Conditions(), *map(np.random.default_rng, (0, 1)))
    sky, ground = np.isinf(frame.depth_m), frame.depth_m[-1]
    assert sky[0].any() and not sky[-1].any()
    assert ground == pytest.approx(-1.7 / frame.slopes[-1], rel=1e-3)
    red, green, blue = frame.colours[sky][:, :3].mean(axis=0)
    assert blue > green > red


def test_occlusion_puts_things_before_the_walls(town: Town) -> None:
    camera = camera_at(town, 3, 0, width=160, height=120)
    bare, full = (
        drawn(town, camera, Conditions(occlusion=amount), *map(np.random.default_rng, (0, 1))) for amount in (0.0, 1.0)
    )
    assert (full.depth_m <= bare.depth_m + 1e-5).all()
    assert (full.depth_m < bare.depth_m - 0.2).mean() > 0.02


def test_the_seed_changes_what_passes_but_never_the_houses(town: Town) -> None:
    camera = camera_at(town, 3)
    frames = [
        drawn(town, camera, Conditions(), np.random.default_rng(seed), np.random.default_rng(seed)) for seed in (1, 2)
    ]
    solid = np.isfinite(frames[0].depth_m)
    assert np.array_equal(frames[0].colours[solid], frames[1].colours[solid])
    assert not np.array_equal(*(render(town, camera, DAY, seed) for seed in (1, 2)))


def test_houses_differ() -> None:
    town = build_town(6, 0)
    fronts = np.flatnonzero(town.walls.role == FRONT)[:30]
    means = np.array(
        [painted(facade_style(town, int(wall), Conditions()))[..., :3].mean(axis=(0, 1)) for wall in fronts]
    )
    apart = np.abs(means[:, None] - means[None]).max(axis=2)[np.triu_indices(len(means), 1)]
    assert np.median(apart) > 20


def test_pixels_have_the_cameras_size_and_repeat_in_another_process(town: Town) -> None:
    camera = camera_at(town, 1, 140, width=40, height=30)
    pixels = render(town, camera, NIGHT, 9)
    assert (pixels.shape, pixels.dtype) == ((30, 40, 3), np.uint8)
    code = (
        "import sys; from geofix.world.geometry.town import build_town\n"
        "from geofix.world.renderer.street import Camera, render\n"
        "from geofix.world.conditions import NIGHT\n"
        f"sys.stdout.buffer.write(render(build_town(6, 0), {camera!r}, NIGHT, 9).tobytes())\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == pixels.tobytes()


def test_cameras_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(UsageError, match=r"field of view of 3.* choose 10..140"):
        Camera(0.0, 0.0, hfov_deg=3.0)
    with pytest.raises(UsageError, match="8x240 pixels"):
        Camera(0.0, 0.0, width=8)
