"""What is measured: recall@N, intervals, paired differences, errors of fixes. Pure functions on arrays."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from geofix.shapes import (
    Hits,
    Intervals,
    Labels,
    Measures,
    Neighbours,
    PerQuery,
    Ranks,
    RowHits,
    SeededHits,
    Similarities,
)

NEVER = np.iinfo(np.int64).max
"""The rank of a query whose relevant photos were not among its neighbours."""

APKind = Literal["trapezoid", "step"]
RESAMPLES = 10_000
_BLOCK_NUMBERS = 250_000
_ROUNDING = 1e-9  # of a difference that is none
_FEW_CLUSTERS = 3000  # 60 MB of draws


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


def relevant_ranks(similarities: Similarities, relevant: Sequence[np.ndarray]) -> list[np.ndarray]:
    """0-based ranks of each query's relevant gallery rows, ascending, in the ranking of the whole gallery.

    Among equal similarities the later row comes first, as in the published evaluations of University-1652, which read
    an ascending order backwards.
    """
    ranks = [np.empty(0, dtype=np.int64)] * len(relevant)
    single = np.array([query for query, right in enumerate(relevant) if len(right) == 1], dtype=np.int64)
    step = max(1, _BLOCK_NUMBERS // max(1, similarities.shape[1]))  # as many rows as a processor keeps at hand
    for start in range(0, len(single), step):
        queries = single[start : start + step]
        rows = np.array([relevant[query][0] for query in queries])
        for query, rank in zip(queries.tolist(), _ranks_of_one(similarities[queries], rows), strict=True):
            ranks[query] = rank[None]
    for query, right in enumerate(relevant):
        if len(right) > 1:
            ranks[query] = _ranks_of_several(similarities[query], right)
    return ranks


def _ranks_of_one(similarities: Similarities, rows: np.ndarray) -> np.ndarray:
    """The rank of one gallery row for each query."""
    own = similarities[np.arange(len(rows)), rows][:, None]
    above = np.asarray(np.count_nonzero(similarities > own, axis=1))
    equal = similarities == own
    for query in np.flatnonzero(np.count_nonzero(equal, axis=1) > 1):
        above[query] += np.count_nonzero(equal[query, rows[query] + 1 :])
    return above


def _ranks_of_several(row: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The ranks of several gallery rows for one query, ascending."""
    own = row[right]
    ordered = np.sort(row)  # values alone sort several times as fast as their order does
    above = len(row) - np.searchsorted(ordered, own, side="right")
    equal = len(row) - np.searchsorted(ordered, own, side="left") - above
    for place in np.flatnonzero(equal > 1):
        above[place] += np.count_nonzero(row[right[place] + 1 :] == own[place])
    return np.asarray(np.sort(above))


def average_precision(ranks: Sequence[np.ndarray], kind: APKind = "trapezoid") -> np.ndarray:
    """Average precision of each query (q,) from the 0-based ranks of everything relevant to it; 0 where nothing is.

    "trapezoid" is what the cross-view literature calls AP: the mean of the precisions before and after each relevant
    row, ((r ? i / r : 1) + (i + 1) / (r + 1)) / 2 for the i-th of rank r (Zheng et al., University-1652, after the
    Oxford buildings' evaluation). "step" is the mean of (i + 1) / (r + 1), as scikit-learn's. A single
    relevant row that is second scores 1/4 by the first and 1/2 by the second: the two must never be compared.
    """
    lengths = np.array([len(at) for at in ranks], dtype=np.int64)
    query = np.repeat(np.arange(len(ranks)), lengths)
    at = np.concatenate([*ranks, np.empty(0, dtype=np.int64)])
    number = np.arange(len(at)) - np.repeat(lengths.cumsum() - lengths, lengths)  # of each among its query's own
    after = (number + 1) / (at + 1)
    before = np.where(at > 0, number / np.maximum(at, 1), 1.0)
    precision = (before + after) / 2 if kind == "trapezoid" else after
    return np.bincount(query, weights=precision, minlength=len(ranks)) / np.maximum(lengths, 1)


def first_ranks(ranks: Sequence[np.ndarray]) -> Ranks:
    """The first rank of each query; NEVER where nothing is relevant."""
    return np.array([at[0] if len(at) else NEVER for at in ranks], dtype=np.int64)


def top_percent(gallery: int) -> int:
    """The N of "recall at top 1 %": round(0.01 * gallery) + 1, as University-1652's code reads its curve."""
    return round(0.01 * gallery) + 1


def clustered_interval(
    hits: Hits, clusters: Sequence[str], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `hits`, drawing whole clusters with replacement.

    Queries of one panorama or camera are not independent; drawing them one by one would make the interval
    too narrow. Deterministic for a seed.
    """
    _, low, high = seeded_interval(hits[None], clusters, level=level, seed=seed)
    return low, high


def paired_difference(
    first: PerQuery, second: PerQuery, clusters: Sequence[str], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float, float]:
    """(difference, low, high, p): mean of second - first on the same queries, its clustered interval, and the
    two-sided bootstrap p-value of "no difference".
    """
    delta = second.astype(np.float64) - first.astype(np.float64)
    return _difference(float(delta.mean()), _resampled_seeds(delta[None], clusters, seed), level)


def seeded_interval(
    hits: SeededHits, clusters: Sequence[str] | np.ndarray, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of `hits` (seeds, queries), drawing whole clusters and trainings with replacement.

    With one seed it is `clustered_interval`. A few seeds tell little of how trainings vary, but leaving that out
    would make the interval too narrow.
    """
    means = _resampled_seeds(hits.astype(np.float64), clusters, seed)
    tail = (1 - level) / 2
    return float(hits.mean()), float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))


