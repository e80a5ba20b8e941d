"""Which walls a camera sees, and their textures put into the frame.

Walls rise from the ground, so in one column of the picture a farther wall shows exactly where it rises above
everything nearer: sorting by depth and a running maximum of slopes solve visibility without a depth buffer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Labels, Town, roof_profile
from geofix.world.renderer.facades import LEVELS, PIXELS_PER_M, FacadeStyle, Texture, facade
from geofix.world.renderer.frame import Frame, Line
from geofix.world.seasons import snow

REACH_M = 130.0  # walls farther away are left to the haze
NEAR_M = 0.3

Rays = Float32[np.ndarray, "columns walls"]
"""One number for every column of the picture and every wall that may be seen."""


class Sight(NamedTuple):
    """Where rays meet walls: 0..1 along the wall, metres ahead (inf where they do not meet), and the slopes
    between which the wall is seen (high below low where something hides it)."""

    along: Rays
    depth_m: Rays
    low: Rays
    high: Rays


def paint_walls(frame: Frame, town: Town, conditions: Conditions, sun_bearing_deg: float, sun: float) -> None:
    """Draw every visible wall; `sun` 0..1 is how much brighter the side of the street in the sun is."""
    rows = _candidates(frame, town)
    if not len(rows):
        return
    sight = _sight(frame, town, rows)
    light = _daylight(town, rows, sun_bearing_deg, sun)
    for number in np.flatnonzero((sight.high > sight.low).any(axis=0)):
        texture = facade(facade_style(town, int(rows[number]), conditions))
        _paint_wall(frame, sight, int(number), texture, float(light[number]))


def facade_style(town: Town, row: int, conditions: Conditions) -> FacadeStyle:
    """What the wall in that row of `town.walls` is painted from."""
    walls = town.walls
    building = int(walls.building[row])
    return FacadeStyle(
        taste=town.style,
        house=(town.seed, building),
        wall=row,
        kind=int(walls.kind[row]),
        rebuilt=conditions.rebuilt > 0 and _chance(town.seed, building) < conditions.rebuilt,
        snowy=snow(conditions.season) > 0.5,
        role=int(walls.role[row]),
        storeys=int(walls.storeys[row]),
        roof=int(walls.roof[row]),
        width_m=float(np.hypot(*(walls.lines[row, 2:] - walls.lines[row, :2]))),
        eave_m=float(walls.eave_m[row]),
        roof_m=float(walls.roof_m[row]),
        chimney=float(walls.chimney[row]),
    )


@lru_cache(maxsize=1 << 14)
def _chance(seed: int, building: int) -> float:
    """A house's own number 0..1: it is among the rebuilt ones where their share is larger."""
    return float(np.random.default_rng([seed, 9, building]).random())


def _candidates(frame: Frame, town: Town) -> Labels:
    """Rows of walls that are near, face the camera and reach into its field of view."""
    camera = frame.camera
    here = np.array([camera.easting_m, camera.northing_m] * 2)
    offset = town.walls.lines - here
    near = np.flatnonzero(np.abs(offset).max(axis=1) < REACH_M)
    start, end = offset[near, :2], offset[near, 2:]
    facing = start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0] < 0
    near = near[facing]
    edge = float(frame.across[-1]) + 0.01
    (x0, y0), (x1, y1) = (frame.seen(town.walls.lines[near, a : a + 2]) for a in (0, 2))
    ahead = (y0 > NEAR_M) | (y1 > NEAR_M)
    left, right = (x0 < -edge * y0) & (x1 < -edge * y1), (x0 > edge * y0) & (x1 > edge * y1)
    return np.asarray(near[ahead & ~left & ~right])


