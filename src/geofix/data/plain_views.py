"""Reader of plain views: <split>/<view>/<place-id>/*; photos with the same id show the same place."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.data.split_folders import (
    has_photos,
    is_split_name,
    loose_photos,
    read_views,
    subfolders,
    unused_folders,
)
from geofix.errors import PhotoError

LAYOUT = "plain-views"
KNOWN_VIEWS = frozenset({"drone", "satellite", "street", "ground", "aerial", "panorama"})


def found_by_names(path: Path) -> bool:
    """Whether a folder in `path` has the usual name of a split, and two folders in it those of known views."""
    return any(
        is_split_name(split.name) and _has_known_views(split) and has_photos(split) for split in subfolders(path)
    )


def found(path: Path) -> bool:
    """Whether two folders in a folder of `path` have names of known views, or, in one with the usual name of a
    split, an id folder in common.
    """
    return any(_is_split(folder) and has_photos(folder) for folder in subfolders(path))


def read(path: Path) -> Dataset:
    """Every folder with known views, or with the usual name of a split even where it lacks a view.

    Ids are compared as they are written, 0007 is not 7. Loose photos, empty folders and photos in other folders
    become problems.
    """
    splits: dict[str, Split] = {}
    problems: list[PhotoError] = loose_photos(path, path)
    others = []
    for folder in subfolders(path):
        if _has_known_views(folder) or (is_split_name(folder.name) and _id_folders(folder)):
            splits[folder.name], found_problems = read_views(path, folder, folder.name)
            problems += found_problems
        else:
            others.append(folder)
    problems += unused_folders(others, "the splits (<split>/<view>/<place-id>/*)")
    return Dataset(path, LAYOUT, splits, tuple(problems))


def _is_split(folder: Path) -> bool:
    return _has_known_views(folder) or (is_split_name(folder.name) and _has_common_ids(folder))


def _has_known_views(folder: Path) -> bool:
    ids = _id_folders(folder)
    return len(KNOWN_VIEWS & ids.keys()) >= 2 and any(ids.values())


def _has_common_ids(folder: Path) -> bool:
    return any(one & other for one, other in combinations(_id_folders(folder).values(), 2))


def _id_folders(folder: Path) -> dict[str, set[str]]:
    """The names of the id folders by view."""
    return {view.name: {place.name for place in subfolders(view)} for view in subfolders(folder)}
