"""Local features of pictures, and the similarity that carries those of one picture onto another's: the one door to
OpenCV.

Features are SIFT (Lowe 2004, "Distinctive image features from scale-invariant keypoints"), which needs no weights,
compared as RootSIFT (Arandjelovic and Zisserman 2012, "Three things everyone should know", section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from geofix.errors import MissingExtraError
from geofix.shapes import Degrees, Pixels

_FAINTEST = 0.005  # contrast of a feature; a tenth of the usual, as fields have little, and the strongest are kept
_LONGEST_EDGE = 15.0  # how much longer than wide a feature may be; furrows and borders of fields are long
_TRIALS = 2000
_SURE = 0.999

Points = Float[np.ndarray, "n 2"]
"""(right, down) of n features, from one point of a picture or of the plane, in pixels or metres."""

OtherPoints = Float[np.ndarray, "m 2"]
"""The same of m other features, that they are matched with."""

Widths = Float[np.ndarray, " n"]
"""How wide each of n features is, in pixels or metres."""

SiftRows = UInt8[np.ndarray, "n 128"]
"""Descriptors of n features."""

RootRows = Float32[np.ndarray, "n 128"]
"""The same as unit vectors."""

Pairs = Int[np.ndarray, "p 2"]
"""Numbers of features that are matched: of the one picture and of the other."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """Of n features: where they lie (n, 2), right and down from the picture's corner, how wide they are (n,), both in
    pixels or any other unit; their directions (n,) in degrees, clockwise from rightwards; their descriptors (n, 128).
    """

    points: Points
    widths: Widths
    angles_deg: Degrees
    descriptors: SiftRows

    def __len__(self) -> int:
        return len(self.widths)

    @classmethod
    def none(cls) -> LocalFeatures:
        """No feature at all."""
        return cls(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty((0, 128), dtype=np.uint8))

    @classmethod
    def joined(cls, parts: list[LocalFeatures]) -> LocalFeatures:
        """The features of all parts."""
        if not parts:
            return cls.none()
        return cls(
            np.concatenate([one.points for one in parts]),
            np.concatenate([one.widths for one in parts]),
            np.concatenate([one.angles_deg for one in parts]),
            np.concatenate([one.descriptors for one in parts]),
        )

    def take(self, rows: np.ndarray) -> LocalFeatures:
        """Some features, by number."""
        return LocalFeatures(self.points[rows], self.widths[rows], self.angles_deg[rows], self.descriptors[rows])

    def measured(self, origin: np.ndarray, unit: float) -> LocalFeatures:
        """The same, from another point (2,) of the picture and in pixels of `unit` units each."""
        return LocalFeatures((self.points - origin) * unit, self.widths * unit, self.angles_deg, self.descriptors)

    def roots(self) -> RootRows:
        """RootSIFT: unit vectors, the roots of descriptors that add up to 1."""
        totals = np.maximum(self.descriptors.sum(axis=1, dtype=np.float32), 1)
        return np.asarray(np.sqrt(self.descriptors / totals[:, None], dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Similarity:
    """A turn by `turn_deg` clockwise, a stretch and a shift (right, down) that carries points onto others, and how many
    of the pairs it was made of it carries near enough.
    """

    turn_deg: float
    stretch: float
    right: float
    down: float
    inliers: int


def require() -> None:
    """Raises MissingExtraError without OpenCV."""
    _cv2()


def features_of(pixels: Pixels, most: int) -> LocalFeatures:
    """The strongest features of a picture, at most so many, in pixels. Raises MissingExtraError without OpenCV."""
    cv2 = _cv2()
    finder = cv2.SIFT_create(
        nfeatures=most,
        contrastThreshold=_FAINTEST,
        edgeThreshold=_LONGEST_EDGE,
        enable_precise_upscale=True,  # without it all points are off by a quarter of a pixel
    )
    found, descriptors = finder.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
    if descriptors is None:
        return LocalFeatures.none()
    # OpenCV counts from the middle of the first pixel. Of features that are equally strong it gives all.
    rows = np.array([(*one.pt, one.size, one.angle) for one in found[:most]])
    return LocalFeatures(rows[:, :2] + 0.5, rows[:, 2], rows[:, 3], descriptors[:most].astype(np.uint8))


def similarity(here: Points, there: Points, within: float) -> Similarity | None:
    """The similarity that carries most of n points onto the others as near as `within`, by RANSAC (Fischler and Bolles
    1981); None where there is none. Raises MissingExtraError without OpenCV.
    """
    if len(here) < 3:  # two pairs are always carried
        return None
    cv2 = _cv2()
    matrix, inliers = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=within, maxIters=_TRIALS, confidence=_SURE
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None
    (cos, _, right), (sin, _, down) = matrix.tolist()
    turn_deg = math.degrees(math.atan2(sin, cos)) % 360 % 360
    return Similarity(turn_deg, math.hypot(cos, sin), right, down, int(inliers.sum()))


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("Verifying places on a map", "verify") from error
    return cv2
