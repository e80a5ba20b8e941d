"""Look at a dataset before it is trained on or scored: what is broken, doubled, unplaced or leaking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

from geofix.data.captions import DECODE_AT, Caption, caption
from geofix.data.duplicates import Duplicates, Fingerprint, find_duplicates, fingerprint
from geofix.data.leaks import Leak, find_leaks
from geofix.data.places import Dataset, Split, benchmark
from geofix.data.views import ViewCount, counts, lacks
from geofix.errors import PhotoError
from geofix.photos import Photo, read_bytes, read_pixels
from geofix.positions import area_km2, latlons
from geofix.telemetry import position_in

MAX_LISTED = 50  # names and pairs listed; the counts are of all
_THREADS = 2
_SPOT_DECIMALS = 5  # of a degree: photos less than about a metre apart stand on one spot


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A photo that cannot be decoded and the sentence that says why."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class LackReport:
    """How many places have photos in one view and none in another, and the first of them by label."""

    seen_from: str
    unseen_from: str
    count: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One split in numbers; what needs positions is None where no photo has one.

    `queries_without_relevant` counts among the queries that have a position or a place label. Where there are
    views, gallery and queries are those of `direction`.
    """

    name: str
    gallery: int
    queries: int
    leave_one_out: bool
    without_position: int
    queries_without_relevant: int | None
    area_km2: float | None
    photos_per_km2: float | None
    spots: int | None
    direction: str | None = None
    views: tuple[ViewCount, ...] = ()
    lacks: tuple[LackReport, ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """How many exact copies and near-duplicate pairs there are, and the first of them by name."""

    exact: int
    near: int
    exact_pairs: tuple[tuple[str, str], ...]
    near_pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TellingReport:
    """Photos that themselves say where they were taken, or may: how many, and the first of them by name.

    `captioned` have text burned into their upper or lower edge, where cameras write time and coordinates; `positioned`
    carry a position in EXIF or XMP, which no network of geofix sees.
    """

    captioned: int
    captioned_names: tuple[str, ...]
    positioned: int
    positioned_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found. Nothing in it is an error: the caller decides what is bad enough.

    `without_position` counts all photos without one, the names are of those that have no place label either.
    """

    root: str
    layout: str
    splits: tuple[SplitReport, ...]
    problems: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    without_position: int
    without_position_names: tuple[str, ...]
    duplicates: DuplicateReport
    leaks: tuple[Leak, ...]
    telling: TellingReport

    def to_dict(self) -> dict[str, object]:
        """The report as plain values for JSON."""
        return asdict(self)


def check(dataset: Dataset, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Decode every photo of a dataset, compare them and look for leaks; no bad file ends it.

    `progress` is called with (photos done, photos in all) after each photo.
    """
    photos = dataset.photos
    seen, unreadable = _decoded(photos, progress)
    readable = [photo for photo, one in zip(photos, seen, strict=True) if one is not None]
    looked_at = [one for one in seen if one is not None]
    found = find_duplicates([one.fingerprint for one in looked_at])
    clusters = found.clusters(len(readable))
    cluster_of = {photo.name: int(number) for photo, number in zip(readable, clusters, strict=True) if number >= 0}
    unplaced = [photo for photo in photos if photo.position is None]
    lost = [photo.name for photo in unplaced if photo.place is None]
    return CheckReport(
        root=str(dataset.root),
        layout=dataset.layout,
        splits=tuple(_split_report(split) for split in dataset.splits.values()),
        problems=tuple(str(problem) for problem in dataset.problems),
        unreadable=unreadable,
        without_position=len(unplaced),
        without_position_names=tuple(lost[:MAX_LISTED]),
        duplicates=_duplicate_report(found, readable),
        leaks=find_leaks(dataset, cluster_of),
        telling=_telling(readable, looked_at),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of a photo that was decoded."""

    fingerprint: Fingerprint
    caption: Caption | None
    positioned: bool


def _decoded(
    photos: tuple[Photo, ...], progress: Callable[[int, int], None] | None
) -> tuple[list[_Seen | None], tuple[Unreadable, ...]]:
    seen: list[_Seen | None] = []
    unreadable: list[Unreadable] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for photo, made in zip(photos, pool.map(_looked_at, photos), strict=True):
            seen.append(None if isinstance(made, PhotoError) else made)
            if isinstance(made, PhotoError):
                unreadable.append(Unreadable(photo.name, str(made)))
            if progress is not None:
                progress(len(seen), len(photos))
    return seen, tuple(unreadable)


def _looked_at(photo: Photo) -> _Seen | PhotoError:
    try:
        data, name = read_bytes(photo.path), str(photo.path)
        written = caption(read_pixels(data, name, target=DECODE_AT))
        return _Seen(fingerprint(data, name), written, position_in(data, name).position is not None)
    except PhotoError as error:
        return error


def _telling(photos: list[Photo], seen: list[_Seen]) -> TellingReport:
    captioned, positioned = (
        [photo.name for photo, one in zip(photos, seen, strict=True) if told(one)]
        for told in (lambda one: one.caption is not None, lambda one: one.positioned)
    )
    return TellingReport(len(captioned), tuple(captioned[:MAX_LISTED]), len(positioned), tuple(positioned[:MAX_LISTED]))


def _split_report(split: Split) -> SplitReport:
    points = latlons([photo.position for photo in split.photos if photo.position is not None])
    area = area_km2(points) if len(points) else None
    return SplitReport(
        name=split.name,
        gallery=len(split.gallery),
        queries=len(split.queries),
        leave_one_out=split.leave_one_out,
        without_position=len(split.photos) - len(points),
        queries_without_relevant=_unanswerable(split),
        area_km2=area,
        photos_per_km2=len(points) / area if area else None,
        spots=len(np.unique(np.round(points, _SPOT_DECIMALS), axis=0)) if len(points) else None,
        direction=split.direction,
        views=counts(split.views),
        lacks=tuple(
            LackReport(lack.seen_from, lack.unseen_from, len(lack.places), lack.places[:MAX_LISTED])
            for lack in lacks(split.views)
        ),
    )


def _unanswerable(split: Split) -> int | None:
    """Queries with nothing relevant; photos with neither place nor position are left aside."""
    by_place = all(photo.place is not None for photo in split.photos)
    if not by_place:
        split = split.only(lambda photo: photo.position is not None)
    if not split.gallery or not split.queries:
        return None
    if not by_place:
        return len(split.queries) - benchmark(split).answerable
    # Counted: the rows of every query would not fit into memory where a few classes have many photos.
    there = Counter(photo.place for photo in split.gallery)
    itself = 1 if split.leave_one_out else 0
    return sum(there[query.place] <= itself for query in split.queries)


def _duplicate_report(found: Duplicates, photos: list[Photo]) -> DuplicateReport:
    def named(pairs: np.ndarray) -> tuple[tuple[str, str], ...]:
        return tuple((photos[first].name, photos[second].name) for first, second in pairs[:MAX_LISTED])

    return DuplicateReport(len(found.exact), len(found.near), named(found.exact), named(found.near))
