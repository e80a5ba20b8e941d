"""Which patch every pixel shows, and where on it: a depth buffer over all patches at once.

A patch seen by a camera is a homography: pixel ~ P [along up corner; 0 0 1] (u, v, 1). Its inverse gives u and v
of every pixel in the patch's bounding box; of the patches that are there, the nearest wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from geofix.world.geometry.town import Labels
from geofix.world.renderer.aerial.cameras import Matrix, Projection
from geofix.world.renderer.aerial.patches import DISC, FULL, STEPPED_UP, Chosen, Patches, Points, masks
from geofix.world.renderer.frame import Plane

_NEAR_M = 0.5
_EDGE = np.float32(1e-4)  # neighbours share an edge: without it a ray could slip through between them
_BAND_PIXELS = 1 << 15  # pixels worked on at once: little enough to stay in the processor's cache
_SMALLEST_PX = 1e-3  # of a patch's area

Owners = Int32[np.ndarray, "rows columns"]
"""The row of the patch that each pixel shows; -1 for none."""


Covered = Bool[np.ndarray, "rows columns"]
"""One yes or no a pixel."""


class Seen(NamedTuple):
    """What each pixel shows: the patch, how far along and up it (0..1), and the depth, inf where there is none."""

    patch: Owners
    along: Plane
    up: Plane
    depth_m: Plane


class _Views(NamedTuple):
    """The patches in the picture: their rows, pixels -> (u, v, 1), depths from (u, v, 1), and bounding boxes
    (first and last column, first and last row)."""

    rows: Labels
    inverse: np.ndarray  # (n, 3, 3)
    depth: np.ndarray  # (n, 3)
    box: np.ndarray  # (n, 4) whole numbers


class _Fragments(NamedTuple):
    """Pixels that lie on a patch: the pixel's number in the picture, which view, and where on it."""

    pixel: np.ndarray
    view: np.ndarray
    along: np.ndarray
    up: np.ndarray


def nearest(patches: Patches, projection: Projection, rows: int, columns: int) -> Seen:
    """The nearest patch of every pixel of a picture of that size."""
    owner = np.full(rows * columns, -1, dtype=np.int32)
    along, up = (np.zeros(rows * columns, dtype=np.float32) for _ in range(2))
    depth = np.full(rows * columns, np.inf, dtype=np.float32)
    views = _views(patches, projection, rows, columns)
    slope = views.depth.astype(np.float32)
    for band in _bands(rows, columns):
        found = _fragments(patches, views, band, columns)
        a, b, c = slope[found.view].T
        away = a * found.along + b * found.up + c
        np.minimum.at(depth, found.pixel, away)
        won = np.flatnonzero(away <= depth[found.pixel])
        pixel = found.pixel[won]
        owner[pixel] = views.rows[found.view[won]]
        along[pixel], up[pixel] = found.along[won], found.up[won]
    return Seen(*(plane.reshape(rows, columns) for plane in (owner, along, up, depth)))


def covered(patches: Patches, projection: Projection, rows: int, columns: int) -> Covered:
    """Which pixels any of the patches is on."""
    found = np.zeros(rows * columns, dtype=bool)
    views = _views(patches, projection, rows, columns)
    for band in _bands(rows, columns):
        found[_fragments(patches, views, band, columns).pixel] = True
    return found.reshape(rows, columns)


