"""What lies behind the houses, seen from above: lawns, gravel, car parks, pools, sheds, beds and paths.

Every house has a yard behind it, the same in every picture of the town.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geofix.shapes import PlanePoints
from geofix.world.geometry.plan import CONTAINER, HALL
from geofix.world.geometry.town import TREE_VARIANTS, Labels, Town, Uprights
from geofix.world.renderer.aerial.patches import Numbers, Patches, boxes, patches
from geofix.world.renderer.aerial.skins import Paint, Plain, canvas, finished, part
from geofix.world.renderer.aerial.solids import Houses
from geofix.world.renderer.facades import Packed
from geofix.world.renderer.looks import scaled
from geofix.world.seasons import withered
from geofix.world.styles import Colour, Palette, Style

LAWN, BEDS, GRAVEL, PARKING, SLABS, POOL = range(6)
_ODDS = (0.34, 0.16, 0.14, 0.12, 0.14, 0.1)
_DEEPEST_M = 19.0
_FALL = 0.01  # metres down a metre away from the house: where yards overlap, the nearer house's is on top
_GRAVEL: Colour = (188, 178, 158)
_SOIL: Colour = (116, 92, 70)
_WATER, _RIM = (92, 178, 196), (224, 220, 210)
_FLOWERS: Palette = ((214, 90, 96), (232, 196, 84), (190, 120, 190), (236, 232, 228), (84, 124, 66))
_FENCES: Palette = ((74, 96, 56), (88, 108, 62), (132, 110, 86), (150, 146, 140))
_SHEDS: Palette = ((126, 96, 72), (98, 104, 100), (140, 70, 58), (160, 150, 134))


class _Yard(NamedTuple):
    """A yard's own axes in the plane: its corner at the house, along the house's back, and away from it."""

    corner: np.ndarray
    along: np.ndarray
    away: np.ndarray
    width_m: float
    depth_m: float
    kind: int
    house: int


@dataclass(frozen=True)
class Yards:
    """Everything behind the houses: the ground as patches, sheds, and the trees of gardens."""

    ground: Patches
    sheds: Patches
    trees: Uprights


@dataclass(frozen=True, slots=True)
class _YardSkin:
    """The ground of one yard; `seed` and `house` decide what is in it."""

    seed: int
    house: int
    kind: int
    width_m: float
    depth_m: float
    style: Style
    season: float

    def painted(self) -> Packed:
        """The house stands below the lowest row."""
        rng = np.random.default_rng([self.seed, 72, self.house])
        grass = withered(self.style.grass, self.season)
        bare = {GRAVEL: _GRAVEL, PARKING: self.style.asphalt, SLABS: self.style.paving}.get(self.kind, grass)
        paint = canvas(self.width_m, self.depth_m, bare)
        paint[..., :3] *= rng.normal(1, 0.045, (*paint.shape[:2], 1)).astype(np.float32) * float(rng.uniform(0.88, 1.1))
        if self.kind in (LAWN, BEDS, POOL):
            self._garden(paint, rng)
        if self.kind == BEDS:
            self._beds(paint, rng)
        if self.kind == POOL:
            self._pool(paint, rng)
        if self.kind == PARKING:
            part(paint, 0, 2.0, 99, 5.0)[:, :: max(round(2.6 * 4), 1), :3] = self.style.paint
        if self.kind == SLABS:
            paint[::3, :, :3] *= np.float32(0.9)
            paint[:, ::3, :3] *= np.float32(0.9)
        self._fences(paint, rng)
        return finished(paint)

    def _garden(self, paint: Paint, rng: np.random.Generator) -> None:
        """A terrace at the house, a path across the lawn and flowers along its sides."""
        deep = float(rng.uniform(1.5, 4.0))
        part(paint, 0.4, 0, self.width_m - 0.8, deep)[..., :3] = self.style.paving
        at = float(rng.uniform(0.8, max(self.width_m - 1.8, 0.9)))
        part(paint, at, deep, 1.0, float(rng.uniform(2, self.depth_m)))[..., :3] = _GRAVEL
        for side in (0.5, self.width_m - 1.3):
            bed = part(paint, side, deep + 1, 0.8, self.depth_m * 0.6)
            bed[..., :3] = np.array(_FLOWERS)[rng.integers(len(_FLOWERS), size=bed.shape[:2])]

    def _beds(self, paint: Paint, rng: np.random.Generator) -> None:
        """Rows of vegetables."""
        plot = part(paint, 0.15 * self.width_m, 0.4 * self.depth_m, 0.6 * self.width_m, 0.4 * self.depth_m)
        plot[..., :3] = _SOIL
        plot[::3, :, :3] = np.array(self.style.grass) * float(rng.uniform(0.6, 0.9))

    def _pool(self, paint: Paint, rng: np.random.Generator) -> None:
        width, length = float(rng.uniform(2.6, 4)), float(rng.uniform(4, 6.5))
        u = float(rng.uniform(0.8, max(self.width_m - width - 0.8, 0.9)))
        part(paint, u - 0.6, 4.4, width + 1.2, length + 1.2)[..., :3] = _RIM
        part(paint, u, 5.0, width, length)[..., :3] = _WATER

    def _fences(self, paint: Paint, rng: np.random.Generator) -> None:
        colour = _FENCES[int(rng.integers(len(_FENCES)))]
        thick = 2 if colour in _FENCES[:2] else 1  # hedges take more room
        paint[:, :thick, :3] = colour
        paint[-thick:, :, :3] = colour


def yards_of(town: Town, season: float) -> Yards:
    """The yards of all houses of a town in a season."""
    found = _yards(town)
    season = round(season, 2)
    skins = [_YardSkin(town.seed, one.house, one.kind, one.width_m, one.depth_m, town.style, season) for one in found]
    corner, along, away = (np.array([one[axis] for one in found]).reshape(-1, 2) for axis in range(3))
    level, fall = np.zeros(len(found)), np.array([-_FALL * one.depth_m for one in found])
    ground = patches(
        np.column_stack([corner, level]),
        np.column_stack([along, level]),
        np.column_stack([away, fall]),
        np.arange(len(found)),
        skins,
        lying=True,
    )
    return Yards(ground, _sheds(town, found), _garden_trees(town, found))


def _yards(town: Town) -> list[_Yard]:
    houses = Houses.of(town)
    left, right = houses.corners[:, 3], houses.corners[:, 2]  # of the back, with the house below it
    along = right - left
    away = left - houses.corners[:, 0]
    away = away / np.hypot(*away.T)[:, None]
    depth = _free_depth(town, left, along, away)
    found = []
    for house in np.flatnonzero((depth > 3) & (houses.kind != CONTAINER)):
        rng = np.random.default_rng([town.seed, 71, int(house)])
        kind = PARKING if houses.kind[house] == HALL else int(rng.choice(len(_ODDS), p=_ODDS))
        width, deep = float(np.hypot(*along[house])), float(depth[house])
        found.append(_Yard(left[house], along[house], away[house] * deep, width, deep, kind, int(house)))
    return found


def _free_depth(town: Town, left: PlanePoints, along: PlanePoints, away: PlanePoints) -> Numbers:
    """How far behind each house there is no street, up to the deepest yard there is."""
    steps = np.arange(1.0, _DEEPEST_M + 1)
    points = (
        left[:, None, None]
        + np.array([0.02, 0.5, 0.98])[None, None, :, None] * along[:, None, None]
        + steps[None, :, None, None] * away[:, None, None]
    )
    blocked = np.zeros(points.shape[:3], dtype=bool)
    for line, half in zip(town.streets.lines, town.streets.space_half_m, strict=True):
        run = line[2:] - line[:2]
        length = np.hypot(*run)
        u = (points - line[:2]) @ (run / length)
        v = (points - line[:2]) @ np.array([run[1], -run[0]]) / length
        blocked |= np.maximum(np.maximum(-u, u - length), np.abs(v)) < half
    stopped = np.any(blocked, axis=2)
    return np.where(np.any(stopped, axis=1), np.argmax(stopped, axis=1), _DEEPEST_M).astype(np.float64)


def _sheds(town: Town, yards: list[_Yard]) -> Patches:
    """A shed in some of the gardens."""
    rows, kinds = [], []
    for yard in yards:
        rng = np.random.default_rng([town.seed, 73, yard.house])
        if yard.kind not in (LAWN, BEDS) or yard.depth_m < 9 or rng.random() > 0.55:
            continue
        width, deep = rng.uniform(2.0, 3.4), rng.uniform(1.8, 2.8)
        u, v = rng.uniform(0.5, max(yard.width_m - width - 0.5, 0.6)), rng.uniform(5, yard.depth_m - deep - 0.5)
        right, back = yard.along / yard.width_m, yard.away / yard.depth_m
        foot = yard.corner + u * right + v * back
        rows.append([*foot, 0.0, *(width * right), 0.0, *(deep * back), 0.0, rng.uniform(2.0, 2.7)])
        kinds.append(int(rng.integers(len(_SHEDS))))
    columns, side = np.array(rows, dtype=np.float64).reshape(-1, 10), _labels(kinds)
    skins = [Plain(colour) for colour in (*_SHEDS, *(scaled(colour, 0.8) for colour in _SHEDS))]
    foot, along, across = columns[:, :3], columns[:, 3:6], columns[:, 6:9]
    return boxes(foot, along, across, columns[:, 9], side, side + len(_SHEDS), skins)


def _garden_trees(town: Town, yards: list[_Yard]) -> Uprights:
    """Bushes and small trees of the country's families."""
    points: list[np.ndarray] = []
    sizes: list[tuple[float, float]] = []
    kinds: list[int] = []
    for yard in yards:
        rng = np.random.default_rng([town.seed, 74, yard.house])
        most = {LAWN: 4, BEDS: 3, POOL: 2}.get(yard.kind, 1)
        for _ in range(int(rng.integers(0, most + 1))):
            u, v = rng.uniform(0.08, 0.92), rng.uniform(0.15, 0.95)
            points.append(yard.corner + u * yard.along + v * yard.away)
            height = float(rng.uniform(1.6, 6.5))
            sizes.append((height, height * float(rng.uniform(0.6, 0.95))))
            kinds.append(int(rng.choice(4, p=town.style.trees)) * TREE_VARIANTS + int(rng.integers(TREE_VARIANTS)))
    height_m, width_m = np.array(sizes, dtype=np.float64).reshape(-1, 2).T
    return Uprights(np.array(points, dtype=np.float64).reshape(-1, 2), height_m, width_m, _labels(kinds))


def _labels(numbers: list[int]) -> Labels:
    return np.array(numbers, dtype=np.int64)
