"""The EXIF-folder reader on generated folders and on the real drone flight."""

from __future__ import annotations

from pathlib import Path

from geofix.data import exif_folder
from geofix.data.places import benchmark
from geofix.photos import find_photos, save_jpeg, with_gps
from geofix.positions import Position
from toy_places import blobs, put

HERE = Position(-41.29, 174.78)
JPEG = save_jpeg(blobs(0))


def test_positions_headings_and_times(tmp_path: Path) -> None:
    put(tmp_path / "a/b/1.jpg", with_gps(JPEG, HERE, 271.5, "2020-06-01T21:30:00"))
    put(tmp_path / "2.jpg", with_gps(JPEG, HERE.moved(90.0, 20.0)))
    put(tmp_path / "none.jpg", JPEG)
    assert exif_folder.found(tmp_path) and exif_folder.has_positions(tmp_path)
    dataset = exif_folder.read(tmp_path)
    assert not dataset.problems and dataset.layout == "exif-folder"
    photos = {photo.name: photo for photo in dataset.split("all").gallery}
    assert set(photos) == {"a/b/1.jpg", "2.jpg", "none.jpg"}
    first = photos["a/b/1.jpg"]
    assert first.position.metres_to(HERE) < 0.01
    assert (first.heading_deg, first.taken_at, first.source) == (271.5, "2020-06-01T21:30:00", "exif")
    assert photos["none.jpg"].position is None and photos["none.jpg"].source is None


def test_it_can_be_scored(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"{number}.jpg", with_gps(JPEG, HERE.moved(0.0, 20.0 * number)))
    mark = benchmark(exif_folder.read(tmp_path).split("all"))
    assert [rows.tolist() for rows in mark.relevant] == [[1], [0, 2], [1]]


def test_bad_files_are_problems(tmp_path: Path) -> None:
    put(tmp_path / "good.jpg", with_gps(JPEG, HERE))
    put(tmp_path / "empty.jpg", b"")
    put(tmp_path / "text.jpg", b"not a photo at all")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    damaged = with_gps(JPEG, HERE).replace(b"S\x00\x00\x00", b"?\x00\x00\x00")
    put(tmp_path / "nowhere.jpg", damaged)
    dataset = exif_folder.read(tmp_path)
    assert [photo.name for photo in dataset.photos] == ["good.jpg", "nowhere.jpg"]
    said = " ".join(str(problem) for problem in dataset.problems)
    assert len(dataset.problems) == 4
    for part in ("is empty (0 bytes)", "is no image", "leads nowhere", "nowhere.jpg: the EXIF position"):
        assert part in said


def test_a_folder_without_positions(tmp_path: Path) -> None:
    assert not exif_folder.found(tmp_path) and not exif_folder.has_positions(tmp_path)
    put(tmp_path / "1.jpg", JPEG)
    put(tmp_path / "2.jpg", b"broken")
    assert exif_folder.found(tmp_path) and not exif_folder.has_positions(tmp_path)
    assert not exif_folder.found(tmp_path / "1.jpg") and not exif_folder.has_positions(tmp_path / "1.jpg")


def test_drone_flight(shared: Path) -> None:
    root = shared / "data" / "drone_seneca"
    photos = exif_folder.read(root).photos
    assert len(photos) == len(find_photos(root)) == 85
    assert [photo.name for photo in photos if photo.position is None] == ["mosaic_preview.jpg"]
