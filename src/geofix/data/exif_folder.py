"""Reader of a folder of photos, nested or not, whose positions are in their EXIF."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.errors import PhotoError
from geofix.files import is_folder
from geofix.photos import Photo, find_photos, photo_files, read_capture

LAYOUT = "exif-folder"
SPLIT = "all"
_LOOK_AT = 32  # photos that are opened to tell whether a folder has EXIF positions
_THREADS = 2  # reading headers waits for the disk more than for the processor


def found(path: Path) -> bool:
    """Whether `path` is a folder with photos at any depth."""
    return is_folder(path) and next(photo_files(path, []), None) is not None


def has_positions(path: Path) -> bool:
    """Whether any of a few photos, spread over the whole folder, has an EXIF position."""
    if not is_folder(path):
        return False
    files = find_photos(path, [])
    return any(_has_position(file) for file in files[:: max(1, len(files) // _LOOK_AT)])


def read(path: Path) -> Dataset:
    """One leave-one-out split "all" of every photo that can be opened; those without a position have None.

    Photos that cannot be opened are left out and become problems; damaged EXIF positions become problems,
    their photos stay.
    """
    closed: list[PhotoError] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        opened = list(pool.map(lambda file: _photo(path, file), find_photos(path, closed)))
    photos = tuple(photo for photo, _ in opened if photo is not None)
    problems = (*closed, *(problem for _, problem in opened if problem is not None))
    return Dataset(path, LAYOUT, {SPLIT: Split(SPLIT, photos, photos, leave_one_out=True)}, problems)


def _photo(root: Path, file: Path) -> tuple[Photo | None, PhotoError | None]:
    name = file.relative_to(root).as_posix()
    try:
        capture = read_capture(file)
    except PhotoError as error:
        return None, error
    photo = Photo(name, file).with_capture(capture)
    return photo, PhotoError(f"{name}: {capture.problem}") if capture.problem else None


def _has_position(file: Path) -> bool:
    try:
        return read_capture(file).position is not None
    except PhotoError:
        return False
