"""Scores of predicted coordinates against loops: all rows and answered ones, countries, the prior."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from geofix.coordinate_scores import score_coordinates
from geofix.coordinates import RADII_KM, errors_km, within_km
from geofix.errors import DataError, UsageError
from geofix.positions import Position, geodesic_m

PARIS, LONDON, CAYENNE, BERLIN, OCEAN = (48.85, 2.35), (51.5, -0.12), (4.93, -52.32), (52.52, 13.4), (-40.0, -120.0)
NOTHING = (math.nan, math.nan)


def rows_of(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def own(count: int) -> list[str]:
    return [str(row) for row in range(count)]


TRUTH = rows_of(PARIS, PARIS, LONDON, BERLIN, CAYENNE, OCEAN, PARIS, LONDON)
SAID = rows_of((48.86, 2.35), (43.3, 5.4), PARIS, NOTHING, PARIS, PARIS, LONDON, NOTHING)


def test_shares_scores_and_medians() -> None:
    scores = score_coordinates(TRUTH, SAID, own(8))
    errors = [math.inf if math.isnan(said[0]) else errors_km(rows_of(true), rows_of(said))[0] for true, said in
              zip(TRUTH.tolist(), SAID.tolist(), strict=True)]  # fmt: skip
    assert scores.errors_km.tolist() == errors
    said = [error for error in errors if error < math.inf]
    assert (scores.queries, scores.answered, scores.clusters) == (8, 6, 8)
    for radius in RADII_KM:
        within = scores.within[radius]
        assert within.all_rows.value == sum(error <= radius for error in errors) / 8
        assert within.answered.value == sum(error <= radius for error in errors) / 6
    points = [5000 * math.exp(-error / 1492.7) for error in errors]
    assert scores.geoscore.all_rows.value == pytest.approx(sum(points) / 8)
    assert scores.geoscore.answered.value == pytest.approx(sum(points) / 6)
    assert scores.median_km == pytest.approx(sum(sorted(errors)[3:5]) / 2)
    assert scores.answered_median_km == pytest.approx(sum(sorted(said)[2:4]) / 2)


def test_countries_at_both_levels() -> None:
    """True countries: FR FR GB DE GF - FR GB; said: FR FR FR - FR FR GB -. The ocean does not count."""
    country = score_coordinates(TRUTH, SAID, own(8)).country
    assert country is not None
    assert (country.level, country.rows, country.countries) == ("territory", 7, 4)
    assert country.right.all_rows.value == pytest.approx(2 / 7)
    assert country.right.answered.value == pytest.approx(2 / 5)
    assert country.prior.classes == ("FR", "GB", "DE", "GF")
    assert (country.lift.prior, country.prior_top5) == (pytest.approx(3 / 7), 1.0)
    assert country.lift.lift == pytest.approx(2 / 7 - 3 / 7)
    assert country.right_but_far == 0
    assert country.near_but_wrong == 2  # London for Paris and the reverse
    sovereign = score_coordinates(TRUTH, SAID, own(8), level="sovereign").country
    assert sovereign is not None
    assert (sovereign.countries, sovereign.right.all_rows.value) == (3, pytest.approx(3 / 7))
    assert sovereign.right_but_far == 1  # Paris for Cayenne


def test_radii_and_countries_as_osv5m_has_them() -> None:
    """Errors of exactly a radius are outside; who has no country is not asked; codes go to the level asked for."""
    north = math.degrees(1.0 / 6371.0)
    radius = float(errors_km(rows_of((0.0, 10.0)), rows_of((north, 10.0)))[0])
    truth, said = rows_of(PARIS, PARIS, CAYENNE, BERLIN), rows_of(PARIS, CAYENNE, PARIS, BERLIN)
    scores = score_coordinates(truth, said, own(4), true_countries=["fr", "GF", "FR", ""], inclusive=False)
    country = scores.country
    assert country is not None and (country.source, country.rows) == ("table", 3)
    assert country.right.all_rows.value == 1.0  # not what the polygons say of the truth
    beside = score_coordinates(truth, said, own(4), true_countries=["GF"] * 4, level="sovereign").country
    assert beside is not None and beside.right.all_rows.value == 0.75
    assert (
        within_km(np.array([radius]), radius).all() and not within_km(np.array([radius]), radius, inclusive=False).any()
    )
    with pytest.raises(DataError, match="4 true positions and 1 true countries; one a row is expected"):
        score_coordinates(truth, said, own(4), true_countries=["FR"])


def test_intervals_resample_clusters() -> None:
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(45, 49, 300), rng.uniform(0, 6, 300)], axis=1)
    said = truth + np.where(np.arange(300)[:, None] < 150, 0.001, 5.0)
    alone = score_coordinates(truth, said, own(300)).within[25.0].all_rows
    together = score_coordinates(truth, said, [str(row // 30) for row in range(300)]).within[25.0].all_rows
    assert alone.value == together.value == 0.5
    assert together.ci95[1] - together.ci95[0] > 3 * (alone.ci95[1] - alone.ci95[0])


def test_the_ellipsoid() -> None:
    scores = score_coordinates(rows_of(PARIS), rows_of(LONDON), ["a"], earth="geodesic")
    assert scores.errors_km[0] == pytest.approx(Position(*PARIS).metres_to(Position(*LONDON)) / 1000)
    assert scores.errors_km == pytest.approx(geodesic_m(rows_of(PARIS), rows_of(LONDON)) / 1000)
    assert scores.to_dict()["protocol"]["distance"] == "geodesic"


def test_as_json() -> None:
    made = score_coordinates(TRUTH, SAID, own(8), protocol={"predictions": "said.csv"}).to_dict()
    made = json.loads(json.dumps(made, allow_nan=False))
    assert made["task"] == "country" and made["level"] == "territory"
    assert made["within_km"] == {"1": 0.0, "25": 0.125, "200": 0.125, "750": 0.5, "2500": 0.5}
    assert set(made["within_km_answered_ci95"]) == {"1", "25", "200", "750", "2500"}
    assert made["top1_ci95"][0] <= made["top1"] <= made["top1_ci95"][1]
    assert (made["queries"], made["answered"], made["answerable"], made["gallery"]) == (8, 6, 7, 0)
    assert made["right_country_beyond_750_km"] == 0 and made["other_country_within_750_km"] == 2
    assert made["priors"][0]["classes"] == ["FR", "GB", "DE", "GF"]
    assert made["protocol"] == {"distance": "sphere", "predictions": "said.csv"}


def test_no_truth_in_a_country_and_a_median_of_no_answers() -> None:
    scores = score_coordinates(rows_of(OCEAN, OCEAN, OCEAN), rows_of(OCEAN, NOTHING, NOTHING), own(3))
    assert scores.country is None and scores.median_km == math.inf
    made = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert "top1" not in made and made["answerable"] == 0
    assert made["median_km"] is None and made["median_km_answered"] == 0.0


def test_what_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="There are 1 true and 1 predicted positions and 2 clusters; one of each"):
        score_coordinates(rows_of(PARIS), rows_of(PARIS), ["a", "b"])
    with pytest.raises(DataError, match="There are 0 true"):
        score_coordinates(rows_of(), rows_of(), [])
    with pytest.raises(DataError, match="1 of 1 rows are no points"):
        score_coordinates(rows_of((95, 3)), rows_of(PARIS), ["a"])
    with pytest.raises(UsageError, match="There is no level 'state'"):
        score_coordinates(rows_of(PARIS), rows_of(PARIS), ["a"], level="state")
