"""Reader of SUES-200, split ({Training,Testing}/<height>/<view>/<id>/*) or raw (drone_view_512/<id>/<height>/*)."""

from __future__ import annotations

from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.data.split_folders import has_photos, loose_photos, read_views, subfolders, view_photos
from geofix.data.views import from_views
from geofix.errors import PhotoError
from geofix.files import is_folder
from geofix.photos import Photo, find_photos

LAYOUT = "sues-200"
_PARTS = {"Training": "train", "Testing": "test"}
_DRONE, _SHORT_DRONE, _SATELLITE = "drone_view_512", "drone", "satellite-view"


def found(path: Path) -> bool:
    """Whether `path` has heights with views in Training or Testing, or drone photos by place and height."""
    folders = [*_split_folders(path).values(), *filter(None, [_raw_drone(path)])]
    return any(has_photos(folder) for folder in folders)


def read(path: Path) -> Dataset:
    """One split a height, as heights are trained and tested separately: train-150 and test-150, ..., or, of the
    raw data, all-150, ... with the same satellite photos in each.

    The gallery of a test split holds the train places too (distractors). Loose photos and empty folders become
    problems.
    """
    splits, problems = _read_split(path) if _split_folders(path) else _read_raw(path)
    return Dataset(path, LAYOUT, splits, (*loose_photos(path, path), *problems))


def _read_split(path: Path) -> tuple[dict[str, Split], list[PhotoError]]:
    splits: dict[str, Split] = {}
    problems = [problem for part in _PARTS for problem in loose_photos(path, path / part)]
    for name, folder in _split_folders(path).items():
        splits[name], found_problems = read_views(path, folder, name, series=folder.name)
        problems += found_problems
    return splits, problems


def _split_folders(path: Path) -> dict[str, Path]:
    """The folders of each part and height by split name."""
    return {
        f"{name}-{height.name}": height
        for part, name in _PARTS.items()
        for height in _heights(path / part)
        if subfolders(height)
    }


def _read_raw(path: Path) -> tuple[dict[str, Split], list[PhotoError]]:
    drone = _raw_drone(path)
    assert drone is not None
    by_height, problems = _by_height(path, drone)
    satellite, more = view_photos(path, path / _SATELLITE)
    splits = {
        f"all-{height}": from_views(f"all-{height}", {"drone": photos, "satellite": satellite}, series=height)
        for height, photos in sorted(by_height.items(), key=lambda item: int(item[0]))
    }
    return splits, problems + more


def _raw_drone(path: Path) -> Path | None:
    """The folder of drone photos by place and height. The short name alone could mean anything."""
    named = [path / _DRONE, *([path / _SHORT_DRONE] if is_folder(path / _SATELLITE) else [])]
    return next((folder for folder in named if any(_heights(place) for place in subfolders(folder))), None)


def _heights(folder: Path) -> list[Path]:
    """Sub-folders whose names are whole numbers, the lowest first."""
    return sorted((one for one in subfolders(folder) if one.name.isdecimal()), key=lambda one: int(one.name))


def _by_height(root: Path, drone: Path) -> tuple[dict[str, tuple[Photo, ...]], list[PhotoError]]:
    """The photos in <id>/<height>/* by height, and a problem for each photo that lies elsewhere."""
    photos: dict[str, list[Photo]] = {}
    problems: list[PhotoError] = []
    for file in find_photos(drone, problems):
        place, *deeper = file.relative_to(drone).parts
        name = file.relative_to(root).as_posix()
        if len(deeper) > 1 and deeper[0].isdecimal():
            photos.setdefault(deeper[0], []).append(Photo(name, file, place=place, group=place))
        else:
            problems.append(PhotoError(f"{name} lies beside the height folders; move it into <id>/<height>/."))
    return {height: tuple(found_photos) for height, found_photos in photos.items()}, problems
