"""What is measured: recall@N, intervals, paired differences, errors of fixes. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geofix.shapes import Hits, Neighbours, Ranks

NEVER = np.iinfo(np.int64).max
"""The rank of a query whose relevant photos were not among its neighbours."""

RESAMPLES = 10_000


def first_relevant_ranks(neighbours: Neighbours, relevant: Sequence[np.ndarray]) -> Ranks:
    """0-based rank of each query's first relevant neighbour; NEVER where there is none."""
    ranks = np.full(len(neighbours), NEVER, dtype=np.int64)
    for query, (row, right) in enumerate(zip(neighbours, relevant, strict=True)):
        hits = np.flatnonzero(np.isin(row, right))
        if len(hits):
            ranks[query] = hits[0]
    return ranks


def recall(ranks: Ranks, n: int) -> float:
    """Share of queries with something relevant among the first n; unanswerable queries count as misses."""
    return float((ranks < n).mean()) if len(ranks) else 0.0


def clustered_interval(
    hits: Hits, clusters: Sequence[str], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `hits`, drawing whole clusters with replacement.

    Queries of one panorama or camera are not independent; drawing them one by one would make the interval
    too narrow. Deterministic for a seed.
    """
    means = _resampled_means(hits.astype(np.float64), clusters, seed)
    tail = (1 - level) / 2
    return float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))


def paired_difference(
    first: Hits, second: Hits, clusters: Sequence[str], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float, float]:
    """(difference, low, high, p): mean of second - first on the same queries, its clustered interval, and the
    two-sided bootstrap p-value of "no difference".
    """
    delta = second.astype(np.float64) - first.astype(np.float64)
    means = _resampled_means(delta, clusters, seed)
    tail = (1 - level) / 2
    below = (np.count_nonzero(means <= 0) + 1) / (len(means) + 1)
    above = (np.count_nonzero(means >= 0) + 1) / (len(means) + 1)
    low, high = float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))
    return float(delta.mean()), low, high, float(min(1.0, 2 * min(below, above)))


def share_within(errors_m: np.ndarray, radius_m: float | np.ndarray) -> float:
    """Share of errors (metres; inf for no answer) at most `radius_m`, a number or one radius an error."""
    return float((errors_m <= radius_m).mean()) if len(errors_m) else 0.0


def _resampled_means(values: np.ndarray, clusters: Sequence[str], seed: int) -> np.ndarray:
    """Means of `values` over RESAMPLES draws of as many clusters as there are."""
    _, of = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(of, weights=values)
    sizes = np.bincount(of)
    rng = np.random.default_rng(seed)
    # A draw is only how often each cluster came up, so one multinomial table stands for all the draws.
    means = np.empty(RESAMPLES)
    step = max(1, 2_000_000 // len(sizes))
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=count)
        means[start : start + count] = (times @ sums) / (times @ sizes)
    return means
