"""The ground seen by pixels from anywhere: roadway, markings, pavement, grass, beach and sea."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from geofix.world.geometry.town import Labels, Shore, Town
from geofix.world.renderer.frame import Frame, Plane, Planes, Spread, Standpoint, flat
from geofix.world.renderer.grain import TILE, fine_grain
from geofix.world.seasons import snow, withered

_SNOW, _SAND, _FOAM = flat((236, 240, 246)), flat((222, 204, 160)), flat((236, 240, 238))
_SHALLOW, _DEEP = flat((116, 164, 166)), flat((48, 88, 122))
_REACH_M = 110.0  # seen from the street, streets farther away are too flat to be seen
_BEACH_M = 9.0  # of sand above the waterline
_TEXELS_PER_M = 12.0  # of the grain


class Patch(NamedTuple):
    """The ground under some pixels: metres to the right of a standpoint and ahead of it, and how many metres
    of it a pixel covers, over which edges soften."""

    right_m: Plane
    ahead_m: Spread
    blur_m: Spread


class _Ground(NamedTuple):
    """What lies at every pixel: metres outside the nearest roadway and outside the space between the houses
    (negative within), metres along and across its street, and metres outside the second nearest roadway,
    which is how far the next crossing is."""

    off_road_m: Plane
    off_space_m: Plane
    along_m: Plane
    across_m: Plane
    next_m: Plane


def paint_ground(frame: Frame, town: Town, season: float) -> None:
    """Everything below the horizon, out to where haze and flatness swallow it."""
    first = int(np.clip(math.floor(frame.camera.horizon) + 1, 0, frame.camera.height))
    if first >= frame.camera.height:
        return
    depth = (-frame.camera.height_m / frame.slopes[first:]).astype(np.float32)[:, None]
    # A pixel covers a longer stretch of ground ahead than it does sideways; edges soften over their mean.
    blur = depth * np.sqrt(depth / np.float32(frame.camera.height_m)) / np.float32(frame.camera.focal)
    patch = Patch(depth * frame.across, depth, np.maximum(blur, np.float32(0.02)))
    colour, shade = ground_colours(town, frame.standpoint, patch, season, _REACH_M)
    frame.colours[first:, :, :3] = np.moveaxis(colour, 0, -1)
    frame.depth_m[first:] = depth
    frame.shade[first:] = shade


def ground_colours(town: Town, here: Standpoint, patch: Patch, season: float, reach_m: float) -> tuple[Planes, Plane]:
    """The colours 0..255 of a patch of ground and the daylight it gets; streets beyond `reach_m` are left out."""
    ground = _ground(town, here, patch, reach_m)
    colour = _surface(town, ground, patch.blur_m, season)
    if town.shore is not None:
        colour = _seaside(colour, town.shore, here, patch, ground.off_space_m)
    colour += _grain_at(here, patch) * (7 / (1 + np.float32(1.7) * patch.blur_m))
    shade = np.clip(1.02 - 0.12 * np.exp(-np.abs(ground.off_space_m) * 1.2), 0, 1.1)
    return np.clip(colour, 0, 255), np.asarray(shade, dtype=np.float32)


def _ground(town: Town, here: Standpoint, patch: Patch, reach_m: float) -> _Ground:
    off_road, off_space, along, across, second = (np.full_like(patch.right_m, 99) for _ in range(5))
    for row in _near_streets(town, here, reach_m):
        u, v, length = _street_axes(town, here, int(row), patch)
        reach = np.maximum(-u, u - length)
        road, space = (np.float32(half[row]) for half in (town.streets.road_half_m, town.streets.space_half_m))
        aside = np.abs(v)
        outside = np.maximum(aside - road, reach - road)
        second = np.minimum(second, np.maximum(off_road, outside))
        nearer = outside < off_road
        along, across = np.where(nearer, u, along), np.where(nearer, v, across)
        off_road = np.minimum(off_road, outside)
        off_space = np.minimum(off_space, np.maximum(aside - space, reach - space))
    return _Ground(off_road, off_space, along, across, second)


def _near_streets(town: Town, here: Standpoint, reach_m: float) -> Labels:
    point = np.array([here.easting_m, here.northing_m])
    start, end = town.streets.lines[:, :2] - point, town.streets.lines[:, 2:] - point
    run = end - start
    share = np.clip(-(start * run).sum(1) / (run * run).sum(1), 0, 1)
    nearest = start + share[:, None] * run
    return np.flatnonzero(np.hypot(nearest[:, 0], nearest[:, 1]) < reach_m)


def _street_axes(town: Town, here: Standpoint, row: int, patch: Patch) -> tuple[Plane, Plane, np.float32]:
    """Metres along and across one street at every pixel, and the street's length."""
    right, ahead = here.seen(town.streets.lines[row].reshape(2, 2))
    run = np.array([right[1] - right[0], ahead[1] - ahead[0]])
    length = np.float32(np.hypot(*run))
    t, s = np.float32(run[0] / length), np.float32(run[1] / length)
    u = patch.right_m * t + (patch.ahead_m * s - (right[0] * t + ahead[0] * s))
    v = patch.right_m * s - (patch.ahead_m * t + (right[0] * s - ahead[0] * t))
    return u, v, length


