"""The deep-VG reader on generated folders and on the real Cambridge set."""

from __future__ import annotations

from pathlib import Path

import pytest

import toy_places
from geofix.data import deep_vg
from geofix.data.places import benchmark
from geofix.photos import save_jpeg
from geofix.positions import Position
from toy_places import blobs, put

REAL = "@0303184.69@5787755.53@31@U@52.205049@0.119606@pano0002@1@90@@@@@@.jpg"
JPEG = save_jpeg(blobs(0))


def one(tmp_path: Path, name: str, folder: str = "images/test/database") -> tuple:
    put(tmp_path / folder / name, JPEG)
    dataset = deep_vg.read(tmp_path)
    (photo,) = dataset.splits["test"].gallery
    return photo, [str(problem) for problem in dataset.problems]


def test_a_real_name(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, REAL)
    assert not problems
    assert photo.name == f"test/database/{REAL}"
    assert photo.position.metres_to(Position(52.205049, 0.119606)) < 1
    assert photo.position == Position.from_utm(303184.69, 5787755.53, 31, "U")
    assert (photo.heading_deg, photo.source, photo.taken_at) == (90.0, "name", None)
    assert photo.group == "pano0002@0303184.69@5787755.53"


def test_only_the_file_name_counts(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, REAL, "images/test/database/me@home@31@x")
    assert photo.position is not None and not problems
    below = put(tmp_path / "a@b@c@d" / "images" / "test" / "queries" / REAL, JPEG).parents[3]
    assert deep_vg.read(below).splits["test"].queries[0].position == photo.position


def test_without_a_zone_the_degrees_count(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, "@0303184.69@5787755.53@@@52.205049@0.119606@@@@@@@@@.jpg")
    assert photo.position == Position(52.205049, 0.119606)
    assert (problems, photo.group, photo.heading_deg) == ([], None, None)


def test_with_neither_there_is_no_position(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, "db1.jpg")
    assert photo.position is None and photo.source is None and not problems
    photo, problems = one(tmp_path / "b", "@0303184.69@5787755.53@@@@@@@@@@@@@.jpg")
    assert photo.position is None
    assert "neither UTM zone" in problems[0]


def test_a_disagreement_is_told_and_utm_kept(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, "@0303184.69@5787755.53@31@U@52.215049@0.119606@@@@@@@@@.jpg")
    assert photo.position == Position.from_utm(303184.69, 5787755.53, 31, "U")
    assert "lie 1113 m apart" in problems[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("@abc@5787755.53@31@U@@@@@@@@@@@.jpg", "the easting in the name is 'abc'"),
        ("@0303184.69@5787755.53@99@U@@@@@@@@@@@.jpg", "UTM zone 99U does not exist"),
        ("@0303184.69@5787755.53@31@O@@@@@@@@@@@.jpg", "UTM zone 31O does not exist"),
        ("@0303184.69@5787755.53@3.5@U@@@@@@@@@@@.jpg", "no whole number"),
        ("@@@@@152.2@10.1@@@@@@@@@.jpg", "Latitude 152.2 is outside"),
    ],
)
def test_a_broken_name_is_a_problem_and_the_photo_stays(tmp_path: Path, name: str, said: str) -> None:
    photo, problems = one(tmp_path, name)
    assert photo.position is None
    assert said in problems[0] and problems[0].startswith("test/database/@")


def test_broken_utm_falls_back_to_the_degrees(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, "@0303184.69@5787755.53@99@U@52.2@0.1@@@@@@@@@.jpg")
    assert photo.position == Position(52.2, 0.1)
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("stamp", "iso"),
    [
        ("2013", "2013"), ("201308", "2013-08"), ("20130805", "2013-08-05"),
        ("20130805_12", "2013-08-05T12:00"),
        ("20130805_1230", "2013-08-05T12:30"), ("20130805_123059", "2013-08-05T12:30:59"), ("noon", None),
    ],
)  # fmt: skip
def test_timestamps(tmp_path: Path, stamp: str, iso: str | None) -> None:
    photo, _ = one(tmp_path, f"@0303184.69@5787755.53@31@U@@@p@@-90@@@@{stamp}@night@.jpg")
    assert (photo.taken_at, photo.heading_deg) == (iso, 270.0)


def test_the_same_number_elsewhere_is_another_panorama(tmp_path: Path) -> None:
    toy_places.write(tmp_path)
    split = deep_vg.read(tmp_path).split("test")
    assert not {photo.group for photo in split.gallery} & {photo.group for photo in split.queries}


def test_a_tool_may_append_to_the_stem(tmp_path: Path) -> None:
    photo, problems = one(tmp_path, REAL.replace(".jpg", "n.jpg"))
    assert photo.position is not None and not problems


@pytest.mark.parametrize("start", [".", "images", "images/test"])
def test_roots(tmp_path: Path, start: str) -> None:
    toy_places.write(tmp_path)
    assert deep_vg.found(tmp_path / start)
    dataset = deep_vg.read(tmp_path / start)
    assert set(dataset.splits) == ({"test"} if start.endswith("test") else {"test", "train"})
    assert dataset.split("test").gallery[0].name.startswith("test/database/@")


def test_one_side_missing_is_empty(tmp_path: Path) -> None:
    put(tmp_path / "images/val/queries" / REAL, JPEG)
    split = deep_vg.read(tmp_path).split("val")
    assert (len(split.gallery), len(split.queries)) == (0, 1)


def test_other_photo_endings_and_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "images/test/database/deeper/still"
    put(folder / REAL.replace(".jpg", ".PNG"), JPEG)
    put(folder / "notes.txt", b"hello")
    assert len(deep_vg.read(tmp_path).photos) == 1


def test_other_folders_are_not_found(tmp_path: Path) -> None:
    assert not deep_vg.found(tmp_path)
    put(tmp_path / "images/a.jpg", JPEG)
    assert not deep_vg.found(tmp_path) and not deep_vg.found(tmp_path / "images/a.jpg")


def test_parity_p9(tmp_path: Path) -> None:
    dataset = deep_vg.read(toy_places.write(tmp_path))
    queries = sorted(toy_places.QUERIES)  # the reader sorts by name, as the field's code does
    order = [toy_places.QUERIES.index(query) for query in queries]
    for split, radius_m, expected in (
        ("test", 25.0, toy_places.RELEVANT),
        ("train", 10.0, toy_places.HARD_10_M),
    ):
        mark = benchmark(dataset.split(split), threshold_m=radius_m)
        assert [rows.tolist() for rows in mark.relevant] == [expected[at] for at in order]
    listed = [rows.tolist() for rows in benchmark(dataset.split("test")).relevant]
    assert listed == [[], [*range(4)], [*range(3, 10)], [*range(7, 14)], [*range(17, 24)], [*range(23, 29)],
                      [*range(29, 35)], [39]]  # fmt: skip


def test_cambridge(shared: Path) -> None:
    dataset = deep_vg.read(shared / "data" / "vpr_cambridge")
    sizes = {name: (len(split.gallery), len(split.queries)) for name, split in dataset.splits.items()}
    assert sizes == {"train": (1824, 608), "val": (272, 88)}
    assert not dataset.problems
    assert len({photo.group for photo in dataset.split("val").queries}) == 22
    assert benchmark(dataset.split("val")).answerable == 88
