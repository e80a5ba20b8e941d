"""R@1 on parts of the queries: by condition, by heading, by how near the nearest gallery photo is."""

from __future__ import annotations

import numpy as np

from geofix.data.places import Benchmark
from geofix.positions import geodesic_m, latlons
from geofix.shapes import Hits

Slices = dict[str, dict[str, dict[str, float]]]
"""What the queries are parted by, then the part, then its recall@1 (a fraction) and its number of queries."""

_MOST_CONDITIONS = 12  # more distinct notes than that are no conditions


def slices_of(mark: Benchmark, hits: Hits) -> Slices:
    """R@1 by the query's condition, heading and distance to the nearest gallery photo, where those are known."""
    slices: Slices = {}
    conditions = [photo.condition or "unknown" for photo in mark.queries]
    if 2 <= len(set(conditions)) <= _MOST_CONDITIONS:
        slices["condition"] = _by(conditions, hits, tuple(sorted(set(conditions))))
    headings = [photo.heading_deg for photo in mark.queries]
    if any(heading is not None for heading in headings):
        names = ["unknown" if h is None else "NESW"[int((h + 45) % 360 // 90)] for h in headings]
        slices["heading"] = _by(names, hits, ("N", "E", "S", "W", "unknown"))
    if mark.threshold_m is not None:
        names = [_distance_band(metres) for metres in _to_nearest(mark)]
        slices["nearest_gallery_photo"] = _by(names, hits, tuple(dict.fromkeys(sorted(names))))
    return slices


def _by(names: list[str], hits: Hits, order: tuple[str, ...]) -> dict[str, dict[str, float]]:
    table = {}
    for name in order:
        rows = np.array([n == name for n in names])
        if rows.any():
            table[name] = {"recall@1": float(hits[rows].mean()), "queries": int(rows.sum())}
    return table


def _distance_band(metres: float) -> str:
    """The 5 m band a distance lies in; unanswerable queries have a band of their own."""
    if not np.isfinite(metres):
        return "nothing relevant"
    low = int(metres // 5) * 5
    return f"{low:02d}-{low + 5:02d} m"


def _to_nearest(mark: Benchmark) -> np.ndarray:
    """Metres from each query to its nearest relevant gallery photo; inf where there is none."""
    owners = np.repeat(np.arange(len(mark.queries)), [len(rows) for rows in mark.relevant])
    nearest = np.full(len(mark.queries), np.inf)
    if len(owners):
        queries = latlons([photo.position for photo in mark.queries if photo.position is not None])
        gallery = latlons([photo.position for photo in mark.gallery if photo.position is not None])
        np.minimum.at(nearest, owners, geodesic_m(queries[owners], gallery[np.concatenate(mark.relevant)]))
    return nearest