def _surface(town: Town, ground: _Ground, blur: Spread, season: float) -> Planes:
    style, off = town.style, ground.off_road_m
    white = np.float32(snow(season))
    paving = _paving(town, ground, blur)
    paving = paving + (_SNOW - paving) * (0.7 * white)
    grass = flat(withered(style.grass, season))
    colour = _mixed(paving, grass + (_SNOW - grass) * (0.95 * white), ground.off_space_m - 0.2, blur)
    if not _rural(town):
        colour = _mixed(flat(style.paving) * np.float32(1.17), colour, off - 0.22, blur)
    gutter = flat(style.asphalt) * (1 - 0.2 * np.exp(-np.abs(off) * 2.5))
    colour = _mixed(gutter + (_SNOW - gutter) * (0.35 * white), colour, off, blur)
    marks = _marks(town, ground, blur) * (1 - 0.6 * white)
    return np.asarray(colour + (flat(style.paint) - colour) * (0.85 * marks), dtype=np.float32)


def _rural(town: Town) -> bool:
    return town.scene == "nature"


def _paving(town: Town, ground: _Ground, blur: Spread) -> Planes:
    """Slabs, or the bare earth beside a country road."""
    if _rural(town):
        earth = flat(town.style.grass) * np.float32(0.4) + flat(town.style.paving) * np.float32(0.45)
        return np.asarray(earth + np.zeros_like(ground.along_m))
    slabs = _comb(ground.along_m, 1.1, 0.05, blur) + _comb(ground.across_m, 1.1, 0.05, blur)
    return np.asarray(flat(town.style.paving) * (1 - 0.16 * np.clip(slabs, 0, 1)))


def _marks(town: Town, ground: _Ground, blur: Spread) -> Plane:
    """Road markings 0..1: a dashed middle line, edge lines where they are usual, and zebra crossings."""
    dash, period = town.style.dash_m
    off = ground.off_road_m
    marks = _comb(ground.along_m, period, dash, blur) * _within(np.abs(ground.across_m) - 0.09, blur)
    if town.style.edge_lines:
        marks = np.maximum(marks, _within(np.abs(off + 0.55) - 0.06, blur))
    clear = np.clip((ground.next_m - 6.5) * 2, 0, 1) * (off < 0)
    if _rural(town):
        return np.asarray(marks * clear)
    zebra = _comb(ground.across_m, 1.1, 0.5, blur) * _within(np.abs(ground.next_m - 3.2) - 1.3, blur)
    return np.asarray(np.maximum(zebra * _within(off + 0.3, blur), marks * clear))


def _seaside(colour: Planes, shore: Shore, here: Standpoint, patch: Patch, off_space: Plane) -> Planes:
    """Sand between the promenade and the waterline, foam along it, and water that deepens away from it."""
    right, ahead = here.seen(shore.point)
    turn = math.radians(shore.seaward_deg - here.heading_deg)
    sin, cos = np.float32(math.sin(turn)), np.float32(math.cos(turn))
    out = (patch.right_m - right[0]) * sin + (patch.ahead_m - ahead[0]) * cos
    along = (patch.right_m - right[0]) * cos - (patch.ahead_m - ahead[0]) * sin
    waterline = out + 0.7 * np.sin(along * np.float32(0.21)) + 0.4 * np.sin(along * np.float32(0.83))
    sand = _within(-out - np.float32(_BEACH_M), patch.blur_m) * _within(-off_space, patch.blur_m)
    colour = colour + (_SAND - colour) * sand
    depth = 1 - np.exp(-np.maximum(waterline, 0) * np.float32(0.03))
    swell = np.sin(waterline * np.float32(1.3) + np.sin(along * np.float32(0.17))) / (1 + 8 * patch.blur_m)
    water = _SHALLOW + (_DEEP - _SHALLOW) * depth + np.float32(9) * swell
    water = water + (_FOAM - water) * _within(np.abs(waterline - 0.5) - 0.5, patch.blur_m)
    return np.asarray(colour + (water - colour) * _within(-waterline, patch.blur_m), dtype=np.float32)


def _within(outside_m: Plane, blur: Spread) -> Plane:
    """1 inside, 0 outside, and a soft edge as wide as a pixel's footprint."""
    return np.asarray(np.clip(np.float32(0.5) - outside_m / blur, 0, 1))


def _mixed(inner: np.ndarray, outer: np.ndarray, outside_m: Plane, blur: Spread) -> np.ndarray:
    share = _within(outside_m, blur)
    return np.asarray(outer + (inner - outer) * share, dtype=np.float32)


def _comb(metres: Plane, period_m: float, tooth_m: float, blur: Spread) -> Plane:
    """Teeth `tooth_m` wide every `period_m`, fading to their mean where a pixel covers several."""
    near = np.abs(metres - period_m * np.round(metres * np.float32(1 / period_m))) - np.float32(tooth_m / 2)
    sharp, mean = _within(near, blur), np.float32(tooth_m / period_m)
    return mean + (sharp - mean) * np.clip(1.5 - blur / np.float32(period_m / 2), 0, 1)


def _grain_at(here: Standpoint, patch: Patch) -> Plane:
    """Grain anchored to the ground, so that it stays where it is when the camera moves."""
    heading = math.radians(here.heading_deg)
    sin, cos = np.float32(math.sin(heading) * _TEXELS_PER_M), np.float32(math.cos(heading) * _TEXELS_PER_M)
    zero = np.array([here.easting_m, here.northing_m]) * _TEXELS_PER_M % TILE
    east = patch.ahead_m * sin + patch.right_m * cos + np.float32(zero[0] + 4096 * TILE)
    north = patch.ahead_m * cos - patch.right_m * sin + np.float32(zero[1] + 4096 * TILE)
    row, column = north.astype(np.int32) & (TILE - 1), east.astype(np.int32) & (TILE - 1)
    return np.asarray(fine_grain()[row, column])
