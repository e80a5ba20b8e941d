"""The ground (roadway, pavement, markings, grass) and the sky of a frame."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from geofix.world.frame import Frame, Plane
from geofix.world.geometry import Labels, Town


def _colour(red: int, green: int, blue: int) -> Float32[np.ndarray, "3 1 1"]:  # noqa: F722
    return np.array([red, green, blue], dtype=np.float32)[:, None, None]


_ASPHALT = _colour(98, 98, 104)
_PAVING = _colour(176, 169, 158)
_KERB = _colour(206, 202, 194)
_GRASS = _colour(116, 140, 84)
_PAINT = _colour(228, 226, 216)
_RIM, _CLOUD, _HILLS = _colour(212, 222, 232), _colour(244, 244, 244), _colour(138, 160, 156)
_REACH_M = 110.0  # streets farther away are too flat to be seen
_TILE = 256  # side of the grain tile in texels, 12 of them a metre

Tile = Float32[np.ndarray, "side side"]
"""Grain that repeats in both directions, about -1..1."""


Spread = Float32[np.ndarray, "#rows #columns"]
"""One number a pixel, or a row, or a column."""

Planes = Float32[np.ndarray, "3 rows columns"]
"""Red, green and blue, 0..255; whole planes are several times faster to compute with than triples."""


class Ground(NamedTuple):
    """What lies at every pixel: metres outside the nearest roadway and outside the space between the houses
    (negative within), metres along and across its street, and metres outside the second nearest roadway,
    which is how far the next crossing is."""

    off_road_m: Plane
    off_space_m: Plane
    along_m: Plane
    across_m: Plane
    next_m: Plane


def paint_sky(frame: Frame, rng: np.random.Generator) -> None:
    """Sky, clouds that differ from photo to photo, and hills that always stand in the same direction."""
    last = int(np.clip(math.ceil(frame.camera.horizon), 0, frame.camera.height))
    if not last:
        return
    slope = frame.slopes[:last, None]
    bearing = np.arctan(frame.across)[None, :] + np.float32(math.radians(frame.camera.heading_deg))
    zenith = _colour(104, 152, 214) + np.float32(rng.uniform(-22, 14))
    sky = _RIM + (zenith - _RIM) * np.clip(slope * np.float32(1.4), 0, 1)
    sky = sky + (_CLOUD - sky) * _clouds(bearing, slope, rng)
    hills = slope < _skyline(bearing)
    frame.colours[:last, :, :3] = np.moveaxis(np.where(hills, _HILLS, sky), 0, -1)


def _skyline(bearing: Spread) -> Spread:
    """The slope at which hills end in each direction."""
    return np.asarray(0.035 + 0.02 * np.sin(3 * bearing + 1) + 0.012 * np.sin(11 * bearing), dtype=np.float32)


def _clouds(bearing: Spread, slope: Spread, rng: np.random.Generator) -> Plane:
    drift, cover = rng.uniform(0, _TILE, 2), rng.uniform(-0.1, 0.45)
    flat = np.maximum(slope, np.float32(0.03)) + np.float32(0.15)
    u = (bearing * np.float32(34) / np.sqrt(flat) + np.float32(drift[0])).astype(np.int32)
    v = (np.float32(26) / flat + np.float32(drift[1])).astype(np.int32)
    soft = _grain()[1][v & (_TILE - 1), u & (_TILE - 1)]
    return np.asarray(np.clip(soft * 1.6 + np.float32(cover - 0.15), 0, 0.92), dtype=np.float32)


def paint_ground(frame: Frame, town: Town) -> None:
    """Everything below the horizon, out to where haze and flatness swallow it."""
    first = int(np.clip(math.floor(frame.camera.horizon) + 1, 0, frame.camera.height))
    if first >= frame.camera.height:
        return
    depth = (-frame.camera.height_m / frame.slopes[first:]).astype(np.float32)[:, None]
    ground = _ground(frame, town, depth)
    # A pixel covers a longer stretch of ground ahead than it does sideways; edges soften over their mean.
    blur = depth * np.sqrt(depth / np.float32(frame.camera.height_m)) / np.float32(frame.camera.focal)
    colour = _surface(ground, np.maximum(blur, np.float32(0.02)))
    colour += _grain_at(frame, depth) * np.clip(7 - 0.12 * depth, 1.5, 7)
    frame.colours[first:, :, :3] = np.moveaxis(np.clip(colour, 0, 255), 0, -1)
    frame.depth_m[first:] = depth
    frame.shade[first:] = np.clip(1.02 - 0.12 * np.exp(-np.abs(ground.off_space_m) * 1.2), 0, 1.1)


def _ground(frame: Frame, town: Town, depth: Spread) -> Ground:
    shape = (len(depth), frame.camera.width)
    off_road, off_space, along, across, second = (np.full(shape, 99, dtype=np.float32) for _ in range(5))
    for row in _near_streets(frame, town):
        u, v, length = _street_axes(frame, town, int(row), depth)
        reach = np.maximum(-u, u - length)
        road, space = (np.float32(half[row]) for half in (town.streets.road_half_m, town.streets.space_half_m))
        aside = np.abs(v)
        outside = np.maximum(aside - road, reach - road)
        second = np.minimum(second, np.maximum(off_road, outside))
        nearer = outside < off_road
        along, across = np.where(nearer, u, along), np.where(nearer, v, across)
        off_road = np.minimum(off_road, outside)
        off_space = np.minimum(off_space, np.maximum(aside - space, reach - space))
    return Ground(off_road, off_space, along, across, second)


def _near_streets(frame: Frame, town: Town) -> Labels:
    here = np.array([frame.camera.easting_m, frame.camera.northing_m])
    start, end = town.streets.lines[:, :2] - here, town.streets.lines[:, 2:] - here
    run = end - start
    share = np.clip(-(start * run).sum(1) / (run * run).sum(1), 0, 1)
    nearest = start + share[:, None] * run
    return np.flatnonzero(np.hypot(nearest[:, 0], nearest[:, 1]) < _REACH_M)


def _street_axes(frame: Frame, town: Town, row: int, depth: Spread) -> tuple[Plane, Plane, np.float32]:
    """Metres along and across one street at every pixel, and the street's length."""
    right, ahead = frame.seen(town.streets.lines[row].reshape(2, 2))
    run = np.array([right[1] - right[0], ahead[1] - ahead[0]])
    length = np.float32(np.hypot(*run))
    t, s = np.float32(run[0] / length), np.float32(run[1] / length)
    u = depth * (frame.across * t + s) - (right[0] * t + ahead[0] * s)
    v = depth * (frame.across * s - t) - (right[0] * s - ahead[0] * t)
    return u, v, length


