"""Spots: from the tiles that a frame's looks resemble to one place on the map, a heading, and the evidence for both.

A tile speaks for its middle and for the heading under which it was found. Where a frame belongs, neighbouring tiles
and tiles of several scales are found under one heading; elsewhere likeness is scattered over the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofix.atlas.consensus import SHARPNESS, weighted_quantile, weights_of
from geofix.positions import Position, latlons, metres_from, project, unproject
from geofix.shapes import Degrees, Distances, LatLons, Metres, Neighbours, PlanePoints

TILES = 40  # how many of the most alike take part
PER_LOOK = 8  # tiles that one look can bring
POOL, POOL_PER_LOOK = 400, 16  # the same where places are verified on the map, which can do with weaker hints
_LINK = 0.75  # of a tile's side: tiles whose middles are this near show much of the same ground
_SAME_HEADING_DEG = 35.0
PLACES = 24  # spots of one frame that are compared with the map itself at first, where that is asked for
ROUNDS = 3  # of so many, until the map speaks for one of them
METHOD = f"spot of {TILES} tiles, {PER_LOOK} a look, link {_LINK:g}, sharpness {SHARPNESS:g}"
VERIFIED_METHOD = (
    f"{METHOD}; best of {PLACES} x {ROUNDS} and landmarks by local features, third kind"  # see frames.verify
)


@dataclass(frozen=True, slots=True)
class Found:
    """The tiles most alike to a frame, best first: rows of the atlas (k,), their distances (k,) in descriptor space,
    and the heading (k,) under which each was found.
    """

    tiles: np.ndarray
    distances: np.ndarray
    headings_deg: Degrees

    @classmethod
    def none(cls) -> Found:
        """No tile at all."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), np.empty(0))

    def take(self, numbers: np.ndarray) -> Found:
        """Some of them, by number."""
        return Found(self.tiles[numbers], self.distances[numbers], self.headings_deg[numbers])

    def weights(self) -> np.ndarray:
        """From 1 at the best to exp(-6) at the last of the first TILES, whatever the encoder's scale, and on from there
        (k,).
        """
        return weights_of(self.distances, last=TILES - 1)


@dataclass(frozen=True, slots=True)
class Spot:
    """The place that most tiles speak for: position, heading from grid north of UTM `zone`, and which of the found
    tiles lie there (indices).

    `share` (0..1) is their part of all weight, `lead` how much nearer in descriptor space the best of them is than the
    best elsewhere (-1..1), `distance` that of the best of them; `spread_m` holds 90 % of the weight of those that lie
    there.
    """

    position: Position
    heading_deg: float
    zone: int
    members: np.ndarray
    share: float
    lead: float
    distance: float
    spread_m: float

    @property
    def evidence(self) -> tuple[float, float, float]:
        """What confidence is made of: share, lead, distance."""
        return self.share, self.lead, self.distance


def found_tiles(distances: Distances, neighbours: Neighbours, headings_deg: Degrees, count: int = TILES) -> Found:
    """The best tiles of all looks together, each once and under its best heading.

    `distances` and `neighbours` are those of each look (q, k), `headings_deg` (q,) the looks' headings.
    """
    there = neighbours >= 0
    look, _ = np.nonzero(there)
    tiles, apart = neighbours[there], distances[there]
    order = np.lexsort((tiles, apart))
    _, first = np.unique(tiles[order], return_index=True)
    best = order[np.sort(first)][:count]
    return Found(tiles[best], apart[best], headings_deg[look[best]])


def spot_of(found: Found, places: LatLons, sides_m: Metres, zone: int) -> Spot:
    """The spot of k found tiles (k >= 1) with these middles (k, 2) and sides (k,); `zone` is the UTM zone of the best.

    Tiles far outside of that zone are far away from it all the same.
    """
    return spots_of(found, places, sides_m, zone, 1)[0]


