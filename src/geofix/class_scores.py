"""Scores of answers that are probabilities of classes, such as countries: pure functions on arrays.

The truth may be a class that cannot be answered: then every answer is wrong, and the closed-set ceiling says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geofix import metrics
from geofix.errors import DataError, first_few
from geofix.priors import Lift, Prior, lift_over
from geofix.reliability import Reliability, RiskCoverage, log_probabilities, reliability, risk_coverage
from geofix.shapes import ClassProbabilities, Columns, Labels, RowHits, RowScores

TOP = (1, 5)
_SUM_TOLERANCE = 1e-3  # of bfloat16 softmaxes


@dataclass(frozen=True, slots=True, eq=False)
class ClassPredictions:
    """Probabilities (n, k) of `classes` (k,), the true class of each row, and which rows are not independent.

    Raises DataError for lengths that do not fit, no rows, a class that is there twice, and rows that are no
    probabilities.
    """

    probabilities: ClassProbabilities
    classes: tuple[str, ...]
    truth: tuple[str, ...]
    clusters: tuple[str, ...]

    def __post_init__(self) -> None:
        rows, columns = self.probabilities.shape
        if not rows or columns != len(self.classes) or {len(self.truth), len(self.clusters)} != {rows}:
            raise DataError(
                f"There are {rows} x {columns} probabilities for {len(self.classes)} classes, {len(self.truth)} true "
                f"classes and {len(self.clusters)} clusters; one of each a row, one column a class and at least one "
                "row are expected."
            )
        if "" in self.truth:
            raise DataError(f"{self.truth.count('')} of {rows} rows have no true class; leave them out, and say so.")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise DataError(f"The class {first_few(twice)} is there twice; add its columns up first.")
        sums = self.probabilities.sum(axis=1)
        bad = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (self.probabilities < 0).any(axis=1)
        if bad.any():
            raise DataError(
                f"{int(bad.sum())} of {rows} rows are no probabilities (the first is row {int(bad.argmax())}, which "
                f"adds up to {sums[bad.argmax()]:g}); numbers of 0 or more that add up to 1 are expected."
            )

    def columns(self) -> Columns:
        """The column of each row's true class; -1 where it is not among the classes."""
        number = {name: column for column, name in enumerate(self.classes)}
        return np.array([number.get(name, -1) for name in self.truth], dtype=np.int64)

    def confidences(self) -> RowScores:
        """The probability of each row's first answer."""
        return np.asarray(np.minimum(self.probabilities.max(axis=1).astype(np.float64), 1.0))

    def answers(self, n: int = 1) -> np.ndarray:
        """Columns (rows, n) of the n most probable classes; equally probable ones in the order of `classes`."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")[:, :n]

    def hits(self, n: int = 1) -> RowHits:
        """Whether the true class is among the n most probable ones, with ties as in `answers`."""
        return np.asarray((self.answers(n) == self.columns()[:, None]).any(axis=1))


@dataclass(frozen=True, slots=True)
class TopScore:
    """The share of rows whose class is among the first n answers, and its mean over classes (`macro`); 95 % intervals
    are clustered."""

    share: float
    share_ci95: tuple[float, float]
    macro: float
    macro_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PriorScore:
    """What always naming the most frequent classes scores, and the lift of the answers over it, by n of top n."""

    prior: Prior
    lifts: Mapping[int, Lift]

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json."""
        tops = {f"top{n}": lift.to_dict() for n, lift in self.lifts.items()}
        return {"source": self.prior.source, "classes": list(self.prior.classes), **tops}


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """What class probabilities reached on rows with a known truth: fractions, with the protocol they belong to.

    `ceiling` is the share of rows whose class can be answered at all. `brier` is over all rows, 0 (best) to 2; `nll`,
    in nats, over those whose class can be answered, and None where there is none. `reliability` is of the first answer.
    """

    top: Mapping[int, TopScore]
    ceiling: float
    unknown: tuple[str, ...]
    brier: float
    nll: float | None
    reliability: Reliability
    risk_coverage: RiskCoverage
    priors: tuple[PriorScore, ...]
    queries: int
    answerable: int
    clusters: int
    protocol: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self, task: str = "country") -> dict[str, Any]:
        """As in scores.json."""
        tops: dict[str, Any] = {}
        for n, score in self.top.items():
            tops |= {f"top{n}": score.share, f"top{n}_ci95": list(score.share_ci95)}
            tops |= {f"macro_top{n}": score.macro, f"macro_top{n}_ci95": list(score.macro_ci95)}
        return {
            "task": task,
            **tops,
            "ceiling": self.ceiling,
            "unknown_classes": list(self.unknown),
            "brier": self.brier,
            "nll": self.nll,
            "calibration": self.reliability.to_dict(),
            "risk_coverage": self.risk_coverage.to_dict(),
            "priors": [prior.to_dict() for prior in self.priors],
            "queries": self.queries,
            "answerable": self.answerable,
            "gallery": 0,
            "clusters": self.clusters,
            "protocol": dict(self.protocol),
        }


def score_classes(
    predictions: ClassPredictions,
    training: Mapping[str, int] | Mapping[str, float] | None = None,
    *,
    bins: str = "width",
    protocol: Mapping[str, Any] | None = None,
) -> ClassScores:
    """Scores of class probabilities. `training` is how frequent each class was in training, for its prior.

    The prior of the set itself is there always: it needs the answers, and no honest system has it.
    """
    truth, clusters = np.array(predictions.truth), predictions.clusters
    hits = {n: predictions.hits(n) for n in TOP}
    columns = predictions.columns()
    sources = [Prior.of(predictions.truth)]
    if training is not None:
        sources.append(Prior.from_counts(training))
    return ClassScores(
        top={n: _top_score(hits[n], truth, clusters) for n in TOP},
        ceiling=float((columns >= 0).mean()),
        unknown=tuple(sorted(set(predictions.truth) - set(predictions.classes))),
        brier=brier(predictions.probabilities, columns),
        nll=negative_log_likelihood(predictions.probabilities, columns),
        reliability=reliability(predictions.confidences(), hits[1], kind=bins),
        risk_coverage=risk_coverage(predictions.confidences(), hits[1]),
        priors=tuple(
            PriorScore(prior, {n: lift_over(prior.hits(truth, n), hits[n], clusters) for n in TOP}) for prior in sources
        ),
        queries=len(truth),
        answerable=int((columns >= 0).sum()),
        clusters=len(set(clusters)),
        protocol=protocol or {},
    )


def brier(probabilities: ClassProbabilities, truth: Columns) -> float:
    """The mean squared distance of the probabilities from 1 for the true class and 0 for all others; 0 to 2.

    A true class that has no column (-1) had a probability of 0.
    """
    right = np.where(truth >= 0, probabilities[np.arange(len(truth)), truth], 0.0)
    squares = (probabilities.astype(np.float64) ** 2).sum(axis=1)
    return float((squares - 2 * right + 1).mean())


def negative_log_likelihood(probabilities: ClassProbabilities, truth: Columns) -> float | None:
    """The mean of -log p of the true class in nats, over rows whose class has a column; None where none has."""
    known = truth >= 0
    if not known.any():
        return None
    return float(-log_probabilities(probabilities[known])[np.arange(int(known.sum())), truth[known]].mean())


def _top_score(hits: RowHits, truth: Labels, clusters: tuple[str, ...]) -> TopScore:
    return TopScore(
        float(hits.mean()),
        metrics.clustered_interval(hits, clusters),
        metrics.macro_average(hits, truth),
        metrics.macro_interval(hits, truth, clusters),
    )
