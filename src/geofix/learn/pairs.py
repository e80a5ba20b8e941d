"""Learning the whitening from pairs of photos that show one place: closed form, no gradients, minutes.

Each epoch finds the pairs by the whitening as it is and fits it anew; the trunk and the pooling stay as they are,
so every photo is encoded once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from geofix.data.classes import place_photos
from geofix.data.neighbours import Nearness
from geofix.data.places import Benchmark, Split
from geofix.encode import Encoded, encode
from geofix.errors import DataError
from geofix.evaluate import recall_of
from geofix.files import write_atomically
from geofix.learn.course import METRICS, Course, Row, as_csv, better, log_row
from geofix.learn.learner import Progress
from geofix.mining import mutual_pairs
from geofix.models.encoder import Encoder, SingleEncoder
from geofix.models.runs import Run
from geofix.models.whitening import LearnedWhitening
from geofix.night.translators import Translator, each_its_own_night
from geofix.photos import Photo
from geofix.recipes import Recipe
from geofix.shapes import DescriptorRows

JOURNAL = "journal"


def learn_pairs(
    encoder: Encoder,
    split: Split,
    mark: Benchmark,
    out: Path,
    *,
    key: str,
    progress: Progress | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> Course:
    """Fit the encoder's whitening in place and leave the one that was best on `mark` (R@5, then R@1).

    Descriptors are kept in `out` while it lasts, so that a stopped training goes on behind them; `key` names the
    recipe and the data they are of. Raises DataError where no two photos show one place.
    """
    assert isinstance(encoder, SingleEncoder) and encoder.whitening is not None
    recipe, whitening = encoder.recipe, encoder.whitening
    began = time.monotonic()
    plain = Run(out, encoder, key)
    learned = _Described(plain, split.photos, "encoding what is learned from", progress)
    gallery = _Described(plain, mark.gallery, "encoding the gallery of the block", progress)
    queries = _Described(plain, mark.queries, "encoding the queries of the block", progress)
    nights = None
    if recipe.night_pairs:
        by_day = [replace(photo, condition=None) for photo in split.photos if "night" not in (photo.condition or "")]
        what = "encoding the nights of what is learned from"
        nights = _Described(plain, by_day, what, progress, each_its_own_night())
    near = _Near(recipe, split, learned, nights)
    history: list[Row] = []
    best_epoch, best, stopped = 0, _copied(whitening), ""
    for epoch in range(recipe.epochs + 1):
        pairs, loss = near.fit(whitening, learned, epoch) if epoch else (0, None)
        recall = recall_of(queries.by(whitening), gallery.by(whitening), mark, (1, 5))
        history.append(log_row(epoch, recall, time.monotonic() - began, steps=pairs, loss=loss))
        write_atomically(out / METRICS, as_csv(history))
        if epoch and better(history, epoch, best_epoch):
            best_epoch, best = epoch, _copied(whitening)
        if after_epoch:
            after_epoch()
        if epoch - best_epoch >= recipe.patience:
            stopped = f"no better R@5 for {recipe.patience} epochs"
            break
    whitening.load_state_dict(best)
    errors = (*learned.found.errors, *gallery.found.errors, *queries.found.errors)
    return Course(tuple(history), best_epoch, stopped, errors)


class _Described:
    """Photos encoded once, without the whitening, which can then be applied as often as wanted."""

    def __init__(
        self,
        plain: Run,
        photos: Sequence[Photo],
        what: str,
        progress: Progress | None,
        translator: Translator | None = None,
    ) -> None:
        tell = (lambda done, total: progress(what, done, total)) if progress else None
        self.found = encode(plain, photos, translator=translator, journal=plain.folder / JOURNAL, progress=tell)
        self.names = [photos[row].name for row in self.found.rows]
        if not len(self.found.rows):
            raise DataError(f"None of the {len(photos)} photos can be used. The first: {self.found.errors[0]}")

    @torch.no_grad()
    def by(self, whitening: LearnedWhitening) -> Encoded:
        """The same descriptors, whitened."""
        rows = whitening(torch.from_numpy(self.found.single)).numpy()
        return Encoded(rows[:, None], self.found.rows, self.found.errors)


class _Near:
    """Who was taken near whom among the photos that have a descriptor, and where each was taken from."""

    def __init__(self, recipe: Recipe, split: Split, learned: _Described, nights: _Described | None) -> None:
        self.recipe = recipe
        self.nights = nights
        rows = {name: row for row, name in enumerate(learned.names)}
        self.days = [] if nights is None else [rows.get(name, -1) for name in nights.names]  # the day of each night
        self.split_name = split.name
        photos, described = place_photos(split, Nearness.of(self.recipe)), learned.found.rows
        row_of = np.full(len(photos.photos), -1, dtype=np.int64)
        row_of[described] = np.arange(len(described))
        lists = [row_of[photos.same[row]] for row in described]
        self.same = [rows[rows >= 0] for rows in lists]
        self.spots = [_spot(photos.photos[row]) for row in described]

    def fit(self, whitening: LearnedWhitening, learned: _Described, epoch: int) -> tuple[int, float]:
        """Pair the photos by the whitening as it is and fit it to them: how many pairs, and how far apart they are
        then. Raises DataError where nothing looks like one place.
        """
        pairs = mutual_pairs(learned.by(whitening).single, self.same, self.spots)
        if not len(pairs):
            raise DataError(f"No two photos of split {self.split_name!r} look like one place; take a denser split.")
        rng = np.random.default_rng([self.recipe.seed, epoch])
        pairs = pairs[np.sort(rng.permutation(len(pairs))[: self.recipe.pairs])]
        plain = torch.from_numpy(learned.found.single)
        differences = [plain[pairs[:, 0]] - plain[pairs[:, 1]]]
        if self.nights is not None:
            known = np.flatnonzero(np.array(self.days) >= 0)
            chosen = rng.permutation(known)[: round(self.recipe.night_pairs * len(pairs))]
            by_day = plain[np.array(self.days)[chosen]]
            differences.append(torch.from_numpy(self.nights.found.single)[chosen] - by_day)
        both = torch.cat(differences)
        whitening.fit(both, self.recipe.whiten_floor)
        return len(both), _apart(learned.by(whitening).single, pairs)


def _spot(photo: Photo) -> Hashable:
    """Where and when: the views of one panorama share it. Photos without a position have a spot of their own."""
    return (photo.position, photo.taken_at) if photo.position else photo.name


def _copied(whitening: LearnedWhitening) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in whitening.state_dict().items()}


def _apart(descriptors: DescriptorRows, pairs: np.ndarray) -> float:
    """Mean squared distance within the pairs: what the whitening lowers."""
    apart = descriptors[pairs[:, 0]] - descriptors[pairs[:, 1]]
    return float(np.square(apart).sum(axis=1).mean())
