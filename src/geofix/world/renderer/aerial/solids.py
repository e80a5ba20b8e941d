"""A town as patches in space: walls, roofs, chimneys and masts, the same from every side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from geofix.world.conditions import Conditions
from geofix.world.geometry.plan import DWELLING
from geofix.world.geometry.regions import CHIMNEY, PYLON, TANK
from geofix.world.geometry.town import FLAT, FRONT, GABLE, STEPPED, TILED, Labels, Town, Uprights
from geofix.world.renderer.aerial.patches import (
    DISC,
    FULL,
    LATTICE,
    PEAKED,
    STEPPED_UP,
    Numbers,
    Patches,
    boxes,
    patches,
    together,
)
from geofix.world.renderer.aerial.roofs import RoofSkin
from geofix.world.renderer.aerial.skins import Plain, Skin, WallSkin
from geofix.world.renderer.facades import FacadeStyle, Packed
from geofix.world.renderer.walls import facade_style

_RIDGE = 0.72  # of a tiled roof's height: its chimney takes the rest, as in the street
_OVERHANG_M = 0.3
_ROUND_SIDES = 10  # of a mast's prism
_BRICK, _SOOT = Plain((134, 84, 70)), Plain((84, 60, 54))

Corners = Float64[np.ndarray, "houses 4 2"]
"""Front left, front right, back right and back left, as seen from the front."""

WallRows = Int[np.ndarray, "houses 4"]
"""Rows of a town's walls: front, right, back, left."""


@dataclass(frozen=True)
class Houses:
    """The houses of a town one by one, with the roof of their front."""

    corners: Corners
    walls: WallRows
    kind: Labels
    roof: Labels
    eave_m: Numbers
    roof_m: Numbers
    chimney: Numbers

    @classmethod
    def of(cls, town: Town) -> Houses:
        """Turns each house so that its front comes first."""
        walls = town.walls
        n = len(walls.building) // 4
        front = np.argmax(walls.role.reshape(n, 4) == FRONT, axis=1)
        rows = np.arange(n)[:, None] * 4 + (front[:, None] + np.arange(4)) % 4
        first = rows[:, 0]
        chosen = (part[first] for part in (walls.kind, walls.roof, walls.eave_m, walls.roof_m, walls.chimney))
        return cls(walls.lines[rows, :2], rows, *chosen)

    @property
    def ridge_m(self) -> Numbers:
        """How far the roof's slopes rise above the eaves; a flat roof lies at the top of its walls."""
        return self.roof_m * np.where(self.roof == TILED, _RIDGE, 1.0)


def solid_town(town: Town, conditions: Conditions) -> Patches:
    """Everything built in a town, after as much rebuilding as the conditions say."""
    houses = Houses.of(town)
    styles = [facade_style(town, row, conditions) for row in range(len(town.walls.building))]
    return together([_walls(houses, styles), *_roofs(houses, styles), _chimneys(houses), *_masts(town.masts)])


def _walls(houses: Houses, styles: Sequence[FacadeStyle]) -> Patches:
    """Up to the eaves, the parapet or the ridge; a gable shows its outline on both ends of its ridge."""
    side = np.arange(4)
    pointed = np.isin(houses.roof, (GABLE, STEPPED))[:, None]
    peaked = np.where(pointed, side % 2 == 0, (houses.roof == TILED)[:, None] & (side % 2 == 1))
    high = peaked | (houses.roof == FLAT)[:, None]
    eave = np.broadcast_to(houses.eave_m[:, None], high.shape)
    top = (eave + high * houses.ridge_m[:, None]).ravel()
    stepped = (houses.roof == STEPPED)[:, None] & (side == 0)
    start, end = houses.corners, np.roll(houses.corners, -1, axis=1)
    rows = houses.walls.ravel()
    made = patches(
        _at(start.reshape(-1, 2), np.zeros(len(rows))),
        _at((end - start).reshape(-1, 2), np.zeros(len(rows))),
        _at(np.zeros((len(rows), 2)), top),
        np.arange(len(rows)),
        [WallSkin(styles[row], float(height)) for row, height in zip(rows, top, strict=True)],
        outline=np.where(stepped, STEPPED_UP, np.where(peaked, PEAKED, FULL)).ravel(),
        shoulder=eave.ravel() / top,
    )
    made.one_sided[:] = ~stepped.ravel()  # steps stand above the roof behind them
    return made


def _roofs(houses: Houses, styles: Sequence[FacadeStyle]) -> list[Patches]:
    """One patch for a flat roof, two slopes that meet in the ridge for the others."""
    flat = np.flatnonzero(houses.roof == FLAT)
    first = np.where(houses.roof == TILED, 0, 1)  # a tiled roof's ridge is parallel to the street
    sloped = np.flatnonzero(houses.roof != FLAT)
    return [
        _roof(houses, styles, flat, np.zeros(len(flat), dtype=np.int64), 0),
        *(_roof(houses, styles, sloped, (first[sloped] + 2 * side) % 4, side) for side in (0, 1)),
    ]


