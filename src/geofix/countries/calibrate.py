"""What probabilities of classes deserve: temperatures, and from when on to answer, learned on photos held out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from geofix.countries.look import Networks, Seen, described
from geofix.countries.routing import softmax
from geofix.data.labels import Labelled
from geofix.geography.codes import continent_of
from geofix.models.classifier import Classifier
from geofix.models.countries import Head, Sureness
from geofix.recipes import Precision
from geofix.reliability import fit_temperature, threshold_for
from geofix.shapes import ClassRows, Probabilities

FEWEST = 20  # photos held out: of fewer nothing can be learned
_COLDEST, _HOTTEST = 0.2, 20.0  # beyond these a handful of photos has gone one way


def temperature_of(
    classifier: Classifier, head: Head, held: Labelled, precision: Precision, flip: bool
) -> tuple[float, str | None]:
    """The temperature of a head on photos held out, and a sentence where there were too few to learn one.

    Photos of classes that the head cannot say are left out: no temperature would help with them.
    """
    known = held.take([row for row, label in enumerate(held.labels) if label in head.classes])
    if len(known) < FEWEST:
        return _too_few(head, len(known))
    rows, logits, _ = described(Networks([classifier], precision, flip), known.photos)
    truth = np.array([head.classes.index(known.labels[row]) for row in rows], dtype=np.int64)
    return temperature_for(head, logits, truth)


def temperature_for(head: Head, logits: ClassRows, truth: np.ndarray) -> tuple[float, str | None]:
    """The temperature of a head by logits (n, k) of photos that it did not learn from and the number of each one's
    class (n), and a sentence where there are too few.
    """
    if len(truth) < FEWEST:
        return _too_few(head, len(truth))
    return min(max(fit_temperature(softmax(logits), truth), _COLDEST), _HOTTEST), None


def _too_few(head: Head, photos: int) -> tuple[float, str]:
    return 1.0, (
        f"{photos} photos of {head.name} were held out, fewer than {FEWEST}: its probabilities are not calibrated."
    )


def sureness(seen: Seen, truth: Sequence[str], error_rate: float, *, photos: int, groups: int) -> Sureness:
    """From which probability on to answer so that at most `error_rate` of the answers are wrong, on photos held out:
    by soft and by hard routing, and for continents. None where there are too few, or no limit reaches it.
    """
    if photos < FEWEST:
        return Sureness(error_rate, photos=photos, groups=groups)
    classes = seen.knows.countries
    right = np.array([classes.index(code) if code in classes else -1 for code in truth])
    continents, by_continent = summed_by_continent(classes, seen.countries())
    continent = np.array([continents.index(name) if name in continents else -1 for name in map(continent_of, truth)])
    return Sureness(
        error_rate,
        soft=_least(seen.countries("soft"), right, error_rate),
        hard=_least(seen.countries("hard"), right, error_rate),
        continent=_least(by_continent, continent, error_rate),
        photos=photos,
        groups=groups,
    )


def summed_by_continent(classes: Sequence[str], probabilities: Probabilities) -> tuple[tuple[str, ...], ClassRows]:
    """The continents of some countries, sorted, and their probabilities (n, continents)."""
    of = [continent_of(code) for code in classes]
    names = tuple(sorted(set(of)))
    summed = np.stack([probabilities[:, [one == name for one in of]].sum(axis=1) for name in names], axis=1)
    return names, summed


def _least(probabilities: ClassRows, right: np.ndarray, error_rate: float) -> float | None:
    confidences = np.minimum(probabilities.max(axis=1), 1.0)
    least = threshold_for(confidences, probabilities.argmax(axis=1) == right, error_rate).confidence
    return least if math.isfinite(least) else None
