"""Who is near whom among the photos that are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofix.data.places import same_place
from geofix.errors import DataError
from geofix.photos import Photo
from geofix.positions import latlons, within_m
from geofix.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near photos must be to be learned as one place, and how far to be learned as two.

    `heading_deg` is the largest difference of headings within one place; None takes any, and an unknown heading
    counts as alike.
    """

    positive_within_m: float = 10.0
    negative_beyond_m: float = 25.0
    heading_deg: float | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> Nearness:
        """The recipe's distances."""
        return cls(recipe.positive_within_m, recipe.negative_beyond_m, recipe.positive_heading_deg)


def neighbours(
    queries: Sequence[Photo], gallery: Sequence[Photo], nearness: Nearness, where: str
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each query the gallery rows that show the same place, and those too near to be another.

    Photos without positions but with place labels are near when they carry the same label. Raises DataError for
    photos that have neither; `where` names the split.
    """
    if all(photo.position is not None for photo in (*queries, *gallery)):
        near = _within(queries, gallery, nearness.negative_beyond_m)
        same = _within(queries, gallery, nearness.positive_within_m)
        if nearness.heading_deg is not None:
            most = nearness.heading_deg
            same = [_facing_alike(query, gallery, rows, most) for query, rows in zip(queries, same, strict=True)]
        return same, near
    if all(photo.place is not None for photo in (*queries, *gallery)):
        near = same_place(queries, gallery)
        return list(near), near
    lost = sum(photo.position is None for photo in (*queries, *gallery))
    raise DataError(
        f"{lost} photos of split {where!r} have neither a position nor a place, and nothing can be learned from those; "
        "`geofix data check` names them."
    )


def no_positives(photos: int, where: str, nearness: Nearness) -> DataError:
    """The sentence for a split in which no photo has company."""
    return DataError(
        f"None of the {photos} photos to learn from in split {where!r} has another within "
        f"{nearness.positive_within_m:g} m that shows the same place, so there is nothing to learn; take a denser "
        "split, or widen it with --set positive_within_m=METRES."
    )


def one_place(photos: int, where: str, nearness: Nearness) -> DataError:
    """The sentence for a split in which no photo has anything far away."""
    return DataError(
        f"All {photos} photos of split {where!r} lie within {nearness.negative_beyond_m:g} m of each other: that is "
        "one place, and places are learned by telling them apart; take photos of more places."
    )


def turn_deg(first: float, second: float | None) -> float:
    """The angle in degrees, 0..180, between two headings; 0 where the second is unknown."""
    return 0.0 if second is None else abs((second - first + 180) % 360 - 180)


def _within(queries: Sequence[Photo], gallery: Sequence[Photo], radius_m: float) -> list[np.ndarray]:
    def points(photos: Sequence[Photo]) -> np.ndarray:
        return latlons([photo.position for photo in photos if photo.position is not None])

    return within_m(points(queries), points(gallery), radius_m)


def _facing_alike(query: Photo, gallery: Sequence[Photo], rows: np.ndarray, most_deg: float) -> np.ndarray:
    if query.heading_deg is None:
        return rows
    kept = [row for row in rows if turn_deg(query.heading_deg, gallery[row].heading_deg) <= most_deg]
    return np.array(kept, dtype=np.int64)
