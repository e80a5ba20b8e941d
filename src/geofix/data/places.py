"""Place, Split, Dataset and Benchmark: what the readers make of folders and tables, and what is scored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from geofix.errors import DataError, PhotoError
from geofix.photos import Photo
from geofix.positions import PLANE_TOLERANCE_M, latlons, within_m

RELEVANT_WITHIN_M = 25.0  # the field's threshold, inclusive


@dataclass(frozen=True, slots=True)
class Place:
    """A label and its photos."""

    label: str
    photos: tuple[Photo, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """One part of a dataset: gallery and query photos.

    With `leave_one_out` the photos are one pool, listed as gallery and as queries: each is searched among the
    others. Where places were seen from several sides, `views` has the photos of each (drone, satellite, ...);
    `direction` says which of them ask and which are searched (drone-satellite: queries are drone photos), and
    `gallery` and `queries` are those; see views.py. Splits of unlike `series` are never used together (flight
    heights, say), so that nothing can leak between them.
    """

    name: str
    gallery: tuple[Photo, ...]
    queries: tuple[Photo, ...] = ()
    leave_one_out: bool = False
    views: Mapping[str, tuple[Photo, ...]] = field(default_factory=dict)
    direction: str | None = None
    series: str | None = None

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Every photo once, those of every view included."""
        if self.views:
            return _once(self.views.values())
        return self.gallery if self.leave_one_out else self.gallery + self.queries

    def only(self, keep: Callable[[Photo], bool]) -> Split:
        """The split without the photos for which `keep` is false, on every side and in every view."""
        return replace(
            self,
            gallery=tuple(filter(keep, self.gallery)),
            queries=tuple(filter(keep, self.queries)),
            views={view: tuple(filter(keep, photos)) for view, photos in self.views.items()},
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was found at `root`: the name of its layout, its splits by name, and what could not be used."""

    root: Path
    layout: str
    splits: dict[str, Split]
    problems: tuple[PhotoError, ...] = ()

    def split(self, name: str) -> Split:
        """The split of that name; raises DataError that lists the ones there are."""
        if name not in self.splits:
            found = ", ".join(sorted(self.splits)) or "none"
            raise DataError(f"{self.root} has no split {name!r}; found: {found}; choose one with --split.")
        return self.splits[name]

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Every photo of every split once, also where splits share some."""
        return _once(split.photos for split in self.splits.values())


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Queries, gallery and, per query, the relevant gallery rows.

    `excluded[q]` are gallery rows that do not count for query q at all (itself, or photos nearer than the
    protocol allows); they are taken out of its ranking and are never relevant. `clusters[q]` names the group
    of queries that is not independent of query q (its panorama, say), for resampling. `without_position` counts
    photos of the split that could not take part because nobody knows where they were taken.
    """

    name: str
    queries: tuple[Photo, ...]
    gallery: tuple[Photo, ...]
    relevant: tuple[np.ndarray, ...]
    excluded: tuple[np.ndarray, ...]
    clusters: tuple[str, ...]
    threshold_m: float | None = RELEVANT_WITHIN_M
    exclude_nearer_than_m: float | None = None
    without_position: int = 0
    split_hash: str = field(default="")

    def __post_init__(self) -> None:
        sizes = {len(self.queries), len(self.relevant), len(self.excluded), len(self.clusters)}
        if len(sizes) != 1:
            raise ValueError("queries, relevant, excluded and clusters must have the same length")
        if not self.split_hash:
            object.__setattr__(self, "split_hash", split_hash(self.queries, self.gallery))

    @property
    def answerable(self) -> int:
        """How many queries have anything relevant in the gallery."""
        return sum(len(rows) > 0 for rows in self.relevant)


def benchmark(
    split: Split,
    *,
    threshold_m: float = RELEVANT_WITHIN_M,
    exclude_nearer_than_m: float | None = None,
) -> Benchmark:
    """The benchmark of one split: relevant means within `threshold_m` (inclusive), or the same place label
    where photos carry labels instead of positions. Raises DataError when the split cannot be scored.
    """
    if not split.gallery or not split.queries:
        raise DataError(
            f"Split {split.name!r} has {len(split.gallery)} gallery photos and {len(split.queries)} queries; "
            "at least one of each is needed to measure anything."
        )
    by_place, photos = _by_place(split), len(split.photos)
    split = scorable(split)
    unplaced = photos - len(split.photos)
    if by_place:
        relevant = same_place(split.queries, split.gallery)
        if exclude_nearer_than_m is not None:
            raise DataError(
                f"Split {split.name!r} has place labels but no positions, which --exclude-nearer-than needs."
            )
    else:
        relevant = _within(split, threshold_m)
    excluded = _itself(split)
    if exclude_nearer_than_m is not None:
        nearer = _nearer(split, exclude_nearer_than_m)
        excluded = [np.union1d(own, near) for own, near in zip(excluded, nearer, strict=True)]
    return Benchmark(
        name=split.name,
        queries=split.queries,
        gallery=split.gallery,
        relevant=tuple(np.setdiff1d(rows, out) for rows, out in zip(relevant, excluded, strict=True)),
        excluded=tuple(excluded),
        clusters=tuple(photo.group or photo.name for photo in split.queries),
        threshold_m=None if by_place else threshold_m,
        exclude_nearer_than_m=exclude_nearer_than_m,
        without_position=unplaced,
    )


def scorable(split: Split) -> Split:
    """The photos of a split that can take part in a benchmark: all where all carry place labels, else those with a
    position. Raises DataError when one side is empty then."""
    if _by_place(split) or all(photo.position is not None for photo in split.photos):
        return split
    return _with_positions(split)


def _by_place(split: Split) -> bool:
    return all(photo.place is not None for photo in split.photos)


def without(mark: Benchmark, names: set[str]) -> Benchmark:
    """The same benchmark without the gallery photos of those names (unreadable ones), rows renumbered."""
    kept = np.array([photo.name not in names for photo in mark.gallery], dtype=bool)
    number = np.cumsum(kept) - 1
    relevant = tuple(number[rows[kept[rows]]] for rows in mark.relevant)
    excluded = tuple(number[rows[kept[rows]]] for rows in mark.excluded)
    gallery = tuple(photo for photo, keep in zip(mark.gallery, kept, strict=True) if keep)
    return replace(mark, gallery=gallery, relevant=relevant, excluded=excluded)


def split_hash(queries: Sequence[Photo], gallery: Sequence[Photo]) -> str:
    """A short hash of the photo names and positions of a split: equal hashes, equal split."""
    digest = hashlib.sha256()
    for role, photos in (("q", queries), ("g", gallery)):
        for photo in photos:
            where = "" if photo.position is None else f"{photo.position.lat:.7f},{photo.position.lon:.7f}"
            digest.update(f"{role}\t{photo.name}\t{where}\t{photo.place or ''}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def same_place(queries: Sequence[Photo], gallery: Sequence[Photo]) -> list[np.ndarray]:
    """For each query the gallery rows that carry its place label."""
    rows: dict[str, list[int]] = {}
    for row, photo in enumerate(gallery):
        rows.setdefault(str(photo.place), []).append(row)
    arrays = {place: np.array(found, dtype=np.int64) for place, found in rows.items()}
    none = np.empty(0, dtype=np.int64)
    return [arrays.get(str(query.place), none) for query in queries]


def _with_positions(split: Split) -> Split:
    """The split without the photos nobody knows the place of. Raises DataError when one side is empty then."""
    placed = split.only(lambda photo: photo.position is not None)
    if not placed.gallery or not placed.queries:
        side, photos = ("gallery", split.gallery) if not placed.gallery else ("query", split.queries)
        raise DataError(
            f"None of the {len(photos)} {side} photos of split {split.name!r} has a position (the first is "
            f"{photos[0].name}); give them positions, as `geofix data check` explains."
        )
    return placed


def _once(groups: Iterable[tuple[Photo, ...]]) -> tuple[Photo, ...]:
    """The photos of all groups in their order, each name once."""
    return tuple({photo.name: photo for photos in groups for photo in photos}.values())


def _within(split: Split, radius_m: float) -> list[np.ndarray]:
    gallery = latlons([photo.position for photo in split.gallery if photo.position is not None])
    queries = latlons([photo.position for photo in split.queries if photo.position is not None])
    return within_m(queries, gallery, radius_m)


def _nearer(split: Split, radius_m: float) -> list[np.ndarray]:
    """Gallery rows strictly nearer than `radius_m`."""
    # `within_m` is inclusive and forgives one tolerance; a photo at the radius itself must stay.
    return _within(split, radius_m - 2 * PLANE_TOLERANCE_M)


def _itself(split: Split) -> list[np.ndarray]:
    if not split.leave_one_out:
        return [np.empty(0, dtype=np.int64) for _ in split.queries]
    row_of = {photo.name: row for row, photo in enumerate(split.gallery)}
    return [np.array([row_of[query.name]], dtype=np.int64) for query in split.queries]
