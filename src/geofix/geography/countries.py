"""The country of a position, from polygons that come with geofix."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

from geofix.errors import DataError
from geofix.geography.borders import OUTSIDE, nearest_parts, part_codes, parts_at
from geofix.geography.codes import TERRITORY, at_level, check_level, continent_of, name_of
from geofix.positions import Position, latlons
from geofix.shapes import Degrees, Kilometres, LatLons

Codes = Shaped[np.ndarray, " n"]
"""ISO 3166-1 alpha-2 codes, "" for none."""
Flags = Bool[np.ndarray, " n"]
NEAREST_KM = 25.0
"""How far outside all borders a point may lie and still take the nearest country."""


@dataclass(frozen=True, slots=True)
class CountryAt:
    """The country of a position: its ISO 3166-1 alpha-2 code, or XK.

    With `inferred` the position is in no country's polygon, and this one's is nearest, `distance_km` away; else that
    is 0.
    """

    code: str
    inferred: bool = False
    distance_km: float = 0.0

    @property
    def name(self) -> str:
        """In English."""
        return name_of(self.code)

    @property
    def continent(self) -> str:
        """Of the country, which need not be that of the place: Hawaii is in a country of North America."""
        return continent_of(self.code)


@dataclass(frozen=True, slots=True, eq=False)
class CountriesAt:
    """As `CountryAt`, for n points: `codes` has "" and `distances_km` NaN where there is no country."""

    codes: Codes
    inferred: Flags
    distances_km: Kilometres


def country_at(position: Position, level: str = TERRITORY, nearest_km: float = NEAREST_KM) -> CountryAt | None:
    """The country of a position, or None far out at sea and on land that no country claims.

    `level` "territory" has Puerto Rico as PR, "sovereign" as US. Raises UsageError for another level and DataError
    for a `nearest_km` that is no distance.
    """
    found = countries_at(latlons([position]), level, nearest_km)
    code = str(found.codes[0])
    return CountryAt(code, bool(found.inferred[0]), float(found.distances_km[0])) if code else None


def countries_at(points: LatLons, level: str = TERRITORY, nearest_km: float = NEAREST_KM) -> CountriesAt:
    """The countries of n points, degrees; longitudes beyond 180 count on round the Earth, up to 360 either way.

    A point in no polygon takes the country whose polygon is nearest, up to `nearest_km` (0: never). Raises DataError
    for rows that are no points and for a `nearest_km` that is no distance, and UsageError for an unknown level.
    """
    check_level(level)
    if not (math.isfinite(nearest_km) and nearest_km >= 0):
        raise DataError(f"The nearest country was asked for within {nearest_km} km; a number of 0 or more is expected.")
    _refuse_bad(points)
    wrapped = np.stack([points[:, 0], wrapped_lons(points[:, 1])], axis=1).astype(np.float64)
    parts = parts_at(wrapped)
    distances = np.where(parts == OUTSIDE, np.nan, 0.0)
    inferred = np.zeros(len(points), dtype=bool)
    outside = np.flatnonzero(parts == OUTSIDE)
    if len(outside) and nearest_km > 0:
        parts[outside], distances[outside] = nearest_parts(wrapped[outside], nearest_km)
        inferred[outside] = parts[outside] != OUTSIDE
    codes = np.where(parts == OUTSIDE, "", _codes(level)[parts])
    distances[codes == ""] = np.nan
    return CountriesAt(codes, inferred, distances)


def are_points(points: LatLons) -> Flags:
    """Whether each row has a latitude of -90..90 and a longitude of -360..360."""
    lats, lons = np.abs(points[:, 0]), np.abs(points[:, 1])
    return np.asarray((lats <= 90) & (lons <= 360))  # NaN is not


def wrapped_lons(lons: Degrees) -> Degrees:
    """Longitudes within -180..180, the others by whole turns: 180.1 is -179.9. Those within stay as they are."""
    return np.where(np.abs(lons) > 180, (lons + 180) % 360 - 180, lons)


def _refuse_bad(points: LatLons) -> None:
    bad = np.flatnonzero(~are_points(points))
    if len(bad):
        lat, lon = points[bad[0]]
        raise DataError(
            f"{len(bad)} of {len(points)} rows are no points (the first is row {bad[0]}: {lat}, {lon}); latitude "
            "-90..90 and longitude -360..360 are expected, in this order."
        )


@functools.cache
def _codes(level: str) -> np.ndarray:
    """The code of every part at a level, (p,)."""
    return np.array([code and at_level(str(code), level) for code in part_codes()], dtype="<U2")
