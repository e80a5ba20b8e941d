"""Which on-disk layout a folder or table has, told by its structure, and the dataset it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geofix.data import (
    class_folders,
    deep_vg,
    exif_folder,
    geotag_csv,
    plain_places,
    plain_views,
    sues200,
    university1652,
)
from geofix.data.places import Dataset
from geofix.errors import DataError, first_few
from geofix.files import AnyPath, is_file, is_folder, path_if
from geofix.photos import is_photo, photo_files

# names listed when a structure is not understood


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may say beyond the path: where a table's photos lie; whether night is split from day."""

    image_root: Path | None = None
    split_by_time: bool = False


Layout = tuple[str, Callable[[Path], bool], Callable[[Path, Options], Dataset]]

# The first that finds itself wins. EXIF positions go before plain places: a geotagged collection sorted into
# folders is told by them. Views with their usual names and classes in two splits or more go before both:
# drones and phones write positions into photos that are labelled otherwise.
LAYOUTS: tuple[Layout, ...] = (
    (deep_vg.LAYOUT, deep_vg.found, lambda path, _: deep_vg.read(path)),
    (geotag_csv.LAYOUT, geotag_csv.found, lambda path, asked: geotag_csv.read(path, asked.image_root)),
    (university1652.LAYOUT, university1652.found, lambda path, _: university1652.read(path)),
    (sues200.LAYOUT, sues200.found, lambda path, _: sues200.read(path)),
    (plain_views.LAYOUT, plain_views.found_by_names, lambda path, _: plain_views.read(path)),
    (class_folders.LAYOUT, class_folders.found_splits, lambda path, _: class_folders.read(path)),
    (exif_folder.LAYOUT, exif_folder.has_positions, lambda path, _: exif_folder.read(path)),
    (plain_views.LAYOUT, plain_views.found, lambda path, _: plain_views.read(path)),
    (class_folders.LAYOUT, class_folders.found, lambda path, _: class_folders.read(path)),
    (
        plain_places.LAYOUT,
        plain_places.found,
        lambda path, asked: plain_places.read(path, split_by_time=asked.split_by_time),
    ),
    (exif_folder.LAYOUT, exif_folder.found, lambda path, _: exif_folder.read(path)),
)
KNOWN = (
    "images/<split>/{database,queries}/@...@.jpg (deep-VG), a CSV with path, lat and lon columns, "
    "test/{query,gallery}_<view>/<id>/*.jpg (University-1652), {Training,Testing}/<height>/<view>/<id>/*.jpg "
    "(SUES-200), <split>/<view>/<place-id>/*.jpg (plain views), <split>/<class>/*.jpg (class folders), "
    "<place-id>/*.jpg (plain places) or a folder of photos with EXIF positions"
)


def open_dataset(path: AnyPath, *, image_root: AnyPath | None = None, split_by_time: bool = False) -> Dataset:
    """The dataset at `path`, a folder or a CSV, read by the first layout that finds itself there.

    Raises DataError when there is nothing, no photo, no known structure, or an option that does not fit the
    layout.
    """
    path = Path(path)
    _refuse_missing(path)
    for name, found, read in LAYOUTS:
        if found(path):
            options = Options(path_if(image_root), split_by_time)
            _refuse_unfitting(path, name, options)
            return read(path, options)
    raise DataError(_nothing_found(path))


def _refuse_missing(path: Path) -> None:
    if not (is_file(path) or is_folder(path)):
        what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise DataError(f"{path} {what}; give a folder of photos or a CSV.")


def _refuse_unfitting(path: Path, layout: str, options: Options) -> None:
    if options.image_root is not None and layout != geotag_csv.LAYOUT:
        raise DataError(f"{path} is {layout}; --images goes with a CSV only, leave it out.")
    if options.split_by_time and layout != plain_places.LAYOUT:
        raise DataError(f"{path} is {layout}; --day-night goes with plain places (<place-id>/*) only.")


def _nothing_found(path: Path) -> str:
    if is_file(path):
        what = "is a single photo" if is_photo(path) else f"is a file that ends in {path.suffix or 'nothing'}"
        return f"{path} {what}; known structures are {KNOWN}."
    names = sorted(child.name for child in path.iterdir())
    if not names:
        return f"{path} is empty; known structures are {KNOWN}."
    tables = [name for name in names if name.lower().endswith(geotag_csv.SUFFIXES)]
    seen = first_few(names)
    if next(photo_files(path, []), None) is None:
        hint = f"if {tables[0]} lists them, give that file" if tables else f"known structures are {KNOWN}"
        return f"{path} contains no photos (only {seen}); {hint}."
    return f"The structure of {path} is not understood (it holds {seen}); known structures are {KNOWN}."
