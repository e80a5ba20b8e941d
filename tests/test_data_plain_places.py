"""The plain-places reader on generated folders and on the real webcams."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofix.data import plain_places
from geofix.data.places import benchmark
from geofix.errors import DataError
from geofix.photos import save_jpeg
from toy_places import blobs, put

JPEG = save_jpeg(blobs(0))


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    for name in (
        "cam1/day_1.jpg",
        "cam1/night_1.jpg",
        "cam1/night_2.jpg",
        "cam2/day_1.jpg",
        "cam2/Night_1.jpg",
    ):
        put(tmp_path / name, JPEG)
    put(tmp_path / "distractor/day_7.jpg", JPEG)
    return tmp_path


def test_one_pool(cameras: Path) -> None:
    assert plain_places.found(cameras)
    dataset = plain_places.read(cameras)
    split = dataset.split("all")
    assert (dataset.layout, split.leave_one_out, len(dataset.photos)) == ("plain-places", True, 6)
    assert {(photo.place, photo.group, photo.position) for photo in split.gallery} == {
        (name, name, None) for name in ("cam1", "cam2", "distractor")
    }
    relevant = dict(zip((photo.name for photo in split.queries), benchmark(split).relevant, strict=True))
    assert relevant["cam1/day_1.jpg"].tolist() == [1, 2]
    assert relevant["distractor/day_7.jpg"].tolist() == []


def test_night_against_the_rest(cameras: Path) -> None:
    split = plain_places.read(cameras, split_by_time=True).split("all")
    assert [photo.name for photo in split.queries] == [
        "cam1/night_1.jpg",
        "cam1/night_2.jpg",
        "cam2/Night_1.jpg",
    ]
    assert [photo.name for photo in split.gallery] == [
        "cam1/day_1.jpg",
        "cam2/day_1.jpg",
        "distractor/day_7.jpg",
    ]
    assert [rows.tolist() for rows in benchmark(split).relevant] == [[0], [0], [1]]


def test_without_night_photos_there_is_nothing_to_split(tmp_path: Path) -> None:
    put(tmp_path / "a/day_1.jpg", JPEG)
    put(tmp_path / "b/1.jpg", JPEG)
    with pytest.raises(DataError, match=r"0 photos named night_\.\.\. and 2 others"):
        plain_places.read(tmp_path, split_by_time=True)


def test_loose_photos_are_problems(cameras: Path) -> None:
    put(cameras / "overview.jpg", JPEG)
    assert plain_places.found(cameras)
    dataset = plain_places.read(cameras)
    assert len(dataset.photos) == 6
    assert "overview.jpg lies beside the place folders" in str(dataset.problems[0])


@pytest.mark.parametrize("names", [["a/1.jpg"], ["a/1.jpg", "b/c/1.jpg", "d/1.jpg"], ["1.jpg"], []])
def test_other_folders_are_not_found(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name, JPEG)
    assert not plain_places.found(tmp_path)
    assert not plain_places.found(tmp_path / "a/1.jpg")


def test_webcams(shared: Path) -> None:
    root = shared / "data" / "daynight_webcams"
    assert plain_places.found(root)
    split = plain_places.read(root, split_by_time=True).split("all")
    assert len(split.gallery) + len(split.queries) == len(plain_places.read(root).photos) == 213
    mark = benchmark(split)
    assert {query.place for query, rows in zip(mark.queries, mark.relevant, strict=True) if not len(rows)} == {
        "distractor1"
    }
