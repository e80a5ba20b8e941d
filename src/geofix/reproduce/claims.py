"""What the papers claim of their rows, tested on the rows as they came out here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from geofix import papers
from geofix.errors import DataError
from geofix.metrics import holm, seeded_difference
from geofix.papers import Claim, Row
from geofix.reproduce.rows import Bench, RowResult, is_across_views, queries_of

LEVEL = 0.05
FEWEST_GROUPS = 5  # of queries; from fewer an interval says nothing
HOLDS, CONTRARY, UNTOLD = "holds", "does not hold", "cannot be told"

Look = Callable[[Row], RowResult]


@dataclass(frozen=True, slots=True)
class Difference:
    """`more` less `less`: recall as a fraction, its 95 % interval, and the p-value of no difference."""

    more: str
    less: str
    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim tested on one data set: over all its pairs, and pair by pair.

    `p` is of the claim as a whole and `corrected_p` the same, corrected for how many claims are tested (Holm);
    `verdict` goes by that. `missing` says why it could not be tested. Of a claim about epochs `early` of `trainings`
    were best no later than it says.
    """

    claim: Claim
    data: str
    seeds: int = 0
    whole: Difference | None = None
    pairs: tuple[Difference, ...] = ()
    early: int = 0
    trainings: int = 0
    p: float | None = None
    corrected_p: float | None = None
    agrees: bool = False
    missing: str = ""

    @property
    def verdict(self) -> str:
        """holds, does not hold, or cannot be told: whether it is beyond chance, and on which side."""
        if self.corrected_p is None or self.corrected_p >= LEVEL:
            return UNTOLD
        return HOLDS if self.agrees else CONTRARY


def judged(bench: Bench, look: Look) -> list[Verdict]:
    """Every claim on every data set of its kind (places, or views), corrected for how many could be tested; those that
    could not are last.
    """
    verdicts = [
        _judge(bench, claim, data, look)
        for claim in papers.claims()
        for data in bench.tested
        if claim.across_views == is_across_views(data)
    ]
    tested = [verdict for verdict in verdicts if verdict.p is not None]
    corrected = holm([verdict.p for verdict in tested if verdict.p is not None])
    known = [replace(verdict, corrected_p=p) for verdict, p in zip(tested, corrected, strict=True)]
    return known + [verdict for verdict in verdicts if verdict.p is None]


def _judge(bench: Bench, claim: Claim, data: str, look: Look) -> Verdict:
    results = {name: look(papers.open_row(name)) for name in claim.rows}
    lacking = [name for name, result in results.items() if data not in result.scores]
    if lacking:
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        missing = f"{len(lacking)} of its {len(results)} rows are not run: {lacking[0]}{others}"
        return Verdict(claim, data, missing=missing)
    seeds = min(result.seeds for result in results.values())
    if claim.more and all(
        _alike(results[one], results[other], data) for one, other in zip(claim.more, claim.less, strict=True)
    ):
        return Verdict(
            claim, data, missing="the settings over every row make the rows that it compares one and the same"
        )
    if claim.overfits:
        return _overfitting(claim, data, seeds, [results[name] for name in claim.overfits])
    try:
        chosen = queries_of(bench, data, claim.asked)
    except DataError as error:
        return Verdict(claim, data, missing=str(error))
    clusters = np.array(results[claim.rows[0]].scores[data][0].clusters)
    clusters = clusters if chosen is None else clusters[chosen]
    if len(set(clusters)) < FEWEST_GROUPS:
        return Verdict(claim, data, missing=f"the queries are only {len(set(clusters))} independent groups")

    def hits(names: Sequence[str]) -> np.ndarray:
        """(seeds, queries), the mean over the rows."""
        found = [results[name].hits(data, claim.at, chosen)[:seeds] for name in names]
        mean: np.ndarray = np.stack(found).astype(np.float64).mean(axis=0)
        return mean

    def difference(more: Sequence[str], less: Sequence[str]) -> Difference:
        same = all(_trainings(one) & _trainings(other) for one, other in zip(more, less, strict=True))
        found = seeded_difference(hits(less), hits(more), clusters, same_trainings=same)
        return Difference(" ".join(more), " ".join(less), *found)

    pairs = tuple(difference([more], [less]) for more, less in zip(claim.more, claim.less, strict=True))
    whole = difference(claim.more, claim.less)
    p, agrees = _in_every(pairs) if claim.every else (whole.p, whole.value > 0)
    return Verdict(claim, data, seeds, whole, pairs, p=p, agrees=agrees)


def _alike(one: RowResult, other: RowResult, data: str) -> bool:
    """Whether two rows were asked by one encoder in the same way."""
    first, second = (dict(result.scores[data][0].protocol) for result in (one, other))
    return "encoder" in first and first == second


def _trainings(name: str) -> set[str]:
    """The rows whose trained weights a row tests."""
    row = papers.open_row(name)
    return set().union(*map(_trainings, row.sources)) if row.sources else {name}


def _in_every(pairs: Sequence[Difference]) -> tuple[float, bool]:
    """p-value and side of "in every pair": as sure as the least sure pair; or, where some pairs speak against it, as
    the surest of those, corrected for how many there are."""
    against = [pair.p for pair in pairs if pair.value <= 0]
    if against:
        return min(1.0, min(against) * len(pairs)), False
    return max(pair.p for pair in pairs), True


def _overfitting(claim: Claim, data: str, seeds: int, results: Sequence[RowResult]) -> Verdict:
    """How many trainings were best early, against a best epoch that is any of them by chance."""
    courses = [course for result in results for course in result.epochs[:seeds] if len(course) > 1]
    if not courses:
        return Verdict(claim, data, missing="nothing was trained over epochs")
    early = sum(_best_epoch(course) <= claim.overfits_after for course in courses)
    longest = max(len(course) - 1 for course in courses)
    found = binomtest(early, len(courses), min(1.0, claim.overfits_after / longest))
    agrees = early / len(courses) > claim.overfits_after / longest
    return Verdict(claim, data, seeds, early=early, trainings=len(courses), p=float(found.pvalue), agrees=agrees)


def _best_epoch(course: Sequence[tuple[float, float]]) -> int:
    """The trained epoch with the best recall@5, of equal ones by recall@1, of equal ones the first."""
    return max(range(1, len(course)), key=lambda epoch: (course[epoch][1], course[epoch][0], -epoch))
