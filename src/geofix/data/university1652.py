"""Reader of University-1652: train/{satellite,drone,street,google}/<id>/*, test/{query,gallery}_<view>/<id>/*."""

from __future__ import annotations

from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.data.split_folders import has_photos, loose_photos, read_views, subfolders, unused_folders
from geofix.data.views import GALLERY, QUERY
from geofix.errors import PhotoError
from geofix.files import is_folder

LAYOUT = "university-1652"
SPLITS = ("train", "val", "test")  # the release has no val; data of one's own in its structure may
_VIEWS = ("drone", "satellite", "street")
# The drone flights of the test split once more, in 4K: no protocol asks for them.
_LEFT_OUT = frozenset({"4K_drone"})
# Unreliable pictures from the web were removed and their folders kept (issue 36 of the dataset's repository);
# buildings that nobody photographed from the street have none either (issue 34).
_SPARSE = frozenset({"google", "street", f"{QUERY}street", f"{GALLERY}street"})


def found(path: Path) -> bool:
    """Whether `path`, or the folder `test` in it, has query_<view> or gallery_<view> folders with id folders."""
    test = _test_folder(path)
    return test is not None and has_photos(test)


def read(path: Path) -> Dataset:
    """The splits train, val and test, as many as there are; a folder that is one test split gives "test".

    The test split's views are in two parts, asked and searched; gallery ids that nobody asks about (distractors)
    stay in the gallery. The folder 4K_drone is left out without a word. Loose photos, empty folders (not those of
    google and street) and photos in other folders become problems.
    """
    folders = {"test": path} if _test_folder(path) == path else _split_folders(path)
    splits: dict[str, Split] = {}
    problems: list[PhotoError] = []
    for name, folder in folders.items():
        splits[name], found_problems = read_views(path, folder, name, left_out=_LEFT_OUT, sparse=_SPARSE)
        problems += found_problems
    if path not in folders.values():
        others = [folder for folder in subfolders(path) if folder.name not in SPLITS]
        problems += [*loose_photos(path, path), *unused_folders(others, ", ".join(SPLITS))]
    return Dataset(path, LAYOUT, splits, tuple(problems))


def _split_folders(path: Path) -> dict[str, Path]:
    return {name: path / name for name in SPLITS if is_folder(path / name)}


def _test_folder(path: Path) -> Path | None:
    return next((folder for folder in (path / "test", path) if _is_test(folder)), None)


def _is_test(folder: Path) -> bool:
    """Whether there are both parts of any views, or one part of a view that the release has."""
    names = {view.name for view in subfolders(folder) if subfolders(view)}
    known = {part + view for part in (QUERY, GALLERY) for view in _VIEWS}
    both = all(any(name.startswith(part) for name in names) for part in (QUERY, GALLERY))
    return both or not names.isdisjoint(known)
