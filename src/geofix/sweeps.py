"""Recall against one factor, where the queries come in sets that differ in that factor only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geofix import metrics
from geofix.photos import Photo
from geofix.shapes import Ranks


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One value of the factor: its queries, and by N recall with a 95 % interval. `change` is R@1 less that of
    the first value on the same spots, with its paired interval; None where the sets are not matched."""

    value: float
    queries: int
    recall: dict[int, float]
    recall_ci95: dict[int, tuple[float, float]]
    change: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Recall at every value of a factor, in rising order."""

    factor: str
    points: tuple[SweepPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """The form of scores.json, fractions."""
        return {
            "factor": self.factor,
            "points": [
                {
                    "value": point.value,
                    "queries": point.queries,
                    "recall": {str(n): share for n, share in point.recall.items()},
                    "recall_ci95": {str(n): list(ends) for n, ends in point.recall_ci95.items()},
                    "change": None if point.change is None else list(point.change),
                }
                for point in self.points
            ],
        }


def sweep_of(queries: Sequence[Photo], ranks: Ranks, clusters: Sequence[str], at: Sequence[int]) -> Sweep | None:
    """The sweep that queries make whose conditions are all called NAME=NUMBER with one NAME and at least two
    numbers; None for others. Clusters (spots) are resampled whole."""
    found = swept(queries)
    if found is None:
        return None
    factor, values = found
    of = np.asarray(clusters)
    first = values == values.min()
    points = []
    for value in sorted(set(values.tolist())):
        chosen = values == value
        own = of[chosen].tolist()
        points.append(
            SweepPoint(
                value=value,
                queries=int(chosen.sum()),
                recall={n: metrics.recall(ranks[chosen], n) for n in at},
                recall_ci95={n: metrics.clustered_interval(ranks[chosen] < n, own) for n in at},
                change=_change(ranks, of, first, chosen),
            )
        )
    return Sweep(factor, tuple(points))


def swept(queries: Sequence[Photo]) -> tuple[str, np.ndarray] | None:
    """The factor that queries sweep and its value (n,) for each of them; None where they sweep none."""
    named = [_value(photo.condition or "") for photo in queries]
    pairs = [pair for pair in named if pair is not None]
    factors, values = {name for name, _ in pairs}, np.array([value for _, value in pairs])
    if len(pairs) < len(named) or len(factors) != 1 or len(set(values)) < 2:
        return None
    return factors.pop(), values


def _change(
    ranks: Ranks, clusters: np.ndarray, first: np.ndarray, chosen: np.ndarray
) -> tuple[float, float, float] | None:
    """R@1 of the chosen queries less that of the first, spot by spot; None where the spots are not the same."""
    before, after = (np.flatnonzero(rows)[np.argsort(clusters[rows], kind="stable")] for rows in (first, chosen))
    if len(before) != len(after) or (clusters[before] != clusters[after]).any():
        return None
    value, low, high, _ = metrics.paired_difference(ranks[before] < 1, ranks[after] < 1, clusters[before].tolist())
    return value, low, high


def _value(condition: str) -> tuple[str, float] | None:
    name, equals, text = condition.partition("=")
    try:
        value = float(text)
    except ValueError:
        return None
    return (name, value) if name and equals and math.isfinite(value) else None
