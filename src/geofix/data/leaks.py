"""What must not lie on both sides of a split: places, panoramas, sequences, photographers, pictures, spots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from geofix.data.places import RELEVANT_WITHIN_M, Dataset, Split
from geofix.data.views import asked
from geofix.photos import Photo
from geofix.positions import latlons, nearest_m


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that two sides share.

    `kind` is group (a panorama, sequence or camera), author, near-duplicate, place or nearby; `count` how many
    groups, authors, pictures or places are shared, or for nearby how many photos of the first side lie nearer
    than 25 m to one of the second; `example` is a sentence about the first of them.
    """

    kind: str
    between: tuple[str, str]
    count: int
    example: str


Key = Callable[[Photo], str | int | None]


def find_leaks(dataset: Dataset, cluster_of: Mapping[str, int]) -> tuple[Leak, ...]:
    """Leaks between every two splits of one series, and groups on both sides within a split.

    Places are those that both splits ask about; what only fills a gallery (a distractor) leaks nothing.
    `cluster_of` maps the names of photos that have duplicates to the number of their cluster.
    """
    keys: dict[str, Key] = {
        "group": _group,
        "author": lambda photo: photo.author,
        "near-duplicate": lambda photo: cluster_of.get(photo.name),
    }
    leaks: list[Leak] = []
    for first, second in combinations(dataset.splits.values(), 2):
        if first.series != second.series:
            continue
        between = (first.name, second.name)
        leaks += _shared("place", between, asked(first), asked(second), _place)
        for kind, key in keys.items():
            leaks += _shared(kind, between, first.photos, second.photos, key)
        leaks += _nearby(between, first.photos, second.photos)
    for split in dataset.splits.values():
        leaks += _within(split)
    return tuple(leaks)


def _group(photo: Photo) -> str | None:
    """The group, unless it only repeats the author or the place."""
    return None if photo.group in (photo.author, photo.place) else photo.group


def _place(photo: Photo) -> str | None:
    """The place, where its photos are one group: a class, which is in every split, is none."""
    return photo.place if photo.place == photo.group else None


def _shared(
    kind: str, between: tuple[str, str], first: tuple[Photo, ...], second: tuple[Photo, ...], key: Key
) -> Iterator[Leak]:
    ours, theirs = _first_of(first, key), _first_of(second, key)
    both = [value for value in ours if value in theirs]
    if both:
        one, other = ours[both[0]], theirs[both[0]]
        what = "are the same picture" if kind == "near-duplicate" else f"have the same {kind} {both[0]}"
        yield Leak(kind, between, len(both), f"{one.name} and {other.name} {what}.")


def _first_of(photos: tuple[Photo, ...], key: Key) -> dict[str | int, Photo]:
    first: dict[str | int, Photo] = {}
    for photo in photos:
        value = key(photo)
        if value is not None:
            first.setdefault(value, photo)
    return first


def _nearby(between: tuple[str, str], first: tuple[Photo, ...], second: tuple[Photo, ...]) -> Iterator[Leak]:
    ours, theirs = ([photo for photo in side if photo.position is not None] for side in (first, second))
    if not ours or not theirs:
        return
    # The readers' positions were filtered above; the second test only says so to the type checker.
    gaps_m = nearest_m(*(latlons([p.position for p in side if p.position]) for side in (ours, theirs)))
    near = np.flatnonzero(gaps_m < RELEVANT_WITHIN_M)
    if len(near):
        closest = int(np.argmin(gaps_m))
        example = f"{ours[closest].name} lies {gaps_m[closest]:.1f} m from a photo of {between[1]}."
        yield Leak("nearby", between, len(near), example)


def _within(split: Split) -> Iterator[Leak]:
    """Groups on both sides of one split. Where the group is the place itself, that is the very task."""
    between = (f"{split.name} gallery", f"{split.name} queries")
    if not split.leave_one_out:
        yield from _shared("group", between, split.gallery, split.queries, _group)
        return
    first = _first_of(split.gallery, _group)
    again = [photo for photo in split.gallery if (value := _group(photo)) is not None and first[value] is not photo]
    yield from _shared("group", between, tuple(first.values()), tuple(again), _group)
