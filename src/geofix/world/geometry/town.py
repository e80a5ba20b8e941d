"""The plan of a fictional town: streets, buildings, trees, lamps and photo spots in UTM metres.

A town is three quarters (train, val, test) side by side with open country between them. Each quarter is a
bent grid of streets; houses line both sides of every street. Nothing here knows how a thing looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from geofix.errors import UsageError
from geofix.positions import Position, grid_convergence_deg, unproject, utm_zones
from geofix.shapes import Degrees, Metres, PlanePoints
from geofix.world.geometry.plan import CONTAINER, DWELLING, HALL, House, Plan, plan_quarter
from geofix.world.geometry.regions import CHIMNEY, PYLON, SCENES, TANK, check_scene, plan_region
from geofix.world.styles import COUNTRIES, MIXED, Style, country_style

QUARTERS = ("train", "val", "test")
ORIGIN = Position(52.2, 0.12)  # the south-west corner of the fictional town
SHARES = (0.25, 0.15)  # of the spots, for train and val; test gets the rest
_GAP_M = 90.0  # open country between two quarters

Segments = Float[np.ndarray, "n 4"]
"""Straight lines in plan: easting and northing of the start, then of the end."""

Labels = Int[np.ndarray, " n"]
"""One whole number a row."""

Shares = Float[np.ndarray, " n"]
"""One number 0..1 a row."""

FLAT, GABLE, STEPPED, TILED = range(4)  # kinds of roof
TREE_VARIANTS = 6  # of each family of trees
_TREE_SHAPES = ((1.0, 1.0), (1.35, 0.62), (1.15, 0.75), (1.3, 0.3))  # height and slimness, broadleaf being 1
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

    `kind` is what the house is: a dwelling, a hall or a container. `eave_m` is the height of the wall, `roof_m`
    what the roof adds at its highest, `chimney` where the chimney stands (0..1 along the wall), `storeys` the
    floors above the ground floor. A house's four walls follow each other: south, east, north, west before the
    town was turned.
    """

    lines: Segments
    building: Labels
    kind: Labels
    role: Labels
    storeys: Labels
    roof: Labels
    eave_m: Metres
    roof_m: Metres
    chimney: Shares


@dataclass(frozen=True)
class Uprights:
    """Trees, lamps or masts: where they stand, their height and full width in metres, and their kind (0, 1, ...)."""

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
class Shore:
    """A straight shoreline: a point of it and the bearing in which the sea lies, in the plane."""

    point: PlanePoints  # (1, 2)
    seaward_deg: float


@dataclass(frozen=True, eq=False)
class Town:
    """A town, or a small region of a country, in the plane of one UTM zone; compared and cached by identity.

    `seed` and `style` decide how its houses look. `hills` are the waves that make the skyline: rows of height
    (as a slope), number of waves around the horizon, and phase.
    """

    seed: int
    zone: int
    north: bool
    streets: Streets
    walls: Walls
    trees: Uprights
    lamps: Uprights
    masts: Uprights
    spots: Spots
    hills: Float[np.ndarray, "k 3"]  # noqa: F722
    style: Style = MIXED
    scene: str = "city"
    shore: Shore | None = None

    def true_heading_deg(self, position: Position, heading_deg: float) -> float:
        """A heading from grid north as one from true north: a UTM grid leans by the meridian convergence."""
        return (heading_deg + grid_convergence_deg(position, self.zone)) % 360

    def positions(self, points: PlanePoints) -> list[Position]:
        """Plane points of this town as positions."""
        return [Position(float(lat), float(lon)) for lat, lon in unproject(points, self.zone, self.north)]


def build_town(places: int, seed: int, origin: Position = ORIGIN, shares: Sequence[float] = SHARES) -> Town:
    """A town with `places` photo spots; the same arguments always give the same town.

    `shares` 0..1 of the spots go to the train and the val quarter, the rest to test. Raises UsageError for fewer
    than one place, a negative seed, shares that are none, or an origin so near the edge of its UTM zone that
    the town would reach into the next.
    """
    if places < 1:
        raise UsageError(f"A town with {places} places cannot be built; ask for at least 1 with --places.")
    check_seed(seed)
    sizes = quarter_sizes(places, shares)
    plans: list[Plan] = []
    west = 0.0
    for quarter, spots in enumerate(sizes):
        if spots:
            rng = np.random.default_rng([seed, 1, quarter])
            plans.append(plan_quarter(spots, west, MIXED.leafy, rng))
            west = plans[-1].east + _GAP_M
    quarters = np.repeat(np.arange(len(sizes)), sizes)
    return _town(plans, seed, origin, MIXED, "city", quarters)


