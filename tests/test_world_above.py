"""The town from above: cameras and the depth buffer against naive loops, closed houses, conditions, refusals."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from geofix.errors import UsageError
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import FLAT, TILED, Town, build_region, build_town
from geofix.world.renderer import above
from geofix.world.renderer.above import DroneCamera, MapCamera, Sun, drawn_above, render_above
from geofix.world.renderer.aerial.fields import fields_of
from geofix.world.renderer.aerial.land import footprint, land, places_of
from geofix.world.renderer.aerial.patches import FULL, PEAKED, STEPPED_UP, Patches, patches
from geofix.world.renderer.aerial.shadows import thrown
from geofix.world.renderer.aerial.skins import Plain, WallSkin, averaged, texture
from geofix.world.renderer.aerial.solids import Houses, solid_town
from geofix.world.renderer.aerial.visibility import nearest
from geofix.world.renderer.aerial.yards import yards_of
from geofix.world.renderer.facades import PIXELS_PER_M, painted
from geofix.world.renderer.walls import facade_style

CLEAR = Conditions()


@pytest.fixture(scope="module")
def town() -> Town:
    return build_town(6, 0)


@pytest.fixture(scope="module")
def solids(town: Town) -> Patches:
    return solid_town(town, CLEAR)


def middle(town: Town) -> np.ndarray:
    return town.spots.points[town.spots.quarter == 2].mean(axis=0)


def drone(town: Town, heading_deg: float = 30.0, pitch_deg: float = 55.0, **more: float) -> DroneCamera:
    """A drone 70 m up that looks at the middle of the test quarter, where its pitch allows."""
    height = float(more.pop("height_m", 70.0))
    back = height / math.tan(math.radians(pitch_deg))
    east, north = middle(town)
    heading = math.radians(heading_deg)
    at = east - back * math.sin(heading), north - back * math.cos(heading)
    return DroneCamera(
        *(float(part) for part in (*at, height, heading_deg, pitch_deg)), **{"width": 96, "height": 72, **more}
    )


def pinhole(camera: DroneCamera, east: float, north: float, height: float) -> tuple[float, float, float]:
    """One point through the camera, step by step: turn by the heading, tilt by the pitch, divide by the depth."""
    x, y, z = east - camera.easting_m, north - camera.northing_m, height - camera.height_m
    heading, pitch = math.radians(camera.heading_deg), math.radians(camera.pitch_deg)
    right = x * math.cos(heading) - y * math.sin(heading)
    forward = x * math.sin(heading) + y * math.cos(heading)
    depth = forward * math.cos(pitch) - z * math.sin(pitch)
    down = -(forward * math.sin(pitch) + z * math.cos(pitch))
    focal = camera.width / (2 * math.tan(math.radians(camera.hfov_deg / 2)))
    return camera.width / 2 + focal * right / depth, camera.height / 2 + focal * down / depth, depth


def first_patch(made: Patches, camera: DroneCamera, column: int, row: int) -> tuple[int, float]:
    """The first patch on one pixel's ray and its depth, patch by patch; (-1, inf) if there is none."""
    heading, pitch = math.radians(camera.heading_deg), math.radians(camera.pitch_deg)
    across, down = (
        (at + 0.5 - size / 2) / camera.focal_px for at, size in ((column, camera.width), (row, camera.height))
    )
    level, up = math.cos(pitch) - down * math.sin(pitch), -math.sin(pitch) - down * math.cos(pitch)
    ray = np.array(
        [
            across * math.cos(heading) + level * math.sin(heading),
            -across * math.sin(heading) + level * math.cos(heading),
            up,
        ]
    )
    eye, found = np.array([camera.easting_m, camera.northing_m, camera.height_m]), (-1, math.inf)
    for number in range(len(made)):
        a, b = made.along[number], made.up[number]
        if (made.one_sided[number] and np.cross(a, b) @ ray >= 0) or abs(np.cross(a, b) @ ray) < 1e-9:
            continue
        u, v, depth = np.linalg.solve(np.column_stack([-a, -b, ray]), made.corner[number] - eye)
        top = {FULL: 1.0, PEAKED: 1 - abs(2 * u - 1), STEPPED_UP: min(math.floor((1 - abs(2 * u - 1)) * 5 + 1) / 5, 1)}
        shoulder = made.shoulder[number]
        high = 1.0 if made.outline[number] == FULL else shoulder + (1 - shoulder) * top[int(made.outline[number])]
        if 0 <= u <= 1 and 0 <= v <= high and 0.5 < depth < found[1]:
            found = (number, depth)
    return found


