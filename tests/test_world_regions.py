"""Regions of invented countries: what their scenes are made of, where they lie, and how their countries differ."""

import numpy as np
import pytest

from geofix.errors import UsageError
from geofix.positions import Position
from geofix.world.conditions import Conditions
from geofix.world.geometry.plan import CONTAINER, DWELLING, HALL
from geofix.world.geometry.regions import SCENES, plan_region
from geofix.world.geometry.town import build_region, build_town
from geofix.world.renderer.frame import Camera
from geofix.world.renderer.street import render
from geofix.world.styles import COUNTRIES, MIXED, country_style


@pytest.mark.parametrize("scene", SCENES)
def test_a_region_has_its_spots_on_its_streets(scene: str) -> None:
    town = build_region(scene, "SE", 4, 7)
    assert (len(town.spots.points), town.scene, town.style.name) == (7, scene, "SE")
    start, run = town.streets.lines[:, :2], town.streets.lines[:, 2:] - town.streets.lines[:, :2]
    for point in town.spots.points:
        share = np.clip(((point - start) * run).sum(1) / (run * run).sum(1), 0, 1)
        away = np.hypot(*(point - start - share[:, None] * run).T)
        assert (away < town.streets.road_half_m).any()


def test_scenes_are_made_of_what_they_are_called() -> None:
    towns = {scene: [build_region(scene, "PL", seed, 2) for seed in range(4)] for scene in SCENES}
    assert all((town.walls.kind == DWELLING).all() and len(town.walls.kind) > 100 for town in towns["city"])
    assert all(len(town.walls.kind) < 20 and len(town.trees.points) > 150 for town in towns["nature"])
    assert all(town.shore is not None for town in towns["coast"])
    assert all(town.shore is None for scene in ("city", "nature", "industrial") for town in towns[scene])
    for town in towns["industrial"]:
        assert (town.walls.kind == HALL).any()
        assert len(town.masts.points) >= 3
    assert any((town.walls.kind == CONTAINER).any() for town in towns["industrial"])


def test_the_sea_lies_seaward_and_houses_on_land() -> None:
    town = build_region("coast", "AU", 1, 3)
    assert town.shore is not None
    bearing = np.deg2rad(town.shore.seaward_deg)
    out = np.array([np.sin(bearing), np.cos(bearing)])
    assert (((town.walls.lines[:, :2] - town.shore.point) @ out) < 0).all()
    assert (((town.spots.points - town.shore.point) @ out) < 0).all()
    x, y = town.spots.points[0]
    towards = Camera(float(x), float(y), heading_deg=town.shore.seaward_deg, width=64, height=48)
    away = Camera(float(x), float(y), heading_deg=(town.shore.seaward_deg + 180) % 360, width=64, height=48)
    sea, land = (render(town, camera, Conditions(), 0)[27:30].mean(axis=(0, 1)) for camera in (towards, away))
    assert sea[2] - sea[0] > land[2] - land[0] + 6  # the strip under the horizon is bluer


def test_regions_lie_near_the_middle_of_their_country_and_far_from_each_other() -> None:
    places = [build_region("nature", "BR", seed, 1) for seed in range(6)]
    middle = next(country.middle for country in COUNTRIES if country.code == "BR")
    found = [town.positions(town.spots.points)[0] for town in places]
    assert all(position.metres_to(middle) < 250_000 for position in found)
    assert min(one.metres_to(two) for i, one in enumerate(found) for two in found[:i]) > 1000


@pytest.mark.parametrize("country", COUNTRIES, ids=lambda country: country.code)
def test_regions_of_every_country_stay_in_one_utm_zone(country: tuple[str, Position]) -> None:
    for seed in range(5):
        build_region("industrial", country[0], seed, 1)


def test_styles_are_stable_valid_and_differ() -> None:
    styles = [country_style(country.code) for country in COUNTRIES]
    assert country_style("FR") is country_style("FR")
    for style in (MIXED, *styles):
        for odds, kinds in ((style.masonry, 4), (style.roof_kinds, 4), (style.storeys, 4), (style.trees, 4)):
            assert len(odds) == kinds
            assert sum(odds) == pytest.approx(1)
            assert min(odds) >= 0
        assert all(0 <= part <= 255 for colour in (*style.walls, style.grass, style.paving) for part in colour)
    assert len({style.walls for style in styles}) == len(styles)
    with pytest.raises(KeyError):
        country_style("XX")


def test_the_same_arguments_give_the_same_region_and_others_another() -> None:
    one, same, other = (build_region("city", "TR", seed, 3) for seed in (1, 1, 2))
    assert np.array_equal(one.walls.lines, same.walls.lines) and one.seed == same.seed
    assert one.seed != other.seed
    assert build_region("city", "FR", 1, 3).seed != one.seed


def test_countries_differ_in_the_mean_colour_of_their_houses_more_than_towns_of_one_country_do() -> None:
    def mean(code: str, seed: int) -> np.ndarray:
        town = build_region("city", code, seed, 6)
        views = [
            render(
                town, Camera(float(x), float(y), heading_deg=float(bearing) + 50, width=64, height=48), Conditions(), 3
            )
            for (x, y), bearing in zip(town.spots.points, town.spots.bearing_deg, strict=True)
        ]
        return np.asarray(np.mean([view[10:30].mean(axis=(0, 1)) for view in views], axis=0))

    means = np.array([[mean(country.code, seed) for seed in range(4)] for country in COUNTRIES[:5]])
    within = means.std(axis=1).mean()
    between = means.mean(axis=1).std(axis=0).mean()
    assert between > 0.8 * within


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("desert", "FR", 0, 1), "no scene 'desert'; known are: city, nature, coast, industrial"),
        (("city", "XX", 0, 1), "no country 'XX' in the rendered world; known are: FR, PL"),
        (("city", "FR", 0, 0), "A region with 0 photo spots cannot be built"),
        (("city", "FR", -1, 1), "seed is -1"),
    ],
)
def test_regions_that_make_no_sense_are_refused(arguments: tuple[str, str, int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_region(*arguments)


def test_trees_of_open_country_stand_off_the_road_and_out_of_houses() -> None:
    plan = plan_region("nature", 2, 0.5, np.random.default_rng(3))
    x0, y0, x1, _, _, space = plan.streets[0]
    on_main = (np.abs(plan.trees[:, 1] - y0) < space) & (plan.trees[:, 0] > x0) & (plan.trees[:, 0] < x1)
    assert not on_main.any()
    for house in plan.houses:
        inside = (plan.trees[:, 0] > house.west) & (plan.trees[:, 0] < house.east)
        assert not (inside & (plan.trees[:, 1] > house.south) & (plan.trees[:, 1] < house.north)).any()


def test_shares_decide_the_splits_of_a_town() -> None:
    town = build_town(40, 0, shares=(0.9, 0.1))
    assert np.bincount(town.spots.quarter, minlength=3).tolist() == [36, 4, 0]
    with pytest.raises(UsageError, match=r"shares of train and val are \(0.9, 0.2\); two of 0..1, together at most 1"):
        build_town(40, 0, shares=(0.9, 0.2))
