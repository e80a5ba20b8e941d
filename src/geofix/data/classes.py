"""Places as classes: a photo and others taken near it that look the same way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geofix.data.neighbours import Nearness, neighbours, no_positives, one_place
from geofix.data.places import Place, Split
from geofix.data.triplets import false_negatives
from geofix.photos import Photo

_TRIES = 50  # photos drawn for one more place before a batch stays smaller


@dataclass(frozen=True, eq=False)
class PlacePhotos:
    """Photos, and for each the rows of those that show the same place and of those too near to be another.

    GSV-Cities and CosPlace cut the map into cells, and two photos on both sides of a border become different
    places. Here every photo is the middle of a place of its own, and no batch holds two places with photos
    within `beyond_m` of each other.
    """

    photos: tuple[Photo, ...]
    same: tuple[np.ndarray, ...]
    near: tuple[np.ndarray, ...]
    beyond_m: float

    @cached_property
    def middles(self) -> np.ndarray:
        """Rows of the photos that have company and can be the middle of a place."""
        return np.array([row for row, rows in enumerate(self.same) if len(rows)], dtype=np.int64)

    def batch(self, rng: np.random.Generator, places: int, photos_per_place: int, start: int) -> tuple[Place, ...]:
        """Up to `places` places: the one around photo `start` and others drawn by chance, none near another."""
        taken = np.zeros(len(self.photos), dtype=bool)  # photos too near to one that is in the batch
        chosen: list[Place] = []
        middle = start
        for _ in range(_TRIES * places):
            rows = self._place(rng, middle, photos_per_place)
            if not taken[rows].any():
                for row in rows:
                    taken[self.near[row]] = True
                chosen.append(Place(str(len(chosen)), tuple(self.photos[row] for row in rows)))
            if len(chosen) == places:
                break
            middle = int(rng.choice(self.middles))
        return tuple(chosen)

    def false_negatives(self, places: tuple[Place, ...]) -> int:
        """The audit: how many pairs of photos of different places of a batch lie within `beyond_m`."""
        pairs = [
            (one, other)
            for number, place in enumerate(places)
            for later in places[number + 1 :]
            for one in place.photos
            for other in later.photos
        ]
        return false_negatives([one for one, _ in pairs], [other for _, other in pairs], self.beyond_m)

    def _place(self, rng: np.random.Generator, middle: int, count: int) -> np.ndarray:
        others = self.same[middle]
        if len(others) > count - 1:
            others = rng.choice(others, count - 1, replace=False)
        return np.concatenate([[middle], others])


def place_photos(split: Split, nearness: Nearness) -> PlacePhotos:
    """Who shows the same place among all photos of a split. Raises DataError where there are not two places."""
    photos = split.photos
    same, near = neighbours(photos, photos, nearness, split.name)
    same = [rows[rows != row] for row, rows in enumerate(same)]
    with_company = [row for row, rows in enumerate(same) if len(rows)]
    if not with_company:
        raise no_positives(len(photos), split.name, nearness)
    if all(len(near[row]) == len(photos) for row in with_company):
        raise one_place(len(photos), split.name, nearness)
    return PlacePhotos(photos, tuple(same), tuple(near), nearness.negative_beyond_m)