def test_a_drone_projects_points_as_a_naive_pinhole_does(town: Town) -> None:
    rng = np.random.default_rng(1)
    for heading, pitch in ((0, 90), (200, 12), (77, 45), (359, 60)):
        camera = drone(town, float(heading), float(pitch), hfov_deg=48.0)
        points = np.column_stack([middle(town) + rng.uniform(-40, 40, (50, 2)), rng.uniform(0, 15, 50)])
        for point, seen in zip(points, camera.projection().seen(points), strict=True):
            assert tuple(seen) == pytest.approx(pinhole(camera, *point), abs=1e-4)  # of eastings in the millions


def test_straight_down_the_heading_is_up_in_the_picture_and_turns_clockwise() -> None:
    camera = DroneCamera(500_000.0, 5_000_000.0, 100.0, 90.0, 90.0)
    ahead, beside = camera.projection().seen(np.array([[500_010.0, 5_000_000, 0], [500_000, 4_999_990, 0]]))
    assert tuple(ahead) == pytest.approx((128, 128 - camera.focal_px / 10, 100))
    assert tuple(beside) == pytest.approx((128 + camera.focal_px / 10, 128, 100))


def test_a_map_pixel_is_its_square_metres() -> None:
    camera = MapCamera(500_000.0, 5_000_100.0, 0.5, 64, 48)
    seen = camera.projection().seen(np.array([[500_000.25, 5_000_099.75, 0.0], [500_031.75, 5_000_076.25, 9]]))
    assert seen[:, :2] == pytest.approx(np.array([[0.5, 0.5], [63.5, 47.5]]))
    assert MapCamera.around(10.0, 20.0, 90.0, 30) == MapCamera(-35.0, 65.0, 3.0, 30, 30)


def test_the_ground_lies_where_rays_meet_it(town: Town) -> None:
    camera = drone(town, 120, 40)
    ground = land(camera.projection(), camera.height, camera.width)
    for row, column in ((0, 0), (36, 50), (71, 95)):
        east, north = (float(plane[row, column]) for plane in (ground.east_m, ground.north_m))
        point = np.array([[east + camera.easting_m, north + camera.northing_m, 0.0]])
        seen = pinhole(camera, *point[0])
        assert seen[:2] == pytest.approx((column + 0.5, row + 0.5), abs=0.01)
        assert float(ground.depth_m[row, column]) == pytest.approx(seen[2], rel=1e-5)
    there = places_of(camera.projection(), ground.depth_m)
    assert np.abs(there - [ground.east_m, ground.north_m, 0 * ground.east_m]).max() < 0.01
    around, reach = footprint(camera.projection(), camera.height, camera.width)
    assert np.hypot(*(around[0] - middle(town))) < 90
    assert 30 < reach < 200


def test_every_pixel_shows_the_first_patch_on_its_ray_at_the_right_depth(town: Town, solids: Patches) -> None:
    near = np.flatnonzero(np.hypot(*(solids.corner[:, :2] - middle(town)).T) < 60)
    made = solids.only(near)
    rng = np.random.default_rng(2)
    same, hits = 0, 0
    for heading, pitch in ((30, 55), (160, 90), (275, 25)):
        camera = drone(town, float(heading), float(pitch))
        seen = nearest(made, camera.projection(), camera.height, camera.width)
        for row, column in zip(rng.integers(72, size=60), rng.integers(96, size=60), strict=True):
            patch, depth = first_patch(made, camera, int(column), int(row))
            shown = float(seen.depth_m[row, column])
            hits += patch >= 0
            same += shown == depth or abs(shown - depth) < 1e-3 * depth
    assert hits > 80
    assert same >= 178  # of 180: rounding may differ on an outline


