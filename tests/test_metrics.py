"""Metrics against naive loops."""

import itertools

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


# -- several seeds ------------------------------------------------------------------------------------------------


def naive_seeds(values: np.ndarray, clusters: list[str], draws: int, seed: int) -> np.ndarray:
    """Draw whole clusters and, apart from them, seeds, both with replacement; the mean of all that came up."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero([c == name for c in clusters]) for name in sorted(set(clusters))]
    means = []
    for _ in range(draws):
        queries = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        seeds = rng.integers(0, len(values), len(values))
        means.append(np.mean([values[one, query] for one in seeds for query in queries]))
    return np.array(means)


def seeded_hits() -> tuple[np.ndarray, list[str]]:
    """Three trainings, on 6 panoramas of 1 to 3 queries."""
    rng = np.random.default_rng(5)
    clusters = [name for name, size in zip("abcdef", (3, 1, 2, 2, 3, 1), strict=True) for _ in range(size)]
    return rng.random((3, len(clusters))) < np.array([[0.3], [0.5], [0.8]]), clusters


def test_one_seed_is_the_clustered_interval() -> None:
    hits, clusters = clustered_hits()
    mean, low, high = metrics.seeded_interval(hits[None], clusters)
    assert mean == hits.mean()
    assert (low, high) == pytest.approx(metrics.clustered_interval(hits, clusters), abs=1e-12)
    narrow = metrics.seeded_interval(hits[None], np.array(clusters), level=0.5, seed=3)
    assert narrow[1:] == pytest.approx(metrics.clustered_interval(hits, clusters, level=0.5, seed=3), abs=1e-12)


def test_seeded_interval_has_the_distribution_of_a_naive_bootstrap() -> None:
    hits, clusters = seeded_hits()
    means = naive_seeds(hits, clusters, 4000, seed=1)
    mean, low, high = metrics.seeded_interval(hits, clusters)
    assert mean == pytest.approx(hits.mean())
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.03)
    assert metrics.seeded_interval(hits, clusters) == (mean, low, high)


def test_seeds_alike_add_nothing_and_seeds_unlike_widen_the_interval() -> None:
    hits, clusters = clustered_hits()
    alike = metrics.seeded_interval(np.stack([hits] * 4), clusters)
    assert alike[1:] == pytest.approx(metrics.clustered_interval(hits, clusters), abs=1e-12)
    unlike = np.stack([np.ones_like(hits), np.zeros_like(hits), hits, hits])
    _, low, high = metrics.seeded_interval(unlike, clusters)
    assert high - low > 1.5 * (alike[2] - alike[1])


def test_one_seed_is_the_paired_difference() -> None:
    rng = np.random.default_rng(4)
    hits, clusters = clustered_hits()
    better = hits | (rng.random(len(hits)) < 0.2)
    found = metrics.seeded_difference(hits[None], better[None], clusters)
    paired = metrics.paired_difference(hits, better, clusters)
    assert found[0] == pytest.approx(paired[0])
    assert found[1:3] == pytest.approx(paired[1:3], abs=0.01)
    assert found[3] == pytest.approx(paired[3], abs=0.01)


def test_seeded_difference_has_the_distribution_of_a_naive_bootstrap() -> None:
    """The same clusters for both, the seeds of one drawn apart from those of the other."""
    first, clusters = seeded_hits()
    second = np.array([[True] * 12, first[0], first[2]])
    rng = np.random.default_rng(6)
    members = [np.flatnonzero([c == name for c in clusters]) for name in sorted(set(clusters))]
    draws = []
    for _ in range(4000):
        queries = np.concatenate([members[i] for i in rng.integers(0, 6, 6)])
        below = first[rng.integers(0, 3, 3)][:, queries].mean()
        draws.append(second[rng.integers(0, 3, 3)][:, queries].mean() - below)
    value, low, high, p = metrics.seeded_difference(first, second, clusters)
    assert value == pytest.approx(second.mean() - first.mean())
    assert (low, high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.03)
    assert p == pytest.approx(2 * min(np.mean(np.array(draws) <= 0), np.mean(np.array(draws) >= 0)), abs=0.03)


def test_seeded_difference_turned_round_and_of_equals() -> None:
    hits, clusters = clustered_hits()
    worse = (hits & (np.arange(len(hits)) % 3 > 0))[None]
    up = metrics.seeded_difference(worse, hits[None], clusters)
    down = metrics.seeded_difference(hits[None], worse, clusters)
    assert 0 < up[1] < up[0] < up[2]
    assert down == pytest.approx((-up[0], -up[2], -up[1], up[3]), abs=1e-12)
    assert metrics.seeded_difference(hits[None], hits[None], clusters) == (0.0, 0.0, 0.0, 1.0)


def test_unlike_seeds_widen_a_difference() -> None:
    hits, clusters = clustered_hits()
    none = np.zeros_like(hits)
    before = np.stack([none] * 4)
    alike = metrics.seeded_difference(before, np.stack([hits] * 4), clusters)
    unlike = metrics.seeded_difference(before, np.stack([np.ones_like(hits), none, hits, hits]), clusters)
    assert unlike[2] - unlike[1] > 1.5 * (alike[2] - alike[1])


def test_what_rounding_leaves_is_no_difference() -> None:
    """Means over six rows, the same in another order: sums of sixths differ in their last digit."""
    first, second = np.array([[4, 6, 5, 4, 3, 3, 6]]) / 6, np.array([[5, 6, 4, 6, 4, 3, 3]]) / 6
    value, low, high, p = metrics.seeded_difference(first, second, ["one"] * 7)
    assert (value, low, high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert p == 1.0


# -- many claims --------------------------------------------------------------------------------------------------


def naive_holm(p_values: list[float]) -> list[float]:
    """Of the i-th smallest of m the largest of (m - j + 1) p_j over all j up to i, at most 1."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    found = [0.0] * len(p_values)
    for i, index in enumerate(order, start=1):
        found[index] = min(1.0, max((len(p_values) - j + 1) * p_values[order[j - 1]] for j in range(1, i + 1)))
    return found


