"""open_dataset: each layout is told by its structure, and what cannot be told is said in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import toy_places
import toy_views
from geofix.data.layouts import LAYOUTS, open_dataset
from geofix.errors import DataError
from geofix.photos import find_photos, save_jpeg, with_gps
from geofix.positions import Position
from toy_places import blobs, put

JPEG = save_jpeg(blobs(0))
TAGGED = with_gps(JPEG, Position(52.2, 0.1))


def deep_vg(root: Path) -> Path:
    return toy_places.write(root)


def geotag_csv(root: Path) -> Path:
    put(root / "a.jpg", JPEG)
    return put(root / "photos.csv", b"path,lat,lon\na.jpg,52.2,0.1\n")


def university_1652(root: Path) -> Path:
    return toy_views.university(root)


def sues_200(root: Path) -> Path:
    return toy_views.sues(root)


def plain_views(root: Path) -> Path:
    return toy_views.plain(root)


def class_folders(root: Path) -> Path:
    return toy_views.classes(root)


def plain_places(root: Path) -> Path:
    for place in "ab":
        put(root / place / "1.jpg", JPEG)
    return root


def exif_folder(root: Path) -> Path:
    for place in "ab":
        put(root / place / "1.jpg", TAGGED)
    return root


def bare_folder(root: Path) -> Path:
    return put(root / "1.jpg", JPEG).parent


MAKERS = (
    deep_vg, geotag_csv, university_1652, sues_200, plain_views, class_folders, plain_places, exif_folder,
)  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_each_layout_is_told(tmp_path: Path, make) -> None:
    assert open_dataset(make(tmp_path)).layout == make.__name__.replace("_", "-")


def test_every_layout_is_tested() -> None:
    assert {name for name, _, _ in LAYOUTS} == {make.__name__.replace("_", "-") for make in MAKERS}


@pytest.mark.parametrize("make", MAKERS)
def test_photo_names_are_unique_paths(tmp_path: Path, make) -> None:
    dataset = open_dataset(make(tmp_path))
    names = [photo.name for photo in dataset.photos]
    assert len(set(names)) == len(names) > 0
    images = tmp_path / "images" if make is deep_vg else tmp_path
    assert all(images / photo.name == photo.path for photo in dataset.photos)


def test_raw_photos_of_sues(tmp_path: Path) -> None:
    assert open_dataset(toy_views.raw_sues(tmp_path, "drone")).layout == "sues-200"


def geotagged(root: Path) -> Path:
    for file in find_photos(root):
        file.write_bytes(
            with_gps(file.read_bytes(), Position(52.2, 0.1)) if file.suffix != ".png" else file.read_bytes()
        )
    return root


@pytest.mark.parametrize("make", [university_1652, sues_200, plain_views])
def test_views_with_their_usual_names_are_told_in_spite_of_positions(tmp_path: Path, make) -> None:
    assert open_dataset(geotagged(make(tmp_path))).layout == make.__name__.replace("_", "-")


@pytest.mark.parametrize(
    "names",
    [
        ["train/AU/1.jpg", "train/NZ/1.jpg"],
        ["train/summer/1/1.jpg", "train/winter/1/1.jpg"],
        ["Paris/drone/May/1.jpg", "Paris/street/May/1.jpg"],
        ["2024/trip/day1/1.jpg", "2025/trip/day1/1.jpg"],
    ],
)
def test_a_geotagged_collection_is_told_by_its_positions(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name, TAGGED)
    assert open_dataset(tmp_path).layout == "exif-folder"


def test_classes_in_several_splits_are_told_in_spite_of_positions(tmp_path: Path) -> None:
    for name in ("train/AU/1.jpg", "test/AU/1.jpg"):
        put(tmp_path / name, TAGGED)
    assert open_dataset(tmp_path).layout == "class-folders"


@pytest.mark.parametrize("places", [("train", "test"), ("query_drone", "gallery_drone"), ("Training", "150")])
def test_plain_places_may_have_any_names(tmp_path: Path, places: tuple[str, str]) -> None:
    for place in places:
        put(tmp_path / place / "1.jpg", JPEG)
    assert open_dataset(tmp_path).layout == "plain-places"


def test_photos_without_positions_are_still_a_folder(tmp_path: Path) -> None:
    dataset = open_dataset(bare_folder(tmp_path))
    assert dataset.layout == "exif-folder" and dataset.photos[0].position is None


def test_options_reach_their_reader(tmp_path: Path) -> None:
    photos, table = bare_folder(tmp_path / "img"), put(tmp_path / "t.csv", b"path,lat,lon\n1.jpg,52.2,0.1\n")
    assert len(open_dataset(table, image_root=photos).photos) == 1
    cameras = plain_places(tmp_path / "cams")
    put(cameras / "a" / "night_1.jpg", JPEG)
    assert len(open_dataset(cameras, split_by_time=True).split("all").queries) == 1


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="plain-places; --images goes with a CSV"):
        open_dataset(plain_places(tmp_path / "a"), image_root=tmp_path)
    with pytest.raises(DataError, match="deep-vg; --day-night goes with"):
        open_dataset(deep_vg(tmp_path / "b"), split_by_time=True)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone does not exist"):
        open_dataset(tmp_path / "gone")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="a link that leads nowhere"):
        open_dataset(tmp_path / "link")


def test_what_holds_no_photos(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty; known structures"):
        open_dataset(tmp_path)
    put(tmp_path / "notes.txt", b"hello")
    put(tmp_path / ".hidden.jpg", JPEG)
    with pytest.raises(DataError, match=r"contains no photos \(only .hidden.jpg, notes.txt\); known"):
        open_dataset(tmp_path)
    put(tmp_path / "list.csv", b"path,lat,lon\n")
    with pytest.raises(DataError, match=r"if list.csv lists them, give that file"):
        open_dataset(tmp_path)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a single photo; known structures"):
        open_dataset(put(tmp_path / "a.jpg", JPEG))
    with pytest.raises(DataError, match=r"a file that ends in \.zip"):
        open_dataset(put(tmp_path / "a.zip", b"PK"))


@pytest.mark.parametrize(
    ("folder", "layout"),
    [
        ("vpr_cambridge", "deep-vg"),
        ("drone_seneca", "exif-folder"),
        ("daynight_webcams", "plain-places"),
        ("xview_univ1652_500", "plain-views"),
        ("country_photos", "class-folders"),
    ],
)
def test_real_folders(shared: Path, folder: str, layout: str) -> None:
    assert open_dataset(shared / "data" / folder).layout == layout


def test_readers_do_not_import_torch() -> None:
    code = "import sys, geofix.data.layouts, geofix.data.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
