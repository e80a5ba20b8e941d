"""Reader of class folders: <split>/<class>/*; the class of a photo is the name of its folder.

A table beside the folders that lists the photos gives what it knows of them: positions, scenes, who took them, and
which are of one location or sequence and so not independent.
"""

from __future__ import annotations

from pathlib import Path

from geofix.data import geotag_csv
from geofix.data.places import Dataset, Split
from geofix.data.split_folders import is_split_name, subfolders
from geofix.errors import DataError, PhotoError
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
    """A leave-one-out pool for each split; `place` is the class. A photo stands for itself as a group, unless a table
    beside the folders names another (`table_beside`).
    """
    problems: list[PhotoError] = []
    pools: dict[str, list[Photo]] = {}
    files = find_photos(path, problems)
    names = {file: file.relative_to(path).as_posix() for file in files}
    listed = table_beside(path, set(names.values()))
    for file, name in names.items():
        split, label, _ = file.relative_to(path).parts
        pools.setdefault(split, []).append(_photo(name, file, label, listed.get(name)))
    splits = {name: Split(name, tuple(pool), tuple(pool), leave_one_out=True) for name, pool in pools.items()}
    return Dataset(path, LAYOUT, splits, tuple(problems))


def table_beside(path: Path, names: set[str]) -> dict[str, geotag_csv.Row]:
    """The rows, by photo, of the first table directly in `path` that lists at least half of the photos `names`.

    Tables of something else are left alone; no table is no problem.
    """
    for file in sorted(path.iterdir()):
        if not geotag_csv.found(file):
            continue
        try:
            rows = {row.path: row for row in geotag_csv.read_table(file).rows}
        except DataError:
            continue
        if 2 * len(names & rows.keys()) >= len(names) > 0:
            return rows
    return {}


def _photo(name: str, file: Path, label: str, row: geotag_csv.Row | None) -> Photo:
    if row is None:
        return Photo(name, file, place=label, group=name)
    return Photo(
        name,
        file,
        row.position,
        heading_deg=row.heading_deg,
        taken_at=row.taken_at,
        place=label,
        group=row.sequence or row.author or name,
        author=row.author,
        source="csv",
        scene=row.scene,
    )
