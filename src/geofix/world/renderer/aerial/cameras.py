"""Cameras that look down: a drone's pinhole and a map's parallel view, each one projection matrix.

Eastings are about 3e5 and northings about 6e6, so that matrices are double precision and work on metres from an
origin near the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from geofix.errors import UsageError
from geofix.world.styles import Number

LOWEST_M = 20.0  # above the ground, of a drone
_MAP_EYE_M = 120.0  # a map has no eye: depths are counted, and haze is seen, from this height

Matrix = Float64[np.ndarray, "3 4"]
"""From (right of the origin in metres, up the plane in metres, height in metres, 1) to homogeneous pixels."""

Row = Float64[np.ndarray, "4"]
"""The depth of a point is this row times (easting, northing, height, 1)."""

Triple = Float64[np.ndarray, "3"]
"""East, north, up."""


class Projection(NamedTuple):
    """How points of the plane become pixels: columns to the right, rows downwards, pixel centres at halves.

    `origin` (easting, northing) is subtracted first; `facing` points from the scene to the camera, `right` and
    `up` are the directions in which columns grow and rows shrink.
    """

    origin: Float64[np.ndarray, 2]
    matrix: Matrix
    depth: Row
    right: Triple
    up: Triple
    facing: Triple

    def seen(self, points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:  # noqa: F722
        """Column, row and depth of points (easting, northing, height); only meant for points ahead."""
        local = np.column_stack([points[:, :2] - self.origin, points[:, 2], np.ones(len(points))])
        pixels = local @ self.matrix.T
        return np.column_stack([pixels[:, :2] / pixels[:, 2:], local @ self.depth])

    def finer(self, times: Number) -> Projection:
        """The same view in a picture with so many times the columns and rows."""
        return self._replace(matrix=np.diag([times, times, 1.0]) @ self.matrix)

    def below(self, row: int) -> Projection:
        """The same view without the rows above that one."""
        matrix = self.matrix.copy()
        matrix[1] -= row * matrix[2]
        return self._replace(matrix=matrix)

    @property
    def parallel(self) -> bool:
        """Whether all rays run in the same direction."""
        return not self.matrix[2, :3].any()


@runtime_checkable
class DownCamera(Protocol):
    """A camera that looks down on the town."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def height(self) -> int:
        """Rows."""

    def projection(self) -> Projection:
        """How this camera maps points to pixels."""


@dataclass(frozen=True)
class DroneCamera:
    """A true pinhole `height_m` above the ground, looking `pitch_deg` below the horizon (90 is straight down).

    The heading is clockwise from grid north; looking straight down it is the bearing of the picture's upper
    edge. `height_m` is 20 or more, `pitch_deg` 10..90, `hfov_deg` 5..120, a side at least 16 pixels; else
    UsageError.
    """

    easting_m: float
    northing_m: float
    height_m: float = 120.0
    heading_deg: float = 0.0
    pitch_deg: float = 50.0
    hfov_deg: float = 60.0
    width: int = 256
    height: int = 256

    def __post_init__(self) -> None:
        _check_numbers(self.easting_m, self.northing_m, self.height_m, self.heading_deg)
        if not self.height_m >= LOWEST_M:
            raise UsageError(
                f"A drone {self.height_m} m above the ground would be among the roofs; "
                f"{LOWEST_M:g} m is the least for height_m."
            )
        if not 10 <= self.pitch_deg <= 90:
            raise UsageError(
                f"A drone camera pitched {self.pitch_deg} degrees below the horizon cannot be drawn; "
                "choose a pitch_deg of 10 to 90, where 90 looks straight down."
            )
        if not 5 <= self.hfov_deg <= 120:
            raise UsageError(f"A field of view of {self.hfov_deg} degrees cannot be drawn; choose 5 to 120.")
        _check_size(self.width, self.height)

    @property
    def focal_px(self) -> float:
        """The focal length in pixels, the same for columns and rows."""
        return self.width / 2 / math.tan(math.radians(self.hfov_deg) / 2)

    @property
    def principal_px(self) -> tuple[float, float]:
        """Column and row of the optical axis: the middle of the picture."""
        return self.width / 2, self.height / 2

    def projection(self) -> Projection:
        """Pixels from metres east and north of the point below the drone."""
        heading, pitch = math.radians(self.heading_deg), math.radians(self.pitch_deg)
        sin, cos = math.sin(heading), math.cos(heading)
        ahead = np.array([sin * math.cos(pitch), cos * math.cos(pitch), -math.sin(pitch)])
        right = np.array([cos, -sin, 0.0])
        up = np.array([sin * math.sin(pitch), cos * math.sin(pitch), math.cos(pitch)])
        turn = np.stack([right, -up, ahead])
        seen = np.column_stack([turn, turn @ np.array([0.0, 0.0, -self.height_m])])
        column, row = self.principal_px
        intrinsics = np.array([[self.focal_px, 0, column], [0, self.focal_px, row], [0, 0, 1]])
        origin = np.array([self.easting_m, self.northing_m])
        return Projection(origin, intrinsics @ seen, seen[2], right, up, -ahead)


@dataclass(frozen=True)
class MapCamera:
    """Parallel rays straight down with north up: every roof stands over its own floor.

    `west_m` and `north_m` are the outer corner of the upper left pixel. Raises UsageError for a side under 16
    pixels or a scale outside 0.02..10 metres a pixel.
    """

    west_m: float
    north_m: float
    metres_per_pixel: float = 0.5
    width: int = 256
    height: int = 256

    def __post_init__(self) -> None:
        _check_numbers(self.west_m, self.north_m, self.metres_per_pixel)
        if not 0.02 <= self.metres_per_pixel <= 10:
            raise UsageError(
                f"A map of {self.metres_per_pixel} metres a pixel cannot be drawn; choose 0.02 to 10, as in 0.5."
            )
        _check_size(self.width, self.height)

    @classmethod
    def around(cls, east_m: float, north_m: float, side_m: float, side: int) -> MapCamera:
        """A square of `side_m` metres and `side` pixels around a point."""
        return cls(east_m - side_m / 2, north_m + side_m / 2, side_m / side, side, side)

    def projection(self) -> Projection:
        """Pixels from metres east and north of the upper left corner."""
        scale = 1 / self.metres_per_pixel
        matrix = np.array([[scale, 0, 0, 0], [0, -scale, 0, 0], [0, 0, 0, 1.0]])
        axes = np.eye(3)
        origin = np.array([self.west_m, self.north_m])
        return Projection(origin, matrix, np.array([0, 0, -1, _MAP_EYE_M]), axes[0], axes[1], axes[2])


def _check_numbers(*numbers: float) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise UsageError(f"A camera with the numbers {numbers} cannot be drawn; all of them must be finite.")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 16:
        raise UsageError(f"A picture of {width}x{height} pixels cannot be drawn; choose at least 16x16.")