def _surface(ground: Ground, blur: Spread) -> Planes:
    off = ground.off_road_m
    slabs = _comb(ground.along_m, 1.1, 0.05, blur) + _comb(ground.across_m, 1.1, 0.05, blur)
    paving = _PAVING * (1 - 0.16 * np.clip(slabs, 0, 1))
    colour = _mixed(paving, _GRASS, ground.off_space_m - 0.2, blur)
    colour = _mixed(_KERB, colour, off - 0.22, blur)
    gutter = _ASPHALT * (1 - 0.2 * np.exp(-np.abs(off) * 2.5))
    colour = _mixed(gutter, colour, off, blur)
    middle = _comb(ground.along_m, 5.0, 2.2, blur) * _within(np.abs(ground.across_m) - 0.09, blur)
    edge = _within(np.abs(off + 0.55) - 0.06, blur)
    zebra = _comb(ground.across_m, 1.1, 0.5, blur) * _within(np.abs(ground.next_m - 3.2) - 1.3, blur)
    clear = np.clip((ground.next_m - 6.5) * 2, 0, 1)
    marks = np.maximum(zebra * _within(off + 0.3, blur), np.maximum(middle, edge) * clear * (off < 0))
    return np.asarray(colour + (_PAINT - colour) * (0.85 * marks), dtype=np.float32)


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


def _grain_at(frame: Frame, depth: Spread) -> Plane:
    """Grain anchored to the ground, so that it stays where it is when the camera moves."""
    heading = math.radians(frame.camera.heading_deg)
    sin, cos = np.float32(math.sin(heading)), np.float32(math.cos(heading))
    texels_per_m = 12.0
    zero = np.array([frame.camera.easting_m, frame.camera.northing_m]) * texels_per_m % _TILE
    east = (depth * (sin + frame.across * cos)) * np.float32(texels_per_m) + np.float32(zero[0] + 4096 * _TILE)
    north = (depth * (cos - frame.across * sin)) * np.float32(texels_per_m) + np.float32(zero[1] + 4096 * _TILE)
    row, column = north.astype(np.int32) & (_TILE - 1), east.astype(np.int32) & (_TILE - 1)
    return np.asarray(_grain()[0][row, column])


@lru_cache(maxsize=1)
def _grain() -> tuple[Tile, Tile]:
    """Fine grain for the ground and soft blobs for clouds; the same in every town."""
    rng = np.random.default_rng(20)
    fine = rng.standard_normal((_TILE, _TILE))
    soft = sum(_smooth(rng.standard_normal((_TILE, _TILE)), size) for size in (4, 8, 16, 32))
    return fine.astype(np.float32), np.asarray(soft / np.std(soft) / 2, dtype=np.float32)


def _smooth(noise: np.ndarray, size: int) -> np.ndarray:
    """Noise blurred over `size` texels by its Fourier transform, which repeats by nature."""
    frequency = np.fft.fftfreq(_TILE)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    blurred = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-squared * (3.0 * size) ** 2)).real
    return np.asarray(blurred / np.std(blurred) * size**0.5)
