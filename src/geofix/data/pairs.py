"""Pairs of views: places that were photographed from two sides, to learn the one from the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofix.data.places import Split
from geofix.data.views import GALLERY, QUERY, sides
from geofix.errors import DataError
from geofix.photos import Photo

_NAMED = 5  # places that a sentence names


@dataclass(frozen=True, eq=False)
class ViewPairs:
    """Places seen from both views, in the order of their labels: for each its label and the photos of either side.

    `alone` are those that one of the views lacks, by label.
    """

    places: tuple[str, ...]
    queries: tuple[tuple[Photo, ...], ...]
    gallery: tuple[tuple[Photo, ...], ...]
    alone: tuple[str, ...] = ()

    def drawn(self, rng: np.random.Generator, times: int) -> list[tuple[int, tuple[Photo, Photo]]]:
        """Every place `times` times, in random order: its number and a random photo of each view (asking, searched)."""
        numbers = rng.permutation(np.repeat(np.arange(len(self.places)), times)).tolist()
        return [(number, (_any(self.queries[number], rng), _any(self.gallery[number], rng))) for number in numbers]


def view_pairs(split: Split, views: Sequence[str]) -> ViewPairs:
    """The places of a split that both views (asking, searched) show.

    A view may be in two parts (query_drone, gallery_drone); both are taken. Raises DataError where a view is missing or
    no place is seen from both.
    """
    asking, searched = (_by_place(split, view) for view in views)
    both = sorted(asking.keys() & searched.keys())
    if not both:
        raise DataError(
            f"No place of split {split.name!r} is seen from both {views[0]} and {views[1]} ({len(asking)} and "
            f"{len(searched)} places); folders of both views need the same names, as written (0007 is not 7)."
        )
    return ViewPairs(
        tuple(both),
        tuple(asking[place] for place in both),
        tuple(searched[place] for place in both),
        tuple(sorted(asking.keys() ^ searched.keys())),
    )


def left_out(pairs: ViewPairs, views: Sequence[str]) -> str:
    """What to say of places that only one view shows; nothing where there are none."""
    if not pairs.alone:
        return ""
    more = " ..." if len(pairs.alone) > _NAMED else ""
    return (
        f"{len(pairs.alone)} of {len(pairs.alone) + len(pairs.places)} places are seen from only one of {views[0]} and "
        f"{views[1]} and are not learned from: {', '.join(pairs.alone[:_NAMED])}{more}."
    )


def without_places(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """The split without a random share of its places (at least one), and those alone. Raises DataError when one side
    would be empty."""
    places = sorted({str(photo.place) for photo in split.photos})
    count = max(1, round(share * len(places)))
    if count >= len(places):
        raise DataError(f"{share:g} of the {len(places)} places of split {split.name!r} leaves none to learn from.")
    chosen = set(np.random.default_rng([seed, count]).permutation(places)[:count].tolist())
    return split.only(lambda photo: photo.place not in chosen), split.only(lambda photo: photo.place in chosen)


def _by_place(split: Split, view: str) -> dict[str, tuple[Photo, ...]]:
    found = [name for name in (view, QUERY + view, GALLERY + view) if name in split.views]
    if not found:
        there = ", ".join(sides(split.views)) or "none"
        raise DataError(
            f"Split {split.name!r} has no view {view!r}; found: {there}. Choose the views to learn from with --set "
            "views=[ASKING,SEARCHED]."
        )
    photos: dict[str, dict[str, Photo]] = {}
    for name in found:
        for photo in split.views[name]:
            photos.setdefault(str(photo.place), {})[photo.name] = photo
    return {place: tuple(named.values()) for place, named in photos.items()}


def _any(photos: tuple[Photo, ...], rng: np.random.Generator) -> Photo:
    return photos[int(rng.integers(len(photos)))]