def _bands(rows: int, columns: int) -> list[tuple[int, int]]:
    step = max(_BAND_PIXELS // columns, 1)
    return [(first, min(first + step, rows) - 1) for first in range(0, rows, step)]


def _views(patches: Patches, projection: Projection, rows: int, columns: int) -> _Views:
    corner = patches.corner - np.array([*projection.origin, 0.0])
    near = _roughly(patches, corner, projection.matrix, rows, columns)
    basis = np.stack([patches.along[near], patches.up[near], corner[near]], axis=2)
    homography = projection.matrix[:, :3] @ basis
    homography[:, :, 2] += projection.matrix[:, 3]
    box, ahead = _boxes(homography, rows, columns)
    with np.errstate(over="ignore", invalid="ignore"):
        area = np.linalg.det(homography)
        # Rows grow downwards, so that an outside seen from outside turns the other way round.
        size = np.where(patches.one_sided[near], -area, np.abs(area))
        wanted = size > _SMALLEST_PX * np.abs(homography[:, 2, 2]) ** 3
    kept = np.flatnonzero(ahead & wanted & (box[:, 0] <= box[:, 1]) & (box[:, 2] <= box[:, 3]))
    depth = projection.depth[:3] @ basis[kept]
    depth[:, 2] += projection.depth[3]
    return _Views(near[kept], np.linalg.inv(homography[kept]), depth, box[kept])


def _roughly(patches: Patches, corner: Points, matrix: Matrix, rows: int, columns: int) -> Chosen:
    """Rows of the patches whose surrounding ball reaches into the space between the picture's edges."""
    across, down, ahead = matrix
    planes = np.stack([across, columns * ahead - across, down, rows * ahead - down, ahead])  # positive inside
    middle = corner + (patches.along + patches.up) / 2
    radius = (np.abs(patches.along) + np.abs(patches.up)).sum(axis=1) / 2
    inside = middle @ planes[:, :3].T + planes[:, 3]
    return np.flatnonzero((inside > -radius[:, None] * np.linalg.norm(planes[:, :3], axis=1)).all(axis=1))


def _boxes(homography: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels whose centres may lie on each patch, and which patches may have a part in the picture."""
    a, b, corner = homography[:, :, 0], homography[:, :, 1], homography[:, :, 2]
    ends = np.stack([corner, corner + a, corner + b, corner + a + b], axis=1)  # (n, 4, 3)
    ahead = ends[..., 2] > _NEAR_M
    pixels = ends[..., :2] / np.where(ahead, ends[..., 2], 1.0)[..., None]
    size = np.array([columns, rows], dtype=np.float64)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    behind = ~ahead.all(axis=1)
    low[behind], high[behind] = 0, size  # a patch that reaches behind the camera may be anywhere
    first = np.ceil(np.clip(low, 0, size) - 0.5)
    last = np.floor(np.clip(high, 0, size) - 0.5)
    box = np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], axis=1)
    # Linear in homogeneous pixels, so that it holds for corners behind the camera too.
    beyond = [*(ends[..., axis] < 0 for axis in (0, 1)), *(ends[..., :2] > size * ends[..., 2:]).transpose(2, 0, 1)]
    outside = np.logical_or.reduce([side.all(axis=1) for side in (*beyond, ~ahead)])
    return box.astype(np.int64), ~outside


def _fragments(patches: Patches, views: _Views, band: tuple[int, int], columns: int) -> _Fragments:
    """Every pixel centre of a band of rows that lies on a patch."""
    first, last = np.maximum(views.box[:, 2], band[0]), np.minimum(views.box[:, 3], band[1])
    lines = np.maximum(last - first + 1, 0)
    view = np.repeat(np.arange(len(lines)), lines)
    row = np.arange(len(view)) - np.repeat(np.cumsum(lines) - lines - first, lines)
    left, right = views.box[view, 0], views.box[view, 1]
    start = np.stack([left + 0.5, row + 0.5, np.ones(len(view))], axis=1)
    inverse = views.inverse[view]
    zero = np.einsum("nij,nj->in", inverse, start).astype(np.float32)
    step = inverse[:, :, 0].T.astype(np.float32)
    widths = right - left + 1
    line = np.repeat(np.arange(len(view), dtype=np.int32), widths)
    aside = np.arange(len(line), dtype=np.int32) - np.repeat((np.cumsum(widths) - widths).astype(np.int32), widths)
    far = aside.astype(np.float32)
    u, v, w = (zero[axis][line] + step[axis][line] * far for axis in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = u / w, v / w
    inside = (w > 0) & (u >= -_EDGE) & (u <= 1 + _EDGE) & (v >= -_EDGE) & (v <= 1 + _EDGE)
    kept = np.flatnonzero(inside)
    line, u, v = line[kept], u[kept], v[kept]
    pixel = (row * columns + left).astype(np.int32)[line] + aside[kept]
    return _outlined(patches, views, _Fragments(pixel, view[line], u, v))


def _outlined(patches: Patches, views: _Views, found: _Fragments) -> _Fragments:
    """Those that lie within the outline of their patch."""
    outline = patches.outline[views.rows]
    partial = np.flatnonzero(outline[found.view] != FULL)
    view, u, v = found.view[partial], found.along[partial], found.up[partial]
    kind, shoulder = outline[view], patches.shoulder[views.rows][view].astype(np.float32)
    peak = 1 - np.abs(2 * u - 1)
    peak = np.where(kind == STEPPED_UP, np.minimum(np.floor(peak * 5 + 1) / 5, 1), peak)
    within = v <= shoulder + (1 - shoulder) * peak + _EDGE
    masked = np.flatnonzero(kind >= DISC)
    table = masks()
    side = table.shape[1]
    at = (np.clip((part[masked] * side).astype(np.int32), 0, side - 1) for part in (v, u))
    within[masked] = table[kind[masked], *at] > shoulder[masked]
    keep = np.ones(len(found.pixel), dtype=bool)
    keep[partial] = within
    return _Fragments(*(part[keep] for part in found))