def spots_of(found: Found, places: LatLons, sides_m: Metres, zone: int, most: int) -> list[Spot]:
    """The spot as `spot_of` has it, then the one that most weight speaks for among tiles that lie in none so far, and
    so on: at most so many. Of all but the first `lead` may be below 0.
    """
    weights = found.weights()
    points = project(places, zone)
    close = _near(points, sides_m)
    near = close & (_turned(found.headings_deg) <= _SAME_HEADING_DEG)
    left = np.ones(len(weights), dtype=np.bool_)
    spots: list[Spot] = []
    while left.any() and len(spots) < most:
        free = near & left
        # Of tiles that are in no spot; the seed is one itself, so that the loop ends.
        seed = int(np.argmax(np.where(left, free @ weights, -1.0)))
        members = np.flatnonzero(free[seed])
        left[members] = False
        elsewhere = np.flatnonzero(~close[seed])
        spots.append(_spot(found, weights, points, places, sides_m, zone, members, elsewhere))
    return spots


def spot_near(
    found: Found, places: LatLons, sides_m: Metres, zone: int, position: Position, heading_deg: float
) -> Spot:
    """A place that something else than tiles points to, with what the k found tiles say for it.

    Where none of them lies there its share is 0, and its distance that of the last of them.
    """
    points = project(places, zone)
    apart_m = np.hypot(*(points - project(latlons([position]), zone)).T)
    close = apart_m <= _LINK * sides_m
    turned = np.abs((found.headings_deg - heading_deg + 180) % 360 - 180)
    members, elsewhere = np.flatnonzero(close & (turned <= _SAME_HEADING_DEG)), np.flatnonzero(~close)
    share, lead, distance = _said(found, found.weights(), members, elsewhere)
    return Spot(
        position=position,
        heading_deg=heading_deg,
        members=members,
        share=share,
        lead=lead,
        distance=distance,
        zone=zone,
        spread_m=float(apart_m[members].max(initial=sides_m.min())),
    )


def _said(found: Found, weights: np.ndarray, members: np.ndarray, elsewhere: np.ndarray) -> tuple[float, float, float]:
    """Share, lead and distance of the found tiles that lie at a place; where there are none at it or elsewhere, the
    last tile's distance stands for theirs.
    """
    last = found.distances[-1]
    inside, outside = (float(found.distances[some].min() if len(some) else last) for some in (members, elsewhere))
    share = float(weights[members].sum() / weights.sum())
    return share, (outside - inside) / max(inside, outside, 1e-12), inside


def _spot(
    found: Found,
    weights: np.ndarray,
    points: PlanePoints,
    places: LatLons,
    sides_m: Metres,
    zone: int,
    members: np.ndarray,
    elsewhere: np.ndarray,
) -> Spot:
    # Of tiles at several scales the smaller say more exactly where: weights fall with the area.
    pull = weights[members] / sides_m[members] ** 2
    centre = np.average(points[members], axis=0, weights=pull)
    lat, lon = (float(part) for part in unproject(centre[None, :], zone)[0])
    spot = Position(lat, float(np.clip(lon, -180, 180)))  # on the date line the last bit may fall outside
    share, lead, distance = _said(found, weights, members, elsewhere)
    return Spot(
        position=spot,
        heading_deg=mean_heading_deg(found.headings_deg[members], weights[members]),
        members=members,
        share=share,
        lead=lead,
        distance=distance,
        zone=zone,
        spread_m=weighted_quantile(metres_from(spot, places[members]), weights[members], 0.9),
    )


def _near(points: np.ndarray, sides_m: Metres) -> np.ndarray:
    """(k, k) whether two tiles' middles are near for the larger of them."""
    apart = np.hypot(*np.moveaxis(points[:, None] - points[None], -1, 0))
    return np.asarray(apart <= _LINK * np.maximum(sides_m[:, None], sides_m[None]))


def _turned(headings_deg: Degrees) -> np.ndarray:
    """(k, k) degrees between headings, 0..180."""
    return np.asarray(np.abs((headings_deg[:, None] - headings_deg[None] + 180) % 360 - 180))


def mean_heading_deg(headings_deg: Degrees, weights: np.ndarray) -> float:
    """The weighted mean direction, 0..360."""
    turns = np.radians(headings_deg)
    mean = np.arctan2((weights * np.sin(turns)).sum(), (weights * np.cos(turns)).sum())
    return float(np.degrees(mean) % 360 % 360)  # a hair below 0 becomes 360 at first
