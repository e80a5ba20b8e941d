"""Reader of class folders: <split>/<class>/*; the class of a photo is the name of its folder."""

from __future__ import annotations

from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.data.split_folders import is_split_name, subfolders
from geofix.errors import PhotoError
from geofix.photos import Photo, find_photos

LAYOUT = "class-folders"
_DEPTH = 3  # split, class, file


def found(path: Path) -> bool:
    """Whether every folder in `path` has a usual name of a split (train, val, test, validation, testing,
    training) and every photo lies exactly two folders deep. Other files, such as a table, may lie beside them.
    """
    folders = subfolders(path)
    if not folders or not all(is_split_name(folder.name) for folder in folders):
        return False
    return {len(file.relative_to(path).parts) for file in find_photos(path, [])} == {_DEPTH}


def found_splits(path: Path) -> bool:
    """Whether `path` is told by its structure alone: two splits or more, as `found` has them."""
    return len(subfolders(path)) > 1 and found(path)


def read(path: Path) -> Dataset:
    """A leave-one-out pool for each split; `place` is the class, and every photo stands for itself as a group."""
    closed: list[PhotoError] = []
    pools: dict[str, list[Photo]] = {}
    for file in find_photos(path, closed):
        split, label, _ = parts = file.relative_to(path).parts
        name = "/".join(parts)
        pools.setdefault(split, []).append(Photo(name, file, place=label, group=name))
    splits = {name: Split(name, tuple(pool), tuple(pool), leave_one_out=True) for name, pool in pools.items()}
    return Dataset(path, LAYOUT, splits, tuple(closed))
