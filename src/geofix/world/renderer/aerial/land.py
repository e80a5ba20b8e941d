"""The ground seen by a camera that looks down: where each pixel meets it, its colours, and the sky beyond it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from geofix.shapes import PlanePoints
from geofix.world.geometry.town import Town
from geofix.world.renderer.aerial.cameras import Projection
from geofix.world.renderer.aerial.visibility import Covered
from geofix.world.renderer.frame import Plane, Planes, Standpoint, flat
from geofix.world.renderer.grain import TILE, soft_blobs
from geofix.world.renderer.ground import Patch, ground_colours
from geofix.world.styles import Style

_FARTHEST_M = 4000.0  # of ground; beyond it all is haze
_COARSE = 8  # pixels between two rays that tell how much ground is in the picture
_CARS_M = 600.0
_BLOBS_M = (1.7, 2.3)  # of ground to a texel of two sheets of soft noise: lawns and fields are never one green, and
# where one sheet repeats the other does not for ten kilometres


class Land(NamedTuple):
    """The ground at every pixel: metres east and north of the projection's origin, how many metres a pixel
    covers, the depth (inf for the sky), and which pixels show the sky."""

    east_m: Plane
    north_m: Plane
    blur_m: Plane
    depth_m: Plane
    sky: Covered


def land(projection: Projection, rows: int, columns: int) -> Land:
    """Where the rays of a picture of that size meet the ground."""
    inverse = np.linalg.inv(projection.matrix[:, [0, 1, 3]])
    east, north, scale = _linear(inverse, rows, columns)
    least = 1 / _FARTHEST_M if not projection.parallel else 0.0
    sky = scale <= least
    scale = np.maximum(scale, np.float32(least))
    east, north = east / scale, north / scale
    blur = np.sqrt(np.float32(abs(np.linalg.det(inverse))) / scale**3)
    a, b, _, c = projection.depth.astype(np.float32)
    depth = np.where(sky, np.float32(np.inf), a * east + b * north + c)
    return Land(east, north, np.maximum(blur, np.float32(0.02)), depth, sky)


def land_colours(town: Town, ground: Land, projection: Projection, season: float) -> tuple[Planes, Plane]:
    """The colours 0..255 of ground and sky, and the daylight they get."""
    known = ~ground.sky
    if not known.any():
        return _sky(town.style, projection, *ground.sky.shape), np.ones_like(ground.depth_m)
    ends = [(float(plane[known].min()), float(plane[known].max())) for plane in (ground.east_m, ground.north_m)]
    middle = [(low + high) / 2 for low, high in ends]
    reach = min(math.hypot(*((high - low) / 2 for low, high in ends)) + 20, 2 * _FARTHEST_M)
    here = Standpoint(float(projection.origin[0]) + middle[0], float(projection.origin[1]) + middle[1], 0.0)
    patch = Patch(ground.east_m - np.float32(middle[0]), ground.north_m - np.float32(middle[1]), ground.blur_m)
    colour, shade = ground_colours(town, here, patch, season, reach)
    colour *= _blotches(town.seed, here, patch)
    if ground.sky.any():
        colour = np.where(ground.sky, _sky(town.style, projection, *ground.sky.shape), colour)
    return np.clip(colour, 0, 255), shade


def footprint(projection: Projection, rows: int, columns: int) -> tuple[PlanePoints, float]:
    """The middle (1, 2) of the ground in a picture of that size and how far it reaches, as far as cars are seen."""
    ground = land(projection.finer(1 / _COARSE), -(-rows // _COARSE), -(-columns // _COARSE))
    known = ~ground.sky
    if not known.any():
        return projection.origin[None], 0.0
    ends = np.array([[part[known].min(), part[known].max()] for part in (ground.east_m, ground.north_m)])
    reach = float(np.hypot(*np.diff(ends)[:, 0])) / 2 + 12
    return projection.origin[None] + ends.mean(axis=1), min(reach, _CARS_M)


def places_of(projection: Projection, depth_m: Plane) -> Planes:
    """East and north of the projection's origin and height of what pixels show, by its depth."""
    rows, columns = depth_m.shape
    column, row = np.arange(columns) + 0.5, (np.arange(rows) + 0.5)[:, None]
    matrix = np.stack([projection.matrix[0], projection.matrix[1], projection.depth])
    turned = np.linalg.inv(matrix[:, :3])
    depth = np.minimum(depth_m, np.float32(_FARTHEST_M))
    scale = np.ones_like(depth) if projection.parallel else depth
    seen = np.stack([column * scale, row * scale, depth]) - matrix[:, 3, None, None]
    return np.asarray(np.einsum("ij,jrc->irc", turned, seen), dtype=np.float32)


def _linear(matrix: np.ndarray, rows: int, columns: int) -> tuple[Plane, Plane, Plane]:
    """A matrix times (column, row, 1) at every pixel's centre."""
    column, row = np.arange(columns) + 0.5, (np.arange(rows) + 0.5)[:, None]
    first, second, third = ((a * column + (b * row + c)).astype(np.float32) for a, b, c in matrix)
    return first, second, third


def _blotches(seed: int, here: Standpoint, patch: Patch) -> Plane:
    """Slow factors around 1, anchored to the ground and a town's own."""
    total = np.zeros_like(patch.right_m)
    for number, blob_m in enumerate(_BLOBS_M):
        zero = np.array([here.easting_m, here.northing_m]) / blob_m % TILE + 4096 * TILE
        at = [
            (metres / np.float32(blob_m) + np.float32(start)).astype(np.int32) & (TILE - 1)
            for metres, start in zip((patch.right_m, patch.ahead_m), zero, strict=True)
        ]
        total += soft_blobs(seed, number)[at[1], at[0]]
    return np.asarray(1 + total * (np.float32(0.064) / (1 + patch.blur_m)), dtype=np.float32)


def _sky(style: Style, projection: Projection, rows: int, columns: int) -> Planes:
    """Haze at the horizon, blue above it."""
    east, north, up = _linear(np.linalg.inv(projection.matrix[:, :3]), rows, columns)
    slope = np.maximum(up / np.hypot(east, north), 0)
    rim = flat(style.haze) * np.float32(264)
    return np.asarray(rim + (flat(style.zenith) - rim) * np.clip(slope * np.float32(1.4), 0, 1), dtype=np.float32)
