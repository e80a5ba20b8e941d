"""Reliability, risk and coverage, thresholds and temperatures against naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geofix.errors import DataError, UsageError
from geofix.reliability import (
    answered,
    fit_temperature,
    reliability,
    risk_coverage,
    threshold_for,
    with_temperature,
)


def some(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences with ties and whether each was right."""
    rng = np.random.default_rng(seed)
    confidences = rng.uniform(0, 1, count).round(2)
    return confidences, rng.random(count) < confidences**2


def naive_ece(confidences: np.ndarray, hits: np.ndarray, bins: int) -> float:
    """Guo et al. (2017), equation 3, with bins ((m - 1) / M, m / M]."""
    total = 0.0
    for number in range(1, bins + 1):
        inside = [
            row
            for row, sure in enumerate(confidences)
            if (number - 1) / bins < sure <= number / bins or (number == 1 and sure == 0)
        ]
        if inside:
            accuracy = sum(bool(hits[row]) for row in inside) / len(inside)
            confidence = sum(float(confidences[row]) for row in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_expected_calibration_error(bins: int) -> None:
    confidences, hits = some()
    confidences[:3] = 0.0, 1.0, 0.5
    found = reliability(confidences, hits, bins)
    assert found.error == pytest.approx(naive_ece(confidences, hits, bins))
    assert sum(one.count for one in found.bins) == len(hits)
    for one in found.bins:
        assert one.low <= one.confidence <= one.high


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    table = reliability(np.array([0.0, 0.5, 0.500001, 1.0]), np.array([True] * 4), 2)
    assert [(one.low, one.high, one.count) for one in table.bins] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]


def test_bins_of_equal_mass() -> None:
    confidences = np.linspace(0.005, 0.995, 100) ** 2
    hits = np.arange(100) % 3 == 0
    table = reliability(confidences, hits, 5, "mass")
    assert [one.count for one in table.bins] == [20] * 5
    order = np.argsort(confidences)
    expected = sum(abs(hits[part].mean() - confidences[part].mean()) for part in np.split(order, 5)) / 5
    assert table.error == pytest.approx(expected)
    assert table.to_dict()["bins"] == "mass"


def test_bins_of_equal_mass_never_part_ties() -> None:
    confidences = np.array([0.2] * 7 + [0.9] * 3)
    hits = np.arange(10) < 5
    for order in (np.arange(10), np.arange(10)[::-1].copy()):
        table = reliability(confidences[order], hits[order], 5, "mass")
        assert [(one.count, one.accuracy) for one in table.bins] == [(7, pytest.approx(5 / 7)), (3, 0.0)]


def test_what_has_no_reliability() -> None:
    with pytest.raises(UsageError, match="There is no kind of bins 'masses'; did you mean 'mass'?"):
        reliability(*some(), kind="masses")
    with pytest.raises(DataError, match="0 bins were asked for"):
        reliability(*some(), bins=0)
    with pytest.raises(DataError, match="There are no answers to judge"):
        reliability(np.empty(0), np.empty(0, dtype=bool))
    with pytest.raises(DataError, match="Confidences run from 0.5 to 2.0; numbers of 0 to 1"):
        risk_coverage(np.array([0.5, 2.0]), np.array([True, False]))


def naive_curve(confidences: np.ndarray, hits: np.ndarray) -> list[tuple[float, float, float]]:
    """For every confidence that occurs, falling: the share at least so sure, and how many of these are wrong."""
    curve = []
    for least in sorted(set(confidences.tolist()), reverse=True):
        given = [bool(hit) for sure, hit in zip(confidences, hits, strict=True) if sure >= least]
        curve.append((least, len(given) / len(hits), given.count(False) / len(given)))
    return curve


def test_risk_and_coverage() -> None:
    confidences, hits = some()
    found = risk_coverage(confidences, hits)
    curve = list(zip(found.thresholds, found.coverages, found.risks, strict=True))
    assert np.array(curve) == pytest.approx(np.array(naive_curve(confidences, hits)))
    assert found.risk_at(1.0) == pytest.approx(1 - hits.mean())
    assert found.risk_at(1e-9) == pytest.approx(curve[0][2])


def test_the_area_is_the_mean_over_orders_of_ties() -> None:
    confidences, hits = some(60)
    rng = np.random.default_rng(1)
    areas = []
    for _ in range(4000):
        order = np.lexsort((rng.random(60), -confidences))
        areas.append(np.mean(np.cumsum(~hits[order]) / np.arange(1, 61)))
    found = risk_coverage(confidences, hits).area
    assert found == pytest.approx(np.mean(areas), abs=4 * np.std(areas) / math.sqrt(4000))
    turned = rng.permutation(60)
    assert risk_coverage(confidences[turned], hits[turned]).area == pytest.approx(found)


