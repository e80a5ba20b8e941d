"""The plain-views reader on generated folders and on real pairs of drone and satellite photos."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from conftest import as_nobody
from geofix.data import plain_views
from geofix.data.layouts import open_dataset
from geofix.data.places import Dataset, benchmark
from geofix.data.views import directed
from geofix.photos import save_jpeg
from toy_places import blobs, put
from toy_views import plain, put_places

JPEG = save_jpeg(blobs(0))


def problems(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems]


def test_splits_and_views(tmp_path: Path) -> None:
    assert plain_views.found(plain(tmp_path)) and plain_views.found_by_names(tmp_path)
    dataset = plain_views.read(tmp_path)
    assert (dataset.layout, list(dataset.splits), dataset.problems) == ("plain-views", ["train", "val"], ())
    train = dataset.split("train")
    assert (train.direction, len(train.queries), len(train.gallery), len(train.photos)) == ("drone-satellite", 3, 3, 6)
    first = train.queries[0]
    assert (first.name, first.place, first.group) == ("train/drone/0001/image-00.jpg", "0001", "0001")
    assert [rows.tolist() for rows in benchmark(train).relevant] == [[0], [1], [2]]


def test_ids_are_compared_as_they_are_written(tmp_path: Path) -> None:
    put_places(tmp_path / "test/drone", ["7", "0007", "church"], suffix=".JPG")
    put_places(tmp_path / "test/satellite", ["0007", "church", "12345678"], suffix=".PNG")
    split = plain_views.read(tmp_path).split("test")
    assert [photo.place for photo in split.queries] == ["0007", "7", "church"]
    assert [len(rows) for rows in benchmark(split).relevant] == [1, 0, 1]


def test_photos_further_down_belong_to_the_id(tmp_path: Path) -> None:
    put(plain(tmp_path) / "train/drone/0001/2024/May/1.jpg", JPEG)
    names = {photo.name: photo.place for photo in plain_views.read(tmp_path).split("train").queries}
    assert names["train/drone/0001/2024/May/1.jpg"] == "0001"


def test_missing_sides(tmp_path: Path) -> None:
    plain(tmp_path)
    shutil.rmtree(tmp_path / "val/satellite")
    put_places(tmp_path / "test/street", ["0008"])
    dataset = plain_views.read(tmp_path)
    assert list(dataset.splits) == ["test", "train", "val"]
    val = dataset.split("val")
    assert (val.direction, len(val.gallery), val.queries) == (None, 2, ())
    assert dataset.problems == ()


def test_empty_folders(tmp_path: Path) -> None:
    plain(tmp_path)
    shutil.rmtree(tmp_path / "val/satellite")
    (tmp_path / "val/satellite").mkdir()
    (tmp_path / "train/drone/0009").mkdir()
    dataset = plain_views.read(tmp_path)
    assert problems(dataset) == [
        "train/drone/0009 holds no photos; add those of this place, or remove the folder.",
        "val/satellite has no place folder with photos; val/satellite/<place-id>/* is expected.",
    ]
    assert dataset.split("val").views["satellite"] == ()
    assert dataset.split("val").direction == "drone-satellite"


def test_loose_photos_and_other_folders(tmp_path: Path) -> None:
    plain(tmp_path)
    for name in ("cover.jpg", "train/map.TIFF", "train/drone/extra.jpg", "sheets/1.jpg"):
        put(tmp_path / name, JPEG)
    put(tmp_path / "train/readme.txt", b"hello")
    dataset = plain_views.read(tmp_path)
    assert len(dataset.photos) == 10
    beside = "lies beside the place folders; move it into the folder of its place."
    assert sorted(problems(dataset)) == [
        f"cover.jpg {beside}",
        "sheets holds photos but is none of the splits (<split>/<view>/<place-id>/*); they are left out.",
        f"train/drone/extra.jpg {beside}",
        f"train/map.TIFF {beside}",
    ]


def test_a_closed_folder_is_a_problem_and_no_empty_one() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = plain(Path(name))
        root.chmod(0o755)
        closed = [root / "train/drone/0002", root / "val/drone"]
        for folder in closed:
            folder.chmod(0)
        try:
            with as_nobody():
                dataset = plain_views.read(root)
        finally:
            for folder in closed:
                folder.chmod(0o755)
    assert [text.split(" (")[0] for text in problems(dataset)] == [f"{folder} may not be read" for folder in closed]
    assert len(dataset.photos) == 7


def test_a_split_folder_that_is_closed() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = plain(Path(name))
        (root / "test").mkdir()
        root.chmod(0o755)
        (root / "train").chmod(0)
        try:
            with as_nobody():
                dataset = plain_views.read(root)
        finally:
            (root / "train").chmod(0o755)
    assert [text.split(" (")[0] for text in problems(dataset)] == [f"{root / 'train'} may not be read"]
    assert list(dataset.splits) == ["val"]


@pytest.mark.parametrize(
    ("names", "by_names", "at_all"),
    [
        (["fold1/drone/1/a.jpg", "fold1/satellite/1/a.jpg"], False, True),
        (["train/summer/1/a.jpg", "train/winter/1/a.jpg"], False, True),
        (["train/drone/1/a.jpg", "train/satellite/2/a.jpg"], True, True),
        (["Validation/drone/1/a.jpg", "Validation/street/2/a.jpg"], True, True),
        (["fold1/summer/1/a.jpg", "fold1/winter/1/a.jpg"], False, False),
        (["train/animals/cats/a.jpg", "train/tools/saws/a.jpg"], False, False),
        (["train/drone/1/a.jpg"], False, False),
        (["train/drone/a.jpg", "train/satellite/a.jpg"], False, False),
        (["drone/0001/150/a.jpg", "drone/0002/150/a.jpg"], False, False),
        (["a/1.jpg", "b/1.jpg"], False, False),
        (["train/drone/1/readme.txt", "train/satellite/1/readme.txt"], False, False),
        ([], False, False),
    ],
)
def test_what_is_found(tmp_path: Path, names: list[str], by_names: bool, at_all: bool) -> None:
    for name in names:
        put(tmp_path / name, JPEG)
    assert (plain_views.found_by_names(tmp_path), plain_views.found(tmp_path)) == (by_names, at_all)
    assert not plain_views.found(tmp_path / "readme.txt")


def test_real_pairs(shared: Path) -> None:
    root = shared / "data" / "xview_univ1652_500"
    if not root.is_dir():
        pytest.skip(f"no drone and satellite pairs at {root}")
    dataset = open_dataset(root)
    assert (dataset.layout, dataset.problems) == ("plain-views", ())
    for name, places in (("train", 300), ("val", 100)):
        for direction in ("drone-satellite", "satellite-drone"):
            mark = benchmark(directed(dataset.split(name), direction))
            assert (len(mark.queries), len(mark.gallery), mark.answerable) == (places, places, places)
            assert len(set(mark.clusters)) == places
