"""The University-1652 reader on generated folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geofix.data import university1652
from geofix.data.places import Dataset, benchmark
from geofix.data.views import directed
from geofix.photos import save_jpeg
from toy_places import blobs, put
from toy_views import put_places, university

JPEG = save_jpeg(blobs(0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return university(tmp_path)


def problems(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems]


def test_train_and_test(root: Path) -> None:
    assert university1652.found(root)
    dataset = university1652.read(root)
    assert (dataset.layout, sorted(dataset.splits), dataset.problems) == ("university-1652", ["test", "train"], ())
    train, test = dataset.split("train"), dataset.split("test")
    assert {view: len(photos) for view, photos in train.views.items()} == {
        "drone": 9, "google": 3, "satellite": 3, "street": 3,
    }  # fmt: skip
    assert {view: len(photos) for view, photos in test.views.items()} == {
        "gallery_drone": 9, "gallery_satellite": 3, "gallery_street": 1,
        "query_drone": 6, "query_satellite": 2, "query_street": 1,
    }  # fmt: skip
    assert (len(train.queries), len(train.gallery), train.direction) == (9, 3, "drone-satellite")
    assert len(dataset.photos) == len({photo.name for photo in dataset.photos}) == 18 + 22


def test_photos_carry_the_id_as_it_is_written(root: Path) -> None:
    first = university1652.read(root).split("test").views["query_drone"][0]
    assert (first.name, first.place, first.group) == ("test/query_drone/0000/image-00.jpeg", "0000", "0000")
    assert first.path == root / first.name and first.path.is_file() and first.position is None


def test_both_directions_and_distractors(root: Path) -> None:
    test = university1652.read(root).split("test")
    mark = benchmark(test)
    assert [photo.place for photo in mark.gallery] == ["0000", "0007", "0101"]
    assert [rows.tolist() for rows in mark.relevant] == [[0], [0], [0], [1], [1], [1]]
    back = benchmark(directed(test, "satellite-drone"))
    assert [rows.tolist() for rows in back.relevant] == [[0, 1, 2], [3, 4, 5]]
    assert len(back.gallery) == 9
    street = benchmark(directed(test, "street-satellite"))
    assert (len(street.queries), len(street.gallery)) == (1, 3)


def test_the_test_folder_alone(root: Path) -> None:
    dataset = university1652.read(root / "test")
    assert university1652.found(root / "test")
    assert list(dataset.splits) == ["test"]
    assert dataset.photos[0].name == "gallery_drone/0000/image-00.jpeg"
    shutil.rmtree(root / "train")
    assert list(university1652.read(root).splits) == ["test"]


def test_empty_google_and_street_folders_are_meant(root: Path) -> None:
    for folder in ("train/google/1057", "train/street/1057", "test/gallery_street/0101"):
        (root / folder).mkdir()
    shutil.rmtree(root / "test/query_street")
    (root / "test/query_street").mkdir()
    dataset = university1652.read(root)
    assert dataset.problems == ()
    assert dataset.split("test").views["query_street"] == ()


def test_the_flights_in_4k_are_left_out(root: Path) -> None:
    put_places(root / "test/4K_drone", ["0000", "0007"])
    dataset = university1652.read(root)
    assert (len(dataset.photos), dataset.problems) == (40, ())


def test_empty_folders_of_other_views(root: Path) -> None:
    (root / "train/drone/0841").mkdir()
    shutil.rmtree(root / "test/gallery_satellite")
    (root / "test/gallery_satellite").mkdir()
    dataset = university1652.read(root)
    assert problems(dataset) == [
        "train/drone/0841 holds no photos; add those of this place, or remove the folder.",
        "test/gallery_satellite has no place folder with photos; test/gallery_satellite/<place-id>/* is expected.",
    ]
    assert dataset.split("test").direction == "drone-satellite"
    assert dataset.split("test").gallery == ()


def test_missing_sides(root: Path) -> None:
    for view in ("query_satellite", "gallery_drone", "query_street", "gallery_street"):
        shutil.rmtree(root / "test" / view)
    shutil.rmtree(root / "train/satellite")
    dataset = university1652.read(root)
    assert dataset.split("test").direction == "drone-satellite"
    assert dataset.split("train").direction == "drone-google"
    shutil.rmtree(root / "test/gallery_satellite")
    assert university1652.found(root)
    assert university1652.read(root).split("test").direction is None


def test_loose_photos_and_other_folders(root: Path) -> None:
    for name in ("cover.jpg", "test/map.PNG", "train/drone/extra.jpg", "extras/a/1.jpg", ".hidden/1.jpg"):
        put(root / name, JPEG)
    put(root / "readme.txt", b"hello")
    (root / "notes").mkdir()
    dataset = university1652.read(root)
    assert len(dataset.photos) == 40
    beside = "lies beside the place folders; move it into the folder of its place."
    assert sorted(problems(dataset)) == [
        f"cover.jpg {beside}",
        "extras holds photos but is none of train, val, test; they are left out.",
        f"test/map.PNG {beside}",
        f"train/drone/extra.jpg {beside}",
    ]


def test_ids_and_endings_as_they_are(tmp_path: Path) -> None:
    put_places(tmp_path / "test/query_drone", ["7", "0007", "000007"], suffix=".JPEG")
    put_places(tmp_path / "test/gallery_satellite", ["0007", "1001234"], suffix=".TIF")
    put_places(tmp_path / "val/drone", ["1"], suffix=".JPG")
    dataset = university1652.read(tmp_path)
    assert list(dataset.splits) == ["val", "test"]
    assert [len(rows) for rows in benchmark(dataset.split("test")).relevant] == [0, 1, 0]


def test_views_of_other_names_need_both_parts(tmp_path: Path) -> None:
    put_places(tmp_path / "query_balloon", ["1"])
    assert not university1652.found(tmp_path)
    put_places(tmp_path / "gallery_map", ["1"])
    assert university1652.found(tmp_path)
    assert university1652.read(tmp_path).split("test").direction == "balloon-map"


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["gallery_drone/1.jpg", "query_drone/2.jpg"],  # plain places of odd names
        ["train/drone/0001/1.jpg", "train/satellite/0001/1.jpg"],
        ["images/test/queries/1.jpg"],
        ["test/query_drone/0001/readme.txt"],
    ],
)
def test_other_folders_are_not_found(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name, JPEG)
    assert not university1652.found(tmp_path)
    assert not university1652.found(tmp_path / "gallery_drone/1.jpg")
