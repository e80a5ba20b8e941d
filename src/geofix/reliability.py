"""Whether a confidence means what it says, and what abstaining buys. Pure functions on confidences and hits.

A confidence of 0.8 should be right 8 times in 10. Where it is not, one temperature may mend it; where it is, a
threshold keeps the answers whose error rate one can live with. Both are chosen on held-out predictions, never on those
that are then scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar

from geofix import metrics
from geofix.errors import DataError, unknown_name
from geofix.shapes import ClassProbabilities, Columns, RowHits, RowScores

Bins = Literal["width", "mass"]
BIN_KINDS = ("width", "mass")
BINS = 15
SMALLEST_PROBABILITY = 1e-12  # its logarithm stands for that of 0
_TEMPERATURES = (0.02, 50.0)
_COVERAGES = tuple(step / 10 for step in range(1, 11))


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose confidence lies between `low` and `high`: how many, how sure on average, how often right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability table: bins that hold something, by confidence, of equal "width" or equal "mass"."""

    kind: str
    bins: tuple[Bin, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: how far confidence is from accuracy in a bin, averaged over answers."""
        total = sum(one.count for one in self.bins)
        return sum(one.count * abs(one.accuracy - one.confidence) for one in self.bins) / total

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json."""
        rows = [[one.low, one.high, one.count, one.confidence, one.accuracy] for one in self.bins]
        return {"ece": self.error, "bins": self.kind, "low_high_count_confidence_accuracy": rows}


def reliability(confidences: RowScores, hits: RowHits, bins: int = BINS, kind: str = "width") -> Reliability:
    """The reliability table of answers with a confidence of 0..1.

    Bins of equal "width" are open below and closed above, as in Guo et al. (2017), the first closed on both sides. Bins
    of equal "mass" hold as many answers each as ties allow: equal confidences are never parted. Raises DataError for
    no answers and for confidences outside 0..1, and UsageError for another kind or fewer bins than one.
    """
    _check(confidences)
    if kind not in BIN_KINDS:
        raise unknown_name("kind of bins", kind, BIN_KINDS)
    if bins < 1:
        raise DataError(f"{bins} bins were asked for; one or more are expected.")
    if kind == "width":
        edges = np.arange(1, bins) / bins
        of = np.searchsorted(edges, confidences, side="left")
    else:
        cuts = np.sort(confidences)[np.arange(1, bins) * len(confidences) // bins]
        edges = np.unique(cuts)
        of = np.searchsorted(edges, confidences, side="right")
    ends = np.concatenate([[0.0], edges, [1.0]])
    filled = []
    for number in np.unique(of):
        inside = of == number
        filled.append(
            Bin(
                float(ends[number]),
                float(ends[number + 1]),
                int(inside.sum()),
                float(confidences[inside].mean()),
                float(hits[inside].mean()),
            )
        )
    return Reliability(kind, tuple(filled))


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """What the error rate is (`risks`) when the `coverages` most sure answers are given, as far as `thresholds`.

    One point for each confidence that occurs, falling; all three are (m,). `area` is the mean risk over all coverages,
    the lower the better: with useless confidences it is the error rate itself.
    """

    thresholds: np.ndarray
    coverages: np.ndarray
    risks: np.ndarray
    area: float

    def risk_at(self, coverage: float) -> float:
        """The risk at the first point that covers at least so much (0..1)."""
        at = int(np.searchsorted(self.coverages, coverage - 1e-12))
        return float(self.risks[min(at, len(self.risks) - 1)])

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json: the area, and the risk at tenths of coverage."""
        return {"area": self.area, "risk_at_coverage": {f"{at:g}": self.risk_at(at) for at in _COVERAGES}}


def risk_coverage(confidences: RowScores, hits: RowHits) -> RiskCoverage:
    """The curve of errors among the most sure answers. Raises DataError for no answers.

    Answers that are equally sure can only be given together. For the area they come in random order, of which this is
    the mean; the order of the rows does not matter.
    """
    _check(confidences)
    order = np.argsort(-confidences, kind="stable")
    sure, wrong = confidences[order], (~hits[order]).astype(np.float64)
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True)) + 1  # how many are given down to each confidence
    errors = np.cumsum(wrong)[ends - 1]
    given = np.arange(1, len(sure) + 1)
    spread = np.interp(given, np.append(0, ends), np.append(0.0, errors))
    return RiskCoverage(sure[ends - 1], ends / len(sure), errors / ends, float((spread / given).mean()))


@dataclass(frozen=True, slots=True)
class Threshold:
    """From what confidence on to answer, and what that gave on the predictions it was chosen on.

    `confidence` is inf where no answer may be given.
    """

    confidence: float
    asked_error: float
    coverage: float
    error: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `confidence` is null where no answer may be given."""
        least = self.confidence if math.isfinite(self.confidence) else None
        return {
            "confidence": least,
            "asked_error": self.asked_error,
            "chosen_on": {"coverage": self.coverage, "error": self.error},
        }


def threshold_for(confidences: RowScores, hits: RowHits, error_rate: float) -> Threshold:
    """The lowest threshold at which at most `error_rate` of the answers are wrong, on held-out predictions.

    It is the best of many on those predictions, so that on others the error is a little higher: score it there with
    `answered`. Raises DataError for no predictions or a rate outside 0..1.
    """
    if not 0 <= error_rate <= 1:
        raise DataError(f"An error rate of {error_rate} was asked for; a fraction of 0 to 1 is expected.")
    curve = risk_coverage(confidences, hits)
    good = np.flatnonzero(curve.risks <= error_rate)
    if not len(good):
        return Threshold(math.inf, error_rate, 0.0, 0.0)
    last = good[-1]
    return Threshold(float(curve.thresholds[last]), error_rate, float(curve.coverages[last]), float(curve.risks[last]))


@dataclass(frozen=True, slots=True)
class Answered:
    """What is left when only answers from a confidence on are given: how many of all, how many of these are wrong.

    Intervals are 95 %, clustered. `error` and its interval are None where nothing is answered.
    """

    queries: int
    answered: int
    coverage: float
    coverage_ci95: tuple[float, float]
    error: float | None
    error_ci95: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json."""
        return {
            "queries": self.queries,
            "answered": self.answered,
            "coverage": self.coverage,
            "coverage_ci95": list(self.coverage_ci95),
            "error": self.error,
            "error_ci95": None if self.error_ci95 is None else list(self.error_ci95),
        }


def answered(confidences: RowScores, hits: RowHits, threshold: float, clusters: Sequence[str]) -> Answered:
    """What answering from `threshold` on (included) gives on these predictions."""
    _check(confidences)
    given = confidences >= threshold
    wrong, all_rows = given & ~hits, np.ones(len(given), dtype=bool)
    ends = metrics.ratio_intervals(np.stack([given, wrong]), np.stack([all_rows, given]), clusters)
    count = int(given.sum())
    error = float(wrong.sum() / count) if count else None
    return Answered(len(given), count, count / len(given), _pair(ends[0]), error, _pair(ends[1]) if count else None)


def fit_temperature(probabilities: ClassProbabilities, truth: Columns) -> float:
    """The temperature at which the probabilities of held-out predictions have the least negative log-likelihood.

    Logits are log-probabilities, which a softmax takes back. Rows whose class has no column (-1) cannot be learned
    from and are left out; raises DataError where that is all. Found between 0.02 and 50: at an end, the held-out
    predictions are too few or tell nothing.
    """
    known = truth >= 0
    if not known.any():
        raise DataError("No held-out row has a class that is among the answers; a temperature needs at least one.")
    logits, right = log_probabilities(probabilities[known]), truth[known]
    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(
        lambda at: _likelihood(logits / np.exp(at), right),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def with_temperature(probabilities: ClassProbabilities, temperature: float) -> ClassProbabilities:
    """Probabilities at a temperature: above 1 they are less sure, below 1 surer; the order of classes stays.

    Raises DataError for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise DataError(f"The temperature is {temperature}; a number above 0 is expected.")
    logits = log_probabilities(probabilities) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def log_probabilities(probabilities: ClassProbabilities) -> ClassProbabilities:
    """Their logarithms, those below 1e-12 as if they were that."""
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))


def _likelihood(logits: ClassProbabilities, truth: Columns) -> float:
    """The mean negative log-likelihood of the right columns."""
    most = logits.max(axis=1)
    total = most + np.log(np.exp(logits - most[:, None]).sum(axis=1))
    return float((total - logits[np.arange(len(truth)), truth]).mean())


def _pair(ends: np.ndarray) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])


def _check(confidences: RowScores) -> None:
    if not len(confidences):
        raise DataError("There are no answers to judge; at least one is expected.")
    if not (np.all(confidences >= -1e-6) and np.all(confidences <= 1 + 1e-6)):
        raise DataError(
            f"Confidences run from {confidences.min()} to {confidences.max()}; numbers of 0 to 1 are expected."
        )
