"""The SUES-200 reader on generated folders, split and raw."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geofix.data import sues200
from geofix.data.check import check
from geofix.data.places import Dataset, benchmark
from geofix.data.views import directed
from geofix.photos import save_jpeg
from toy_places import blobs, put
from toy_views import put_places, raw_sues, sues

JPEG = save_jpeg(blobs(0))


def problems(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems]


def test_a_split_for_each_height(tmp_path: Path) -> None:
    assert sues200.found(sues(tmp_path))
    dataset = sues200.read(tmp_path)
    assert (dataset.layout, dataset.problems) == ("sues-200", ())
    assert list(dataset.splits) == ["train-150", "train-200", "test-150", "test-200"]
    test = dataset.split("test-200")
    assert (test.series, test.direction, len(test.queries), len(test.gallery)) == ("200", "drone-satellite", 2, 3)
    first = test.queries[0]
    assert (first.name, first.place) == ("Testing/200/query_drone/0003/image-00.jpg", "0003")
    back = benchmark(directed(test, "satellite-drone"))
    assert [rows.tolist() for rows in back.relevant] == [[4, 5]]
    assert len(dataset.photos) == len({photo.name for photo in dataset.photos}) == 2 * (6 + 3 + 9)


def test_train_places_among_the_distractors_are_no_leak(tmp_path: Path) -> None:
    report = check(sues200.read(sues(tmp_path)))
    assert [leak for leak in report.leaks if leak.kind == "place"] == []
    put_places(tmp_path / "Testing/150/query_drone", ["0002"])
    (leak,) = (leak for leak in check(sues200.read(tmp_path)).leaks if leak.kind == "place")
    assert (leak.between, leak.count) == (("train-150", "test-150"), 1)


def test_heights_are_not_compared(tmp_path: Path) -> None:
    pairs = {leak.between for leak in check(sues200.read(raw_sues(tmp_path))).leaks}
    assert pairs == set()


@pytest.mark.parametrize("drone", ["drone_view_512", "drone"])
def test_raw(tmp_path: Path, drone: str) -> None:
    assert sues200.found(raw_sues(tmp_path, drone))
    dataset = sues200.read(tmp_path)
    assert (list(dataset.splits), dataset.problems) == (["all-50", "all-150", "all-200"], ())
    split = dataset.split("all-50")
    assert (split.direction, split.series) == ("drone-satellite", "50")
    assert [photo.name for photo in split.queries[:2]] == [f"{drone}/0001/50/image-0{n}.jpg" for n in (0, 1)]
    assert [photo.name for photo in split.gallery] == [f"satellite-view/000{n}/image-00.png" for n in (1, 2, 3)]
    assert [rows.tolist() for rows in benchmark(split).relevant] == [[0], [0], [1], [1], [2], [2]]
    assert len(dataset.photos) == 3 * 3 * 2 + 3  # the satellite photos of all heights are the same


def test_raw_without_satellite(tmp_path: Path) -> None:
    raw_sues(tmp_path)
    shutil.rmtree(tmp_path / "satellite-view")
    assert sues200.found(tmp_path)
    dataset = sues200.read(tmp_path)
    assert problems(dataset) == [
        "satellite-view has no place folder with photos; satellite-view/<place-id>/* is expected."
    ]
    assert dataset.split("all-150").gallery == ()
    (tmp_path / "drone_view_512").rename(tmp_path / "drone")
    assert not sues200.found(tmp_path)


def test_raw_places_that_lack_a_height(tmp_path: Path) -> None:
    raw_sues(tmp_path)
    shutil.rmtree(tmp_path / "drone_view_512/0002/150")
    put_places(tmp_path / "drone_view_512/12", ["150"], suffix=".JPG")
    (split,) = (split for split in check(sues200.read(tmp_path)).splits if split.name == "all-150")
    assert [(lack.seen_from, lack.unseen_from, lack.places) for lack in split.lacks] == [
        ("drone", "satellite", ("12",)),
        ("satellite", "drone", ("0002",)),
    ]


def test_photos_beside_the_heights(tmp_path: Path) -> None:
    raw_sues(tmp_path)
    for name in ("1.jpg", "0001/1.jpg", "0001/high/1.jpg"):
        put(tmp_path / "drone_view_512" / name, JPEG)
    put(tmp_path / "satellite-view/1.jpg", JPEG)
    put(tmp_path / "cover.jpg", JPEG)
    beside, lost = "lies beside the height folders; move it into <id>/<height>/.", "lies beside the place folders"
    found = problems(sues200.read(tmp_path))
    assert found[0].startswith(f"cover.jpg {lost}")
    assert found[1:4] == [f"drone_view_512/{name} {beside}" for name in ("0001/1.jpg", "0001/high/1.jpg", "1.jpg")]
    assert found[4].startswith(f"satellite-view/1.jpg {lost}")


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    sues(tmp_path)
    shutil.rmtree(tmp_path / "Testing/200")
    shutil.rmtree(tmp_path / "Training/150/satellite")
    (tmp_path / "Training/150/satellite").mkdir()
    (tmp_path / "Training/200/drone/0009").mkdir()
    (tmp_path / "Training/250").mkdir()
    put(tmp_path / "Training/1.jpg", JPEG)
    dataset = sues200.read(tmp_path)
    assert list(dataset.splits) == ["train-150", "train-200", "test-150"]
    assert [text.split(" ", 1)[0] for text in problems(dataset)] == [
        "Training/1.jpg",
        "Training/150/satellite",
        "Training/200/drone/0009",
    ]
    assert dataset.split("train-150").gallery == ()


def test_the_split_wins_over_the_raw_data_beside_it(tmp_path: Path) -> None:
    assert "train-150" in sues200.read(raw_sues(sues(tmp_path))).splits


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["Training/drone/0001/1.jpg"],
        ["Training/150/1.jpg", "Testing/150/1.jpg"],  # class folders
        ["drone/0001/150/1.jpg"],
        ["drone_view_512/0001/1.jpg", "satellite-view/0001/1.jpg"],
        ["Training/150/drone/0001/readme.txt"],
    ],
)
def test_other_folders_are_not_found(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name, JPEG)
    assert not sues200.found(tmp_path)