def test_every_pixel_of_a_patch_is_where_its_point_projects_to(town: Town, solids: Patches) -> None:
    camera = drone(town, 200, 35)
    seen = nearest(solids, camera.projection(), camera.height, camera.width)
    row, column = np.nonzero(seen.patch >= 0)
    patch = seen.patch[row, column]
    u, v = seen.along[row, column, None], seen.up[row, column, None]
    points = solids.corner[patch] + u * solids.along[patch] + v * solids.up[patch]
    back = camera.projection().seen(points)
    assert len(row) > 2000
    assert np.abs(back[:, 0] - column - 0.5).max() < 0.02
    assert np.abs(back[:, 1] - row - 0.5).max() < 0.02
    assert back[:, 2] == pytest.approx(seen.depth_m[row, column], rel=1e-4)


def test_a_wall_s_upper_corners_are_at_the_ends_of_its_pixels(town: Town, solids: Patches) -> None:
    camera = drone(town, 20.0, 40.0, width=480, height=360)
    seen = nearest(solids, camera.projection(), camera.height, camera.width)
    houses = Houses.of(town)
    checked = 0
    for house in np.flatnonzero(houses.roof != TILED):  # the overhang of a tiled roof hides the top of its front
        row, column = np.nonzero(seen.patch == 4 * house)
        front = houses.walls[house, 0]
        corners = np.column_stack([town.walls.lines[front].reshape(2, 2), np.full(2, town.walls.eave_m[front])])
        ends = np.array([pinhole(camera, *corner)[:2] for corner in corners])
        along = seen.along[row, column]
        if not len(row) or (ends < 4).any() or (ends > [476, 356]).any() or along.min() > 0.02 or along.max() < 0.98:
            continue
        away = np.hypot(column[:, None] + 0.5 - ends[:, 0], row[:, None] + 0.5 - ends[:, 1])
        assert away.min(axis=0).max() < 2
        checked += 1
    assert checked >= 8


def test_houses_are_closed_and_no_wall_is_turned_inside_out(town: Town, solids: Patches) -> None:
    """What is seen first from outside is an outside: with insides drawn too, the picture stays the same."""
    inside_too = replace(solids, one_sided=np.zeros(len(solids), dtype=bool))
    for heading, pitch in ((0, 50), (95, 30), (180, 70), (250, 90), (310, 15)):
        camera = drone(town, float(heading), float(pitch), width=192, height=144)
        outside, either = (nearest(made, camera.projection(), 144, 192).depth_m for made in (solids, inside_too))
        assert np.isfinite(outside).mean() > 0.05
        assert (np.isfinite(outside) == np.isfinite(either)).mean() > 0.998
        both = np.isfinite(outside) & np.isfinite(either)
        assert (np.abs(outside[both] - either[both]) > 0.05).mean() < 0.002


def _whole(rows: np.ndarray, columns: np.ndarray, side: int) -> bool:
    """Whether there are pixels and none of them is at the edge of the picture."""
    found = np.concatenate([rows, columns])
    return len(found) > 0 and found.min() > 2 and found.max() < side - 3


def test_straight_down_a_drone_and_a_map_agree_on_where_a_house_is(town: Town, solids: Patches) -> None:
    east, north = (float(part) for part in middle(town))
    flying = DroneCamera(east, north, 120.0, 0.0, 90.0, 60.0, 256, 256)
    chart = MapCamera.around(east, north, 120.0, 480)
    houses = Houses.of(town)
    drone_seen, map_seen = (nearest(solids, one.projection(), one.height, one.width) for one in (flying, chart))
    flat = len(town.walls.building) + np.arange(int((houses.roof == FLAT).sum()))
    found = 0
    for patch in flat:
        row, column = np.nonzero(map_seen.patch == patch)
        low, aside = np.nonzero(drone_seen.patch == patch)
        if not (_whole(row, column, 480) and _whole(low, aside, 256)):
            continue
        scale = float(drone_seen.depth_m[low, aside].mean()) / flying.focal_px
        if len(low) * scale**2 < 0.96 * len(row) * chart.metres_per_pixel**2:  # a higher neighbour hides some of it
            continue
        on_map = chart.west_m + (column.mean() + 0.5) * 0.25, chart.north_m - (row.mean() + 0.5) * 0.25
        from_drone = east + (aside.mean() + 0.5 - 128) * scale, north - (low.mean() + 0.5 - 128) * scale
        assert on_map == pytest.approx(from_drone, abs=0.15)
        found += 1
    assert found >= 8


