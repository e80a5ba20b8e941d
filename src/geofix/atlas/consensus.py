"""Consensus: from the places of the best matches to one position and the evidence for it.

The best match alone is wrong as often as R@1 says. What tells right from wrong is whether several good matches
lie at one spot, and how much worse the best match anywhere else is (the ratio test of the field, made
spatial).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofix.positions import geodesic_m, project, unproject, utm_zones
from geofix.shapes import LatLons

LINK_M = 25.0  # matches this near speak for the same spot: the field's threshold
MATCHES = 20  # how many matches take part
SHARPNESS = 6.0  # the k-th match has exp(-6) of the first one's weight; 3 averages too much, 8 changes little
_FAINTEST = 40.0  # exponent: a weight of 4e-18
METHOD = f"consensus of {MATCHES} matches, link {LINK_M:g} m, sharpness {SHARPNESS:g}"


@dataclass(frozen=True, slots=True)
class Consensus:
    """The spot most matches speak for: position (lat, lon), which matches (indices), and the evidence.

    `share` is the part (0..1) of all weight at the spot; `lead` is (d_out - d_in) / max(d_out, d_in), how much
    nearer the best match of the spot is than the best match elsewhere (-1..1, below 0 when one elsewhere is
    better);
    `distance` is that best match's descriptor distance; `spread_m` the radius that holds 90 % of the weight.
    """

    lat: float
    lon: float
    members: np.ndarray
    share: float
    lead: float
    distance: float
    spread_m: float

    @property
    def evidence(self) -> tuple[float, float, float]:
        """What confidence is made of: share, lead, distance."""
        return self.share, self.lead, self.distance


def consensus(places: LatLons, distances: np.ndarray) -> Consensus:
    """The consensus of k matches with positions (k, 2) and ascending descriptor distances (k,), k >= 1."""
    weights = weights_of(distances)
    apart_m = _pairwise_m(places)
    support = (apart_m <= LINK_M) @ weights
    seed = int(np.argmax(support))
    members = np.flatnonzero(apart_m[seed] <= LINK_M)
    # The plane of the spot's own zone: elsewhere on Earth it stretches lengths or has no value at all.
    zone = int(utm_zones(places[seed : seed + 1])[0])
    centre = np.average(project(places[members], zone), axis=0, weights=weights[members])
    spot = unproject(centre[None, :], zone)
    from_centre_m = geodesic_m(np.broadcast_to(spot, places.shape), places)
    inside = float(distances[members].min())
    elsewhere = np.setdiff1d(np.arange(len(places)), members)
    outside = float(distances[elsewhere].min()) if len(elsewhere) else float(distances[-1])
    return Consensus(
        lat=float(spot[0, 0]),
        lon=float(np.clip(spot[0, 1], -180, 180)),  # on the date line the last bit may fall outside
        members=members,
        share=float(weights[members].sum() / weights.sum()),
        lead=(outside - inside) / max(inside, outside, 1e-12),
        distance=inside,
        spread_m=weighted_quantile(from_centre_m, weights, 0.9),
    )


def _pairwise_m(places: LatLons) -> np.ndarray:
    count = len(places)
    first, second = np.repeat(places, count, axis=0), np.tile(places, (count, 1))
    return geodesic_m(first, second).reshape(count, count)


def weights_of(distances: np.ndarray, last: int | None = None) -> np.ndarray:
    """Weights that fall from 1 at the best match to exp(-6) at the last, or at number `last` where there are more,
    whatever the encoder's scale.
    """
    end = len(distances) - 1 if last is None else min(last, len(distances) - 1)
    span = float(distances[end] - distances[0])
    if span <= 0:
        return np.ones(len(distances))
    # What lies far beyond `last` keeps some weight, so that a mean over such matches alone is one.
    return np.asarray(np.exp(-np.minimum(SHARPNESS * (distances - distances[0]).astype(np.float64) / span, _FAINTEST)))


def weighted_quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The smallest of some values at or below which the share `level` of all weight lies."""
    order = np.argsort(values)
    mass = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(mass, level)), len(values) - 1)])
