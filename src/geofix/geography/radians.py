"""Whether a table of points is in radians, told by where the points fall."""

from __future__ import annotations

import math

import numpy as np

from geofix.geography.countries import are_points, countries_at
from geofix.shapes import LatLons

_FEWEST = 10  # a single photo taken on open sea is in degrees
_ROUNDING = 1e-3  # of tables that write few digits


def fits_radians(points: LatLons) -> bool:
    """Whether all (n, 2) values could be radians, and not all are 0."""
    largest = np.abs(points)
    inside = (largest[:, 0] <= math.pi / 2 + _ROUNDING) & (largest[:, 1] <= math.pi + _ROUNDING)
    return bool(len(points) and inside.all() and largest.any())


def seems_radians(points: LatLons) -> str | None:
    """A sentence that says so when (n, 2) points seem to be in radians and not in degrees, else None.

    Read as degrees, radians all lie in the Gulf of Guinea, where there is no land within pi degrees. They are told by
    that, and by half of them or more lying in a country as radians. Fewer than ten points tell nothing.
    """
    if len(points) < _FEWEST or not fits_radians(points):
        return None
    turned = as_degrees(points)
    inside = countries_at(turned[are_points(turned)], nearest_km=0.0).codes != ""
    if inside.sum() < len(points) / 2:
        return None
    return (
        f"The coordinates seem to be radians: all {len(points)} latitudes are within 1.58 and all longitudes within "
        f"3.15, which in degrees is open sea; as radians {100 * inside.mean():.1f} % lie in a country."
    )


def as_degrees(points: LatLons) -> LatLons:
    """Radians as degrees; a latitude that is over 90 by its last digit is 90."""
    turned = np.degrees(points)
    turned[:, 0] = np.where(np.abs(turned[:, 0]) <= 90.1, np.clip(turned[:, 0], -90, 90), turned[:, 0])
    return np.asarray(turned)
