"""What triplets are drawn from: queries, gallery and who is near whom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geofix.data.neighbours import Nearness, neighbours, no_positives, one_place
from geofix.data.places import Split
from geofix.photos import Photo
from geofix.positions import latlons, planar_m
from geofix.shapes import Triplets


@dataclass(frozen=True, eq=False)
class TripletPhotos:
    """The queries that can be learned from, the gallery, and two lists of gallery rows for each query.

    `positives[q]` are near enough to be learned as the same place. `near[q]` are never negatives: they are not
    far enough to be surely another place. `dropped` counts queries without a positive or without a negative.
    """

    queries: tuple[Photo, ...]
    gallery: tuple[Photo, ...]
    positives: tuple[np.ndarray, ...]
    near: tuple[np.ndarray, ...]
    beyond_m: float
    dropped: int = 0

    @property
    def fewest_far(self) -> int:
        """How many negatives there are for the query that has the fewest."""
        return len(self.gallery) - max(len(rows) for rows in self.near)

    def false_negatives(self, triplets: Triplets) -> int:
        """The audit: how many negatives lie within `beyond_m` of their query, or carry its place label.

        Measured on the photos themselves, not on the lists that mining used.
        """
        queries = [self.queries[row] for row in np.repeat(triplets[:, 0], triplets.shape[1] - 2)]
        negatives = [self.gallery[row] for row in triplets[:, 2:].ravel()]
        return false_negatives(queries, negatives, self.beyond_m)


def false_negatives(queries: list[Photo], negatives: list[Photo], beyond_m: float) -> int:
    """How many pairs are learned as two places and lie within `beyond_m` of each other, or share a label."""
    pairs = list(zip(queries, negatives, strict=True))
    alike = sum(one.place is not None and one.place == other.place for one, other in pairs if one.position is None)
    placed = [(one.position, other.position) for one, other in pairs if one.position and other.position]
    if not placed:
        return alike
    metres = planar_m(latlons([one for one, _ in placed]), latlons([other for _, other in placed]))
    return alike + int(np.count_nonzero(metres <= beyond_m))


def triplet_photos(split: Split, nearness: Nearness) -> TripletPhotos:
    """Who is near whom in a split; queries that have no positive or no negative are left out and counted.

    A split without queries is one pool: each photo is learned against the others. Raises DataError where nothing
    can be learned: no query with a positive, or nothing far enough to be a negative.
    """
    if split.leave_one_out or not split.queries:
        split = replace(split, queries=split.gallery, leave_one_out=True)
    positives, near = neighbours(split.queries, split.gallery, nearness, split.name)
    if split.leave_one_out:
        positives = [rows[rows != row] for row, rows in enumerate(positives)]
    if not any(len(rows) for rows in positives):
        raise no_positives(len(split.queries), split.name, nearness)
    usable = [row for row, rows in enumerate(near) if len(positives[row]) and len(rows) < len(split.gallery)]
    if not usable:
        raise one_place(len(split.gallery), split.name, nearness)
    return TripletPhotos(
        queries=tuple(split.queries[row] for row in usable),
        gallery=split.gallery,
        positives=tuple(positives[row] for row in usable),
        near=tuple(near[row] for row in usable),
        beyond_m=nearness.negative_beyond_m,
        dropped=len(split.queries) - len(usable),
    )
