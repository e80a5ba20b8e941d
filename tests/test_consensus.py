"""Consensus against a naive loop, and on places where maps get difficult."""

import math

import numpy as np
import pytest

from geofix.atlas.consensus import LINK_M, consensus
from geofix.positions import Position

CAMBRIDGE, SYDNEY = Position(52.2, 0.12), Position(-33.8568, 151.2153)


def around(centre: Position, offsets: list[tuple[float, float]]) -> list[Position]:
    """Places at (bearing, metres) from a centre."""
    return [centre.moved(float(bearing), float(metres)) for bearing, metres in offsets]


def array(places: list[Position]) -> np.ndarray:
    return np.array([(place.lat, place.lon) for place in places])


def naive(places: list[Position], distances: list[float]) -> dict[str, object]:
    """The definition, match by match, on the ellipsoid."""
    span = distances[-1] - distances[0]
    weights = [math.exp(-6 * (d - distances[0]) / span) if span else 1.0 for d in distances]
    best, best_support = -1, -1.0
    for i, here in enumerate(places):
        support = sum(w for w, there in zip(weights, places, strict=True) if here.metres_to(there) <= LINK_M)
        if support > best_support + 1e-12:
            best, best_support = i, support
    members = [i for i, there in enumerate(places) if places[best].metres_to(there) <= LINK_M]
    total = sum(weights[i] for i in members)
    inside = min(distances[i] for i in members)
    others = [distances[i] for i in range(len(places)) if i not in members]
    outside = min(others) if others else distances[-1]
    worse = max(inside, outside)
    return {
        "members": members,
        "lat": sum(weights[i] * places[i].lat for i in members) / total,
        "lon": sum(weights[i] * places[i].lon for i in members) / total,
        "share": total / sum(weights),
        "lead": (outside - inside) / worse if worse else 0.0,
        "distance": inside,
    }


@pytest.mark.parametrize("centre", [CAMBRIDGE, SYDNEY, Position(0.00001, 6.0), Position(71.0, -8.0)])
@pytest.mark.parametrize("seed", range(5))
def test_against_a_naive_loop(centre: Position, seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [centre.moved(float(rng.uniform(0, 360)), float(rng.uniform(0, 60))) for _ in range(12)]
    distances = np.sort(rng.uniform(0.3, 0.9, 12))
    spot, expected = consensus(array(places), distances), naive(places, distances.tolist())
    assert spot.members.tolist() == expected["members"]
    for name in ("share", "lead", "distance"):
        assert getattr(spot, name) == pytest.approx(expected[name], abs=1e-9)
    assert Position(spot.lat, spot.lon).metres_to(Position(expected["lat"], expected["lon"])) < 0.01
    assert spot.evidence == (spot.share, spot.lead, spot.distance)


def test_a_wrong_best_match_is_outvoted_by_those_that_agree() -> None:
    agreeing = around(CAMBRIDGE, [(0, 0), (90, 8), (180, 6), (270, 9)])
    wrong = CAMBRIDGE.moved(45.0, 2000.0)
    spot = consensus(array([wrong, *agreeing]), np.array([0.30, 0.31, 0.32, 0.33, 0.60]))
    assert spot.members.tolist() == [1, 2, 3, 4]
    assert Position(spot.lat, spot.lon).metres_to(CAMBRIDGE) < 10
    assert spot.share == pytest.approx(2.043 / 3.046, abs=1e-3)
    assert spot.lead < 0  # and the evidence knows that a better match lies elsewhere
    assert spot.spread_m == pytest.approx(2000, abs=20)


def test_one_match() -> None:
    spot = consensus(array([SYDNEY]), np.array([0.4]))
    assert Position(spot.lat, spot.lon).metres_to(SYDNEY) < 1e-3
    assert (spot.share, spot.lead, spot.distance) == (1.0, 0.0, 0.4)
    assert spot.spread_m < 1e-3


def test_all_matches_at_one_spot() -> None:
    spot = consensus(array([CAMBRIDGE] * 6), np.linspace(0.2, 0.8, 6))
    assert Position(spot.lat, spot.lon).metres_to(CAMBRIDGE) < 1e-3
    assert spot.share == pytest.approx(1.0)
    assert spot.lead == pytest.approx(1 - 0.2 / 0.8)
    assert spot.members.tolist() == list(range(6))


def test_all_matches_equally_good_and_apart_give_each_the_same_share() -> None:
    places = [CAMBRIDGE.moved(90.0, 100.0 * number) for number in range(5)]
    spot = consensus(array(places), np.full(5, 0.5))
    assert spot.share == pytest.approx(0.2)
    assert spot.lead == 0.0
    assert spot.members.tolist() == [0]


def test_the_same_picture_at_two_places_gives_no_lead() -> None:
    places = [CAMBRIDGE, CAMBRIDGE.moved(0.0, 500.0), CAMBRIDGE.moved(0.0, 900.0)]
    assert consensus(array(places), np.array([0.0, 0.0, 0.7])).lead == 0.0


def test_lead_stays_within_its_bounds_when_a_copy_lies_elsewhere() -> None:
    """A perfect match elsewhere is one piece of evidence; it must not drown all the others in a calibration."""
    places = [CAMBRIDGE.moved(0.0, 500.0), *around(CAMBRIDGE, [(0, 1), (0, 2), (0, 3)])]
    places.append(CAMBRIDGE.moved(0.0, 9000.0))
    spot = consensus(array(places), np.array([0.0, 0.10, 0.11, 0.12, 0.9]))
    assert spot.members.tolist() == [1, 2, 3]
    assert spot.lead == -1.0


def test_southern_hemisphere() -> None:
    places = around(SYDNEY, [(0, 5), (120, 5), (240, 5)])
    spot = consensus(array(places), np.array([0.3, 0.3, 0.3]))
    assert Position(spot.lat, spot.lon).metres_to(SYDNEY) < 0.01


def test_across_the_equator_the_date_line_and_a_zone_border() -> None:
    for centre in (Position(0.0, 10.0), Position(10.0, 180.0), Position(52.0, 6.0), Position(-40.0, -180.0)):
        places = around(centre, [(0, 9), (90, 9), (180, 9), (270, 9)])
        spot = consensus(array(places), np.full(4, 0.5))
        assert spot.members.tolist() == [0, 1, 2, 3]
        assert Position(spot.lat, spot.lon).metres_to(centre) < 0.1


@pytest.mark.parametrize("lon", [-120.0, -90.0, 60.0, 87.0, 90.0, 93.1, 177.0])
@pytest.mark.parametrize("lat", [0.5, 48.0, -60.0])
def test_a_best_match_on_another_continent_does_not_distort_the_spot(lat: float, lon: float) -> None:
    """Metres are measured where the matches lie, not in the best match's map projection."""
    there = Position(lat, lon)
    agreeing = around(there, [(0, 0), (90, 12), (180, 12), (270, 12)])
    beyond = there.moved(90.0, 60.0)
    spot = consensus(array([Position(0.3, 0.1), *agreeing, beyond]), np.array([0.40, 0.405, 0.41, 0.415, 0.42, 0.50]))
    assert spot.members.tolist() == [1, 2, 3, 4]
    assert Position(spot.lat, spot.lon).metres_to(there) < 12
    assert math.isfinite(spot.spread_m)
