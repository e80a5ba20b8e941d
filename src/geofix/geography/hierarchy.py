"""Answers of one partition of the earth helped by coarser ones: the hierarchy f* of Müller-Budack et al. (2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from geofix.errors import DataError

Probabilities = Float[np.ndarray, "n _"]
Parents = Int[np.ndarray, " _"]


def through_ancestors(levels: Sequence[Probabilities], parents: Sequence[Parents]) -> Probabilities:
    """For n photos and each class of the finest level the product of its own and all its ancestors' probabilities.

    `levels` go from coarse to fine, (n, classes) each; `parents` has for every level but the first the number of each
    class's parent in the level before. The likeliest class is the argmax of a row; rows need not sum to 1. One level
    alone stays as it is. Raises DataError where numbers of levels, photos, classes and parents do not fit together.
    """
    if not levels or len(parents) != len(levels) - 1:
        raise DataError(
            f"There are {len(levels)} levels and {len(parents)} lists of parents; one or more levels, and parents for "
            "each but the first, are expected."
        )
    product = np.asarray(levels[0], dtype=np.float64)
    for level, parent in zip(levels[1:], parents, strict=True):
        fits = len(level) == len(product) and len(parent) == level.shape[1]
        if not fits or (len(parent) and not 0 <= parent.min() <= parent.max() < product.shape[1]):
            raise DataError(
                f"{level.shape[0]} x {level.shape[1]} probabilities with {len(parent)} parents do not fit to "
                f"{product.shape[0]} x {product.shape[1]} of the level before; as many photos, a parent for each class "
                "and no parent beyond that level are expected."
            )
        product = product[:, parent] * level
    return product