def build_region(scene: str, code: str, seed: int, spots: int) -> Town:
    """A small region of one of SCENES with `spots` photo spots in the country of that code (COUNTRIES).

    Regions of a country lie up to about 150 km from its middle. Raises UsageError for an unknown scene or
    country, fewer than one spot or a negative seed.
    """
    known = {country.code: country.middle for country in COUNTRIES}
    if code not in known:
        raise UsageError(f"There is no country {code!r} in the rendered world; known are: {', '.join(known)}.")
    if spots < 1:
        raise UsageError(f"A region with {spots} photo spots cannot be built; ask for at least 1.")
    check_scene(scene)
    check_seed(seed)
    rng = np.random.default_rng([seed, 7, *code.encode(), SCENES.index(scene)])
    style = country_style(code)
    plan = plan_region(scene, spots, style.leafy, rng)
    middle = known[code]
    origin = Position(middle.lat + float(rng.uniform(-1.2, 1.2)), middle.lon + float(rng.uniform(-1.5, 1.5)))
    own = int(rng.integers(2**31))
    return _town([plan], own, origin, style, scene, np.zeros(spots, dtype=np.int64), turn_deg=(0.0, 360.0))


def check_seed(seed: int) -> None:
    """Raises UsageError for a negative seed."""
    if seed < 0:
        raise UsageError(f"The seed is {seed}; a whole number of 0 or more is expected.")


def quarter_sizes(places: int, shares: Sequence[float] = SHARES) -> tuple[int, int, int]:
    """How many spots lie in the train, val and test quarters; from 3 places on train and val have at least one
    where they have a share. Raises UsageError for shares that are none."""
    if len(shares) != 2 or not all(0 <= share <= 1 for share in shares) or sum(shares) > 1:
        raise UsageError(
            f"The shares of train and val are {tuple(shares)}; two of 0..1, together at most 1, are expected."
        )
    train, val = (max(whole_part(places, share), int(places >= 3 and share > 0)) for share in shares)
    return train, val, max(places - train - val, 0)


def whole_part(places: int, share: float) -> int:
    """How many of the places a share is, rounded down; what floating point leaves short of a whole one counts."""
    return int(places * share + 1e-9)


def roof_profile(kind: np.ndarray, along: np.ndarray, chimney: np.ndarray) -> np.ndarray:
    """The height of a roof's outline as a share 0..1 of its highest point.

    `along` is 0..1 from the left end of the wall to its right end; the three broadcast against each other.
    """
    peak = 1 - np.abs(2 * along - 1)
    steps = np.minimum(np.floor(peak * 5 + 1) / 5, 1)
    tiled = np.where(np.abs(along - chimney) < 0.045, 1.0, 0.72)
    return np.asarray(np.choose(kind, [np.ones_like(peak), peak, steps, tiled]))


def _town(
    plans: list[Plan],
    seed: int,
    origin: Position,
    style: Style,
    scene: str,
    quarters: Labels,
    turn_deg: tuple[float, float] = (8.0, 32.0),
) -> Town:
    rng = np.random.default_rng([seed, 2])
    turn = _Turn(origin, float(rng.uniform(*turn_deg)))
    streets = np.concatenate([plan.streets for plan in plans])
    masts = np.concatenate([plan.masts for plan in plans])
    trees = np.concatenate([plan.trees for plan in plans])
    shore = next((plan.shore for plan in plans if plan.shore is not None), None)
    town = Town(
        seed=seed,
        zone=turn.zone,
        north=origin.lat >= 0,
        streets=Streets(turn.lines(streets[:, :4]), streets[:, 4], streets[:, 5]),
        walls=_walls([house for plan in plans for house in plan.houses], style, turn, rng),
        trees=_trees(trees, style, turn, rng),
        lamps=_lamps(turn(np.concatenate([plan.lamps for plan in plans]))),
        masts=_masts(turn(masts[:, :2]), masts[:, 2].astype(np.int64), rng),
        spots=_spots(np.concatenate([plan.spots for plan in plans]), quarters, turn),
        hills=_hills(scene, np.random.default_rng([seed, 6])),
        style=style,
        scene=scene,
        shore=None if shore is None else Shore(turn(np.array([[0.0, shore]])), (turn.bearing_deg + 180) % 360),
    )
    _check_zone(town, origin)
    return town


def _hills(scene: str, rng: np.random.Generator) -> np.ndarray:
    """A low wavy skyline; in open country anything from a plain to mountains."""
    height = {"nature": rng.uniform(0.2, 3.5), "industrial": 0.6, "coast": rng.uniform(0.5, 2)}.get(scene, 1.0)
    waves = np.array([(0.035, 0, np.pi / 2), (0.02, 3, 0), (0.012, 11, 0), (0.004, 37, 0)])
    waves[1:, 2] = rng.uniform(0, 2 * np.pi, 3)
    waves[:, 0] *= height
    return waves


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
    ends = np.concatenate([town.walls.lines, town.streets.lines]).reshape(-1, 2)
    degrees = unproject(ends, town.zone, town.north)
    if np.any(utm_zones(degrees) != town.zone) or np.any((degrees[:, 0] >= 0) != town.north):
        raise UsageError(
            f"A town that starts at {origin.lat}, {origin.lon} would reach out of UTM zone {town.zone}; "
            "choose an origin farther from the edge of its zone."
        )


