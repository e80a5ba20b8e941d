"""verify: what is wrong with an atlas is found and named, and nothing else is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pytest

from geofix.atlas.store import Atlas, Entry
from geofix.atlas.verify import verify
from geofix.index import index
from geofix.models.runs import Run
from geofix.photos import Photo, save_jpeg
from geofix.positions import Position
from toy_places import blobs, put


@pytest.fixture
def atlas(tiny_run: Run, street: Path, tmp_path: Path) -> Atlas:
    return index([street], tiny_run, tmp_path / "atlas").atlas


def tampered(atlas: Atlas, path: str, **values: object) -> Atlas:
    """The atlas with a row changed behind geofix's back, opened anew."""
    table = lancedb.connect(str(atlas.folder)).open_table("photos")
    table.update(where=f"path LIKE '%{path}'", values=values)
    return Atlas.open(atlas.folder)


def test_a_whole_atlas(atlas: Atlas) -> None:
    assert verify(atlas) == []
    told: list[tuple[int, int]] = []
    assert verify(atlas, files=True, progress=lambda done, total: told.append((done, total))) == []
    assert told == [(number, 24) for number in range(1, 25)]


def test_a_descriptor_that_is_no_number(atlas: Atlas) -> None:
    """LanceDB itself refuses to write one, so it comes from memory here, as from a disk that forgot."""
    vectors = atlas.rows.vectors.copy()
    vectors[3, 5] = np.nan
    atlas.__dict__["rows"] = replace(atlas.rows, vectors=vectors)
    (problem,) = verify(atlas)
    assert f"{atlas.rows.paths[3]} has a descriptor that is no number; remove it and index it again" in str(problem)


@pytest.mark.parametrize("values", [{"lat": 95.0}, {"lon": float("nan")}, {"lat": 120.0, "lon": 52.0}])
def test_a_position_that_is_none(atlas: Atlas, values: dict[str, float]) -> None:
    (problem,) = verify(tampered(atlas, "003.jpg", **values))
    assert "003.jpg" in str(problem)


def test_a_photo_twice_in_the_table(atlas: Atlas) -> None:
    table = lancedb.connect(str(atlas.folder)).open_table("photos")
    table.add(table.to_arrow().slice(0, 2))
    (problem,) = verify(Atlas.open(atlas.folder))
    assert "2 photos are in the table more than once" in str(problem)


def test_files_that_changed_or_went_away(atlas: Atlas, street: Path) -> None:
    put(street / "002.jpg", save_jpeg(blobs(77)))
    (street / "005.jpg").unlink()
    (street / "006.jpg").write_bytes(b"")
    assert verify(atlas) == []
    problems = [str(problem) for problem in verify(atlas, files=True)]
    assert len(problems) == 3
    for name, what in (("002", "has changed since"), ("005", "does not exist"), ("006", "is empty")):
        assert any(f"{name}.jpg" in problem and what in problem for problem in problems)


def test_an_atlas_that_was_moved_is_still_whole(atlas: Atlas, tmp_path: Path) -> None:
    moved = Path(shutil.move(atlas.folder, tmp_path / "elsewhere"))
    assert verify(Atlas.open(moved), files=True) == []


def test_a_flipped_bit_in_the_table_is_noticed(tiny_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "atlas"
    atlas = Atlas.open_or_create(folder, tiny_run)
    vector = np.random.default_rng(0).normal(size=(3, atlas.length)).astype(np.float32)
    photos = [Photo(name, Path("/photos") / name, Position(52.0, 0.1)) for name in "abc"]
    atlas.put([Entry(photo, "hash", 1, 1) for photo in photos], vector)
    assert verify(Atlas.open(folder)) == []
    needle = vector[1, 10:14].tobytes()
    [file] = [file for file in (folder / "photos.lance" / "data").iterdir() if needle in file.read_bytes()]
    data = file.read_bytes()
    flipped = bytes([needle[0] ^ 1]) + needle[1:]
    file.write_bytes(data.replace(needle, flipped))
    problems = verify(Atlas.open(folder))
    assert [str(problem) for problem in problems] == [
        "/photos/b has a descriptor or position that changed on disk; remove it and index it again."
    ]
