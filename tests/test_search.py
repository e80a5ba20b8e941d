"""Exact search against brute force in NumPy."""

import numpy as np
import pytest

from geofix.errors import AtlasError
from geofix.search import ApproximateGallery, kmeans, nearest, nearest_without


def rows(count: int, length: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, length)).astype(np.float32)


def brute(queries: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances in float64 and a stable sort: equal distances by row number."""
    apart = np.linalg.norm(queries[:, None].astype(np.float64) - gallery[None].astype(np.float64), axis=2)
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, order, axis=1), order


# 20 queries is where FAISS goes over from single distances to matrix products.
@pytest.mark.parametrize("count", [1, 7, 19, 20, 64])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_nearest_against_brute_force(count: int, k: int) -> None:
    queries, gallery = rows(count, seed=1), rows(300)
    distances, found = nearest(queries, gallery, k)
    expected_distances, expected = brute(queries, gallery, k)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-4, atol=1e-4)
    assert distances.dtype == np.float32


@pytest.mark.parametrize("count", [1, 40])
def test_equal_distances_come_by_row_number(count: int) -> None:
    gallery = rows(60)
    gallery[[3, 10, 11, 40, 59]] = gallery[25]
    queries = np.repeat(gallery[25:26], count, axis=0)
    for k in (2, 4, 6, 20):
        _, found = nearest(queries, gallery, k)
        assert found[:, :6].tolist() == [[3, 10, 11, 25, 40, 59][:k]] * count


def test_a_gallery_of_copies_is_listed_in_order() -> None:
    gallery = np.ones((50, 8), dtype=np.float32)
    distances, found = nearest(gallery[:3] * 2, gallery, 7)
    assert found.tolist() == [list(range(7))] * 3
    assert len(np.unique(distances)) == 1


@pytest.mark.parametrize("count", [1, 40])
def test_a_row_itself_is_at_distance_nought(count: int) -> None:
    gallery = rows(200)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    distances, found = nearest(gallery[:count], gallery, 3)
    assert found[:, 0].tolist() == list(range(count))
    assert distances[:, 0].max() < 1e-3


def test_k_larger_than_the_gallery() -> None:
    distances, found = nearest(rows(2, seed=1), rows(3), 8)
    assert (found[:, 3:] == -1).all()
    assert np.isinf(distances[:, 3:]).all()
    assert sorted(found[0, :3].tolist()) == [0, 1, 2]


def test_empty_gallery_and_no_queries() -> None:
    distances, found = nearest(rows(2), rows(0), 4)
    assert (found == -1).all()
    assert np.isinf(distances).all()
    assert nearest(rows(0), rows(5), 4)[1].shape == (0, 4)


def test_the_arrays_given_stay_as_they_are() -> None:
    queries, gallery = rows(3, seed=1), rows(10)
    before = queries.copy(), gallery.copy()
    nearest(queries, gallery, 2)
    np.testing.assert_array_equal(queries, before[0])
    np.testing.assert_array_equal(gallery, before[1])


def test_a_view_that_is_not_contiguous() -> None:
    gallery = rows(40, 32)[::2, ::2]
    queries = rows(5, 32, seed=1)[:, ::2]
    np.testing.assert_array_equal(nearest(queries, gallery, 6)[1], brute(queries, gallery, 6)[1])


def test_exclusions_against_brute_force() -> None:
    rng = np.random.default_rng(4)
    queries, gallery = rows(30, seed=1), rows(80)
    excluded = [np.sort(rng.choice(80, rng.integers(0, 30), replace=False)) for _ in range(30)]
    distances, found = nearest_without(queries, gallery, 10, excluded)
    for query in range(30):
        kept = np.setdiff1d(np.arange(80), excluded[query])
        expected_distances, expected = brute(queries[query : query + 1], gallery[kept], 10)
        assert found[query].tolist() == kept[expected[0]].tolist()
        np.testing.assert_allclose(distances[query], expected_distances[0], rtol=1e-4)


def test_everything_excluded_leaves_nothing() -> None:
    distances, found = nearest_without(rows(2, seed=1), rows(5), 3, [np.arange(5), np.array([0, 1, 2, 3])])
    assert found.tolist() == [[-1, -1, -1], [4, -1, -1]]
    assert np.isinf(distances[0]).all()
    assert np.isfinite(distances[1, 0])


def test_no_exclusions_at_all() -> None:
    none = [np.empty(0, dtype=np.int64)] * 2
    np.testing.assert_array_equal(
        nearest_without(rows(2, seed=1), rows(9), 3, none)[1], nearest(rows(2, seed=1), rows(9), 3)[1]
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_named(bad: float) -> None:
    spoilt = rows(6)
    spoilt[4, 2] = bad
    with pytest.raises(AtlasError, match=r"gallery descriptors .* \(row 4\)"):
        nearest(rows(2), spoilt, 1)
    with pytest.raises(AtlasError, match=r"query descriptors .* \(row 4\)"):
        nearest(spoilt, rows(2), 1)


def test_kmeans_ends_where_each_centroid_is_the_mean_of_its_rows_and_repeats_itself() -> None:
    data = rows(400, 4)
    found = kmeans(data, 5)
    owner = nearest(data, found, 1)[1][:, 0]
    for number, centroid in enumerate(found):
        np.testing.assert_allclose(centroid, data[owner == number].mean(axis=0), atol=1e-3)
    np.testing.assert_array_equal(found, kmeans(data, 5))
    assert kmeans(data[:5], 5).shape == (5, 4)


def test_an_approximate_gallery_of_few_rows_is_exact() -> None:
    rows, queries = rows_of(60, 8, 0), rows_of(7, 8, 1)
    assert np.array_equal(ApproximateGallery(rows).nearest(queries, 5), nearest(queries, rows, 5)[1])
    kept = np.arange(60) % 3 == 0
    among = np.flatnonzero(kept)
    assert np.array_equal(
        ApproximateGallery(rows).nearest(queries, 5, kept), among[nearest(queries, rows[among], 5)[1]]
    )


def test_an_approximate_gallery_of_many_rows_misses_few() -> None:
    rows = rows_of(9000, 16, 0)
    queries = rows[::30] + np.random.default_rng(1).normal(0, 0.02, (300, 16)).astype(np.float32)
    gallery = ApproximateGallery(rows)
    exact = nearest(queries, rows, 1)[1]
    assert (gallery.nearest(queries, 3)[:, 0] == exact[:, 0]).mean() > 0.9
    kept = np.arange(9000) % 2 == 1
    found = gallery.nearest(queries, 3, kept)
    assert kept[found[found >= 0]].all() and (found[:, 0] >= 0).all()
    assert np.array_equal(gallery.nearest(queries, 3), ApproximateGallery(rows).nearest(queries, 3))


def test_an_approximate_gallery_says_where_it_finds_nothing() -> None:
    rows, queries = rows_of(3, 8, 0), rows_of(2, 8, 1)
    assert (ApproximateGallery(rows).nearest(queries, 5)[:, 3:] == -1).all()
    assert (ApproximateGallery(rows).nearest(queries, 2, np.zeros(3, dtype=np.bool_)) == -1).all()
    assert (ApproximateGallery(rows[:0]).nearest(queries, 2) == -1).all()
    assert ApproximateGallery(rows).nearest(queries[:0], 2).shape == (0, 2)


def rows_of(count: int, length: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (count, length)).astype(np.float32)
