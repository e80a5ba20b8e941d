"""Classes by logistic regression on what trunks see that stay as they are, with every photo answered for by a layer
that never saw its group: nothing need be held out to calibrate on.

Multinomial logistic regression with a quadratic penalty (Hastie, Tibshirani and Friedman 2009, section 4.4), by
L-BFGS. Cross-fitting as in stacking (Wolpert 1992).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn import functional

from geofix.learn.scatter import Stretch, stretch_of
from geofix.shapes import ClassRows, PhotoViews

FOLDS = 5
_STEPS = 60  # of L-BFGS; the loss no longer changes by then


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Vectors (n, d) @ weight.T + bias: weight (k, d), bias (k)."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, vectors: PhotoViews) -> ClassRows:
        """Of vectors (n, views, d) the mean over views (n, k)."""
        return np.asarray(vectors.mean(axis=1) @ self.weight.T + self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The layer of all photos, the layers of all but each fold's photos, and of every photo of the data the logits
    (n, k) by the layer that did not learn from its fold.
    """

    layer: Layer
    without: tuple[Layer, ...]
    unseen: ClassRows


def folds(labels: Sequence[str], groups: Sequence[str], seed: int) -> np.ndarray:
    """The fold of each photo (n), 0 to FOLDS - 1, or fewer where there are fewer groups: groups stay whole, labels are
    spread as evenly as that allows.
    """
    count = min(FOLDS, len(set(groups)))
    of = np.zeros(len(labels), dtype=np.int64)
    if count < 2:
        return of
    # Labels of fewer photos than there are folds are spread as well as they can be.
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    if np.bincount(numbers).max() < count:
        count = max(2, int(np.bincount(numbers).max()))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, left) in enumerate(splitter.split(numbers, numbers, np.asarray(groups))):
            of[left] = number
    return of


def fitted(
    vectors: PhotoViews,
    rows: np.ndarray,
    targets: np.ndarray,
    classes: int,
    of_fold: np.ndarray,
    penalty: float,
    *,
    weights: np.ndarray | None = None,
    start: Fitted | None = None,
    stretches: Sequence[Stretch | None] | None = None,
    looks: int | None = None,
    tell: Callable[[], None] | None = None,
) -> Fitted:
    """Layers learned from `rows` (m,) of vectors (n, views, d) with classes `targets` (m,); `weights` (m,) is what each
    photo counts. Photos are answered for by the mean over their first `looks` views, or over all.

    With `start`, of the same classes, the penalty is on the distance from its layers, fold by fold, so that little data
    leave them as they are. With `stretches`, one for each fold and one for all photos (see `stretches_of`), the penalty
    is on the weights of stretched vectors; layers are of vectors as they are.
    """
    counts = np.ones(len(rows)) if weights is None else weights
    unseen = np.zeros((len(vectors), classes), dtype=np.float32)
    without = []
    maps = stretches or [None] * (len(np.unique(of_fold)) + 1)
    for place, fold in enumerate(np.unique(of_fold).tolist()):
        kept = of_fold[rows] != fold
        if not kept.any():  # one group alone: nobody else can answer for it
            kept = np.ones(len(rows), dtype=bool)
        before = None if start is None else start.without[place]
        learned = vectors[rows[kept]], targets[kept]
        layer = _stretched(maps[place], *learned, classes, penalty, counts[kept], before)
        asked = of_fold == fold
        unseen[asked] = layer.logits(vectors[asked, :looks])
        without.append(layer)
        if tell:
            tell()
    before = None if start is None else start.layer
    whole = _stretched(maps[-1], vectors[rows], targets, classes, penalty, counts, before)
    if tell:
        tell()
    return Fitted(whole, tuple(without), unseen)


def stretches_of(
    vectors: PhotoViews,
    of_fold: np.ndarray,
    groups: Sequence[str],
    shrinkage: float,
    tell: Callable[[int, int], None] | None = None,
) -> tuple[Stretch | None, ...]:
    """How vectors are stretched by what differs within groups, without the photos of each fold and with all of them;
    `tell` hears how many of these are done.
    """
    names = np.asarray(groups)
    parts = [of_fold != fold for fold in np.unique(of_fold)]
    # Of one group alone nothing is left without it.
    kept = [part if part.any() else ~part for part in (*parts, np.ones(len(vectors), dtype=bool))]
    found = []
    for part in kept:
        found.append(stretch_of(vectors[part], names[part].tolist(), shrinkage))
        if tell:
            tell(len(found), len(kept))
    return tuple(found)


def _stretched(
    stretch: Stretch | None,
    vectors: PhotoViews,
    targets: np.ndarray,
    classes: int,
    penalty: float,
    weights: np.ndarray,
    start: Layer | None,
) -> Layer:
    """As `fit`, with the penalty on weights of stretched vectors; the layer is of vectors as they are."""
    if stretch is None:
        return fit(vectors, targets, classes, penalty, weights=weights, start=start)
    near = None if start is None else Layer(stretch.undone(start.weight), start.bias)
    found = fit(stretch.of(vectors), targets, classes, penalty, weights=weights, start=near)
    return Layer(stretch.of(found.weight), found.bias)


def fit(
    vectors: PhotoViews,
    targets: np.ndarray,
    classes: int,
    penalty: float,
    *,
    weights: np.ndarray | None = None,
    start: Layer | None = None,
) -> Layer:
    """The layer with the least mean cross-entropy over photos and views plus penalty / 2 times the squared length of
    its weight, or with `start` the squared distance of weight and bias from that one's. The same data give the same.
    """
    count, views, length = vectors.shape
    given = torch.from_numpy(np.ascontiguousarray(vectors.reshape(count * views, length), dtype=np.float32))
    wanted = torch.from_numpy(np.repeat(targets, views))
    counts = torch.from_numpy(np.repeat(np.ones(count) if weights is None else weights, views)).float()
    counts = counts / counts.sum()
    held_bias = 0.0 if start is None else 1.0
    if start is None:
        # The classes' shares are where the biases end up without any vector.
        shares = np.bincount(targets, minlength=classes) + 0.5
        start = Layer(np.zeros((classes, length), np.float32), np.log(shares / shares.sum()).astype(np.float32))
    home, about = (torch.from_numpy(part.astype(np.float32)) for part in (start.weight, start.bias))
    weight = home.clone().requires_grad_(True)
    bias = about.clone().requires_grad_(True)
    lowers = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def lost() -> Tensor:
        lowers.zero_grad()
        loss = (counts * functional.cross_entropy(given @ weight.T + bias, wanted, reduction="none")).sum()
        away = (weight - home).square().sum() + held_bias * (bias - about).square().sum()
        loss = loss + penalty / 2 * away
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    lowers.step(lost)  # type: ignore[no-untyped-call]
    return Layer(weight.detach().numpy(), bias.detach().numpy())


def restricted(start: Fitted, columns: Sequence[int]) -> Fitted:
    """The same layers with some of their classes alone."""
    picked = list(columns)

    def part(layer: Layer) -> Layer:
        return Layer(layer.weight[picked], layer.bias[picked])

    return Fitted(part(start.layer), tuple(part(layer) for layer in start.without), start.unseen[:, picked])
