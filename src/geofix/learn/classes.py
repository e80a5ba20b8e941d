"""Learning from places: each batch holds a few photos of each of several places."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofix import losses
from geofix.data.batches import Batches
from geofix.data.classes import place_photos
from geofix.data.neighbours import Nearness
from geofix.data.places import Split
from geofix.errors import PhotoError
from geofix.learn.lesson import Describe, Round
from geofix.recipes import Recipe
from geofix.tensors import Descriptors, Loss, PlaceNumbers


class ClassLesson:
    """In the manner of GSV-Cities: places as classes, multi-similarity loss. An epoch sees each photo about once."""

    def __init__(self, recipe: Recipe, split: Split, say: list[str]) -> None:
        self.recipe = recipe
        self.photos = place_photos(split, Nearness.of(recipe))
        alone = len(self.photos.photos) - len(self.photos.middles)
        if alone:
            say.append(
                f"{alone} of {len(self.photos.photos)} photos have no other of their place within "
                f"{recipe.positive_within_m:g} m and are not learned from."
            )
        self.unreadable: list[PhotoError] = []
        self.rounds = 1
        self.steps = max(1, len(self.photos.middles) // (recipe.batch_size * recipe.photos_per_place))

    def round(self, number: int, describe: Describe) -> Round:
        """Places drawn by chance; nothing is mined beforehand, the loss weighs the pairs of each batch."""
        del describe
        rng = np.random.default_rng([self.recipe.seed, number])
        starts = rng.permutation(self.photos.middles)[: self.steps]
        batches = [
            self.photos.batch(rng, self.recipe.batch_size, self.recipe.photos_per_place, int(start)) for start in starts
        ]
        found = sum(self.photos.false_negatives(places) for places in batches)
        groups = [[place.photos for place in places] for places in batches]
        return Round(Batches(groups, self.recipe.image_size), found)

    def loss(self, descriptors: Descriptors, places: PlaceNumbers) -> Loss:
        """Multi-similarity over all pairs of the batch."""
        return losses.multi_similarity(descriptors, places)

    def state(self) -> dict[str, Any]:
        """Every round is drawn from its number alone."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to remember."""