def _walls(houses: list[House], style: Style, turn: _Turn, rng: np.random.Generator) -> Walls:
    n = len(houses)
    what = np.array([house.kind for house in houses], dtype=np.int64)
    storeys = rng.choice([1, 2, 3, 4], n, p=style.storeys)
    eave = 3.7 + storeys * rng.uniform(2.8, 3.3, n)
    kind = rng.choice(4, n, p=style.roof_kinds)
    roof = np.choose(kind, [rng.uniform(0.5, 1.1, n), *rng.uniform(2.2, 3.6, (3, n))])
    storeys, eave, kind, roof = _unlike_dwellings(what, storeys, eave, kind, roof, rng)
    front = np.array([house.front for house in houses], dtype=np.int64)
    sides = np.arange(4)
    role = np.where(sides == front[:, None], FRONT, np.where((sides - front[:, None]) % 2, FLANK, BACK))
    for number, house in enumerate(houses):
        role[number, list(house.corners)] = CORNER
    # A gable is a front only: what shows of the roof from the side is a lower strip of tiles.
    pointed = ((kind == GABLE) | (kind == STEPPED))[:, None] & (sides != front[:, None])
    return Walls(
        lines=turn.lines(np.concatenate([np.empty((0, 4)), *(_box_sides(house) for house in houses)])),
        building=np.repeat(np.arange(n), 4),
        kind=np.repeat(what, 4),
        role=role.ravel(),
        storeys=np.repeat(storeys, 4),
        roof=np.where(pointed, TILED, kind[:, None]).ravel(),
        eave_m=np.repeat(eave, 4),
        roof_m=np.where(pointed, 0.4, 1.0).ravel() * np.repeat(roof, 4),
        chimney=rng.uniform(0.12, 0.88, 4 * n),
    )


def _unlike_dwellings(
    what: Labels, storeys: Labels, eave: Metres, kind: Labels, roof: Metres, rng: np.random.Generator
) -> tuple[Labels, Metres, Labels, Metres]:
    """Halls are one high floor under a flat or gabled roof; containers are boxes, one or two on each other."""
    hall, box = what == HALL, what == CONTAINER
    if (what == DWELLING).all():
        return storeys, eave, kind, roof
    eave = np.where(hall, rng.uniform(6, 12, len(what)), np.where(box, 2.6 * rng.integers(1, 3, len(what)), eave))
    kind = np.where(hall, rng.choice([FLAT, GABLE], len(what)), np.where(box, FLAT, kind))
    roof = np.where(hall, np.where(kind == GABLE, 2.0, 0.6), np.where(box, 0.05, roof))
    return np.where(what == DWELLING, storeys, 0), eave, kind, roof


def _box_sides(house: House) -> np.ndarray:
    """South, east, north, west, each from left to right as seen from outside."""
    w, s, e, n = house.west, house.south, house.east, house.north
    return np.array([(w, s, e, s), (e, s, e, n), (e, n, w, n), (w, n, w, s)])


def _trees(trees: np.ndarray, style: Style, turn: _Turn, rng: np.random.Generator) -> Uprights:
    """Each family of trees has TREE_VARIANTS kinds in a row."""
    n = len(trees)
    height = rng.uniform(5.0, 7.8, n) * trees[:, 2]
    width = height * rng.uniform(0.5, 0.68, n)
    family, variant = rng.choice(len(style.trees), n, p=style.trees), rng.integers(0, TREE_VARIANTS, n)
    taller, slimmer = np.array(_TREE_SHAPES)[family].T
    kind = family * TREE_VARIANTS + variant
    return Uprights(turn(trees[:, :2]), height * taller, width * taller * slimmer, kind)


def _lamps(points: PlanePoints) -> Uprights:
    n = len(points)
    return Uprights(points, np.full(n, 5.2), np.full(n, 1.3), np.zeros(n, dtype=np.int64))


def _masts(points: PlanePoints, kind: Labels, rng: np.random.Generator) -> Uprights:
    shapes = {CHIMNEY: ((28, 46), 0.09), TANK: ((7, 12), 1.2), PYLON: ((22, 34), 0.28)}
    height = np.array([rng.uniform(*shapes[int(number)][0]) for number in kind])
    width = height * np.array([shapes[int(number)][1] for number in kind])
    return Uprights(points, height.reshape(-1), width.reshape(-1), kind)


def _spots(rows: np.ndarray, quarters: Labels, turn: _Turn) -> Spots:
    return Spots(
        points=turn(rows[:, :2]),
        bearing_deg=(rows[:, 2] + turn.bearing_deg) % 360,
        sideways_m=rows[:, 3],
        quarter=quarters,
    )