def test_areas_of_useless_and_of_perfect_confidences() -> None:
    hits = np.array([True, False, True, True])
    assert risk_coverage(np.full(4, 0.5), hits).area == pytest.approx(0.25)
    perfect = risk_coverage(hits * 0.9, hits)
    assert perfect.area == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)
    assert perfect.to_dict()["risk_at_coverage"] == {f"{n / 10:g}": 0.25 if n > 7 else 0.0 for n in range(1, 11)}


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 1.0])
def test_thresholds(rate: float) -> None:
    confidences, hits = some()
    good = [row for row in naive_curve(confidences, hits) if row[2] <= rate]
    found = threshold_for(confidences, hits, rate)
    assert (found.confidence, found.coverage, found.error) == pytest.approx(good[-1])
    again = answered(confidences, hits, found.confidence, [str(row) for row in range(len(hits))])
    assert (again.coverage, again.error) == (pytest.approx(found.coverage), pytest.approx(found.error))


def test_no_threshold_is_high_enough() -> None:
    found = threshold_for(np.array([0.9, 0.8]), np.array([False, True]), 0.1)
    assert (found.confidence, found.coverage) == (math.inf, 0.0)
    assert found.to_dict() == {
        "confidence": None, "asked_error": 0.1, "chosen_on": {"coverage": 0.0, "error": 0.0},
    }  # fmt: skip
    none = answered(np.array([0.9, 0.8]), np.array([False, True]), math.inf, ["a", "b"]).to_dict()
    assert (none["answered"], none["error"], none["error_ci95"], none["coverage_ci95"]) == (0, None, None, [0.0, 0.0])
    with pytest.raises(DataError, match="An error rate of 10.0 was asked for; a fraction"):
        threshold_for(np.array([0.9]), np.array([True]), 10.0)


def test_answers_have_clustered_intervals() -> None:
    confidences, hits = some(400)
    single = answered(confidences, hits, 0.5, [str(row) for row in range(400)])
    assert single.error is not None and single.error_ci95 is not None
    assert single.error_ci95[0] < single.error < single.error_ci95[1]
    assert single.coverage_ci95[0] < single.coverage < single.coverage_ci95[1]
    order = np.argsort(confidences)
    few = answered(confidences[order], hits[order], 0.5, [str(row // 40) for row in range(400)])
    assert few.coverage_ci95[1] - few.coverage_ci95[0] > 2 * (single.coverage_ci95[1] - single.coverage_ci95[0])


def likelihood(probabilities: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Softmax of log-probabilities over a temperature, row by row."""
    total = 0.0
    for row, right in zip(probabilities, truth, strict=True):
        powers = [math.pow(p, 1 / temperature) for p in row]
        total -= math.log(powers[right] / sum(powers))
    return total / len(truth)


def overconfident(temperature: float, count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that say p ** temperature of what is true."""
    rng = np.random.default_rng(5)
    honest = rng.dirichlet(np.ones(4), count) + 1e-3
    honest /= honest.sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(4, p=row) for row in honest])
    said = honest**temperature
    return said / said.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperatures_are_found(temperature: float) -> None:
    said, truth = overconfident(temperature)
    found = fit_temperature(said, truth)
    assert found == pytest.approx(temperature, rel=0.1)
    for other in (0.97 * found, 1.03 * found):
        assert likelihood(said, truth, found) < likelihood(said, truth, other)
    made = with_temperature(said, found)
    assert np.array_equal(made.argmax(axis=1), said.argmax(axis=1))
    assert made.sum(axis=1) == pytest.approx(np.ones(len(made)))
    powers = said[0] ** (1 / found)
    assert made[0] == pytest.approx(powers / powers.sum())


def test_temperatures_lower_the_calibration_error() -> None:
    said, truth = overconfident(2.5)
    mended = with_temperature(said, fit_temperature(said, truth))
    hits = said.argmax(axis=1) == truth
    assert reliability(mended.max(axis=1), hits).error < 0.3 * reliability(said.max(axis=1), hits).error


def test_zeros_and_unknown_classes_do_not_break_a_temperature() -> None:
    said = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.9, 0.1]])
    some_known = fit_temperature(said, np.array([0, 1, 1, -1]))
    assert 1 < some_known < 50
    assert fit_temperature(said[:3], np.array([0, 1, 1])) == pytest.approx(some_known)
    assert np.isfinite(with_temperature(said, some_known)).all()
    with pytest.raises(DataError, match="No held-out row has a class that is among the answers"):
        fit_temperature(said, np.full(4, -1))
    with pytest.raises(DataError, match="The temperature is 0.0; a number above 0"):
        with_temperature(said, 0.0)
