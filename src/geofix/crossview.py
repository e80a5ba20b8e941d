"""What is measured across views besides recall: average precision and recall at top 1 %, over the whole gallery.

The protocol of University-1652 (Zheng, Wei, Yang 2020): every gallery photo is ranked for every query, the mean is over
all queries, also those with nothing relevant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from geofix import metrics
from geofix.data.places import Benchmark, without
from geofix.errors import UsageError
from geofix.metrics import APKind
from geofix.shapes import GalleryRows, QueryRows, Ranks

Distractors = Literal["keep", "drop"]
_DISTRACTORS: tuple[Distractors, ...] = get_args(Distractors)
_AP_KINDS: tuple[APKind, ...] = get_args(APKind)
_BLOCK_NUMBERS = 8_000_000  # similarities at a time: 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class WholeRanking:
    """Of every query: the rank of its first relevant photo and its average precision, over the whole gallery.

    `kind` says which average precision, `top_percent` which N "top 1 %" is.
    """

    ranks: Ranks
    precisions: np.ndarray
    kind: APKind
    top_percent: int
    clusters: tuple[str, ...]

    @property
    def ap(self) -> float:
        """The mean of the queries' average precisions."""
        return float(self.precisions.mean())

    def to_dict(self) -> dict[str, Any]:
        """Its part of scores.json: fractions."""
        _, low, high = metrics.seeded_interval(self.precisions[None], self.clusters)
        return {
            "ap": self.ap,
            "ap_ci95": [low, high],
            "recall_top1_percent": metrics.recall(self.ranks, self.top_percent),
        }


def whole_ranking(
    mark: Benchmark, rows: np.ndarray, queries: QueryRows, gallery: GalleryRows, kind: APKind, gallery_size: int
) -> WholeRanking:
    """The ranking of the benchmark's gallery by Euclidean distance, for the queries that have a descriptor.

    `queries[i]` is that of query rows[i]; the others find nothing. `gallery_size` is that of the gallery before
    distractors were dropped, of which top 1 % is counted. A block of queries is ranked at a time, so that memory stays
    small whatever the sizes.
    """
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(mark.queries)
    half = (gallery.astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2
    step = max(1, _BLOCK_NUMBERS // max(1, len(gallery)))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        # Larger where the distance is smaller: |q - g|^2 = |q|^2 - 2 (q.g - |g|^2 / 2).
        alike = queries[start : start + step] @ gallery.T - half
        for number, query in enumerate(part.tolist()):
            if len(mark.excluded[query]):
                alike[number, mark.excluded[query]] = -np.inf
        ranked = metrics.relevant_ranks(alike, [mark.relevant[query] for query in part])
        for query, at in zip(part.tolist(), ranked, strict=True):
            found[query] = at
    return WholeRanking(
        metrics.first_ranks(found),
        metrics.average_precision(found, kind),
        kind,
        metrics.top_percent(gallery_size),
        mark.clusters,
    )


def without_distractors(mark: Benchmark) -> Benchmark:
    """The benchmark without gallery photos of places that nobody asks about."""
    asked = {photo.place for photo in mark.queries}
    return without(mark, {photo.name for photo in mark.gallery if photo.place not in asked})


def check_distractors(name: str) -> Distractors:
    """keep or drop; else UsageError."""
    if name not in _DISTRACTORS:
        raise UsageError(f"Distractors are to {name!r}; keep or drop is expected.")
    return name


def check_ap(name: str) -> APKind:
    """trapezoid or step; else UsageError."""
    if name not in _AP_KINDS:
        raise UsageError(f"There is no average precision {name!r}; trapezoid or step is expected.")
    return name