def _roof(houses: Houses, styles: Sequence[FacadeStyle], rows: Labels, over: Labels, side: int) -> Patches:
    """The roof over one wall of some houses: up to the ridge, or flat to the opposite wall."""
    flat = houses.roof[rows] == FLAT
    left, right, opposite = (houses.corners[rows, (over + turn) % 4] for turn in (0, 1, 3))
    inward = (opposite - left) * np.where(flat, 1.0, 0.5)[:, None]
    rise, eave = np.where(flat, 0.0, houses.ridge_m[rows]), houses.eave_m[rows] + flat * houses.roof_m[rows]
    up, along = _at(inward, rise), _at(right - left, np.zeros(len(rows)))
    length = np.hypot(*inward.T)
    over_eave = np.where(flat, 0.0, _OVERHANG_M / length)[:, None]
    corner = _at(left, eave) - up * over_eave
    up = up * (1 + over_eave)
    sizes = np.column_stack([np.linalg.norm(along, axis=1), np.linalg.norm(up, axis=1)])
    fronts = [styles[row] for row in houses.walls[rows, 0]]
    skins = [RoofSkin(style, side, float(w), float(h)) for style, (w, h) in zip(fronts, sizes, strict=True)]
    return patches(corner, along, up, np.arange(len(rows)), skins)


def _chimneys(houses: Houses) -> Patches:
    """On the ridges of tiled roofs, where the street sees them."""
    rows = np.flatnonzero((houses.roof == TILED) & (houses.kind == DWELLING))
    corners = houses.corners[rows]
    along, across = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
    deep = across * (0.9 / np.hypot(*across.T))[:, None]
    foot = corners[:, 0] + along * (houses.chimney[rows] - 0.045)[:, None] + across / 2 - deep / 2
    ridge, level = houses.eave_m[rows] + houses.ridge_m[rows], np.zeros(len(rows))
    height = houses.eave_m[rows] + houses.roof_m[rows] - ridge + 0.5
    side = np.zeros(len(rows), dtype=np.int64)
    return boxes(
        _at(foot, ridge - 0.5), _at(along * 0.09, level), _at(deep, level), height, side, side + 1, (_BRICK, _SOOT)
    )


@dataclass(frozen=True, slots=True)
class _MastSkin:
    """A smokestack's concrete with red bands, as the street sees it, or a tank's sheet metal."""

    kind: int

    def painted(self) -> Packed:
        """Plain around, banded upwards."""
        paint = np.zeros((100, 1, 4))
        paint[..., :3] = (178, 170, 162) if self.kind == CHIMNEY else (204, 204, 198)
        for low in (72, 84, 96) if self.kind == CHIMNEY else ():
            paint[low : low + 6, :, :3] = (186, 54, 46)
        return paint.astype(np.uint8)


def _masts(masts: Uprights) -> list[Patches]:
    """Smokestacks and tanks as prisms with a lid, pylons as two crossed lattices."""
    stack, tank, pylon = (np.flatnonzero(masts.kind == kind) for kind in (CHIMNEY, TANK, PYLON))
    return [
        _prisms(masts, stack, 0.3, 1.0, (_MastSkin(CHIMNEY), Plain((58, 54, 52)))),
        _prisms(masts, tank, 0.5, 0.94, (_MastSkin(TANK), Plain((214, 214, 208)))),
        *(_lattice(masts, pylon, turn) for turn in (0.0, np.pi / 2)),
    ]


def _prisms(masts: Uprights, rows: Labels, radius: float, height: float, skins: Sequence[Skin]) -> Patches:
    """Round towers: `radius` and `height` are shares of a mast's width and height."""
    turn = np.arange(_ROUND_SIDES + 1) * (2 * np.pi / _ROUND_SIDES)
    reach, tall = masts.width_m[rows] * radius, masts.height_m[rows] * height
    rim = masts.points[rows, None] + reach[:, None, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    n = len(rows) * _ROUND_SIDES
    start, end = rim[:, :-1].reshape(-1, 2), rim[:, 1:].reshape(-1, 2)
    up = _at(np.zeros((n, 2)), np.repeat(tall, _ROUND_SIDES))
    wall = patches(_at(start, np.zeros(n)), _at(end - start, np.zeros(n)), up, np.zeros(n, dtype=np.int64), skins)
    level = np.zeros(len(rows))
    lid = patches(
        _at(masts.points[rows] - reach[:, None], tall),
        _at(np.column_stack([2 * reach, level]), level),
        _at(np.column_stack([level, 2 * reach]), level),
        np.ones(len(rows), dtype=np.int64),
        skins,
        outline=DISC,
    )
    return together([wall, lid])


def _lattice(masts: Uprights, rows: Labels, turn: float) -> Patches:
    half = masts.width_m[rows, None] / 2 * np.array([np.cos(turn), np.sin(turn)])
    level = np.zeros(len(rows))
    return patches(
        _at(masts.points[rows] - half, level),
        _at(2 * half, level),
        _at(np.zeros((len(rows), 2)), masts.height_m[rows]),
        np.zeros(len(rows), dtype=np.int64),
        (Plain((112, 118, 122)),),
        outline=LATTICE,
        one_sided=False,
    )


def _at(points: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points of the plane at a height."""
    return np.column_stack([points, height])
