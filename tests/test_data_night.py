"""A dataset by night: every reader finds the nights where the days were, and a killed run leaves nothing half."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from conftest import as_nobody, write_street
from geofix import files
from geofix.cli import run
from geofix.data import class_folders, deep_vg, exif_folder, geotag_csv, plain_places, plain_views
from geofix.data.layouts import open_dataset
from geofix.data.nights import RECORD, night_name, photo_seed, translated
from geofix.errors import DataError, PhotoError, StorageError, UsageError
from geofix.night.simple import SimpleNight, simple_night
from geofix.night.translators import Translator, simple, stretched
from geofix.photos import read_capture, read_pixels, save_jpeg, save_png, with_gps
from geofix.positions import Position
from toy_places import blobs, put

Captured = pytest.CaptureFixture[str]
Name = Callable[[Path], Path]


def dark(pixels: np.ndarray, seed: int) -> np.ndarray:
    return (pixels // 4 + seed % 16).astype(np.uint8)


DARK = Translator("dark", "1", dark)


def photo(number: int) -> bytes:
    return save_jpeg(blobs(number))


# -- layouts ------------------------------------------------------------------------------------------------------


def write_deep_vg(root: Path) -> Path:
    for number in range(6):
        split, role = ("train", "val")[number % 2], ("database", "queries")[number // 4]
        stem = f"@0303{number}84.69@5787755.53@31@U@@@pano{number}@0@{30 * number}@@@@20200{number + 1}01@day@"
        suffix = ".png" if number == 1 else ".jpg"
        put(root / "images" / split / role / "deeper" / f"{stem}{suffix}", photo(number))
    put(root / "images" / "train" / "queries" / "@1@2@31@U@.jpg", photo(9))  # its UTM position is nowhere
    return root


def write_table(root: Path) -> Path:
    lines = ["image;lat;lon;sequence;heading;split;remark"]
    for number in range(4):
        put(root / "photos" / f"{number}.jpg", photo(number))
        lines.append(f'photos\\{number}.jpg;{50 + number / 7!r};-{number / 3!r};s{number % 2};{number};train;"a; b"')
    return put(root / "photos.csv", "\n".join(lines).encode()).parent


def write_places(root: Path) -> Path:
    for place in ("bridge", "church"):
        for time in ("day", "night"):
            put(root / place / f"{time}_1.jpg", photo(len(place) + len(time)))
    return root


def write_classes(root: Path) -> Path:
    for number, name in enumerate(["train/AU/1", "train/FR/1", "test/FR/2"]):
        put(root / f"{name}.jpg", photo(number))
    put(root / "photos.csv", b"file,lat,lon\ntrain/AU/1.jpg,-33.5,150.25\ntest/FR/2.jpg,48.5,2.5\n")
    return root


def write_views(root: Path) -> Path:
    for number, view in enumerate(["drone", "satellite"]):
        put(root / "train" / view / "bridge" / "1.jpg", photo(number))
        put(root / "train" / view / "church" / "1.webp", photo(number + 2))
    return root


def of_table(root: Path) -> Path:
    return root / "photos.csv"


def of_folder(root: Path) -> Path:
    return root


LAYOUTS = [
    pytest.param(write_deep_vg, of_folder, deep_vg.LAYOUT, id="deep-vg"),
    pytest.param(lambda root: write_street(root / "a" / "b", 4).parents[1], of_folder, exif_folder.LAYOUT, id="exif"),
    pytest.param(write_table, of_table, geotag_csv.LAYOUT, id="csv"),
    pytest.param(write_places, of_folder, plain_places.LAYOUT, id="places"),
    pytest.param(write_classes, of_folder, class_folders.LAYOUT, id="classes"),
    pytest.param(write_classes, of_table, geotag_csv.LAYOUT, id="table of classes"),
    pytest.param(write_views, of_folder, plain_views.LAYOUT, id="views"),
]


def known(path: Path, rename: Callable[[str], str]) -> dict[tuple[str, str], tuple[object, ...]]:
    """What a reader knows of every photo, by split and name."""
    dataset = open_dataset(path)
    found = {}
    for name, split in dataset.splits.items():
        for one in split.photos:
            queried = one in split.queries
            group = None if one.group == one.name else one.group
            said = (one.position, one.heading_deg, one.taken_at, one.place, one.condition, one.source, group, queried)
            found[name, rename(one.name)] = said
    return found


@pytest.mark.parametrize(("write", "which", "layout"), LAYOUTS)
def test_readers_find_the_nights_where_the_days_were(
    tmp_path: Path, write: Callable[[Path], Path], which: Name, layout: str
) -> None:
    source, out = write(tmp_path / "days"), tmp_path / "nights"
    before = known(which(source), night_name)
    made = translated(source, out, DARK)
    assert open_dataset(which(out)).layout == open_dataset(which(source)).layout == layout
    assert known(which(out), str) == before
    assert len(open_dataset(which(out)).problems) == len(open_dataset(which(source)).problems)
    assert made.problems == () and made.already == 0
    for day, night in made.photos:
        assert night.relative_to(out).as_posix() == night_name(day.relative_to(source).as_posix())
        expected = dark(read_pixels(day), photo_seed(day.relative_to(source).as_posix(), 0))
        assert np.abs(read_pixels(night).astype(int) - expected).mean() < 6  # JPEG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["days", "nights"]


@pytest.mark.parametrize(("write", "which", "layout"), LAYOUTS)
def test_day_and_night_in_one(tmp_path: Path, write: Callable[[Path], Path], which: Name, layout: str) -> None:
    source, out = write(tmp_path / "days"), tmp_path / "both"
    days, nights = known(which(source), str), known(which(source), night_name)
    made = translated(source, out, DARK, merge=True)
    assert open_dataset(which(out)).layout == layout
    assert known(which(out), str) == {**days, **nights}
    for day, night in made.photos:
        assert (out / day.relative_to(source)).stat().st_ino == day.stat().st_ino
        assert night.parent == (out / day.relative_to(source)).parent


def test_days_are_copied_where_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    source = write_places(tmp_path / "days")
    made = translated(source, tmp_path / "both", DARK, merge=True)
    for day, _ in made.photos:
        copy = tmp_path / "both" / day.relative_to(source)
        assert copy.read_bytes() == day.read_bytes() and copy.stat().st_ino != day.stat().st_ino
    assert len(list((tmp_path / "both").rglob("*"))) == 2 + 8 + 1  # places, photos, the record


# -- EXIF ---------------------------------------------------------------------------------------------------------


def rotated(jpeg: bytes, orientation: int) -> bytes:
    image = Image.open(BytesIO(jpeg))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "A camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 64
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAltitude] = 31.5
    out = BytesIO()
    image.save(out, "JPEG", exif=exif.tobytes())
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_kept_and_the_orientation_applied(tmp_path: Path, orientation: int) -> None:
    spot = Position(-33.123456789, 151.987654321)
    jpeg = rotated(with_gps(photo(1), spot, heading_deg=123.45, taken_at="2020-06-01T21:30:00"), orientation)
    day = put(tmp_path / "days" / "a.jpg", jpeg)
    [(_, night)] = translated(tmp_path / "days", tmp_path / "out", Translator("same", "1", lambda p, _: p)).photos
    assert read_capture(night) == read_capture(day)
    assert np.abs(read_pixels(night).astype(int) - read_pixels(day)).mean() < 2
    with Image.open(night) as image:
        exif = image.getexif()
        assert exif[ExifTags.Base.Orientation] == 1
        assert exif[ExifTags.Base.Model] == "A camera"
        details, gps = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert float(details[ExifTags.Base.ExposureTime]) == 0.01
        assert ExifTags.Base.ExifImageWidth not in details
        assert float(gps[ExifTags.GPS.GPSAltitude]) == 31.5


# -- tables -------------------------------------------------------------------------------------------------------


def test_a_table_says_what_it_said(tmp_path: Path) -> None:
    source = write_table(tmp_path / "days")
    made = translated(source, tmp_path / "out", DARK)
    before, after = (
        list(csv.reader((root / "photos.csv").read_text().splitlines(), delimiter=";"))
        for root in (source, tmp_path / "out")
    )
    assert (made.tables, made.rows_left_out, made.left_out) == (("photos.csv",), 0, ())
    assert after == [before[0], *([f"photos/{n}n.jpg", *row[1:]] for n, row in enumerate(before[1:]))]


def test_rows_of_photos_that_are_not_there(tmp_path: Path) -> None:
    source = write_table(tmp_path / "days")
    (source / "photos" / "3.jpg").write_bytes(b"no photo")
    with (source / "photos.csv").open("a") as file:
        file.write("\nphotos/9.jpg;1;2;;;;\n")
    made = translated(source, tmp_path / "out", DARK)
    assert (made.rows_left_out, len(made.problems), len(made.photos)) == (2, 1, 3)
    assert [row.path for row in geotag_csv.read_table(tmp_path / "out" / "photos.csv").rows] == [
        f"photos/{n}n.jpg" for n in range(3)
    ]


@pytest.mark.parametrize("merge", [False, True])
def test_a_table_of_ids(tmp_path: Path, merge: bool) -> None:
    """As OSV-5M's: no ending, in whichever folder below. An id of two photos is none's."""
    days = tmp_path / "days"
    for number, name in enumerate(("00/11.jpg", "01/12.png", "01/13.jpg", "02/13.jpg")):
        put(days / "test" / name, save_png(blobs(number)) if name.endswith("png") else photo(number))
    put(days / "test.csv", b"id,latitude,longitude\n11,1,2\ntest/01/12,3,4\n13,5,6\n")
    made = translated(days, tmp_path / "out", DARK, merge=merge)
    assert (made.tables, made.rows_left_out) == (("test.csv",), 1)
    dataset = geotag_csv.read(tmp_path / "out" / "test.csv")
    nights = {"test/00/11n.jpg": Position(1.0, 2.0), "test/01/12n.jpg": Position(3.0, 4.0)}
    photos = {"test/00/11.jpg": Position(1.0, 2.0), "test/01/12.png": Position(3.0, 4.0)} if merge else {}
    assert not dataset.problems
    assert {photo.name: photo.position for photo in dataset.splits["all"].photos} == nights | photos


def test_tables_that_start_elsewhere(tmp_path: Path) -> None:
    """Beside the photos, above them without their folder (to be read with --images), and below another."""
    for number in range(3):
        put(tmp_path / "days" / "all" / "photos" / f"{number}.jpg", photo(number))
    rows = [f"{number}.jpg,1,2" for number in range(3)]
    put(tmp_path / "days" / "bare.csv", "\n".join(["path,lat,lon", *rows]).encode())
    put(tmp_path / "days" / "all" / "bare.tsv", "\n".join(["path,lat,lon", *rows]).replace(",", "\t").encode())
    up = [f"../all/photos/{row}" for row in rows]
    put(tmp_path / "days" / "lists" / "up.csv", "\n".join(["path,lat,lon", *up]).encode())
    made = translated(tmp_path / "days", tmp_path / "out", DARK)
    assert made.tables == ("all/bare.tsv", "bare.csv", "lists/up.csv")
    photos = tmp_path / "out" / "all" / "photos"
    for name, root in (("bare.csv", photos), ("all/bare.tsv", photos), ("lists/up.csv", None)):
        dataset = geotag_csv.read(tmp_path / "out" / name, root)
        assert len(dataset.photos) == 3 and dataset.problems == ()


def test_other_files_are_named_and_not_copied(tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    put(source / "README.txt", b"words")
    put(source / "labels.csv", b"file,sea\nnone.jpg,1\nbridge/day_1.jpg,0\nneither.jpg,1\n")  # most are not there
    put(source / "numbers.csv", b"a,b\n1,2\n")
    put(source / "latin.csv", "path,lat,lon\nbridge/day_1.jpg,1,2\nß".encode("latin-1"))
    put(source / "images_paths.txt", b"bridge/day_1.jpg\n")
    put(source / ".hidden" / "a.jpg", photo(0))
    put(source / ".DS_Store", b"")
    made = translated(source, tmp_path / "out", DARK)
    assert made.tables == ()
    assert sorted(made.left_out) == ["README.txt", "images_paths.txt", "labels.csv", "latin.csv", "numbers.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bridge", "church", RECORD]


# -- going on -----------------------------------------------------------------------------------------------------


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Stopped:
    """Translates a number of photos, then is stopped as by Ctrl-C."""

    def __init__(self, photos: int) -> None:
        self.left, self.seeds = photos, []

    def __call__(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.seeds.append(seed)
        return dark(pixels, seed)


@pytest.mark.parametrize("merge", [False, True])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, merge: bool) -> None:
    source = write_table(tmp_path / "days")
    translated(source, tmp_path / "whole", DARK, seed=3, merge=merge)
    first, second = Stopped(2), Stopped(9)
    with pytest.raises(KeyboardInterrupt):
        translated(source, tmp_path / "out", Translator("dark", "1", first), seed=3, merge=merge)
    work = tmp_path / "out.unfinished"
    assert not (tmp_path / "out").exists()
    put(work / "photos" / ".2n.jpg.abc.part", b"half")  # what a kill leaves
    seen: list[tuple[int, int]] = []
    made = translated(
        source,
        tmp_path / "out",
        Translator("dark", "1", second),
        seed=3,
        merge=merge,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (made.already, len(made.photos)) == (2, 4)
    assert [len(first.seeds), len(second.seeds)] == [2, 2] and len({*first.seeds, *second.seeds}) == 4
    assert seen == [(number, 4) for number in range(1, 5)]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert not work.exists()


def test_seeds_hang_on_name_and_seed_alone(tmp_path: Path) -> None:
    assert photo_seed("a/b.jpg", 0) == photo_seed("a/b.jpg", 0) != photo_seed("a/b.jpg", 1)
    assert photo_seed("a/b.jpg", 0) != photo_seed("a/c.jpg", 0)
    assert 0 <= photo_seed("\udcff.jpg", -1) < 2**63
    for name in ("days", "more"):
        put(tmp_path / name / "b.jpg", photo(0))
    put(tmp_path / "more" / "a.jpg", photo(1))
    for name in ("days", "more"):
        translated(tmp_path / name, tmp_path / f"{name}-night", DARK)
    assert (tmp_path / "days-night" / "bn.jpg").read_bytes() == (tmp_path / "more-night" / "bn.jpg").read_bytes()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 1}, r"was begun with seed 0 and this is seed 1; run the command that it was begun with, or remove"),
        ({"merge": True}, "was begun with merge False and this is merge True"),
        ({"translator": stretched(DARK)}, "was begun with model dark and this is model dark, stretched;"),
        ({"translator": Translator("dark", "2", dark)}, "was begun with fingerprint 1 and this is fingerprint 2"),
    ],
)
def test_work_begun_otherwise_is_refused(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    source = write_places(tmp_path / "days")
    with pytest.raises(KeyboardInterrupt):
        translated(source, tmp_path / "out", Translator("dark", "1", Stopped(2)))
    before = tree(tmp_path / "out.unfinished")
    with pytest.raises(UsageError, match=said):
        translated(source, tmp_path / "out", **{"translator": DARK, **changed})  # type: ignore[arg-type]
    assert tree(tmp_path / "out.unfinished") == before
    assert len(translated(source, tmp_path / "out", DARK).photos) == 4


@pytest.mark.parametrize("content", [{"notes.txt": b"mine"}, {RECORD: b"{"}, {RECORD: b"[]", "a.jpg": b""}])
def test_a_folder_of_somebody_else_is_in_the_way(tmp_path: Path, content: dict[str, bytes]) -> None:
    source = write_places(tmp_path / "days")
    for name, data in content.items():
        put(tmp_path / "out.unfinished" / name, data)
    with pytest.raises(UsageError, match=r"out\.unfinished (is in the way: no night\.json in it says|was begun with)"):
        translated(source, tmp_path / "out", DARK)
    assert tree(tmp_path / "out.unfinished") == content


def test_killed_before_anything_was_noted(tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    put(tmp_path / "out.unfinished" / ".night.json.abc.part", b"{")
    translated(source, tmp_path / "out", DARK)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bridge", "church", RECORD]


def test_what_it_was_made_of_stays_with_it(tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    translated(source, tmp_path / "out", stretched(DARK), seed=5)
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["source"] == str(source) and record["seed"] == 5 and record["merge"] is False
    assert record["model"] == "dark, stretched" and set(record) == {
        "geofix", "source", "model", "fingerprint", "seed", "merge"
    }  # fmt: skip


# -- what cannot be done ------------------------------------------------------------------------------------------


def test_photos_that_cannot_be_read_are_named_and_the_rest_is_done(tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    bad = put(source / "bridge" / "bad.jpg", b"no photo")
    small = put(source / "bridge" / "small.jpg", save_jpeg(np.zeros((8, 8, 3), np.uint8)))
    (source / "bridge" / "gone.jpg").symlink_to("nowhere.jpg")
    made = translated(source, tmp_path / "out", DARK, merge=True)
    assert len(made.photos) == 4
    assert [str(problem).split(" ")[0] for problem in made.problems] == [
        str(bad), str(source / "bridge" / "gone.jpg"), str(small)
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out" / "bridge").iterdir()) == [
        "day_1.jpg", "day_1n.jpg", "night_1.jpg", "night_1n.jpg"
    ]  # fmt: skip


def test_nothing_is_left_where_no_photo_can_be_read(tmp_path: Path) -> None:
    put(tmp_path / "days" / "bad.jpg", b"no photo")
    with pytest.raises(PhotoError, match=r"bad\.jpg is no image"):
        translated(tmp_path / "days", tmp_path / "out", DARK)
    assert [path.name for path in tmp_path.iterdir()] == ["days"]


def test_a_photo_too_large_for_the_memory(tmp_path: Path) -> None:
    def large(pixels: np.ndarray, seed: int) -> np.ndarray:
        if len(pixels) > 50:
            raise MemoryError
        return pixels

    put(tmp_path / "days" / "a.jpg", photo(0))
    put(tmp_path / "days" / "b.jpg", save_jpeg(blobs(0, 60, 80)))
    made = translated(tmp_path / "days", tmp_path / "out", Translator("large", "1", large))
    assert len(made.photos) == 1
    assert "b.jpg has 80x60 pixels, too many to translate" in str(made.problems[0])


def test_folders_in_each_other(tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    (tmp_path / "link").symlink_to(source)
    for out in (source, source / "night", tmp_path / "link" / "night", tmp_path):
        with pytest.raises(UsageError, match=r"lie in each other; name a new folder beside the photos\.$"):
            translated(source, out, DARK)
    assert len(tree(source)) == 4


def test_an_out_that_exists(tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("out", "link"):
        with pytest.raises(UsageError, match=rf"{name} exists; name a folder that does not exist yet"):
            translated(source, tmp_path / name, DARK)


def test_a_source_without_photos(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    table = of_table(write_table(tmp_path / "days"))
    with pytest.raises(DataError, match=r"empty holds no photos; a folder with JPEG"):
        translated(tmp_path / "empty", tmp_path / "out", DARK)
    with pytest.raises(DataError, match=r"none does not exist; give a folder of photos"):
        translated(tmp_path / "none", tmp_path / "out", DARK)
    with pytest.raises(UsageError, match=r"photos\.csv is a file; name the folder of its photos"):
        translated(table, tmp_path / "out", DARK)


def test_no_file_stands_for_two(tmp_path: Path) -> None:
    put(tmp_path / "days" / "a.jpg", photo(0))
    put(tmp_path / "days" / "a.png", save_png(blobs(1)))
    with pytest.raises(DataError, match=r"night of a\.png would have the name an\.jpg, as the night of a\.jpg; rename"):
        translated(tmp_path / "days", tmp_path / "out", DARK)
    (tmp_path / "days" / "a.png").rename(tmp_path / "days" / "an.jpg")
    with pytest.raises(DataError, match=r"night of a\.jpg would have the name an\.jpg, as the photo an\.jpg"):
        translated(tmp_path / "days", tmp_path / "out", DARK, merge=True)
    translated(tmp_path / "days", tmp_path / "out", DARK)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg")) == ["an.jpg", "ann.jpg"]


def test_a_full_disk_is_one_sentence_and_the_work_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_places(tmp_path / "days")
    written = []

    def full(_: int) -> None:
        written.append(1)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        with pytest.raises(StorageError, match="The disk is full: .*free some space and run the same command again"):
            translated(source, tmp_path / "out", DARK)
    assert len(list((tmp_path / "out.unfinished").rglob("*.jpg"))) == 2
    assert translated(source, tmp_path / "out", DARK).already == 2


def test_a_folder_that_may_not_be_written(public: Path) -> None:
    source = write_places(public / "days")
    (public / "shut").mkdir()
    with as_nobody(), pytest.raises(StorageError, match=r"out may not be written .*choose another folder"):
        translated(source, public / "shut" / "out", DARK)
    assert list((public / "shut").iterdir()) == []


def test_what_goes_with_the_nights_is_there_before_they_have_their_name(tmp_path: Path) -> None:
    """A kill while the sheet is drawn leaves the folder unfinished, and the same command draws it again."""
    source, out = write_places(tmp_path / "days"), tmp_path / "out"
    seen: list[list[bool]] = []

    def draw(root: Path, photos: Sequence[tuple[Path, Path]]) -> None:
        seen.append([out.exists(), root.is_dir(), all(day.is_file() and night.is_file() for day, night in photos)])
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translated(source, out, DARK, before_naming=draw)
    assert not out.exists()
    made = translated(source, out, DARK, before_naming=draw)
    assert made.already == len(made.photos) > 0
    assert seen == [[False, True, True]] * 2


# -- the command --------------------------------------------------------------------------------------------------


def called(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = run(["data", "night", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_with_the_simple_night(capsys: Captured, tmp_path: Path) -> None:
    source, out = write_table(tmp_path / "days"), tmp_path / "new" / "nights"
    put(source / "notes.txt", b"words")
    status, told, err = called(capsys, source, out, "--model", "simple", "--seed", 4, "--merge")
    assert (status, err) == (
        0,
        "geofix: not copied, as they are neither photos nor tables of them: notes.txt\n",
    )
    assert told.splitlines() == [
        f"{out}: 4 photos by night (simple) beside the photos themselves",
        "tables that list photos and their nights now: photos.csv",
        f"{out}-sheet.png: 4 of them, day above night",
    ]
    assert sorted(path.name for path in out.parent.iterdir()) == ["nights", "nights-sheet.png"]
    expected = simple_night(read_pixels(source / "photos" / "2.jpg"), SimpleNight(), photo_seed("photos/2.jpg", 4))
    assert np.abs(read_pixels(out / "photos" / "2n.jpg").astype(int) - expected).mean() < 6
    with Image.open(f"{out}-sheet.png") as image:
        sheet = np.asarray(image.convert("RGB"))
    assert sheet.shape == (8 + 2 * (150 + 30 + 8), 8 + 4 * 208, 3)
    day, night = sheet[23:173], sheet[211:361]
    assert night[day.min(2) < 250].mean() < 0.6 * day[day.min(2) < 250].mean()


def test_a_sheet_of_many_and_of_odd_photos(capsys: Captured, tmp_path: Path) -> None:
    source = write_street(tmp_path / "days", 20)
    put(source / "tall.jpg", save_jpeg(blobs(3, 90, 20)))
    put(source / "wide\udcff, 東京.jpg", save_jpeg(blobs(3, 20, 300)))
    status, told, _ = called(capsys, source, tmp_path / "out", "--model", "simple", "--stretch")
    assert status == 0
    assert "22 photos by night (simple, stretched)" in told and "sheet.png: 8 of them, day above night" in told
    with Image.open(tmp_path / "out-sheet.png") as image:
        assert image.size == (8 + 4 * 208, 8 + 4 * (150 + 30 + 8))
    assert read_pixels(tmp_path / "out" / "000n.jpg").max() >= 250


def test_what_the_command_says_of_bad_photos_and_of_a_run_before(capsys: Captured, tmp_path: Path) -> None:
    source = write_places(tmp_path / "days")
    bad = put(source / "bridge" / "bad.jpg", b"no photo")
    with pytest.raises(KeyboardInterrupt):
        translated(source, tmp_path / "out", Translator("simple", simple().fingerprint, Stopped(1)))
    status, told, err = called(capsys, source, tmp_path / "out", "--model", "simple")
    assert status == 1
    assert told.splitlines()[0] == f"{tmp_path / 'out'}: 4 photos by night (simple), 1 of them from a run before"
    assert err.startswith(f"geofix: {bad} is no image") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "The model unit needs a trained run: add --weights RUN, or take --model simple, which needs none."),
        (["--weights", "my-run"], "There is no run folder at my-run"),
        (["--model", "simple", "--weights", "my-run"], "leave --weights my-run out"),
        (["--model", "simple", "--tiles", "256"], "The simple night is made of whole photos"),
        (["--model", "dark"], "There is no night model 'dark'"),
    ],
)
def test_refusals_of_the_command(capsys: Captured, tmp_path: Path, arguments: list[str], said: str) -> None:
    source = write_places(tmp_path / "days")
    status, told, err = called(capsys, source, tmp_path / "out", *arguments)
    assert (status, told) == (2, "")
    assert said in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["days"]
