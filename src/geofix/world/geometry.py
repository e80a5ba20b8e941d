"""The plan of a fictional town: streets, buildings, trees, lamps and photo spots in UTM metres.

A town is three quarters (train, val, test) side by side with open country between them. Each quarter is a
bent grid of streets; houses line both sides of every street. Nothing here knows how a thing looks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from geofix.errors import UsageError
from geofix.positions import Position, unproject, utm_zones
from geofix.shapes import Degrees, Metres, PlanePoints
from geofix.world.plan import House, Plan, plan_quarter, road_half_m

QUARTERS = ("train", "val", "test")
ORIGIN = Position(52.2, 0.12)  # the south-west corner of the fictional town
_SHARES = (0.25, 0.15)  # of the spots, for train and val; test gets the rest
_GAP_M = 90.0  # open country between two quarters

Segments = Float[np.ndarray, "n 4"]
"""Straight lines in plan: easting and northing of the start, then of the end."""

Labels = Int[np.ndarray, " n"]
"""One whole number a row."""

Shares = Float[np.ndarray, " n"]
"""One number 0..1 a row."""

FLAT, GABLE, STEPPED, TILED = range(4)  # kinds of roof
FRONT, FLANK, BACK, CORNER = range(4)  # what a wall is to its house; a corner is a flank on a second street


@dataclass(frozen=True)
class Streets:
    """Centre lines with the half width of the roadway and of the space between opposite houses."""

    lines: Segments
    road_half_m: Metres
    space_half_m: Metres


@dataclass(frozen=True)
class Walls:
    """House walls: seen from outside a wall runs from left to right.

    `eave_m` is the height of the wall, `roof_m` what the roof adds at its highest, `chimney` where the
    chimney stands (0..1 along the wall), `storeys` the floors above the ground floor.
    """

    lines: Segments
    building: Labels
    role: Labels
    storeys: Labels
    roof: Labels
    eave_m: Metres
    roof_m: Metres
    chimney: Shares


@dataclass(frozen=True)
class Uprights:
    """Trees or lamps: where they stand, their height and full width in metres, and their kind (0, 1, ...)."""

    points: PlanePoints
    height_m: Metres
    width_m: Metres
    kind: Labels


@dataclass(frozen=True)
class Spots:
    """Where photos are taken: point, bearing of the street, how far one may step aside, quarter."""

    points: PlanePoints
    bearing_deg: Degrees
    sideways_m: Metres
    quarter: Labels


@dataclass(frozen=True)
class Town:
    """A town in the plane of one UTM zone; `seed` also decides how its houses look."""

    seed: int
    zone: int
    north: bool
    streets: Streets
    walls: Walls
    trees: Uprights
    lamps: Uprights
    spots: Spots

    def positions(self, points: PlanePoints) -> list[Position]:
        """Plane points of this town as positions."""
        return [Position(float(lat), float(lon)) for lat, lon in unproject(points, self.zone, self.north)]


def build_town(places: int, seed: int, origin: Position = ORIGIN) -> Town:
    """A town with `places` photo spots; the same arguments always give the same town.

    Raises UsageError for fewer than one place, a negative seed, or an origin so near the edge of its UTM zone
    that the town would reach into the next.
    """
    if places < 1:
        raise UsageError(f"A town with {places} places cannot be built; ask for at least 1 with --places.")
    if seed < 0:
        raise UsageError(f"The seed is {seed}; a whole number of 0 or more is expected.")
    plans: list[Plan] = []
    west = 0.0
    for quarter, spots in enumerate(quarter_sizes(places)):
        if spots:
            plans.append(plan_quarter(quarter, spots, west, np.random.default_rng([seed, 1, quarter])))
            west = plans[-1].east + _GAP_M
    return _town(plans, seed, origin)


def quarter_sizes(places: int) -> tuple[int, int, int]:
    """How many spots lie in the train, val and test quarters; from 3 places on each has at least one."""
    train, val = (max(int(places * share), int(places >= 3)) for share in _SHARES)
    return train, val, places - train - val


def roof_profile(kind: np.ndarray, along: np.ndarray, chimney: np.ndarray) -> np.ndarray:
    """The height of a roof's outline as a share 0..1 of its highest point.

    `along` is 0..1 from the left end of the wall to its right end; the three broadcast against each other.
    """
    peak = 1 - np.abs(2 * along - 1)
    steps = np.minimum(np.floor(peak * 5 + 1) / 5, 1)
    tiled = np.where(np.abs(along - chimney) < 0.045, 1.0, 0.72)
    return np.asarray(np.choose(kind, [np.ones_like(peak), peak, steps, tiled]))


def _town(plans: list[Plan], seed: int, origin: Position) -> Town:
    rng = np.random.default_rng([seed, 2])
    turn = _Turn(origin, float(rng.uniform(8, 32)))
    town = Town(
        seed=seed,
        zone=turn.zone,
        north=origin.lat >= 0,
        streets=_streets(plans, turn),
        walls=_walls([house for plan in plans for house in plan.houses], turn, rng),
        trees=_trees(turn(np.concatenate([plan.trees for plan in plans])), rng),
        lamps=_lamps(turn(np.concatenate([plan.lamps for plan in plans]))),
        spots=_spots(plans, turn),
    )
    _check_zone(town, origin)
    return town


class _Turn:
    """Turns the town's own axes clockwise by `bearing_deg` and puts their zero at `origin`, in UTM metres."""

    def __init__(self, origin: Position, bearing_deg: float) -> None:
        utm = origin.utm()
        self.zone = utm.zone
        self.bearing_deg = bearing_deg
        self._zero = np.array([utm.easting_m, utm.northing_m])
        cos, sin = np.cos(np.deg2rad(bearing_deg)), np.sin(np.deg2rad(bearing_deg))
        self._matrix = np.array([[cos, -sin], [sin, cos]])

    def __call__(self, points: np.ndarray) -> PlanePoints:
        return np.asarray(points @ self._matrix + self._zero)

    def lines(self, lines: np.ndarray) -> Segments:
        return np.hstack([self(lines[:, :2]), self(lines[:, 2:])])


