"""Exact nearest neighbours and k-means. The one door to FAISS."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from geofix.errors import AtlasError
from geofix.shapes import Centroids, DescriptorRows, Distances, GalleryRows, Neighbours, QueryRows

_BLOCK = 1024  # rows looked at at once


def nearest(queries: QueryRows, gallery: GalleryRows, k: int) -> tuple[Distances, Neighbours]:
    """The k nearest gallery rows of each query by Euclidean distance, exact, equal distances by row number.

    Works on the gallery array as it lies, without a second copy. Where the gallery has fewer than k rows the
    rest is -1 with distance inf. Raises AtlasError for descriptors that are not finite.
    """
    for name, rows in (("query", queries), ("gallery", gallery)):
        bad = _first_not_finite(rows)
        if bad is not None:
            raise AtlasError(
                f"The {name} descriptors hold a value that is no number (row {bad}); encode those photos again."
            )
    found = min(k, len(gallery))
    distances = np.full((len(queries), k), np.inf, dtype=np.float32)
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    if found and len(queries):
        squared, ids = faiss.knn(np.ascontiguousarray(queries), np.ascontiguousarray(gallery), found)
        order = np.lexsort((ids, squared), axis=1)
        distances[:, :found] = np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=1), 0))
        rows[:, :found] = np.take_along_axis(ids, order, axis=1)
    return distances, rows


def nearest_without(
    queries: QueryRows, gallery: GalleryRows, k: int, excluded: Sequence[np.ndarray]
) -> tuple[Distances, Neighbours]:
    """As `nearest`, with the gallery rows `excluded[q]` taken out of query q's ranking."""
    most = max((len(rows) for rows in excluded), default=0)
    distances, rows = nearest(queries, gallery, k + most)
    if not most:
        return distances, rows
    out = np.stack([np.isin(found, gone) for found, gone in zip(rows, excluded, strict=True)])
    # A stable sort on "is excluded" moves the kept ones forward in order; the excluded become "none".
    order = np.argsort(out, axis=1, kind="stable")[:, :k]
    gone = np.take_along_axis(out, order, axis=1)
    distances = np.where(gone, np.float32(np.inf), np.take_along_axis(distances, order, axis=1))
    return distances.astype(np.float32), np.where(gone, -1, np.take_along_axis(rows, order, axis=1))


def _first_not_finite(rows: DescriptorRows) -> int | None:
    """The first row with a value that is no number, looked for block by block to spare memory."""
    for start in range(0, len(rows), _BLOCK):
        wrong = np.flatnonzero(~np.isfinite(rows[start : start + _BLOCK]).all(axis=1))
        if len(wrong):
            return start + int(wrong[0])
    return None


def kmeans(rows: DescriptorRows, clusters: int, iterations: int = 100) -> Centroids:
    """Centroids (clusters, d) of k-means with FAISS's own settings: seed 1234, at most 256 rows a centroid."""
    clustering = faiss.Kmeans(rows.shape[1], clusters, niter=iterations, verbose=False)
    clustering.cp.min_points_per_centroid = 1  # small data are the caller's choice, not a warning on stdout
    clustering.train(np.ascontiguousarray(rows))
    return np.asarray(clustering.centroids, dtype=np.float32).reshape(clusters, rows.shape[1])
