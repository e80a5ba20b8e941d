"""Splits that lie in folders: their usual names, and what is in one that is made of views and places."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from geofix.data.places import Split
from geofix.data.views import from_views
from geofix.errors import PhotoError
from geofix.files import is_file
from geofix.photos import Photo, find_photos, is_photo, photo_files

SPLIT_NAMES = frozenset({"train", "training", "val", "validation", "test", "testing"})


def is_split_name(name: str) -> bool:
    """Whether a folder has a usual name of a split, in any case."""
    return name.lower() in SPLIT_NAMES


def subfolders(path: Path) -> list[Path]:
    """The folders directly in `path`, sorted, hidden ones left out; none where there is no folder to be read."""
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return [path / name for name in sorted(names)]


def has_photos(path: Path) -> bool:
    """Whether there is any photo below `path`."""
    return next(photo_files(path, []), None) is not None


def read_views(
    root: Path,
    folder: Path,
    name: str,
    *,
    left_out: frozenset[str] = frozenset(),
    sparse: frozenset[str] = frozenset(),
    series: str | None = None,
) -> tuple[Split, list[PhotoError]]:
    """The split that lies in `folder` as <view>/<place-id>/*, and its problems; see `view_photos`.

    Views named in `left_out` are not read; empty folders in those named in `sparse` are no problem.
    """
    views: dict[str, tuple[Photo, ...]] = {}
    problems = loose_photos(root, folder)
    for view in subfolders(folder):
        if view.name not in left_out:
            views[view.name], found = view_photos(root, view, sparse=view.name in sparse)
            problems += found
    return from_views(name, views, series), problems


def view_photos(root: Path, view: Path, *, sparse: bool = False) -> tuple[tuple[Photo, ...], list[PhotoError]]:
    """The photos of a view that lies as <place-id>/*, named from `root`; the id is place and group.

    Photos beside the id folders become problems, and so do folders without photos unless the view is `sparse`.
    """
    problems: list[PhotoError] = []
    files = [(file, file.relative_to(root).parts) for file in find_photos(view, problems)]
    at = len(view.relative_to(root).parts)
    photos = tuple(
        Photo("/".join(parts), file, place=parts[at], group=parts[at]) for file, parts in files if len(parts) > at + 1
    )
    if not problems and not sparse:  # a closed folder is no empty one
        problems += _empty_folders(root, view, {photo.place for photo in photos})
    return photos, problems + [_beside(root, file) for file, parts in files if len(parts) == at + 1]


def loose_photos(root: Path, folder: Path) -> list[PhotoError]:
    """A problem for each photo that lies in `folder` itself, or for a folder that may not be read."""
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        return [PhotoError(f"{folder} may not be read ({error.strerror}); change its permissions.")]
    return [_beside(root, file) for file in files if is_photo(file) and is_file(file)]


def unused_folders(folders: Iterable[Path], expected: str) -> list[PhotoError]:
    """A problem for each of these folders that holds photos or may not be read; `expected` would be used."""
    problems: list[PhotoError] = []
    for folder in folders:
        if next(photo_files(folder, problems), None) is not None:
            problems.append(PhotoError(f"{folder.name} holds photos but is none of {expected}; they are left out."))
    return problems


def _beside(root: Path, file: Path) -> PhotoError:
    return PhotoError(f"{_name(root, file)} lies beside the place folders; move it into the folder of its place.")


def _empty_folders(root: Path, view: Path, filled: set[str | None]) -> list[PhotoError]:
    if not filled:
        name = _name(root, view)
        return [PhotoError(f"{name} has no place folder with photos; {name}/<place-id>/* is expected.")]
    return [
        PhotoError(f"{_name(root, folder)} holds no photos; add those of this place, or remove the folder.")
        for folder in subfolders(view)
        if folder.name not in filled
    ]


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
