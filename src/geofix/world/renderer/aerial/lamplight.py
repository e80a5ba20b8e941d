"""Street lamps by night, seen from above: pools of light and the lanterns themselves."""

from __future__ import annotations

import numpy as np

from geofix.world.geometry.town import Town
from geofix.world.renderer.aerial.cameras import Projection
from geofix.world.renderer.aerial.land import places_of
from geofix.world.renderer.frame import Plane, Planes
from geofix.world.renderer.light import Lamplight
from geofix.world.renderer.sprites import LAMP_HEAD_M

_RADIUS_M = 5.2  # where a lamp's light has fallen to half
_REACH_M = 18.0
_HALO_M = 2.2
_LEAST = np.float32(1 / (1 + (_REACH_M / _RADIUS_M) ** 2))


def lamplight_above(town: Town, projection: Projection, depth_m: Plane) -> Lamplight:
    """The light of all lamps in the picture on what its pixels show, fading with the square of the distance."""
    fallen, halo = np.zeros_like(depth_m), np.zeros_like(depth_m)
    places = places_of(projection, depth_m)
    heads = np.column_stack([town.lamps.points, np.full(len(town.lamps.points), LAMP_HEAD_M)])
    seen, beside = projection.seen(heads), projection.seen(heads + projection.right)
    scale = np.hypot(*(beside - seen)[:, :2].T)  # pixels a metre
    for head, (column, row, depth), pixels in zip(heads, seen, scale, strict=True):
        if depth > 1:
            _add_pool(fallen, places, head - [*projection.origin, 0.0], _box(depth_m, column, row, _REACH_M * pixels))
            _add_halo(halo, depth_m, (column, row, depth), pixels)
    return Lamplight(np.minimum(fallen, np.float32(1.25)), halo)


def _box(plane: Plane, column: float, row: float, reach: float) -> tuple[slice, slice]:
    """The pixels within reach of a point, as slices of rows and columns."""
    limits = ((row, plane.shape[0]), (column, plane.shape[1]))
    first, second = (slice(*(int(np.clip(at + side * reach, 0, end)) for side in (-1, 1))) for at, end in limits)
    return first, second


def _add_pool(fallen: Plane, places: Planes, head: np.ndarray, box: tuple[slice, slice]) -> None:
    near = places[:, box[0], box[1]] - head.astype(np.float32)[:, None, None]
    squared = (near * near).sum(axis=0)
    light = 1 / (1 + squared * np.float32(_RADIUS_M**-2))
    fallen[box] += np.maximum(light - _LEAST, 0) / (1 - _LEAST)


def _add_halo(halo: Plane, depth_m: Plane, seen: tuple[float, float, float], pixels: float) -> None:
    column, row, depth = seen
    box = _box(halo, column, row, _HALO_M * pixels + 1)
    across = (np.arange(box[1].start, box[1].stop) + 0.5 - column) / pixels
    down = (np.arange(box[0].start, box[0].stop) + 0.5 - row) / pixels
    squared = (across**2 + down[:, None] ** 2).astype(np.float32)
    shown = depth_m[box] > depth - 1.0
    halo[box] += shown * (0.25 * np.exp(-squared * np.float32(1.4)) + 0.7 * np.exp(-squared * np.float32(8)))
