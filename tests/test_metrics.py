"""Metrics against naive loops."""

import numpy as np
import pytest

from geofix import metrics


def test_ranks_and_recall_against_a_naive_loop() -> None:
    rng = np.random.default_rng(3)
    neighbours = np.array([rng.permutation(30)[:12] for _ in range(40)])
    neighbours[5, 4:] = -1
    relevant = [np.sort(rng.choice(30, rng.integers(0, 4), replace=False)) for _ in range(40)]
    ranks = metrics.first_relevant_ranks(neighbours, relevant)
    for n in (1, 5, 12):
        hits = 0
        for query in range(40):
            found = [row for row in neighbours[query][:n] if row in set(relevant[query].tolist())]
            hits += bool(found)
        assert metrics.recall(ranks, n) == hits / 40
    for query in range(40):
        at = [rank for rank, row in enumerate(neighbours[query]) if row in relevant[query]]
        assert ranks[query] == (at[0] if at else metrics.NEVER)


def test_missing_neighbours_are_never_relevant() -> None:
    ranks = metrics.first_relevant_ranks(np.array([[-1, -1]]), [np.array([0, 29])])
    assert ranks[0] == metrics.NEVER
    assert metrics.recall(ranks, 20) == 0.0
    assert metrics.recall(ranks[:0], 1) == 0.0


def test_a_query_with_nothing_relevant_counts_as_a_miss() -> None:
    empty = np.empty(0, dtype=np.int64)
    ranks = metrics.first_relevant_ranks(np.array([[0, 1], [1, 0]]), [empty, np.array([1])])
    assert metrics.recall(ranks, 2) == 0.5


def naive_bootstrap(values: np.ndarray, clusters: list[str], draws: int, seed: int) -> np.ndarray:
    """Draw whole clusters with replacement, join their values, take the mean; again and again."""
    rng = np.random.default_rng(seed)
    members = [values[[c == name for c in clusters]] for name in sorted(set(clusters))]
    return np.array(
        [np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]).mean() for _ in range(draws)]
    )


def clustered_hits() -> tuple[np.ndarray, list[str]]:
    """20 panoramas of 3 to 8 queries whose members are all right or all wrong."""
    rng = np.random.default_rng(8)
    hits, clusters = [], []
    for pano in range(20):
        size = int(rng.integers(3, 9))
        hits += [bool(rng.random() < 0.6)] * size
        clusters += [f"pano {pano}"] * size
    return np.array(hits), clusters


def test_clustered_interval_has_the_distribution_of_a_naive_bootstrap() -> None:
    hits, clusters = clustered_hits()
    means = naive_bootstrap(hits.astype(float), clusters, 4000, seed=1)
    low, high = metrics.clustered_interval(hits, clusters)
    assert low == pytest.approx(np.quantile(means, 0.025), abs=0.02)
    assert high == pytest.approx(np.quantile(means, 0.975), abs=0.02)
    low80, high80 = metrics.clustered_interval(hits, clusters, level=0.8)
    assert low80 == pytest.approx(np.quantile(means, 0.1), abs=0.02)
    assert high80 == pytest.approx(np.quantile(means, 0.9), abs=0.02)
    assert low < low80 < hits.mean() < high80 < high


def test_clustered_interval_is_wider_than_one_that_takes_queries_one_by_one() -> None:
    hits, clusters = clustered_hits()
    low, high = metrics.clustered_interval(hits, clusters)
    single = metrics.clustered_interval(hits, [str(number) for number in range(len(hits))])
    assert high - low > 1.5 * (single[1] - single[0])


def test_intervals_are_repeatable_and_degenerate_where_nothing_varies() -> None:
    hits, clusters = clustered_hits()
    assert metrics.clustered_interval(hits, clusters) == metrics.clustered_interval(hits, clusters)
    assert metrics.clustered_interval(np.ones(7, dtype=bool), list("aabbccd")) == (1.0, 1.0)
    assert metrics.clustered_interval(np.array([True, False]), ["one", "one"]) == (0.5, 0.5)


def test_the_order_of_queries_does_not_matter() -> None:
    hits, clusters = clustered_hits()
    order = np.random.default_rng(0).permutation(len(hits))
    shuffled = metrics.clustered_interval(hits[order], [clusters[row] for row in order])
    assert shuffled == pytest.approx(metrics.clustered_interval(hits, clusters), abs=1e-12)


def test_paired_difference_signs() -> None:
    rng = np.random.default_rng(2)
    worse = rng.random(200) < 0.4
    better = worse | (rng.random(200) < 0.3)
    names = [str(number) for number in range(200)]
    up, low, high, p = metrics.paired_difference(worse, better, names)
    assert up == pytest.approx(better.mean() - worse.mean())
    assert 0 < low < up < high
    assert p < 0.001
    down = metrics.paired_difference(better, worse, names)
    assert down[:3] == pytest.approx((-up, -high, -low), abs=1e-12)
    assert down[3] == pytest.approx(p)


def test_paired_difference_of_equals_is_nothing() -> None:
    hits, clusters = clustered_hits()
    assert metrics.paired_difference(hits, hits, clusters) == (0.0, 0.0, 0.0, 1.0)


def test_paired_difference_is_narrower_than_two_intervals_apart() -> None:
    """Pairing takes out what both share: two runs that differ on one query in a hundred differ by 0 to 3 %."""
    first = np.arange(100) % 2 == 0
    second = first.copy()
    second[1] = True
    value, low, high, p = metrics.paired_difference(first, second, [str(n) for n in range(100)])
    assert value == pytest.approx(0.01)
    assert 0 <= low <= value <= high <= 0.04
    assert p > 0.05


def test_share_within() -> None:
    errors_m = np.array([0.0, 25.0, 25.1, np.inf])
    assert metrics.share_within(errors_m, 25.0) == 0.5
    assert metrics.share_within(errors_m, np.array([1.0, 24.0, 30.0, 1e9])) == 0.5
    assert metrics.share_within(errors_m[:0], 25.0) == 0.0
