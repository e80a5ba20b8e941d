"""A camera and the picture it is filling.

Uprights stay upright at any pitch, as with a shift lens: pitch only moves the horizon. A pixel is then a
column (a direction in plan) and a slope, which is what makes whole columns of a street cheap to draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from geofix.errors import UsageError
from geofix.world.styles import Colour

Plane = Float32[np.ndarray, "rows columns"]
"""One number a pixel."""

Colours = UInt8[np.ndarray, "rows columns 4"]
"""Surface colour of every pixel in daylight, and how much it glows in the dark, 0..255."""

Line = Float32[np.ndarray, " n"]
"""One number a column, a row, a wall."""

Spread = Float32[np.ndarray, "#rows #columns"]
"""One number a pixel, or a row, or a column."""

Planes = Float32[np.ndarray, "3 rows columns"]
"""Red, green and blue; whole planes are several times faster to compute with than triples."""

Flat = Float32[np.ndarray, "3 1 1"]
"""One colour for whole planes."""


def flat(colour: Colour) -> Flat:
    """A colour to be broadcast over planes."""
    return np.array(colour, dtype=np.float32)[:, None, None]


@dataclass(frozen=True)
class Camera:
    """Where a photo is taken and with what; the heading is clockwise from grid north.

    Raises UsageError for what cannot be drawn.
    """

    easting_m: float
    northing_m: float
    height_m: float = 1.7
    heading_deg: float = 0.0
    pitch_deg: float = 4.0
    hfov_deg: float = 72.0
    width: int = 320
    height: int = 240

    def __post_init__(self) -> None:
        if not (10 <= self.hfov_deg <= 140 and abs(self.pitch_deg) <= 45):
            raise UsageError(
                f"A field of view of {self.hfov_deg} and a pitch of {self.pitch_deg} degrees "
                "cannot be drawn; choose 10..140 and -45..45."
            )
        if min(self.width, self.height) < 16 or self.height_m <= 0:
            raise UsageError(
                f"A picture of {self.width}x{self.height} pixels from {self.height_m} m cannot be drawn; "
                "choose at least 16x16 pixels and a height above 0."
            )

    @property
    def focal(self) -> float:
        """Pixels per unit of slope."""
        return self.width / 2 / math.tan(math.radians(self.hfov_deg) / 2)

    @property
    def horizon(self) -> float:
        """The row, counted from the upper edge, in which the horizon lies."""
        return self.height / 2 + self.focal * math.tan(math.radians(self.pitch_deg))


class Standpoint:
    """A point of the plane and a heading: what lies to the right of it and what ahead."""

    def __init__(self, easting_m: float, northing_m: float, heading_deg: float) -> None:
        self.easting_m, self.northing_m, self.heading_deg = easting_m, northing_m, heading_deg
        heading = math.radians(heading_deg)
        self._turn = np.array([[math.cos(heading), math.sin(heading)], [-math.sin(heading), math.cos(heading)]])

    def seen(self, points: np.ndarray) -> tuple[Line, Line]:
        """Plane points (n, 2) as metres to the right of the standpoint and metres ahead of it."""
        turned = ((points - np.array([self.easting_m, self.northing_m])) @ self._turn).astype(np.float32)
        return turned[:, 0], turned[:, 1]


class Canvas:
    """The picture being filled: `colours`, `shade` (daylight a surface gets, about 1) and `depth_m` (along the
    optical axis; inf for the sky)."""

    def __init__(self, rows: int, columns: int) -> None:
        self.colours: Colours = np.zeros((rows, columns, 4), dtype=np.uint8)
        self.shade: Plane = np.ones((rows, columns), dtype=np.float32)
        self.depth_m: Plane = np.full((rows, columns), np.inf, dtype=np.float32)


class Frame(Canvas):
    """The canvas of a street view.

    `across` is, for every column, how far to the right a ray runs for each metre ahead; `slopes` is, for
    every row, how far up.
    """

    def __init__(self, camera: Camera) -> None:
        super().__init__(camera.height, camera.width)
        self.camera = camera
        columns = camera.width
        centres = np.arange(columns, dtype=np.float32) + np.float32(0.5 - columns / 2)
        self.across: Line = centres / np.float32(camera.focal)
        self.slopes: Line = _slopes(camera)
        self.standpoint = Standpoint(camera.easting_m, camera.northing_m, camera.heading_deg)

    def seen(self, points: np.ndarray) -> tuple[Line, Line]:
        """Plane points (n, 2) as metres to the right of the camera and metres ahead of it."""
        return self.standpoint.seen(points)

    def row(self, slope: Line) -> Line:
        """The row, counted from the upper edge, of slopes."""
        return np.asarray(self.camera.horizon - self.camera.focal * slope, dtype=np.float32)


def _slopes(camera: Camera) -> Line:
    rows = np.arange(camera.height) + 0.5
    return np.asarray((camera.horizon - rows) / camera.focal, dtype=np.float32)
