"""A geographic block cut from a split, so that weights are chosen on streets that were not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofix.data.places import Split
from geofix.errors import DataError
from geofix.photos import Photo
from geofix.positions import latlons, project, utm_zones


@dataclass(frozen=True, slots=True)
class Cut:
    """A split in two: what is learned from and the block held out; photos between them are in neither."""

    learned: Split
    block: Split


def cut_block(split: Split, share: float, gap_m: float) -> Cut:
    """Hold out one block with about `share` of the photos, at least `gap_m` away from all the others.

    The block is the end of the area along its longest direction: one straight border, so that few photos are
    lost between the two. Photos with place labels and no positions are held out place by place instead. Raises
    DataError where nothing is left on one side.
    """
    learned, held = _sides(split.photos, share, gap_m)
    cut = Cut(_part(split, learned, split.name), _part(split, held, "block"))
    if not cut.learned.gallery or not cut.block.gallery or (split.queries and not cut.block.queries):
        raise DataError(
            f"Split {split.name!r} is too small to hold out a block of {share:.0%} with a gap of {gap_m:g} m on which "
            "weights are chosen; choose them on the val split with --set choose_on=val, or take more photos."
        )
    return cut


def _sides(photos: Sequence[Photo], share: float, gap_m: float) -> tuple[set[str], set[str]]:
    """The names of the photos to learn from and of those in the block."""
    placed = [photo for photo in photos if photo.position is not None]
    if not placed:
        labels = sorted({str(photo.place) for photo in photos})
        held = set(labels[: round(share * len(labels))])
        sides = [str(photo.place) in held for photo in photos]
        return (
            {photo.name for photo, inside in zip(photos, sides, strict=True) if not inside},
            {photo.name for photo, inside in zip(photos, sides, strict=True) if inside},
        )
    along = _along(placed)
    border = float(np.quantile(along, share))
    return (
        {photo.name for photo, metres in zip(placed, along, strict=True) if metres > border + gap_m},
        {photo.name for photo, metres in zip(placed, along, strict=True) if metres <= border},
    )


def _along(photos: Sequence[Photo]) -> np.ndarray:
    """Metres along the direction in which the photos lie farthest apart."""
    points = latlons([photo.position for photo in photos if photo.position is not None])
    zones, counts = np.unique(utm_zones(points), return_counts=True)
    plane = project(points, int(zones[counts.argmax()]))
    centred = plane - plane.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    # The sign of a singular vector is nobody's choice; without this the block could change ends.
    return np.asarray(centred @ (direction if direction[np.abs(direction).argmax()] > 0 else -direction))


def _part(split: Split, names: set[str], name: str) -> Split:
    return replace(split.only(lambda photo: photo.name in names), name=name)
