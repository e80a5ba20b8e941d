"""Distances of predicted coordinates and what is made of them: published values, boundaries, naive loops."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from geofix.coordinates import RADII_KM, check_earth, errors_km, geoscores, great_circle_km, median_km, within_km
from geofix.errors import UsageError

# Rows of the published results on Im2GPS3k: truth, prediction and the distance printed beside them.
PUBLISHED = [
    ((32.325436, -64.764404), (26.193849, -77.825306), 1437.19),
    ((29.976052, 122.390356), (35.522054, 126.824556), 742.93),
    ((40.807694, -73.962262), (-35.311527, 149.063375), 16237.27),
    ((51.501821, -0.140655), (51.505018, -0.078046), 4.35),
    ((43.642423, -79.387153), (43.64499, -79.377243), 0.85),
    ((12.917568, 104.58847), (14.556111, -90.735395), 16525.17),
]


def rows_of(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def random_points(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(-180, 180, count)], axis=1)


def naive_km(first: np.ndarray, second: np.ndarray) -> float:
    """The angle between two vectors from the middle of the sphere."""
    vectors = []
    for lat, lon in (np.radians(first), np.radians(second)):
        vectors.append((math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)))
    cross = np.linalg.norm(np.cross(*vectors))
    return 6371.0 * math.atan2(float(cross), float(np.dot(*vectors)))


@pytest.mark.parametrize(("truth", "said", "published"), PUBLISHED)
def test_published_distances(truth: tuple[float, float], said: tuple[float, float], published: float) -> None:
    assert round(float(great_circle_km(rows_of(truth), rows_of(said))[0]), 2) == published


def test_great_circles_against_vectors() -> None:
    first, second = random_points(500, 0), random_points(500, 1)
    first[:4] = rows_of((90, 0), (0, 180), (0, 0), (10, 20))
    second[:4] = rows_of((-90, 70), (0, -180), (0, 180), (-10, -160))  # antipodes, and one point under two names
    expected = [naive_km(*pair) for pair in zip(first, second, strict=True)]
    assert great_circle_km(first, second) == pytest.approx(expected, abs=1e-3)
    assert great_circle_km(first[1:2], second[1:2])[0] == pytest.approx(0.0, abs=1e-9)


def test_no_answer_is_infinitely_far() -> None:
    truth = rows_of((0, 0), (10, 10), (1, 1))
    said = rows_of((0, 1), (math.nan, math.nan), (1, math.nan))
    for earth in ("sphere", "geodesic"):
        errors = errors_km(truth, said, earth)
        assert errors[0] == pytest.approx(111.2, abs=0.2)
        assert np.isinf(errors[1:]).all()
    assert errors_km(truth, said, "sphere")[0] != errors_km(truth, said, "geodesic")[0]


def test_sphere_and_ellipsoid_differ_by_half_a_percent_at_most() -> None:
    """Measured: at most 0.55 %; shares at the five radii then differ by 0.03 points at most."""
    first, second = random_points(20_000, 2), random_points(20_000, 3)
    sphere, ellipsoid = errors_km(first, second), errors_km(first, second, "geodesic")
    assert 0.002 < float((np.abs(sphere - ellipsoid) / ellipsoid).max()) < 0.0057
    for radius in RADII_KM:
        assert abs(within_km(sphere, radius).mean() - within_km(ellipsoid, radius).mean()) <= 0.0003


@pytest.mark.parametrize("radius", RADII_KM)
def test_the_boundary_is_within_unless_it_is_not_wanted(radius: float) -> None:
    errors = np.array([np.nextafter(radius, 0), radius, np.nextafter(radius, 9999)], dtype=np.float64)
    assert within_km(errors, radius).tolist() == [True, True, False]
    assert within_km(errors, radius, inclusive=False).tolist() == [True, False, False]


def test_geoscores() -> None:
    kilometres = [0, 1, 25, 200, 750, 1492.7, 2500, 10_000, math.inf]
    scores = [5000.0, 4996.7, 4917.0, 4373.0, 3025.2, 1839.4, 936.7, 6.2, 0.0]
    assert geoscores(np.array(kilometres, dtype=np.float64)).round(1).tolist() == scores
    # The mean of scores is not the score of the mean.
    both = np.array([0.0, 10_000.0])
    assert geoscores(both).mean() > geoscores(both.mean(keepdims=True))[0] + 2000


def test_median() -> None:
    assert median_km(np.array([1.0, 5.0, 3.0])) == 3.0
    assert median_km(np.array([1.0, 3.0])) == 2.0
    assert median_km(np.array([1.0, 3.0, math.inf])) == 3.0
    assert median_km(np.array([1.0, math.inf])) == math.inf
    assert math.isnan(median_km(np.empty(0)))


def test_other_distances_are_refused() -> None:
    assert check_earth("geodesic") == "geodesic"
    with pytest.raises(UsageError, match="There is no distance 'geodesics'; did you mean 'geodesic'?"):
        check_earth("geodesics")


def test_every_published_distance(shared: Path) -> None:
    """All 2997 rows of a published table, to the last digit printed."""
    path = shared / "data" / "im2gps_meta" / "results_im2gps3k_ISNs_M-fstar-S3.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:2997]
    truth, said = (
        np.array([(row[lat], row[lon]) for row in rows], dtype=np.float64)
        for lat, lon in (("gt_lat", "gt_long"), ("predicted_lat", "predicted_long"))
    )
    published = np.array([row["great_circle_distance"] for row in rows], dtype=np.float64)
    assert np.abs(great_circle_km(truth, said) - published).max() <= 0.0051
