"""The town's plan: counts, growth, straight walls, free streets and quarters that keep apart."""

from dataclasses import asdict

import numpy as np
import pytest

from geofix.errors import UsageError
from geofix.positions import Position
from geofix.world.geometry.town import FLAT, GABLE, STEPPED, TILED, Town, build_town, quarter_sizes, roof_profile


def flat_arrays(town: Town) -> list[np.ndarray]:
    found: list[np.ndarray] = []

    def gather(value: object) -> None:
        for part in value.values() if isinstance(value, dict) else ():
            found.append(part) if isinstance(part, np.ndarray) else gather(part)

    gather(asdict(town))
    return found


def to_segments(point: np.ndarray, lines: np.ndarray) -> np.ndarray:
    start, run = lines[:, :2], lines[:, 2:] - lines[:, :2]
    share = np.clip(((point - start) * run).sum(1) / (run * run).sum(1), 0, 1)
    return np.hypot(*(point - start - share[:, None] * run).T)


@pytest.mark.parametrize("places", [1, 2, 3, 7, 60, 300])
def test_a_town_has_as_many_spots_as_asked_for(places: int) -> None:
    town = build_town(places, seed=1)
    assert len(town.spots.points) == places
    assert tuple(np.bincount(town.spots.quarter, minlength=3)) == quarter_sizes(places)


def test_every_quarter_has_a_spot_from_three_places_on_and_test_has_most() -> None:
    assert quarter_sizes(1) == (0, 0, 1)
    assert quarter_sizes(3) == (1, 1, 1)
    assert quarter_sizes(60) == (15, 9, 36)


def test_the_same_seed_gives_the_same_town_and_another_seed_another() -> None:
    same = zip(flat_arrays(build_town(12, 5)), flat_arrays(build_town(12, 5)), strict=True)
    assert all(np.array_equal(one, two) for one, two in same)
    assert not np.array_equal(build_town(12, 5).spots.points, build_town(12, 6).spots.points)


def test_a_town_grows_with_its_places() -> None:
    assert len(build_town(200, 0).walls.building) > 2 * len(build_town(20, 0).walls.building)


def test_quarters_keep_apart_by_far_more_than_the_relevant_radius() -> None:
    spots = build_town(60, 0).spots
    for one, two in ((0, 1), (0, 2), (1, 2)):
        first, second = spots.points[spots.quarter == one], spots.points[spots.quarter == two]
        assert np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1)).min() > 90


def test_spots_are_distinct_and_stand_in_their_street_clear_of_every_wall() -> None:
    town = build_town(40, 2)
    for number, point in enumerate(town.spots.points):
        assert to_segments(point, town.walls.lines).min() > town.spots.sideways_m[number] + 2.5
        assert to_segments(point, town.streets.lines).min() < 1.6
        others = np.delete(town.spots.points, number, axis=0)
        assert np.hypot(*(others - point).T).min() > 9


def test_a_spots_bearing_is_that_of_its_street() -> None:
    town = build_town(20, 3)
    for point, bearing in zip(town.spots.points, town.spots.bearing_deg, strict=True):
        east, north = np.diff(
            town.streets.lines[to_segments(point, town.streets.lines).argmin()].reshape(2, 2), axis=0
        )[0]
        assert np.rad2deg(np.arctan2(east, north)) % 180 == pytest.approx(bearing % 180, abs=1e-6)


def test_walls_run_from_left_to_right_as_seen_from_outside() -> None:
    walls = build_town(5, 0).walls
    for house in np.unique(walls.building)[:20]:
        lines = walls.lines[walls.building == house]
        centre = lines[:, :2].mean(axis=0)
        run, inward = lines[:, 2:] - lines[:, :2], centre - lines[:, :2]
        assert (run[:, 0] * inward[:, 1] - run[:, 1] * inward[:, 0] > 0).all()
        assert np.allclose(lines[:, 2:], np.roll(lines[:, :2], -1, axis=0))


def test_eastings_and_northings_are_those_of_the_origins_utm_zone() -> None:
    town = build_town(4, 0, origin=Position(48.0, 11.0))
    corner = Position(48.0, 11.0).utm()
    assert town.zone == corner.zone == 32
    assert np.hypot(*(town.spots.points - [corner.easting_m, corner.northing_m]).T).max() < 1000
    for position, point in zip(town.positions(town.spots.points), town.spots.points, strict=True):
        utm = position.utm()
        assert (utm.easting_m, utm.northing_m) == pytest.approx(tuple(point), abs=1e-3)


def test_roof_outlines() -> None:
    along, chimney = np.array([0.0, 0.25, 0.5, 1.0]), np.array(0.25)
    assert roof_profile(np.array(FLAT), along, chimney).tolist() == [1, 1, 1, 1]
    assert roof_profile(np.array(GABLE), along, chimney).tolist() == [0, 0.5, 1, 0]
    assert roof_profile(np.array(STEPPED), along, chimney) == pytest.approx([0.2, 0.6, 1, 0.2])
    assert roof_profile(np.array(TILED), along, chimney) == pytest.approx([0.72, 1, 0.72, 0.72])


@pytest.mark.parametrize("places", [0, -3])
def test_fewer_than_one_place_is_refused(places: int) -> None:
    with pytest.raises(UsageError, match=rf"A town with {places} places .* at least 1 with --places"):
        build_town(places, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed is -1; a whole number of 0 or more"):
        build_town(3, -1)


def test_an_origin_at_the_edge_of_its_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="would reach out of UTM zone 31"):
        build_town(3, 0, origin=Position(52.2, 5.9999))