def _check_zone(town: Town, origin: Position) -> None:
    degrees = unproject(town.walls.lines[:, :2], town.zone, town.north)
    if np.any(utm_zones(degrees) != town.zone) or np.any((degrees[:, 0] >= 0) != town.north):
        raise UsageError(
            f"A town that starts at {origin.lat}, {origin.lon} would reach out of UTM zone {town.zone}; "
            "choose an origin farther from the edge of its zone."
        )


def _streets(plans: list[Plan], turn: _Turn) -> Streets:
    lines, halves = [], []
    for plan in plans:
        xs, ys, x_half, y_half = plan.grid
        lines += [(x, ys[0], x, ys[-1]) for x in xs] + [(xs[0], y, xs[-1], y) for y in ys]
        halves += [*x_half, *y_half]
    space = np.array(halves)
    return Streets(turn.lines(np.array(lines)), road_half_m(1.0) * space, space)


def _walls(houses: list[House], turn: _Turn, rng: np.random.Generator) -> Walls:
    n = len(houses)
    storeys = rng.choice([1, 2, 3, 4], n, p=[0.2, 0.42, 0.28, 0.1])
    eave = 3.7 + storeys * rng.uniform(2.8, 3.3, n)
    kind = rng.choice(4, n, p=[0.3, 0.16, 0.1, 0.44])
    roof = np.choose(kind, [rng.uniform(0.5, 1.1, n), *rng.uniform(2.2, 3.6, (3, n))])
    front = np.array([house.front for house in houses])
    sides = np.arange(4)
    role = np.where(sides == front[:, None], FRONT, np.where((sides - front[:, None]) % 2, FLANK, BACK))
    for number, house in enumerate(houses):
        role[number, list(house.corners)] = CORNER
    # A gable is a front only: what shows of the roof from the side is a lower strip of tiles.
    pointed = ((kind == GABLE) | (kind == STEPPED))[:, None] & (sides != front[:, None])
    return Walls(
        lines=turn.lines(np.concatenate([_box_sides(house) for house in houses])),
        building=np.repeat(np.arange(n), 4),
        role=role.ravel(),
        storeys=np.repeat(storeys, 4),
        roof=np.where(pointed, TILED, kind[:, None]).ravel(),
        eave_m=np.repeat(eave, 4),
        roof_m=np.where(pointed, 0.4, 1.0).ravel() * np.repeat(roof, 4),
        chimney=rng.uniform(0.12, 0.88, 4 * n),
    )


def _box_sides(house: House) -> np.ndarray:
    """South, east, north, west, each from left to right as seen from outside."""
    w, s, e, n = house.west, house.south, house.east, house.north
    return np.array([(w, s, e, s), (e, s, e, n), (e, n, w, n), (w, n, w, s)])


def _trees(points: PlanePoints, rng: np.random.Generator) -> Uprights:
    height = rng.uniform(5.0, 7.8, len(points))
    return Uprights(points, height, height * rng.uniform(0.5, 0.68, len(points)), rng.integers(0, 6, len(points)))


def _lamps(points: PlanePoints) -> Uprights:
    n = len(points)
    return Uprights(points, np.full(n, 5.2), np.full(n, 1.3), np.zeros(n, dtype=np.int64))


def _spots(plans: list[Plan], turn: _Turn) -> Spots:
    rows = np.concatenate([plan.spots for plan in plans])
    return Spots(
        points=turn(rows[:, :2]),
        bearing_deg=(rows[:, 2] + turn.bearing_deg) % 360,
        sideways_m=rows[:, 3],
        quarter=np.repeat([plan.quarter for plan in plans], [len(plan.spots) for plan in plans]),
    )