def _sight(frame: Frame, town: Town, rows: Labels) -> Sight:
    walls, eye = town.walls, np.float32(frame.camera.height_m)
    (x0, y0), (x1, y1) = (frame.seen(walls.lines[rows, a : a + 2]) for a in (0, 2))
    ray = frame.across[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (ray * y0 - x0) / ((x1 - x0) - ray * (y1 - y0))
        depth = y0 + along * (y1 - y0)
        # Neighbours share a corner: without the tolerance a ray could slip through between them.
        met = (along > -1e-4) & (along < 1 + 1e-4) & (depth > NEAR_M)
    along, depth = np.where(met, along, 0), np.where(met, depth, np.inf).astype(np.float32)
    rise = roof_profile(walls.roof[rows], along, walls.chimney[rows].astype(np.float32)).astype(np.float32)
    top = walls.eave_m[rows].astype(np.float32) + walls.roof_m[rows].astype(np.float32) * rise
    high = np.where(met, (top - eye) / depth, np.float32(-np.inf))
    return Sight(along.astype(np.float32), depth, _hidden_below(depth, high, -eye / depth), high)


def _hidden_below(depth: Rays, high: Rays, base: Rays) -> Rays:
    """The slope below which each wall is hidden by nearer ones, or else its own foot."""
    order = np.argsort(depth, axis=1)
    over = np.maximum.accumulate(np.take_along_axis(high, order, 1), axis=1)
    before = np.full_like(over, -np.inf)
    before[:, 1:] = over[:, :-1]
    hidden = np.empty_like(before)
    np.put_along_axis(hidden, order, before, 1)
    return np.asarray(np.maximum(hidden, base))


def _daylight(town: Town, rows: Labels, sun_bearing_deg: float, sun: float) -> np.ndarray:
    """How bright each wall is: those that face the sun more, those that turn away less."""
    run = town.walls.lines[rows, 2:] - town.walls.lines[rows, :2]
    outward = np.arctan2(run[:, 1], -run[:, 0]) + np.pi  # bearing of (run_y, -run_x), clockwise from north
    facing = np.cos(outward - np.deg2rad(sun_bearing_deg))
    return np.asarray(0.9 + sun * (0.06 + 0.2 * facing))


def _paint_wall(frame: Frame, sight: Sight, number: int, texture: Texture, light: float) -> None:
    seen = np.flatnonzero(sight.high[:, number] > sight.low[:, number])
    columns = slice(int(seen[0]), int(seen[-1]) + 1)
    along, depth, low, high = (part[columns, number] for part in sight)
    shown = high > low
    top = frame.row(np.where(shown, high, np.float32(-1e3)))
    foot = frame.row(np.where(shown, low, np.float32(1e3)))
    first, last = (int(np.clip(edge, 0, frame.camera.height)) for edge in (top.min(), np.ceil(foot.max())))
    if first >= last:
        return
    centres = np.arange(first, last, dtype=np.float32)[:, None] + np.float32(0.5)
    mask = (centres >= top) & (centres < foot)
    texels = _texels(frame, texture, along, np.where(shown, depth, np.float32(1)), slice(first, last))
    area = (slice(first, last), columns)
    np.copyto(frame.colours.view(np.uint32)[..., 0][area], texels, where=mask)
    np.copyto(frame.depth_m[area], depth[None, :], where=mask)
    np.copyto(frame.shade[area], np.float32(light), where=mask)


def _texels(frame: Frame, texture: Texture, along: Line, depth: Line, rows: slice) -> np.ndarray:
    """Packed texels for some columns and rows, from the levels whose texels are about as large as pixels."""
    per_m = PIXELS_PER_M
    pixel_v = depth * np.float32(per_m / frame.camera.focal)
    at = along * np.float32(texture.width_m * per_m)  # the rows and columns themselves are padded
    pixel_u = np.abs(np.gradient(at)) if len(at) > 1 else pixel_v
    coarse_u = _level(pixel_u)
    coarse_v = np.minimum(_level(pixel_v), coarse_u)
    columns = texture.columns[coarse_u, coarse_v]
    u = np.clip((at / (1 << coarse_u)).astype(np.int32), 0, columns - 1)
    base = texture.start[coarse_u, coarse_v] + u
    scale = (per_m / (1 << coarse_v)).astype(np.float32)
    rise = frame.slopes[rows, None] * (depth * scale) + np.float32(frame.camera.height_m) * scale
    v = np.clip(rise.astype(np.int32), 0, texture.rows[coarse_u, coarse_v] - 1)
    return np.asarray(texture.texels.take(v * columns + base, mode="clip"))


def _level(texels_per_pixel: np.ndarray) -> np.ndarray:
    level = np.log2(np.maximum(texels_per_pixel, 1e-3)) + 0.3
    return np.asarray(np.clip(level.astype(np.int32), 0, LEVELS - 1))
