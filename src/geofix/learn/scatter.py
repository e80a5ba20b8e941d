"""How photos of one group differ, and vectors in which that counts less.

Within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006) with groups, such as locations, as classes:
what changes from one photo of a place to the next says nothing of its country. The covariance is drawn to a sphere, as
there are fewer photos than directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofix.shapes import PhotoViews

_LEAST = 1e-9  # of the largest variance; directions with less hold rounding


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A symmetric map of vectors: along each of `directions` (d, r), which are orthonormal, by `factors` (r), and by
    `scale` in all.
    """

    directions: np.ndarray
    factors: np.ndarray
    scale: float

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Rows (..., d) stretched."""
        return self.scale * self._along(rows, self.factors - 1)

    def undone(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `of`."""
        return self._along(rows, 1 / self.factors - 1) / self.scale

    def _along(self, rows: np.ndarray, more: np.ndarray) -> np.ndarray:
        return np.asarray(rows + ((rows @ self.directions) * more) @ self.directions.T, dtype=np.float32)


def stretch_of(vectors: PhotoViews, groups: Sequence[str], shrinkage: float) -> Stretch | None:
    """The map after which photos of one group differ alike in every direction, as far as `shrinkage` (0..1) allows: the
    inverse square root of (1 - shrinkage) C + shrinkage tr(C) / d, where C (d, d) is the covariance of vectors (n,
    views, d) about the means of their groups. A typical vector keeps its length. None where nothing differs.
    """
    count, views, length = vectors.shape
    numbers = np.repeat(np.unique(np.asarray(groups), return_inverse=True)[1], views)
    rows = vectors.reshape(count * views, length).astype(np.float32)
    means = np.zeros((numbers.max() + 1, length), dtype=np.float32)
    np.add.at(means, numbers, rows)
    away = rows - (means / np.bincount(numbers)[:, None].astype(np.float32))[numbers]
    variances, directions = _principal(away)
    mean = float(variances.sum()) / length
    if not mean > 0:
        return None
    factors = np.sqrt(shrinkage * mean / ((1 - shrinkage) * variances + shrinkage * mean))
    bare = Stretch(directions, factors.astype(np.float32), 1.0)
    scale = float(np.sqrt(np.square(rows).sum() / np.square(bare.of(rows)).sum()))
    return replace(bare, scale=scale)


def _principal(away: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances (r) along orthonormal directions (d, r) of rows (m, d), by the smaller of the two products."""
    count, length = away.shape
    if count <= length:
        values, sides = np.linalg.eigh((away @ away.T).astype(np.float64) / count)
        kept = values > _LEAST * max(values[-1], 0.0)
        directions = away.T @ (sides[:, kept] / np.sqrt(values[kept] * count)).astype(np.float32)
    else:
        values, sides = np.linalg.eigh((away.T @ away).astype(np.float64) / count)
        kept = values > _LEAST * max(values[-1], 0.0)
        directions = sides[:, kept].astype(np.float32)
    return values[kept], directions
