"""The sun over a town seen from above: how bright it makes each side of things, and the shadows they throw."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geofix.world.geometry.town import Town
from geofix.world.renderer.aerial.cameras import Triple
from geofix.world.renderer.aerial.patches import Numbers, Patches, Points

_DARKEST = 0.42  # share of daylight that a shadow takes away under a clear sky


@dataclass(frozen=True)
class Sun:
    """Where the sun stands: its bearing from grid north, its height above the horizon, both in degrees, and how
    clear the sky is, 0..1."""

    bearing_deg: float
    height_deg: float
    strength: float

    @classmethod
    def at_random(cls, town: Town, rng: np.random.Generator) -> Sun:
        """Between morning and afternoon, under any sky."""
        return cls(_bearing(town, float(rng.uniform(110, 250))), float(rng.uniform(30, 62)), float(rng.uniform(0.2, 1)))

    @classmethod
    def late_morning(cls, town: Town) -> Sun:
        """When satellites pass and survey planes fly, under a clear sky."""
        return cls(_bearing(town, 148.0), 50.0, 1.0)

    def dimmed(self, share: float) -> Sun:
        """The same sun with that share 0..1 of its strength."""
        return replace(self, strength=self.strength * share)

    @property
    def direction(self) -> Triple:
        """The unit vector to the sun."""
        bearing, height = math.radians(self.bearing_deg), math.radians(self.height_deg)
        flat = math.cos(height)
        return np.array([math.sin(bearing) * flat, math.cos(bearing) * flat, math.sin(height)])

    @property
    def across(self) -> tuple[Triple, Triple]:
        """Unit vectors to the right and upwards as seen from the sun."""
        bearing = math.radians(self.bearing_deg + 180)
        right = np.array([math.cos(bearing), -math.sin(bearing), 0.0])
        return right, np.cross(self.direction, right)

    @property
    def shadow(self) -> float:
        """What is left of daylight in the shadow."""
        return 1 - _DARKEST * self.strength

    def light_on(self, normals: Points) -> Numbers:
        """Daylight on surfaces that face that way, as in the street: about 1, less on the far side."""
        bearing = math.radians(self.bearing_deg)
        facing = normals[:, 0] * math.sin(bearing) + normals[:, 1] * math.cos(bearing)
        return np.asarray(0.9 + self.strength * (0.06 + 0.2 * facing + 0.1 * normals[:, 2]))


def thrown(patches: Patches, sun: Sun) -> Patches:
    """The shadows on the ground of all patches on which the sun shines."""
    toward = sun.direction
    shone = (patches.normal @ toward > 1e-3) | ~patches.one_sided
    lit = patches.only(np.flatnonzero(shone & ~patches.lying))
    flatten = np.eye(3)
    flatten[2] = [*(-toward[:2] / toward[2]), 0.0]  # each metre of height moves a point away from the sun
    return replace(
        lit,
        corner=lit.corner @ flatten,
        along=lit.along @ flatten,
        up=lit.up @ flatten,
        one_sided=np.zeros(len(lit), dtype=bool),
    )


def _bearing(town: Town, bearing_deg: float) -> float:
    """South of the equator the sun stands in the north at noon."""
    return bearing_deg if town.north else (180 - bearing_deg) % 360
