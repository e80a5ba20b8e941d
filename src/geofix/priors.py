"""What one scores without looking at a photo: by always naming the most frequent classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geofix import metrics
from geofix.errors import DataError
from geofix.shapes import Labels, RowHits

MOST = 5


@dataclass(frozen=True, slots=True)
class Prior:
    """The classes to name, most frequent first (MOST at most), and whose frequencies these are: "set" or "training"."""

    source: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[str], source: str = "set") -> Prior:
        """From labels; "" is none. Raises DataError where there is no label."""
        return cls.from_counts(Counter(labels), source)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int] | Mapping[str, float], source: str = "training") -> Prior:
        """From counts or shares; equally frequent classes in alphabetical order. Raises DataError for no class."""
        named = sorted((-count, name) for name, count in counts.items() if name and count > 0)
        if not named:
            raise DataError("There is no class to take the most frequent of; at least one labelled row is expected.")
        return cls(source, tuple(name for _, name in named[:MOST]))

    def hits(self, truth: Labels, n: int) -> RowHits:
        """Which rows one of the n most frequent classes is right for."""
        return np.isin(truth, self.classes[:n])


@dataclass(frozen=True, slots=True)
class Lift:
    """What a prior scores and how far above it the answers are, fractions; `lift_ci95` is paired and clustered."""

    prior: float
    lift: float
    lift_ci95: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json."""
        return {"share": self.prior, "lift": self.lift, "lift_ci95": list(self.lift_ci95)}


def lift_over(prior_hits: RowHits, hits: RowHits, clusters: Iterable[str]) -> Lift:
    """Share of `hits` less that of the prior, on the same rows."""
    lift, low, high, _ = metrics.paired_difference(prior_hits, hits, list(clusters))
    return Lift(float(prior_hits.mean()), lift, (low, high))
