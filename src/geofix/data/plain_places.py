"""Reader of plain places: <place-id>/*, no coordinates; photos of the same folder show the same place."""

from __future__ import annotations

from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.errors import DataError, PhotoError
from geofix.files import is_folder
from geofix.photos import Photo, find_photos

LAYOUT = "plain-places"
SPLIT = "all"
TIMES_OF_DAY = ("day", "night")  # file name prefixes, before an underscore


def found(path: Path) -> bool:
    """Whether `path` holds at least two folders with photos, and none with photos further down."""
    if not is_folder(path):
        return False
    depths = [photo.relative_to(path).parts for photo in find_photos(path, [])]
    folders = {parts[0] for parts in depths if len(parts) == 2}
    return len(folders) >= 2 and all(len(parts) <= 2 for parts in depths)


def read(path: Path, *, split_by_time: bool = False) -> Dataset:
    """One split "all": a leave-one-out pool, or with `split_by_time` night photos (`night_...`) as queries
    among all others. Photos beside the place folders become problems. Raises DataError when nothing is left
    on one side.
    """
    closed: list[PhotoError] = []
    files = find_photos(path, closed)
    photos = tuple(_photo(path, file) for file in files if file.parent != path)
    loose = tuple(_beside(file) for file in files if file.parent == path)
    split = _by_time(path, photos) if split_by_time else Split(SPLIT, photos, photos, leave_one_out=True)
    return Dataset(path, LAYOUT, {SPLIT: split}, (*closed, *loose))


def _photo(root: Path, file: Path) -> Photo:
    place = file.parent.relative_to(root).as_posix()
    time_of_day = next((prefix for prefix in TIMES_OF_DAY if file.name.lower().startswith(f"{prefix}_")), None)
    return Photo(file.relative_to(root).as_posix(), file, place=place, group=place, condition=time_of_day)


def _beside(file: Path) -> PhotoError:
    return PhotoError(f"{file.name} lies beside the place folders; move it into the folder of its place.")


def _by_time(path: Path, photos: tuple[Photo, ...]) -> Split:
    night = tuple(photo for photo in photos if photo.condition == "night")
    other = tuple(photo for photo in photos if photo.condition != "night")
    if not night or not other:
        raise DataError(
            f"{path} has {len(night)} photos named night_... and {len(other)} others; --day-night "
            "needs both, rename the files or leave it out."
        )
    return Split(SPLIT, gallery=other, queries=night)