def seeded_difference(
    first: SeededHits,
    second: SeededHits,
    clusters: Sequence[str] | np.ndarray,
    *,
    same_trainings: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float, float]:
    """(difference, low, high, p) of second - first, each (seeds, queries), on the same queries.

    Queries are paired: a draw takes the same clusters for both. Trainings are paired too where both test the
    `same_trainings`; else a seed of one has nothing to do with that of the other.
    """
    below = _resampled_seeds(first.astype(np.float64), clusters, seed, salt=1)
    above = _resampled_seeds(second.astype(np.float64), clusters, seed, salt=1 if same_trainings else 2)
    return _difference(float(second.mean() - first.mean()), above - below, level)


def ratio_intervals(
    numerators: Measures,
    denominators: Measures,
    clusters: Sequence[str] | np.ndarray,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Percentile bootstrap intervals of sum(numerators) / sum(denominators), a row a measure, drawing whole clusters.

    All measures come from the same draws, in one pass. A draw in which a denominator is 0 says nothing of its ratio
    and is left out; NaN where that is every draw.
    """
    _, of = np.unique(np.asarray(clusters), return_inverse=True)
    above = np.stack([np.bincount(of, weights=row) for row in numerators], axis=1)
    below = np.stack([np.bincount(of, weights=row) for row in denominators], axis=1)
    ratios = _resampled_ratios(above, below, seed)
    ends = np.full((len(numerators), 2), np.nan)
    for row, measured in enumerate(ratios.T):
        known = measured[~np.isnan(measured)]
        if len(known):
            ends[row] = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return ends


def macro_average(hits: RowHits, labels: Labels) -> float:
    """The mean over labels of the share of hits among the rows of each: every label counts the same."""
    _, of = np.unique(labels, return_inverse=True)
    return float((np.bincount(of, weights=hits) / np.bincount(of)).mean()) if len(hits) else 0.0


def macro_interval(
    hits: RowHits, labels: Labels, clusters: Sequence[str] | np.ndarray, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of `macro_average`, drawing whole clusters; labels that a draw lacks do not count
    in it, so that rare ones widen the interval."""
    _, of = np.unique(np.asarray(clusters), return_inverse=True)
    names, label_of = np.unique(labels, return_inverse=True)
    above, below = np.zeros((2, of.max() + 1, len(names)))
    np.add.at(above, (of, label_of), hits)
    np.add.at(below, (of, label_of), 1.0)
    means = np.nanmean(_resampled_ratios(above, below, seed), axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, so that with 0.05 one false claim is made in twenty such lists.

    Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    most = 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = most
    return corrected.tolist()


def share_within(errors_m: np.ndarray, radius_m: float | np.ndarray) -> float:
    """Share of errors (metres; inf for no answer) at most `radius_m`, a number or one radius an error."""
    return float((errors_m <= radius_m).mean()) if len(errors_m) else 0.0


def _difference(value: float, means: np.ndarray, level: float) -> tuple[float, float, float, float]:
    """A difference with its interval and p-value from what was resampled of it."""
    tail = (1 - level) / 2
    below = (np.count_nonzero(means <= _ROUNDING) + 1) / (len(means) + 1)
    above = (np.count_nonzero(means >= -_ROUNDING) + 1) / (len(means) + 1)
    low, high = float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))
    return value, low, high, float(min(1.0, 2 * min(below, above)))


def _resampled_seeds(values: np.ndarray, clusters: Sequence[str] | np.ndarray, seed: int, salt: int = 0) -> np.ndarray:
    """Means of `values` (seeds, queries) over RESAMPLES draws of clusters and, by `salt`, of seeds."""
    _, of = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.stack([np.bincount(of, weights=row) for row in values])  # (seeds, clusters)
    seeds = len(values)
    shares = np.random.default_rng([salt, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    means = np.empty(RESAMPLES)
    sizes = np.bincount(of).astype(np.float64)
    for draws, times in _draws(len(sizes), seed):
        means[draws] = ((times @ sums.T) * shares[draws]).sum(axis=1) / (times @ sizes)
    return means


def _resampled_ratios(above: np.ndarray, below: np.ndarray, seed: int) -> np.ndarray:
    """Ratios (RESAMPLES, m) of sums (clusters, m) over draws of clusters; NaN where a draw has nothing below."""
    ratios = np.full((RESAMPLES, above.shape[1]), np.nan)
    for draws, times in _draws(len(above), seed):
        under = times @ below
        np.divide(times @ above, under, out=ratios[draws], where=under > 0)
    return ratios


def _draws(count: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """How often each of `count` clusters came up in each of RESAMPLES draws of as many, in parts that fit into memory:
    a draw is nothing else, so one multinomial table stands for all the draws."""
    step = max(1, 2_000_000 // count)
    rng = np.random.default_rng(seed)
    for start in range(0, RESAMPLES, step):
        draws = slice(start, min(start + step, RESAMPLES))
        few = count <= _FEW_CLUSTERS
        times = _remembered(count, seed)[draws] if few else _drawn_of_many(count, draws.stop - start, rng)
        yield draws, times.astype(np.float64)


@functools.lru_cache(maxsize=2)
def _remembered(count: int, seed: int) -> np.ndarray:
    """All draws of a few clusters: tables ask for the same ones hundreds of times."""
    return _drawn(count, RESAMPLES, np.random.default_rng(seed))


def _drawn(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.uint16)


def _drawn_of_many(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """As `_drawn`, cluster by cluster: seven times as fast for the 25 600 photos of YFCC26k."""
    times = np.empty((draws, count), dtype=np.uint16)
    for row in times:
        row[:] = np.bincount(rng.integers(count, size=count, dtype=np.int32), minlength=count)
    return times
