"""Parked cars from above: boxes along the kerbs, the same for one seed wherever the camera is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofix.shapes import PlanePoints
from geofix.world.geometry.town import Labels, Town
from geofix.world.renderer.aerial.patches import Flags, Patches, boxes, together
from geofix.world.renderer.aerial.skins import Plain, Skin, canvas, finished, part
from geofix.world.renderer.facades import Packed
from geofix.world.renderer.looks import GLASS
from geofix.world.renderer.sprites import CAR_M, CARS, car_side
from geofix.world.styles import Colour

_SLOT_M = 6.2  # from one parking place to the next
_OFF_TOWN = 0.12  # share of the cars where nobody lives
_BODY_M = 0.85  # of a car's height; the cabin stands on it


@dataclass(frozen=True, slots=True)
class _CabinSkin:
    """The roof of a car between its windows."""

    colour: Colour

    def painted(self) -> Packed:
        """From the rear window to the windscreen."""
        paint = canvas(0.55 * CAR_M[0], 0.85 * CAR_M[2], GLASS)
        part(paint, 0.5, 0.2, 1.15, 1.1)[..., :3] = self.colour
        return finished(paint)


def parked(town: Town, amount: float, seed: int, around: PlanePoints, reach_m: float) -> Patches | None:
    """Cars in that share 0..1 of the parking places in the streets within reach of a point (1, 2)."""
    if town.scene == "nature":
        amount *= _OFF_TOWN
    parts = [_cars(town, row, amount, seed) for row in _near(town, around, reach_m)] if amount else []
    found = [part for part in parts if len(part)]
    return together(found) if found else None


def _near(town: Town, around: PlanePoints, reach_m: float) -> list[int]:
    start, end = town.streets.lines[:, :2] - around, town.streets.lines[:, 2:] - around
    run = end - start
    share = np.clip(-(start * run).sum(1) / (run * run).sum(1), 0, 1)
    return [int(row) for row in np.flatnonzero(np.hypot(*(start + share[:, None] * run).T) < reach_m)]


def _cars(town: Town, row: int, amount: float, seed: int) -> Patches:
    """Cars at both kerbs of a street, none near a crossing."""
    rng = np.random.default_rng([seed, 14, row])
    start, run = town.streets.lines[row, :2], town.streets.lines[row, 2:] - town.streets.lines[row, :2]
    length = float(np.hypot(*run))
    ahead = run / length
    aside = np.array([ahead[1], -ahead[0]])
    slots = np.arange(14, max(length - 14, 14.1), _SLOT_M)
    at = np.concatenate([slots + rng.uniform(-0.5, 0.5, len(slots)) for _ in (-1, 1)])
    kerb = float(town.streets.road_half_m[row]) - 0.2 - CAR_M[2] / 2
    off = np.repeat([-kerb, kerb], len(slots)) + rng.uniform(-0.12, 0.12, len(at))
    taken, kind = rng.random(len(at)) < amount, rng.integers(0, CARS, len(at))
    middle = start + at[:, None] * ahead + off[:, None] * aside
    keep = np.flatnonzero(taken & _clear(town, row, middle))
    return _boxes(middle[keep], ahead, aside, kind[keep])


def _clear(town: Town, row: int, points: PlanePoints) -> Flags:
    """Which points lie on no other street."""
    start, run = town.streets.lines[:, :2], town.streets.lines[:, 2:] - town.streets.lines[:, :2]
    offset = points[:, None] - start
    share = np.clip((offset * run).sum(2) / (run * run).sum(1), 0, 1)
    apart = np.hypot(*np.moveaxis(offset - share[..., None] * run, -1, 0))
    near = apart < town.streets.space_half_m + 3
    near[:, row] = False
    return np.asarray(~near.any(axis=1))


def _boxes(middle: PlanePoints, ahead: np.ndarray, aside: np.ndarray, kind: Labels) -> Patches:
    """A body and a cabin for each car."""
    skins: list[Skin] = []
    for number in range(CARS):
        red, green, blue = (int(part) for part in car_side(number)[0][16, 68, :3])  # its flank in the street
        colour = (red, green, blue)
        skins += [Plain(colour), Plain(GLASS), _CabinSkin(colour)]
    body = _box(middle, ahead * CAR_M[0], -aside * CAR_M[2], (0.0, _BODY_M), 3 * kind, 3 * kind, skins)
    cabin_m = CAR_M[1] - _BODY_M
    back = middle - 0.06 * CAR_M[0] * ahead
    cabin = _box(
        back, ahead * 0.55 * CAR_M[0], -aside * 0.85 * CAR_M[2], (_BODY_M, cabin_m), 3 * kind + 1, 3 * kind + 2, skins
    )
    return together([body, cabin])


def _box(
    middle: PlanePoints,
    along: np.ndarray,
    across: np.ndarray,
    level: tuple[float, float],
    sides: Labels,
    tops: Labels,
    skins: list[Skin],
) -> Patches:
    """Boxes around middles, from a level on so many metres high."""
    n, (foot, height) = len(middle), level
    corner = np.column_stack([middle - along / 2 - across / 2, np.full(n, foot)])
    run, deep = (np.tile([*axis, 0.0], (n, 1)) for axis in (along, across))
    return boxes(corner, run, deep, np.full(n, height), sides, tops, skins)
