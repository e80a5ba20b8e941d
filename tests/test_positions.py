"""Positions: UTM zones and their exceptions, distances against a naive geodesic loop, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyproj import Geod

from geofix.errors import DataError
from geofix.positions import (
    Position,
    area_km2,
    geodesic_m,
    latlons,
    looks_swapped,
    nearest_m,
    project,
    unproject,
    utm_zones,
    within_m,
)

GEOD = Geod(ellps="WGS84")


@pytest.mark.parametrize(
    ("lat", "lon", "zone", "band"),
    [
        (52.205, 0.1196, 31, "U"), (40.44, -80.0, 17, "T"), (-33.86, 151.2, 56, "H"), (0.0, -180.0, 1, "N"),
        (-0.0001, 179.999, 60, "M"), (0.0, 180.0, 1, "N"), (60.39, 5.32, 32, "V"), (60.39, 2.9, 31, "V"),
        (55.9, 5.32, 31, "U"), (64.1, 5.32, 31, "W"), (78.22, 8.9, 31, "X"), (78.22, 15.6, 33, "X"),
        (78.22, 21.5, 35, "X"), (78.22, 33.5, 37, "X"), (78.22, 42.5, 38, "X"), (71.9, 8.9, 32, "W"),
        (83.9, 20.9, 33, "X"), (-79.9, 0.5, 31, "C"),
    ],
)  # fmt: skip
def test_utm_zone_and_band(lat: float, lon: float, zone: int, band: str) -> None:
    point = Position(lat, lon).utm()
    assert (point.zone, point.band) == (zone, band)
    back = Position.from_utm(point.easting_m, point.northing_m, point.zone, point.band)
    assert back.metres_to(Position(lat, lon)) < 1e-3


def test_a_known_point() -> None:
    point = Position.from_utm(303184.69, 5787755.53, 31, " u ")
    assert point.metres_to(Position(52.205049, 0.119606)) < 0.2
    north, south = Position.from_utm(5e5, 1e5, 31, "N"), Position.from_utm(5e5, 1e7 - 1e5, 31, "M")
    assert north.lat == pytest.approx(-south.lat, abs=1e-9)


@pytest.mark.parametrize(
    ("lat", "lon", "said"),
    [
        (91.0, 10.0, "seem to be swapped"), (151.2, -33.8, "seem to be swapped"),
        (10.0, 181.0, "not on Earth"),
        (91.0, 100.0, "not on Earth"), (math.nan, 0.0, "two finite numbers"), (0.0, math.inf, "two finite"),
    ],
)  # fmt: skip
def test_what_is_no_position(lat: float, lon: float, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Position(lat, lon)


@pytest.mark.parametrize(
    ("zone", "band", "easting_m"),
    [(0, "U", 5e5), (61, "U", 5e5), (31, "I", 5e5), (31, "O", 5e5), (31, "", 5e5), (31, "UU", 5e5),
     (31, "A", 5e5),
     (31, "Z", 5e5), (31, "U", math.nan), (31, "U", math.inf), (31, "U", 1e12)],
)  # fmt: skip
def test_what_is_no_utm_point(zone: int, band: str, easting_m: float) -> None:
    with pytest.raises(DataError, match=r"does not exist|no point of"):
        Position.from_utm(easting_m, 5e6, zone, band)


def test_distance_and_move() -> None:
    start = Position(52.2, 0.1)
    end = start.moved(37.0, 1234.5)
    assert start.metres_to(end) == pytest.approx(1234.5, abs=1e-6)
    rows = geodesic_m(latlons([start, end]), latlons([end, end]))
    assert rows == pytest.approx([1234.5, 0.0], abs=1e-6)
    assert latlons([]).shape == (0, 2)


def around(lat: float, lon: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries and gallery within about 120 m of a point, longitudes wrapped."""
    rng = np.random.default_rng(seed)
    offsets_m = rng.uniform(-120, 120, (90, 2))
    points = [
        Position(lat, lon).moved(float(np.degrees(np.arctan2(east, north))), float(np.hypot(east, north)))
        for north, east in offsets_m
    ]
    return latlons(points[:30]), latlons(points[30:])


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (52.2, 0.0), (52.2, 6.0), (-33.9, 18.0), (0.0, 6.0), (0.0, 9.0), (0.0, 3.3), (10.0, 180.0),
        (0.0, -180.0),
        (-17.0, 180.0), (56.0, 3.0), (64.0, 6.0), (72.0, 9.0), (78.0, 9.0), (78.0, 21.0), (65.0, 180.0),
    ],
)  # fmt: skip
def test_within_against_a_naive_geodesic_loop(lat: float, lon: float) -> None:
    queries, gallery = around(lat, lon, seed=int(lat + lon) % 97)
    found, nearest = within_m(queries, gallery, 50.0), nearest_m(queries, gallery)
    for row, query in enumerate(queries):
        metres = np.array([GEOD.inv(query[1], query[0], one[1], one[0])[2] for one in gallery])
        # A UTM plane scales by up to 1 in 1000; rows in that band may fall either way.
        sure, maybe = np.flatnonzero(metres <= 49.9), np.flatnonzero(metres <= 50.1)
        assert set(sure) <= set(found[row]) <= set(maybe)
        assert found[row].tolist() == sorted(found[row])
        assert nearest[row] == pytest.approx(metres.min(), rel=2e-3)


def test_the_radius_is_inclusive() -> None:
    plane = np.array([[5e5 + east, 5e6] for east in (0.0, 25.0, 25.01)])
    points = unproject(plane, 31)
    assert project(points, 31) == pytest.approx(plane, abs=1e-6)
    assert [rows.tolist() for rows in within_m(points[:1], points, 25.0)] == [[0, 1]]


def test_nothing_in_reach() -> None:
    here, far = np.array([[52.2, 0.1]]), np.array([[52.2, 90.0]])
    assert within_m(here, far, 25.0)[0].tolist() == []
    assert nearest_m(here, far).tolist() == [math.inf]
    assert within_m(here[:0], far, 25.0) == []
    assert within_m(here, far[:0], 25.0)[0].tolist() == []


def test_area() -> None:
    corner = Position(52.2, 0.1)
    points = latlons([corner, corner.moved(0.0, 2000.0), corner.moved(90.0, 1000.0)])
    assert area_km2(points) == pytest.approx(2.0, rel=0.08)  # the plane's north is 2.3 degrees off here
    assert area_km2(points[:0]) == 0.0 and area_km2(points[:1]) == 0.0
    assert area_km2(np.array([[10.0, 179.999], [10.001, -179.999]])) < 0.1
    assert area_km2(np.array([[-90.0, -180.0], [0.0, 0.0], [90.0, 180.0]])) == pytest.approx(510_065_600, rel=1e-3)


@pytest.mark.parametrize(
    ("points", "swapped"),
    [
        ([[151.2, -33.8], [2.3, 48.9]], True), ([[2.3, 48.9]], False), ([[48.9, 2.3]], False),
        ([[151.2, -33.8], [48.9, 122.0]], False), ([[525.2, 0.1], [52.2, 0.1]], False),
    ],
)  # fmt: skip
def test_swapped_columns(points: list[list[float]], swapped: bool) -> None:
    assert looks_swapped(np.array(points)) is swapped


def test_zones_of_many_points() -> None:
    points = np.array([[0.0, lon] for lon in (-180.0, -174.0, 0.0, 5.999, 6.0, 179.99)])
    assert utm_zones(points).tolist() == [1, 2, 31, 31, 32, 60]
