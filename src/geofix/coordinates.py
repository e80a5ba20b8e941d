"""How far predicted coordinates are from the truth, and what the field makes of it. Pure functions on arrays.

Where photos were taken anywhere on Earth, the field measures on a sphere of 6371 km: published shares and distances
come out to the last digit that way. The ellipsoid that geofix uses elsewhere (`positions.geodesic_m`) differs by at
most 0.55 % and is offered as "geodesic".
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from geofix.errors import unknown_name
from geofix.positions import geodesic_m
from geofix.shapes import Kilometres, LatLons, RowHits, RowScores

Earth = Literal["sphere", "geodesic"]
EARTHS: tuple[Earth, ...] = ("sphere", "geodesic")
EARTH_RADIUS_KM = 6371.0
RADII_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country and continent, as PlaNet and all after it have them."""
GEOSCORE_MOST = 5000.0
GEOSCORE_DECAY_KM = 1492.7  # of PIGEON and OSV-5M


def check_earth(name: str) -> Earth:
    """One of EARTHS; raises UsageError that names the nearest for another word."""
    for earth in EARTHS:
        if earth == name:
            return earth
    raise unknown_name("distance", name, EARTHS)


def great_circle_km(first: LatLons, second: LatLons) -> Kilometres:
    """Row-wise distances on the sphere of 6371 km, by the haversine formula; NaN where a coordinate is."""
    start, end = np.radians(first), np.radians(second)
    half = np.sin((end - start) / 2) ** 2  # (n, 2): of the two latitudes, of the two longitudes
    haversine = half[:, 0] + np.cos(start[:, 0]) * np.cos(end[:, 0]) * half[:, 1]
    angles = 2 * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0)))  # beyond 1 by rounding only
    return np.asarray(EARTH_RADIUS_KM * angles)


def errors_km(truth: LatLons, predicted: LatLons, earth: Earth = "sphere") -> Kilometres:
    """Row-wise distances of predictions from the truth, degrees; inf for rows whose prediction is NaN: no answer."""
    errors = np.full(len(truth), np.inf)
    said = ~np.isnan(predicted).any(axis=1)
    if earth == "geodesic":
        errors[said] = geodesic_m(truth[said], predicted[said]) / 1000
    else:
        errors[said] = great_circle_km(truth[said], predicted[said])
    return errors


def within_km(errors: Kilometres, radius_km: float, *, inclusive: bool = True) -> RowHits:
    """Which errors are at most `radius_km`, or below it where it is not `inclusive`, as OSV-5M has it."""
    return errors <= radius_km if inclusive else errors < radius_km


def geoscores(errors: Kilometres) -> RowScores:
    """5000 exp(-d / 1492.7 km) of each error, 0 for no answer. The GeoScore of a table is the mean of these."""
    return GEOSCORE_MOST * np.exp(-errors / GEOSCORE_DECAY_KM)


def median_km(errors: Kilometres) -> float:
    """The median error; inf where half of the rows or more have no answer. NaN for no rows."""
    return float(np.median(errors)) if len(errors) else float("nan")
