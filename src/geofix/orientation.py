"""Which way a camera looked: yaw, pitch and roll as drones write them -> tilt, heading, the ground it saw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geofix.errors import DataError


@dataclass(frozen=True, slots=True)
class Orientation:
    """A camera's yaw (from north, clockwise), pitch (-90 straight down, 0 to the horizon) and roll, in degrees.

    Turned in that order about the camera's own down, right and forward axes, as in the frame north, east, down. Raises
    DataError for what is no finite number, or beyond a full turn.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float = 0.0

    def __post_init__(self) -> None:
        for name in ("yaw_deg", "pitch_deg", "roll_deg"):
            if not abs(getattr(self, name)) <= 360:
                raise DataError(f"{name[:-4]} {getattr(self, name):g} is no angle; -360 to 360 degrees are expected.")

    @classmethod
    def from_downwards(cls, yaw_deg: float, pitch_deg: float, roll_deg: float) -> Orientation:
        """From angles that are all 0 for a camera that looks straight down, its upper edge to the north (Pix4D's)."""
        north_east_down = cls(yaw_deg, pitch_deg, roll_deg).axes
        # The camera looks along the carrier's down, and the upper edge of its picture is the carrier's front.
        axes = np.column_stack([north_east_down[:, 2], north_east_down[:, 1], -north_east_down[:, 0]])
        if abs(axes[2, 0]) > 1 - 1e-12:  # straight down or up, where yaw and roll are one turn
            yaw, roll = math.atan2(-axes[0, 1], axes[1, 1]), 0.0
        else:
            yaw, roll = math.atan2(axes[1, 0], axes[0, 0]), math.atan2(axes[2, 1], axes[2, 2])
        pitch = -math.asin(min(1.0, max(-1.0, float(axes[2, 0]))))
        return cls(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))

    @property
    def axes(self) -> np.ndarray:
        """The camera's forward, right and down as columns (3, 3), in north, east, down."""
        yaw, pitch, roll = (math.radians(angle) for angle in (self.yaw_deg, self.pitch_deg, self.roll_deg))
        turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
        nod = np.array([[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]])
        lean = np.array([[1, 0, 0], [0, math.cos(roll), -math.sin(roll)], [0, math.sin(roll), math.cos(roll)]])
        return np.asarray(turn @ nod @ lean)

    @property
    def tilt_deg(self) -> float:
        """How far off straight down it looked, 0..180 degrees."""
        return math.degrees(math.acos(min(1.0, max(-1.0, float(self.axes[2, 0])))))

    @property
    def heading_deg(self) -> float:
        """Where the upper edge of its picture points to on the ground, 0..360 from north. Raises DataError where the
        middle of the picture shows no ground.
        """
        forward, _, down = self.axes.T
        if forward[2] < 1e-6:
            raise DataError("its camera does not look at the ground")
        # How the ground point of a ray moves when the ray goes from the middle of the picture upwards.
        north, east = -down[:2] + forward[:2] * down[2] / forward[2]
        return math.degrees(math.atan2(east, north)) % 360 % 360

    def middle_m(self, altitude_m: float) -> tuple[float, float]:
        """From the point below the camera to the ground in the middle of its picture, metres (north, east), on level
        ground `altitude_m` below. Raises DataError where it shows no ground.
        """
        north, east, down = self.axes[:, 0]
        if down < 1e-6:
            raise DataError("its camera does not look at the ground")
        return float(north / down * altitude_m), float(east / down * altitude_m)
