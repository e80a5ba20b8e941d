"""Views: the sides from which places were seen (drone, satellite, street), and which of them asks for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import permutations

from geofix.data.places import Split
from geofix.errors import DataError
from geofix.photos import Photo

QUERY, GALLERY = "query_", "gallery_"  # a view in two parts: University-1652's test folders have these names
_PREFERRED = ("drone-satellite", "street-satellite")

Views = Mapping[str, tuple[Photo, ...]]


@dataclass(frozen=True, slots=True)
class ViewCount:
    """One view of a split in numbers."""

    name: str
    photos: int
    places: int


@dataclass(frozen=True, slots=True)
class Lack:
    """Places that have photos in the one view and none in the other, by label."""

    seen_from: str
    unseen_from: str
    places: tuple[str, ...]


def from_views(name: str, views: Views, series: str | None = None) -> Split:
    """A split of these views in its default direction: drone-satellite where both exist, else
    street-satellite, else the first two views in sorted order. The photos of a single view are the gallery.
    """
    split = Split(name, (), views=views, series=series)
    direction = default_direction(views)
    return directed(split, direction) if direction else replace(split, gallery=split.photos)


def directed(split: Split, direction: str) -> Split:
    """The split with the queries and the gallery of a direction, "drone-satellite" (QUERY-GALLERY).

    A view in two parts gives its query part (`query_drone`) or its gallery part (`gallery_satellite`). Raises
    DataError that lists the views there are.
    """
    possible = directions(split.views)
    if direction not in possible:
        raise DataError(_no_direction(split, direction))
    queries, gallery = possible[direction]
    return replace(split, queries=split.views[queries], gallery=split.views[gallery], direction=direction)


def directions(views: Views) -> dict[str, tuple[str, str]]:
    """Every direction of these views, sorted, with the names of the views that ask and that are searched."""
    asking = {view: _part(views, QUERY, view) for view in sides(views)}
    searched = {view: _part(views, GALLERY, view) for view in sides(views)}
    return {
        f"{query}-{gallery}": (asking[query], searched[gallery])
        for query, gallery in permutations(sides(views), 2)
        if asking[query] in views and searched[gallery] in views
    }


def default_direction(views: Views) -> str | None:
    """The direction taken when none is asked for (see `from_views`); None where there is none."""
    possible = directions(views)
    return next((preferred for preferred in _PREFERRED if preferred in possible), next(iter(possible), None))


def sides(views: Views) -> list[str]:
    """The names of the views, sorted, one for the two parts of a view."""
    return sorted({view.removeprefix(QUERY).removeprefix(GALLERY) for view in views})


def counts(views: Views) -> tuple[ViewCount, ...]:
    """How many photos and places each view has."""
    return tuple(ViewCount(view, len(photos), len(_places(photos))) for view, photos in views.items())


def lacks(views: Views) -> tuple[Lack, ...]:
    """For each direction the places that could be asked about and have nothing in the gallery."""
    places = {view: _places(photos) for view, photos in views.items()}
    found = []
    for direction, (query, gallery) in directions(views).items():
        missing = sorted(places[query] - places[gallery])
        if missing:
            seen_from = query.removeprefix(QUERY)
            found.append(Lack(seen_from, direction.removeprefix(f"{seen_from}-"), tuple(missing)))
    return tuple(found)


def asked(split: Split) -> tuple[Photo, ...]:
    """The photos of a split that can be queries, whichever the direction."""
    if not split.views:
        return split.queries
    return tuple(photo for view, photos in split.views.items() if not view.startswith(GALLERY) for photo in photos)


def _part(views: Views, prefix: str, view: str) -> str:
    return prefix + view if prefix + view in views else view


def _places(photos: tuple[Photo, ...]) -> set[str]:
    return {str(photo.place) for photo in photos}


def _no_direction(split: Split, direction: str) -> str:
    if not split.views:
        return (
            f"Split {split.name!r} has no views to ask from, only {len(split.gallery)} gallery photos and "
            f"{len(split.queries)} queries; leave --direction out."
        )
    found = ", ".join(_described(split.views, view) for view in sides(split.views))
    best = default_direction(split.views)
    what = f"Split {split.name!r} has no direction {direction!r}; found: {found}"
    if best is None:
        return f"{what}; a view that asks and another that is searched are needed."
    return f"{what}; choose e.g. --direction {best}."


def _described(views: Views, view: str) -> str:
    """The view's name, and which part of it there is where there is only one."""
    if view in views or {QUERY + view, GALLERY + view} <= set(views):
        return view
    return f"{view} (queries only)" if QUERY + view in views else f"{view} (gallery only)"
