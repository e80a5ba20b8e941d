"""Exact nearest neighbours and k-means. The one door to FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np

from geofix.errors import AtlasError
from geofix.shapes import Centroids, DescriptorRows, Distances, GalleryRows, Neighbours, QueryRows

_BLOCK = 1024  # rows looked at at once
_MOST_CELLS, _FEWEST_IN_A_CELL, _SHARE_OF_CELLS = 1024, 40, 64  # of an approximate gallery
_CELL_ITERATIONS = 4  # of k-means; more do not find more
_ADDED = 100_000  # rows at once, as they are copied


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


class ApproximateGallery:
    """Rows of values from 0 to 1, made ready to be asked often: n rows in 8 bits a value, looked for in the nearest of
    `cells` of k-means only, so that a few neighbours are missed. Where there are few rows none are.
    """

    def __init__(self, rows: DescriptorRows) -> None:
        count, length = rows.shape
        self._rows = count
        cells = min(_MOST_CELLS, count // _FEWEST_IN_A_CELL)
        self._looked_at = max(1, cells // _SHARE_OF_CELLS)
        self._index: Any  # FAISS's own stubs know neither the selectors nor the parameters by name
        if cells <= 1:
            self._index = faiss.IndexFlatL2(length)
        else:
            kind = faiss.ScalarQuantizer.QT_8bit
            self._index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(length), length, cells, kind)
            self._index.cp.niter = _CELL_ITERATIONS
            self._index.cp.max_points_per_centroid = _FEWEST_IN_A_CELL
            self._index.train(np.ascontiguousarray(rows))
        for start in range(0, count, _ADDED):
            self._index.add(np.ascontiguousarray(rows[start : start + _ADDED]))

    def nearest(self, queries: QueryRows, k: int, kept: np.ndarray | None = None) -> Neighbours:
        """About the k nearest rows of each query, among those that are `kept` (n,) if that is said; -1 where fewer are
        found.
        """
        if not len(queries) or not self._rows:
            return np.full((len(queries), k), -1, dtype=np.int64)
        search: dict[str, Any] = {}
        if kept is not None:
            bits = np.packbits(kept, bitorder="little")
            search["sel"] = faiss.IDSelectorBitmap(self._rows, faiss.swig_ptr(bits))
        parameters: Any = faiss.SearchParameters
        if isinstance(self._index, faiss.IndexIVF):
            parameters, search["nprobe"] = faiss.SearchParametersIVF, self._looked_at
        chosen = parameters(**search)
        return np.asarray(self._index.search(np.ascontiguousarray(queries), k, params=chosen)[1])


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