def test_walls_wear_the_street_s_texels(town: Town) -> None:
    wall = int(np.flatnonzero(town.walls.roof == FLAT)[0])
    style = facade_style(town, wall, CLEAR)
    near = painted(style)
    top = style.eave_m + style.roof_m
    skin = texture(WallSkin(style, top)).view(np.uint8).reshape(-1, 4)
    assert np.abs(skin.mean(axis=0) - near.reshape(-1, 4).mean(axis=0)).max() < 2
    rows, columns = texture(WallSkin(style, top)).shape
    assert (rows, columns) == (round(len(near) / PIXELS_PER_M * 4), round(near.shape[1] / PIXELS_PER_M * 4))


def test_an_averaged_texture_holds_the_means_of_its_parts() -> None:
    fine = np.random.default_rng(0).integers(0, 256, (7, 10, 4), dtype=np.uint8)
    coarse = averaged(fine, 3, 4)
    rows, columns = [0, 2, 4, 7], [0, 2, 5, 7, 10]
    for row in range(3):
        for column in range(4):
            part = fine[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            assert np.abs(coarse[row, column].astype(float) - part.mean(axis=(0, 1))).max() < 2  # two roundings


def test_a_shadow_points_away_from_the_sun_and_is_as_long_as_the_sun_is_low() -> None:
    east, up = np.array([[1.0, 0, 0]]), np.array([[0.0, 0, 10]])
    pole = patches(np.zeros((1, 3)), east, up, np.zeros(1, dtype=np.int64), [Plain((0, 0, 0))])
    shadow = thrown(replace(pole, one_sided=np.array([False])), Sun(180.0, 30.0, 1.0))
    assert shadow.up[0] == pytest.approx([0, 10 / math.tan(math.radians(30)), 0])
    assert shadow.along[0] == pytest.approx([1, 0, 0])
    away = thrown(pole, Sun(0.0, 30.0, 1.0))  # the sun is behind it
    assert len(away) == 0


def test_the_sun_stands_in_the_north_south_of_the_equator() -> None:
    north, south = (build_region("city", code, 1, 3) for code in ("PL", "AU"))
    assert Sun.late_morning(north).direction[1] < 0 < Sun.late_morning(south).direction[1]


def test_in_sunshine_the_ground_behind_houses_is_darker(town: Town) -> None:
    camera = MapCamera.around(*(float(part) for part in middle(town)), 100.0, 200)
    bright, dull = (drawn_above(town, camera, CLEAR, Sun(150.0, 45.0, clear), 0).shade for clear in (1.0, 0.0))
    assert 0.05 < (bright < 0.7).mean() < 0.5
    assert not (dull < 0.7).any()


def test_yards_leave_the_streets_free(town: Town) -> None:
    ground = yards_of(town, 0.0).ground
    share = np.linspace(0.05, 0.95, 7)
    for u in share:
        for v in share:
            points = (ground.corner + u * ground.along + v * ground.up)[:, :2]
            for line, half in zip(town.streets.lines, town.streets.space_half_m, strict=True):
                start, run = line[:2], line[2:] - line[:2]
                along = np.clip((points - start) @ run / (run @ run), 0, 1)
                assert np.hypot(*(points - start - along[:, None] * run).T).min() > half - 1.1


def test_no_two_towns_have_a_field_in_common() -> None:
    here, again, there = (fields_of(build_town(6, seed), 0.0) for seed in (0, 0, 1))
    fields = [{texture(part.skins[skin]).tobytes() for skin in part.skin} for part in (here, again, there)]
    assert fields[0] == fields[1]
    assert not fields[0] & fields[2]
    assert len(fields[0]) > len(here) / 2


def test_a_lawn_is_its_town_s_own_and_repeats_nowhere_near() -> None:
    towns = [replace(build_town(6, 0), seed=seed) for seed in (0, 1)]
    east, north = towns[0].streets.lines.reshape(-1, 2).max(axis=0) + 900  # beyond the last field
    camera = MapCamera(float(east), float(north), 0.5, 64, 64)
    shots = [drawn_above(town, camera, CLEAR, Sun(200.0, 40.0, 0.0), 0).colours[..., 1].astype(float) for town in towns]
    along = [replace(camera, west_m=float(east) + 256 * blob_m) for blob_m in (1.7, 2.3)]
    shots += [drawn_above(towns[0], at, CLEAR, Sun(200.0, 40.0, 0.0), 0).colours[..., 1].astype(float) for at in along]
    for other in shots[1:]:
        assert abs(np.corrcoef(coarse(shots[0]).ravel(), coarse(other).ravel())[0, 1]) < 0.8
    again = drawn_above(towns[0], camera, CLEAR, Sun(200.0, 40.0, 0.0), 7).colours[..., 1].astype(float)
    assert np.corrcoef(coarse(shots[0]).ravel(), coarse(again).ravel())[0, 1] > 0.999


def coarse(plane: np.ndarray) -> np.ndarray:
    """Means of 8 x 8 pixels, in which fine grain is gone."""
    return np.asarray(plane.reshape(8, 8, 8, 8).mean(axis=(1, 3)))


def test_a_picture_drawn_in_bands_is_the_picture(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, sun = drone(town, 75, 30), Sun(200.0, 40.0, 1.0)
    whole = drawn_above(town, camera, CLEAR, sun, 3)
    monkeypatch.setattr(above, "_BAND_PIXELS", 96 * 20)
    banded = drawn_above(town, camera, CLEAR, sun, 3)
    assert np.array_equal(whole.depth_m, banded.depth_m)
    assert np.abs(whole.shade - banded.shade).max() < 1e-4
    away = np.abs(whole.colours.astype(int) - banded.colours).max(axis=2)
    assert away.max() < 24 and (away > 2).mean() < 0.03  # a grain of the ground may fall into the next pixel


def test_neighbouring_maps_meet_without_a_seam(town: Town) -> None:
    west, north = (float(part) for part in middle(town) + np.array([-30, 20]))
    conditions = Conditions(occlusion=0.5)
    whole = render_above(town, MapCamera(west, north, 0.5, 96, 40), conditions, 0).astype(int)
    left, right = (render_above(town, MapCamera(west + at, north, 0.5, 48, 40), conditions, 0) for at in (0.0, 24.0))
    assert (np.abs(np.hstack([left, right]) - whole).max(axis=2) > 2).mean() < 0.002


def test_night_is_dark_but_for_lamps_and_windows(town: Town) -> None:
    camera = drone(town, 30, 50, width=128, height=128)
    day, night = (render_above(town, camera, Conditions(night=amount), 1).astype(float) for amount in (0.0, 1.0))
    assert night.mean() < 0.35 * day.mean()
    assert np.percentile(night, 99.5) > 3 * np.median(night)


def test_winter_is_whiter_and_autumn_trees_are_not_green(town: Town) -> None:
    camera = MapCamera.around(*(float(part) for part in middle(town)), 120.0, 128)
    summer, winter = (render_above(town, camera, Conditions(season=season), 1).astype(float) for season in (0.0, 1.0))
    grey = np.ptp(winter, axis=2) < 30
    assert winter.mean() > summer.mean() + 30
    assert ((winter.mean(axis=2) > 190) & grey).mean() > 0.3 > (summer.mean(axis=2) > 190).mean()


def test_rebuilding_changes_houses_and_traffic_only_streets(town: Town) -> None:
    camera = MapCamera.around(*(float(part) for part in middle(town)), 100.0, 200)
    base, rebuilt, full = (
        render_above(town, camera, conditions, 1).astype(int)
        for conditions in (CLEAR, Conditions(rebuilt=1.0), Conditions(occlusion=1.0))
    )
    solid = nearest(solid_town(town, CLEAR), camera.projection(), 200, 200).patch >= 0
    changed = np.abs(rebuilt - base).max(axis=2) > 8
    assert changed[solid].mean() > 0.4 > 0.05 > changed[~solid].mean()
    assert 0.01 < (np.abs(full - base).max(axis=2) > 8).mean() < 0.2


def test_fog_takes_contrast(town: Town) -> None:
    camera = drone(town)
    clear, foggy = (render_above(town, camera, Conditions(fog=fog), 1).astype(float) for fog in (0.0, 0.6))
    assert foggy.std() < 0.6 * clear.std()


@pytest.mark.parametrize("scene", ["nature", "coast", "industrial"])
def test_every_scene_can_be_seen_from_above(scene: str) -> None:
    region = build_region(scene, "BR", 2, 4)
    east, north = (float(part) for part in region.streets.lines[0].reshape(2, 2).mean(axis=0))
    pixels = render_above(region, DroneCamera(east, north, 90.0, 10.0, 30.0, width=96, height=64), Conditions(), 0)
    assert pixels.shape == (64, 96, 3)
    assert pixels.std() > 10


def test_pixels_repeat_in_another_process_without_torch(town: Town) -> None:
    camera = drone(town, width=48, height=40)
    conditions = Conditions(noise=0.2, occlusion=0.5, night=0.4, season=0.6)
    pixels = render_above(town, camera, conditions, 9)
    assert (pixels.shape, pixels.dtype) == ((40, 48, 3), np.uint8)
    code = (
        "import sys; from geofix.world.geometry.town import build_town\n"
        "from geofix.world.renderer.above import DroneCamera, render_above\n"
        "from geofix.world.conditions import Conditions\n"
        f"sys.stdout.buffer.write(render_above(build_town(6, 0), {camera!r}, {conditions!r}, 9).tobytes())\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == pixels.tobytes()
    assert not np.array_equal(pixels, render_above(town, camera, conditions, 10))


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (lambda: DroneCamera(0.0, 0.0, 12.0), r"A drone 12.0 m above the ground would be among the roofs; 20 m"),
        (lambda: DroneCamera(0.0, 0.0, math.nan), "all of them must be finite"),
        (lambda: DroneCamera(0.0, 0.0, pitch_deg=5.0), "pitched 5.0 degrees .* choose a pitch_deg of 10 to 90"),
        (lambda: DroneCamera(0.0, 0.0, hfov_deg=170.0), "field of view of 170.0 degrees cannot be drawn; choose 5 to"),
        (lambda: DroneCamera(0.0, 0.0, width=8), "8x256 pixels cannot be drawn; choose at least 16x16"),
        (lambda: MapCamera(0.0, 0.0, 0.0), "A map of 0.0 metres a pixel cannot be drawn; choose 0.02 to 10"),
        (lambda: MapCamera(0.0, 0.0, 0.5, 64, 4), "64x4 pixels"),
    ],
)
def test_cameras_that_make_no_sense_are_refused(camera: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        camera()


def test_a_drone_among_the_roofs_around_it_is_refused() -> None:
    region = build_region("industrial", "PL", 1, 4)
    tallest = int(region.masts.height_m.argmax())
    east, north = (float(part) for part in region.masts.points[tallest])
    with pytest.raises(
        UsageError, match=r"A drone at 30 m would fly among roofs up to [\d.]+ m high; choose a height_m"
    ):
        render_above(region, DroneCamera(east, north, 30.0), CLEAR, 0)
    assert render_above(region, DroneCamera(east + 5000, north, 30.0, width=16, height=16), CLEAR, 0).shape
