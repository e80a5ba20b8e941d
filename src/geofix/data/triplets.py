"""What triplets are drawn from: queries, gallery and who is near whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofix.data.places import Split, same_place
from geofix.errors import DataError
from geofix.photos import Photo
from geofix.positions import latlons, planar_m, within_m
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
        pairs = list(zip(queries, negatives, strict=True))
        placed = [(q, n) for q, n in pairs if q.position is not None and n.position is not None]
        named = sum(q.place is not None and q.place == n.place for q, n in pairs if q.position is None)
        if not placed:
            return named
        metres = planar_m(
            latlons([q.position for q, _ in placed if q.position]), latlons([n.position for _, n in placed if n.position])
        )
        return named + int(np.count_nonzero(metres <= self.beyond_m))


def triplet_photos(
    split: Split, *, positive_within_m: float, negative_beyond_m: float, positive_heading_deg: float | None = None
) -> TripletPhotos:
    """Who is near whom in a split; queries that have no positive or no negative are left out and counted.

    Photos without positions but with place labels are near when they carry the same label. Raises DataError
    where nothing can be learned: no query with a positive, or nothing far enough to be a negative.
    """
    queries, gallery = split.queries or split.gallery, split.gallery
    pool = split.leave_one_out or not split.queries
    if all(photo.position is not None for photo in (*queries, *gallery)):
        positives = _within(queries, gallery, positive_within_m)
        near = _within(queries, gallery, negative_beyond_m)
        if positive_heading_deg is not None:
            positives = [
                _facing_alike(query, gallery, rows, positive_heading_deg)
                for query, rows in zip(queries, positives, strict=True)
            ]
    elif all(photo.place is not None for photo in (*queries, *gallery)):
        positives = near = same_place(queries, gallery)
    else:
        raise DataError(
            f"Split {split.name!r} holds photos that have neither a position nor a place, and nothing can be learned "
            "from those; `geofix data check` names them."
        )
    if pool:
        positives = [rows[rows != row] for row, rows in enumerate(positives)]
    usable = [
        row for row in range(len(queries)) if len(positives[row]) and len(near[row]) < len(gallery)
    ]
    if not usable:
        raise _nothing(split, len(queries), positives, positive_within_m, negative_beyond_m)
    return TripletPhotos(
        queries=tuple(queries[row] for row in usable),
        gallery=tuple(gallery),
        positives=tuple(positives[row] for row in usable),
        near=tuple(near[row] for row in usable),
        beyond_m=negative_beyond_m,
        dropped=len(queries) - len(usable),
    )


def _nothing(
    split: Split, queries: int, positives: Sequence[np.ndarray], within: float, beyond: float
) -> DataError:
    if not any(len(rows) for rows in positives):
        return DataError(
            f"None of the {queries} queries of split {split.name!r} has a gallery photo within {within:g} m that shows "
            "the same place, so there is nothing to learn from; take a denser split, or widen it with "
            "--set positive_within_m=METRES."
        )
    return DataError(
        f"All {len(split.gallery)} gallery photos of split {split.name!r} lie within {beyond:g} m of the queries: that is "
        "one place, and places are learned by telling them apart; take photos of more places."
    )


def _within(queries: Sequence[Photo], gallery: Sequence[Photo], radius_m: float) -> list[np.ndarray]:
    def of(photos: Sequence[Photo]) -> np.ndarray:
        return latlons([photo.position for photo in photos if photo.position is not None])

    return within_m(of(queries), of(gallery), radius_m)


def _facing_alike(query: Photo, gallery: Sequence[Photo], rows: np.ndarray, most_deg: float) -> np.ndarray:
    """The rows whose heading differs by at most `most_deg`; unknown headings count as alike."""
    if query.heading_deg is None:
        return rows
    kept = [row for row in rows if turn_deg(query.heading_deg, gallery[row].heading_deg) <= most_deg]
    return np.array(kept, dtype=np.int64)


def turn_deg(first: float, second: float | None) -> float:
    """The angle in degrees, 0..180, between two headings; 0 where the second is unknown."""
    return 0.0 if second is None else abs((second - first + 180) % 360 - 180)