def test_holm_by_hand() -> None:
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert metrics.holm([0.2]) == [0.2]
    assert metrics.holm([0.5, 0.9, 0.5]) == [1.0, 1.0, 1.0]
    assert metrics.holm([]) == []


def test_holm_as_defined() -> None:
    rng = np.random.default_rng(7)
    for count in (2, 3, 8, 25):
        p_values = (rng.random(count) ** 3).round(2).tolist()  # rounded: some are equal
        corrected = metrics.holm(p_values)
        assert corrected == pytest.approx(naive_holm(p_values))
        assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
        order = np.argsort(p_values)
        assert np.all(np.diff(np.array(corrected)[order]) >= 0)


# -- ratios and macro averages ------------------------------------------------------------------------------------


def naive_draws(clusters: list[str], draws: int, seed: int) -> list[np.ndarray]:
    """Rows of whole clusters, drawn with replacement."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero([c == name for c in clusters]) for name in sorted(set(clusters))]
    return [np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]) for _ in range(draws)]


def test_ratio_intervals() -> None:
    rng = np.random.default_rng(3)
    clusters = [f"c{row // 6}" for row in range(180)]
    asked = rng.random(180) < 0.6
    right = asked & (rng.random(180) < 0.5)
    every = np.ones(180, dtype=bool)
    above, below = np.stack([right, right]), np.stack([every, asked])
    ends = metrics.ratio_intervals(above, below, clusters)
    for measure in range(2):
        naive = [above[measure, rows].sum() / below[measure, rows].sum() for rows in naive_draws(clusters, 4000, 1)]
        assert ends[measure] == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.012)
    assert ends[0] == pytest.approx(metrics.clustered_interval(right, clusters), abs=1e-12)


def test_a_ratio_of_nothing_has_no_interval() -> None:
    above, below = np.zeros((1, 4)), np.zeros((1, 4))
    assert np.isnan(metrics.ratio_intervals(above, below, ["a", "b", "c", "d"])).all()
    below[0, 0] = above[0, 0] = 1.0  # there in some draws only
    assert metrics.ratio_intervals(above, below, ["a", "b", "c", "d"]).tolist() == [[1.0, 1.0]]


def test_macro_average_and_its_interval() -> None:
    rng = np.random.default_rng(4)
    labels = rng.choice(["x", "y", "z"], 150, p=[0.8, 0.15, 0.05])
    hits = rng.random(150) < np.where(labels == "x", 0.9, 0.3)
    clusters = [f"c{row // 3}" for row in range(150)]

    def naive(rows: np.ndarray) -> float:
        kinds = sorted(set(labels[rows].tolist()))
        return float(np.mean([hits[rows][labels[rows] == kind].mean() for kind in kinds]))

    assert metrics.macro_average(hits, labels) == pytest.approx(naive(np.arange(150)))
    assert metrics.macro_average(hits[:0], labels[:0]) == 0.0
    ends = metrics.macro_interval(hits, labels, clusters)
    expected = np.quantile([naive(rows) for rows in naive_draws(clusters, 4000, 2)], [0.025, 0.975])
    assert ends == pytest.approx(expected, abs=0.015)


def test_draws_of_many_clusters_are_draws_too() -> None:
    """Counts of a draw with replacement: they add up, with the mean and variance of a multinomial."""
    count = metrics._FEW_CLUSTERS + 1
    draws = np.concatenate([times for _, times in itertools.islice(metrics._draws(count, 0), 2)])
    assert (draws.sum(axis=1) == count).all()
    assert draws.var() == pytest.approx(1 - 1 / count, abs=0.01)
    again = next(metrics._draws(count, 0))[1]
    assert np.array_equal(again, draws[: len(again)])
