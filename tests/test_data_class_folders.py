"""The class-folders reader on generated folders and on real photos of countries."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofix.data import class_folders
from geofix.data.check import check
from geofix.data.layouts import open_dataset
from geofix.data.places import benchmark
from geofix.photos import save_jpeg
from toy_places import blobs, put
from toy_views import classes

JPEG = save_jpeg(blobs(0))


def test_a_pool_for_each_split(tmp_path: Path) -> None:
    assert class_folders.found(classes(tmp_path))
    dataset = class_folders.read(tmp_path)
    assert (dataset.layout, list(dataset.splits), dataset.problems) == ("class-folders", ["test", "train"], ())
    split = dataset.split("train")
    assert split.leave_one_out and split.gallery == split.queries == split.photos
    assert [(photo.name, photo.place) for photo in split.photos[1:3]] == [
        ("train/AU/image-01.jpg", "AU"),
        ("train/FR/image-00.jpg", "FR"),
    ]
    assert all(photo.group == photo.name for photo in dataset.photos)
    assert [rows.tolist() for rows in benchmark(split).relevant] == [[1], [0], [3], [2]]


def test_the_same_class_in_two_splits_is_no_leak(tmp_path: Path) -> None:
    report = check(class_folders.read(classes(tmp_path)))
    assert {leak.kind for leak in report.leaks} <= {"near-duplicate"}
    assert [split.queries_without_relevant for split in report.splits] == [0, 0]


def test_a_class_with_one_photo_cannot_be_found_again(tmp_path: Path) -> None:
    put(classes(tmp_path) / "train/IT/1.jpg", JPEG)
    report = check(class_folders.read(tmp_path))
    assert [(split.name, split.queries_without_relevant) for split in report.splits] == [("test", 0), ("train", 1)]


@pytest.mark.parametrize("names", [["train", "val", "test"], ["training", "validation", "testing"], ["Train"]])
def test_names_of_splits_are_kept(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name / "007" / "1.JPG", JPEG)
        put(tmp_path / name / "7" / "1.JPEG", JPEG)
    assert class_folders.found(tmp_path)
    dataset = class_folders.read(tmp_path)
    assert sorted(dataset.splits) == sorted(names)
    assert {photo.place for photo in dataset.photos} == {"007", "7"}


def test_empty_and_hidden_folders_do_not_matter(tmp_path: Path) -> None:
    root = classes(tmp_path)
    (root / "val").mkdir()
    (root / "train/IT").mkdir()
    put(root / ".cache/a/b/1.jpg", JPEG)
    put(root / "train/AU/readme.txt", b"hello")
    assert class_folders.found(root)
    assert sorted(class_folders.read(root).splits) == ["test", "train"]


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["train/1.jpg", "test/1.jpg"],  # plain places of odd names
        ["train/a/1.jpg", "bridge/a/1.jpg"],
        ["train/a/1.jpg", "train/1.jpg"],
        ["train/a/1.jpg", "1.jpg"],
        ["train/a/b/1.jpg", "train/a/1.jpg"],
        ["train/a/readme.txt"],
    ],
)
def test_other_folders_are_not_found(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name, JPEG)
    assert not class_folders.found(tmp_path)
    assert not class_folders.found(tmp_path / "1.jpg")


def test_countries(shared: Path) -> None:
    root = shared / "data" / "country_photos"
    if not root.is_dir():
        pytest.skip(f"no photos of countries at {root}")
    dataset = open_dataset(root)
    assert (dataset.layout, list(dataset.splits), dataset.problems) == ("class-folders", ["train"], ())
    assert (len(dataset.photos), len({photo.place for photo in dataset.photos})) == (1720, 28)
