"""Whether the two columns of a table of points are swapped, told by where the points fall."""

from __future__ import annotations

import numpy as np

from geofix.geography.countries import Flags, are_points, countries_at
from geofix.shapes import LatLons

_FEWEST = 3  # one photo taken far out at sea is no swap
_TIMES = 10  # how many points speak for a swap for each that speaks against it
_LEAST_SHARE = 0.9  # of points that fall in a country when exchanged: of right tables 99.9 % do
_ANTARCTICA = "AQ"


def seems_swapped(points: LatLons) -> str | None:
    """A sentence that says so when (n, 2) points seem to be (longitude, latitude), else None; degrees.

    Photos are taken in countries. Points that lie in one in one order only speak for that order, so that a swap shows
    without a single impossible latitude, as for tables of Europe. What lies in a country both ways tells nothing: a
    swapped table of Greece is a right one of Saudi Arabia. Antarctica is not counted, as swapped points of the
    eastern Americas fall there and photos seldom do.
    """
    given, turned = _in_a_country(points), _in_a_country(points[:, ::-1])
    for_swap, against = int((turned & ~given).sum()), int((given & ~turned).sum())
    if for_swap < max(_FEWEST, _TIMES * against) or turned.mean() < _LEAST_SHARE:
        return None
    beyond = float((np.abs(points[:, 0]) > 90).mean())
    impossible = f" ({100 * beyond:.1f} % of the latitudes are outside -90..90)" if beyond else ""
    return (
        f"Latitude and longitude seem to be swapped: {100 * given.mean():.1f} % of {len(points)} points lie in a "
        f"country as they are, and {100 * turned.mean():.1f} % with the two exchanged{impossible}; exchange the "
        "columns."
    )


def _in_a_country(points: LatLons) -> Flags:
    """Whether each point is inside a country's polygon; what is no point is not."""
    inside = are_points(points)
    codes = countries_at(points[inside], nearest_km=0.0).codes
    inside[inside] = (codes != "") & (codes != _ANTARCTICA)
    return inside
