"""From what a router and its specialists say to one list of countries. Pure functions on arrays.

Hard routing is the paper's: the specialist of the likeliest scene answers alone. Soft routing weighs all of them,
p(country | photo) = sum over scenes of p(scene | photo) p(country | photo, scene).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geofix.shapes import ClassRows, Probabilities, SceneProbabilities

HeadSays = Mapping[str, tuple[Sequence[str], ClassRows]]
"""Of each head, its classes and their probabilities (n, k)."""


def softmax(logits: ClassRows, temperature: float = 1.0) -> ClassRows:
    """Probabilities (n, k) of logits (n, k) divided by a temperature; rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    powers = np.exp(scaled)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def in_order(says: tuple[Sequence[str], ClassRows], classes: Sequence[str]) -> Probabilities:
    """A head's probabilities (n, c) over a longer list of classes; what it cannot say has 0."""
    names, values = says
    spread = np.zeros((len(values), len(classes)))
    spread[:, [classes.index(name) for name in names]] = values
    return spread


def scene_weights(scenes: Sequence[str], probabilities: SceneProbabilities, heads: Sequence[str]) -> np.ndarray:
    """What each of `heads` counts for each photo (n, h): its scene's probability, among those that have a head.

    A photo whose scenes have no head at all, as far as the router says, is left to all heads alike.
    """
    weights = np.stack([probabilities[:, scenes.index(name)] for name in heads], axis=1)
    total = weights.sum(axis=1, keepdims=True)
    even = np.full_like(weights, 1 / len(heads))
    return np.where(total > 0, weights / np.where(total > 0, total, 1), even)


def soft(classes: Sequence[str], says: HeadSays, weights: np.ndarray) -> Probabilities:
    """The heads' probabilities weighed by `weights` (n, h), in the order of `says`: (n, c) over `classes`."""
    total = np.zeros((len(weights), len(classes)))
    for column, one in enumerate(says.values()):
        total += weights[:, column, None] * in_order(one, classes)
    return total


def hard(classes: Sequence[str], says: HeadSays, weights: np.ndarray) -> Probabilities:
    """The probabilities (n, c) of the head that counts most; of several alike the first."""
    return soft(classes, says, one_hot(weights))


def one_hot(weights: np.ndarray) -> np.ndarray:
    """1 for the largest of each row (the first of several), 0 for the others."""
    chosen = np.zeros_like(weights)
    chosen[np.arange(len(weights)), weights.argmax(axis=1)] = 1
    return chosen
