"""Borders as polygons: which holds a point, and which is nearest to it. The one door to shapely.

Polygons are planar in longitude and latitude and cut at longitude 180, as country-coder tests them. A part is one
polygon of a country.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float64, Int
from scipy.spatial import cKDTree

from geofix.geography.features import features
from geofix.positions import geodesic_m
from geofix.shapes import Degrees, Kilometres, LatLons

OUTSIDE = -1
"""The part of a point that no polygon holds."""
Parts = Int[np.ndarray, " n"]
Vectors = Float64[np.ndarray, "n 3"]

# Morocco's polygon has what Morocco holds of Western Sahara. ISO 3166 lists all of that as EH, and Morocco ends at
# 27 degrees 40 minutes north, the parallel of the convention of 1912 between France and Spain.
_MOROCCO, _WESTERN_SAHARA, _MOROCCO_ENDS_LAT = "MA", "EH", 27 + 40 / 60
_CUT_DEG = 0.001  # polygons do not quite reach longitude 180; Russia's ends 0.0007 degrees before it
_EDGE_DEG = 0.25  # edges longer than this are divided, so that each is as good as straight on the sphere
_EARTH_KM = 6371.0088
_SLACK = 1.01  # the sphere and the ellipsoid differ by up to 0.6 %


@dataclass(frozen=True, slots=True)
class _Polygons:
    """Parts, the smallest first, prepared for quick tests; `codes` (p,) has "" for what no country claims."""

    shapes: np.ndarray
    codes: np.ndarray
    tree: shapely.STRtree


@dataclass(frozen=True, slots=True)
class _Edges:
    """Edges of all parts that have a code, on a sphere of radius 1: where they start, how they go on, whose they are.

    `tree` has their middles; `reach` is half the length of the longest.
    """

    starts: Vectors
    along: Vectors
    parts: Parts
    tree: cKDTree
    reach: float


def part_codes() -> np.ndarray:
    """The ISO 3166-1 alpha-2 code of every part, (p,); "" for what no country claims."""
    return _polygons().codes


def parts_at(points: LatLons) -> Parts:
    """For each point the part that holds it, or OUTSIDE. A point on a border belongs to the smaller polygon."""
    lats, lons = points[:, 0], points[:, 1]
    parts = _holding(lats, lons)
    for side in (180 - _CUT_DEG, _CUT_DEG - 180):
        rows = np.flatnonzero((parts == OUTSIDE) & (np.abs(lons) > abs(side)))
        parts[rows] = _holding(lats[rows], np.full(len(rows), side))
    return parts


def nearest_parts(points: LatLons, within_km: float) -> tuple[Parts, Kilometres]:
    """For each point outside all polygons the nearest part with a code and its geodesic distance in kilometres.

    OUTSIDE and NaN where none is at most `within_km` away.
    """
    parts, distances = np.full(len(points), OUTSIDE), np.full(len(points), np.nan)
    rows, edges = _candidates(points, within_km)
    feet_km = geodesic_m(points[rows], _feet(_on_sphere(points)[rows], edges)) / 1000
    of_edges = _edges().parts[edges]
    order = np.lexsort((of_edges, feet_km, rows))
    found, first = np.unique(rows[order], return_index=True)
    best = order[first]
    near = feet_km[best] <= within_km
    parts[found[near]], distances[found[near]] = of_edges[best][near], feet_km[best][near]
    return parts, distances


def _holding(lats: Degrees, lons: Degrees) -> Parts:
    polygons = _polygons()
    rows, parts = polygons.tree.query(shapely.points(lons, lats))
    hits = shapely.intersects_xy(polygons.shapes[parts], lons[rows], lats[rows])
    smallest = np.full(len(lats), len(polygons.shapes))
    np.minimum.at(smallest, rows[hits], parts[hits])
    return np.where(smallest == len(polygons.shapes), OUTSIDE, smallest)


@functools.cache
def _polygons() -> _Polygons:
    shapes, codes = [], []
    for feature in features():
        for outer, *holes in feature.polygons:
            for code, shape in _divided(feature.code or "", shapely.Polygon(outer, holes)):
                shapes.append(shape)
                codes.append(code)
    order = np.argsort(shapely.area(shapes), kind="stable")
    ordered = np.array(shapes, dtype=object)[order]
    shapely.prepare(ordered)
    return _Polygons(ordered, np.array(codes, dtype="<U2")[order], shapely.STRtree(ordered))


def _divided(code: str, shape: shapely.Polygon) -> list[tuple[str, shapely.Polygon]]:
    """The polygon as it is; of Morocco's what lies south of its end is Western Sahara's."""
    if code != _MOROCCO:
        return [(code, shape)]
    south = shapely.box(-180.0, -90.0, 180.0, _MOROCCO_ENDS_LAT)
    north = [(code, part) for part in shapely.get_parts(shape.difference(south))]
    return north + [(_WESTERN_SAHARA, part) for part in shapely.get_parts(shape.intersection(south))]


def _candidates(points: LatLons, within_km: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (m,) of a row and an edge that may be its nearest and near enough; no edge that is nearest is missed."""
    edges, vectors = _edges(), _on_sphere(points)
    limit = 2 * np.sin(min(_SLACK * within_km / _EARTH_KM, np.pi) / 2)
    middles = edges.tree.query(vectors, distance_upper_bound=limit + edges.reach)[0]
    rows = np.flatnonzero(np.isfinite(middles))
    lists = edges.tree.query_ball_point(vectors[rows], middles[rows] + edges.reach)
    found = np.fromiter((edge for hits in lists for edge in hits), dtype=np.int64)
    return np.repeat(rows, [len(hits) for hits in lists]), found


def _feet(vectors: Vectors, edges: Parts) -> LatLons:
    """The point of each edge that is nearest to the vector in its row."""
    starts, along = _edges().starts[edges], _edges().along[edges]
    lengths = np.maximum((along**2).sum(axis=1), np.finfo(np.float64).tiny)  # edges at the pole are points
    shares = np.clip(((vectors - starts) * along).sum(axis=1) / lengths, 0, 1)
    feet = starts + shares[:, None] * along
    lats = np.degrees(np.arctan2(feet[:, 2], np.hypot(feet[:, 0], feet[:, 1])))
    return np.stack([lats, np.degrees(np.arctan2(feet[:, 1], feet[:, 0]))], axis=1)


@functools.cache
def _edges() -> _Edges:
    named = np.flatnonzero(part_codes() != "")
    rings, of_rings = shapely.get_rings(_polygons().shapes[named], return_index=True)
    lonlats, of_points = shapely.get_coordinates(shapely.segmentize(rings, _EDGE_DEG), return_index=True)
    corners = _on_sphere(lonlats[:, ::-1])
    same = of_points[1:] == of_points[:-1]
    starts, ends = corners[:-1][same], corners[1:][same]
    reach = float(np.sqrt(((ends - starts) ** 2).sum(axis=1)).max() / 2)
    parts = named[of_rings[of_points[:-1][same]]]
    return _Edges(starts, ends - starts, parts, cKDTree((starts + ends) / 2), reach)


def _on_sphere(points: LatLons) -> Vectors:
    """Points as vectors of length 1; geographic latitude is taken for that of the sphere."""
    lats, lons = np.radians(points[:, 0]), np.radians(points[:, 1])
    return np.stack([np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)], axis=1)
