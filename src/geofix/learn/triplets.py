"""Learning from triplets: a query, its best positive and its hardest negatives, mined anew every refresh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from geofix import losses
from geofix.data.batches import Batches, triplet_batches
from geofix.data.neighbours import Nearness
from geofix.data.places import Split
from geofix.data.triplets import TripletPhotos, triplet_photos
from geofix.errors import DataError, PhotoError
from geofix.learn.lesson import Describe, Round
from geofix.mining import Miner
from geofix.photos import Photo
from geofix.recipes import Recipe
from geofix.tensors import Descriptors, Loss, PlaceNumbers


class TripletLesson:
    """The papers' way. Numbers larger than the data allow shrink, and `say` says so."""

    def __init__(self, recipe: Recipe, split: Split, say: list[str]) -> None:
        self.recipe = recipe
        self.split = split
        self.unreadable: list[PhotoError] = []
        self._look()
        if self.photos.dropped:
            say.append(
                f"{self.photos.dropped} of {self.photos.dropped + len(self.photos.queries)} queries have no photo "
                f"within {recipe.positive_within_m:g} m or nothing beyond {recipe.negative_beyond_m:g} m and are not "
                "learned from."
            )
        queries, fewest = len(self.photos.queries), self.photos.fewest_far
        self.per_epoch = _clamped(recipe.queries_per_epoch, queries, "queries an epoch", say)
        self.refresh = _clamped(recipe.cache_refresh, self.per_epoch, "queries between two minings", say)
        self.negatives = _clamped(recipe.negatives, fewest, "negatives a query", say)
        self.candidates = _clamped(
            recipe.negative_candidates, len(self.photos.gallery), "candidates for negatives", say
        )
        self.rounds = -(-self.per_epoch // self.refresh)
        self.steps = max(1, self.refresh // recipe.batch_size)
        self.miner = self._miner()

    def round(self, number: int, describe: Describe) -> Round:
        """Draw, describe, choose. Photos that cannot be read are taken out of the data and the draw is repeated."""
        while True:
            draw = self.miner.draw(np.random.default_rng([self.recipe.seed, number]), self._asked(number))
            wanted = [self.photos.queries[row] for row in draw.queries]
            wanted += [self.photos.gallery[row] for row in draw.gallery]
            found = describe(wanted)
            if not found.errors:
                break
            self._leave_out(found.errors, [wanted[row] for row in np.setdiff1d(np.arange(len(wanted)), found.rows)])
        count = len(draw.queries)
        triplets = self.miner.choose(draw, found.single[:count], found.single[count:])
        groups = triplet_batches(triplets, self.photos.queries, self.photos.gallery, self.recipe.batch_size)
        return Round(Batches(groups, self.recipe.image_size), self.photos.false_negatives(triplets))

    def loss(self, descriptors: Descriptors, places: PlaceNumbers) -> Loss:
        """The recipe's loss over triplets laid out group by group."""
        groups = descriptors.reshape(int(places.max()) + 1, -1, descriptors.shape[1])
        queries, positives, negatives = groups[:, 0], groups[:, 1], groups[:, 2:]
        if self.recipe.loss == "sare_ind":
            return losses.sare_independent(queries, positives, negatives)
        if self.recipe.loss == "sare_joint":
            return losses.sare_joint(queries, positives, negatives)
        return losses.triplet(queries, positives, negatives, self.recipe.margin)

    def state(self) -> dict[str, Any]:
        """Full mining remembers each query's negatives."""
        return {str(query): rows.tolist() for query, rows in self.miner.previous.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Remember them again."""
        self.miner.previous = {int(query): np.array(rows) for query, rows in state.items()}

    def _asked(self, number: int) -> int:
        """Queries of this round: the last round of an epoch takes what is left."""
        done = (number % self.rounds) * self.refresh
        return min(self.refresh, self.per_epoch - done, len(self.photos.queries))

    def _look(self) -> None:
        self.photos: TripletPhotos = triplet_photos(self.split, Nearness.of(self.recipe))

    def _miner(self) -> Miner:
        return Miner(
            self.photos.positives,
            self.photos.near,
            len(self.photos.gallery),
            mining=self.recipe.mining,
            negatives=self.negatives,
            candidates=self.candidates,
        )

    def _leave_out(self, errors: Sequence[PhotoError], photos: Sequence[Photo]) -> None:
        gone = {photo.name for photo in photos}
        if not gone:
            raise DataError(str(errors[0]))
        self.unreadable += errors
        self.split = self.split.only(lambda photo: photo.name not in gone)
        self._look()
        self.negatives = min(self.negatives, self.photos.fewest_far)
        self.miner = self._miner()


def _clamped(asked: int, there_are: int, what: str, say: list[str]) -> int:
    if asked > there_are:
        say.append(f"The recipe asks for {asked} {what}; the data have {there_are}, so it is {there_are}.")
    return min(asked, there_are)
