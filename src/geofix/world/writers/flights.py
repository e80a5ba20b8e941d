"""Which places of a town are photographed from above, and from where."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from geofix.errors import UsageError
from geofix.shapes import PlanePoints
from geofix.world.geometry.town import Labels, Town, build_town
from geofix.world.renderer.aerial.cameras import LOWEST_M, DroneCamera
from geofix.world.renderer.aerial.solids import Houses

APART_M = 50.0  # between two places, so that their satellite tiles differ
_STREET_M = 26.0  # from a place to a photo spot in its street
_SPOTS_A_PLACE = 6  # asked of the town at first; more where that gives too few places
OUTSKIRTS_M = 60.0  # of open country around a quarter that count as part of it
_ABOVE_ROOFS_M = 5.0


@dataclass(frozen=True)
class Flight:
    """How a drone photographs a place: `views` pictures in `turns` rounds while it goes from the first of
    `altitudes_m` to the last, or, where `level`, as many on each of them.

    It looks at the place, `pitch_deg` below the horizon (10..90), from all around or always in the direction of
    `heading_deg`; pitch and aim vary a little. Raises UsageError for what cannot be flown.
    """

    altitudes_m: tuple[float, ...]
    views: int = 12
    pitch_deg: float = 50.0
    heading_deg: float | None = None
    hfov_deg: float = 30.0
    turns: float = 3.0
    level: bool = False

    def __post_init__(self) -> None:
        if self.views < 1:
            raise UsageError(f"{self.views} drone views of every place were asked for; at least 1 is needed.")
        if not self.altitudes_m or not all(LOWEST_M <= altitude <= 2000 for altitude in self.altitudes_m):
            raise UsageError(
                f"A drone cannot fly at {', '.join(f'{altitude:g}' for altitude in self.altitudes_m) or 'no altitude'}"
                f" m; name altitudes of {LOWEST_M:g} to 2000 m above the ground."
            )
        if self.level and len(set(self.altitudes_m)) < len(self.altitudes_m):
            raise UsageError(
                f"The altitudes {', '.join(f'{altitude:g}' for altitude in self.altitudes_m)} m name one twice; "
                "each is a folder of its own."
            )
        DroneCamera(0.0, 0.0, self.altitudes_m[0], self.heading_deg or 0.0, self.pitch_deg, self.hfov_deg)

    def cameras(self, point: PlanePoints, size: int, rng: np.random.Generator) -> Iterator[DroneCamera]:
        """The views of a place (1, 2) one after the other, at whole centimetres, `size` pixels a side."""
        start = float(rng.uniform(0, 360))
        for altitude, share in self._way():
            heading = start + 360 * self.turns * share if self.heading_deg is None else self.heading_deg
            pitch = float(np.clip(self.pitch_deg + rng.uniform(-3, 3), 10, 90)) if self.pitch_deg < 90 else 90.0
            aim = point[0] + rng.uniform(-0.03, 0.03, 2) * altitude
            back = altitude / math.tan(math.radians(pitch)) if pitch < 90 else 0.0
            turn = math.radians(heading)
            yield DroneCamera(
                easting_m=round(float(aim[0]) - back * math.sin(turn), 2),
                northing_m=round(float(aim[1]) - back * math.cos(turn), 2),
                height_m=altitude,
                heading_deg=round(heading % 360, 3) % 360,
                pitch_deg=round(pitch, 3),
                hfov_deg=self.hfov_deg,
                width=size,
                height=size,
            )

    def _way(self) -> Iterator[tuple[float, float]]:
        """Altitude and share 0..1 of the rounds done, of every view."""
        if self.level:
            for altitude in self.altitudes_m:
                yield from ((altitude, view / self.views) for view in range(self.views))
            return
        shares = np.linspace(0, 1, self.views) if self.views > 1 else np.zeros(1)
        altitudes = np.interp(shares, np.linspace(0, 1, len(self.altitudes_m)), self.altitudes_m)
        yield from (
            (round(float(altitude), 2), float(share)) for altitude, share in zip(altitudes, shares, strict=True)
        )


@dataclass(frozen=True)
class Place:
    """What is photographed, a house or any ground: its number, its middle (1, 2), and the quarter it lies in."""

    number: int
    point: PlanePoints
    quarter: int


def town_with_places(counts: Sequence[int], seed: int, *, outskirts_m: float | None = None) -> tuple[Town, list[Place]]:
    """A town whose train, val and test quarters have so many places, at least APART_M from each other.

    Places are houses or, with `outskirts_m`, points in the streets and yards of a quarter and in the fields so far
    around it, as they come. Raises UsageError for fewer than one place in all, or a negative seed.
    """
    choose = _chosen if outskirts_m is None else partial(_scattered, outskirts_m=outskirts_m)
    total = sum(counts)
    if total < 1:
        raise UsageError(f"A town with {total} places cannot be rendered; ask for at least 1 with --places.")
    spots = np.array(counts) * _SPOTS_A_PLACE
    while True:
        town = build_town(int(spots.sum()), seed, shares=(spots[0] / spots.sum(), spots[1] / spots.sum()))
        chosen = [choose(town, quarter, count) for quarter, count in enumerate(counts)]
        short = np.array([len(points) < count for points, count in zip(chosen, counts, strict=True)])
        if not short.any():
            break
        spots = np.where(short, spots * 3 // 2 + 2, spots)
    numbered = [(quarter, point) for quarter, points in enumerate(chosen) for point in points]
    return town, [Place(number, point[None], quarter) for number, (quarter, point) in enumerate(numbered)]


def check_altitudes(town: Town, flight: Flight) -> None:
    """Raises UsageError when a flight comes down among the roofs of the town."""
    tallest = float((town.walls.eave_m + town.walls.roof_m).max())
    if min(flight.altitudes_m) < tallest + _ABOVE_ROOFS_M:
        raise UsageError(
            f"A flight down to {min(flight.altitudes_m):g} m would be among roofs up to {tallest:.1f} m high; "
            f"choose altitudes of {tallest + _ABOVE_ROOFS_M:.0f} m or more."
        )


def spots_near(town: Town, place: Place) -> Labels:
    """The photo spots in the streets of a place, the nearest first."""
    away = np.hypot(*(town.spots.points - place.point).T)
    return np.array([row for row in np.argsort(away, kind="stable") if away[row] < _STREET_M], dtype=np.int64)


def _chosen(town: Town, quarter: int, count: int) -> PlanePoints:
    """The middles of that many houses of a quarter, chosen by chance; fewer where there are not enough."""
    spots = town.spots.points[town.spots.quarter == quarter]
    middles = Houses.of(town).corners.mean(axis=1)
    chosen: list[np.ndarray] = []
    for house in np.random.default_rng([town.seed, 80, quarter]).permutation(len(middles)):
        point = middles[house]
        if len(chosen) == count:
            break
        seen = len(spots) > 0 and np.hypot(*(spots - point).T).min() < _STREET_M
        if seen and all(np.hypot(*(other - point)) >= APART_M for other in chosen):
            chosen.append(point)
    return np.array(chosen, dtype=np.float64).reshape(-1, 2)


def _scattered(town: Town, quarter: int, count: int, outskirts_m: float) -> PlanePoints:
    """That many points in the box of a quarter and its outskirts; fewer where there is no room."""
    spots = town.spots.points[town.spots.quarter == quarter]
    if not count or not len(spots):
        return np.empty((0, 2))
    low, high = spots.min(axis=0) - outskirts_m, spots.max(axis=0) + outskirts_m
    rng = np.random.default_rng([town.seed, 83, quarter])
    chosen: list[np.ndarray] = []
    for point in rng.uniform(low, high, (20 * count, 2)):
        if len(chosen) < count and all(np.hypot(*(other - point)) >= APART_M for other in chosen):
            chosen.append(point)
    return np.array(chosen, dtype=np.float64).reshape(-1, 2)
