"""index: every source of positions, nothing twice, and nothing lost when it is stopped."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import toy_places
from conftest import STREET_START, write_street
from geofix.atlas.store import Atlas
from geofix.atlas.verify import verify
from geofix.errors import DataError
from geofix.index import gather, index
from geofix.models.runs import Run
from geofix.photos import save_jpeg, with_gps
from geofix.positions import Position
from toy_places import blobs, put

INDEX = importlib.import_module("geofix.index")  # `geofix.index` itself is the function


def located_in(atlas: Atlas) -> dict[str, Position]:
    rows = atlas.rows
    return {Path(path).name: Position(*where) for path, where in zip(rows.paths, rows.latlons.tolist(), strict=True)}


def test_photos_with_exif(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    done = index([street], tiny_run, tmp_path / "atlas")
    assert (done.added, done.unchanged, done.errors) == (24, 0, ())
    for number, (name, where) in enumerate(sorted(located_in(done.atlas).items())):
        assert name == f"{number:03d}.jpg"
        assert where.metres_to(STREET_START.moved(90.0, 15.0 * number)) < 0.05
    assert set(done.atlas.rows.headings_deg.tolist()) == {90.0}


def test_the_second_time_adds_nothing(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    first = index([street], tiny_run, tmp_path / "atlas").atlas.rows
    again = index([street], tiny_run, tmp_path / "atlas")
    assert (again.added, again.unchanged) == (0, 24)
    np.testing.assert_array_equal(again.atlas.rows.vectors, first.vectors)


def test_new_and_changed_photos_are_encoded_and_no_others(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    before = index([street], tiny_run, tmp_path / "atlas").atlas.rows
    moved = STREET_START.moved(0.0, 500.0)
    put(street / "003.jpg", with_gps(save_jpeg(blobs(50)), moved))
    put(street / "new.jpg", with_gps(save_jpeg(blobs(51)), moved))
    again = index([street], tiny_run, tmp_path / "atlas")
    assert (again.added, again.unchanged) == (2, 23)
    assert again.atlas.count() == 25
    assert located_in(again.atlas)["003.jpg"].metres_to(moved) < 0.05
    after = again.atlas.rows
    for row, path in enumerate(before.paths):
        same = np.array_equal(before.vectors[row], after.vectors[after.paths.index(path)])
        assert same != path.endswith("003.jpg")


def test_the_same_photos_by_other_spellings_are_the_same(
    tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index([street], tiny_run, tmp_path / "atlas")
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(street)
    monkeypatch.chdir(tmp_path / "other")
    for spelling in ("../street", "../other/../street/./", "../link", str(street)):
        assert index([Path(spelling)], tiny_run, tmp_path / "atlas").added == 0
    both = index([Path("../street"), street, street / "001.jpg"], tiny_run, tmp_path / "atlas")
    assert (both.added, both.unchanged) == (0, 24)


def test_photos_that_cannot_be_used_are_named_and_the_rest_is_done(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    put(street / "plain.jpg", save_jpeg(blobs(90)))
    put(street / "broken.jpg", b"\xff\xd8 no photo")
    (street / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (street / "caf\udce9.jpg").write_bytes((street / "000.jpg").read_bytes())
    cut = street / "cut.jpg"
    cut.write_bytes((street / "000.jpg").read_bytes()[:700])
    done = index([street], tiny_run, tmp_path / "atlas")
    assert done.added == 24
    told = [str(error) for error in done.errors]
    expected = {
        "plain.jpg": r"has no position (its EXIF has none); give one with --csv",
        "broken.jpg": "",
        "dangling.jpg": "is a link that leads nowhere",
        "caf\udce9.jpg": "not UTF-8",
        "cut.jpg": "",
    }
    assert len(told) == len(expected)
    for name, why in expected.items():
        assert any(name in sentence and why in sentence for sentence in told), name


def test_nothing_usable(tiny_run: Run, tmp_path: Path) -> None:
    put(tmp_path / "plain" / "a.jpg", save_jpeg(blobs(1)))
    with pytest.raises(DataError, match=r"None of the 1 photos found could be indexed. The first: .*no position"):
        index([tmp_path / "plain"], tiny_run, tmp_path / "atlas")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no photos"):
        index([tmp_path / "empty"], tiny_run, tmp_path / "atlas")
    with pytest.raises(DataError, match="does not exist"):
        index([tmp_path / "none"], tiny_run, tmp_path / "atlas")


def plain_street(folder: Path, count: int = 4) -> Path:
    for number in range(count):
        put(folder / f"{number}.jpg", save_jpeg(blobs(number)))
    return folder


def table(path: Path, rows: list[str], header: str = "path,lat,lon") -> Path:
    return put(path, "\n".join([header, *rows, ""]).encode())


def test_a_csv_as_source(tiny_run: Run, tmp_path: Path) -> None:
    plain_street(tmp_path / "photos")
    rows = [f"{n}.jpg,52.{n},0.1,{n * 10},pano" for n in range(4)]
    csv = table(tmp_path / "photos" / "list.csv", rows, "path,lat,lon,heading,sequence")
    done = index([csv], tiny_run, tmp_path / "atlas")
    assert (done.added, done.errors) == (4, ())
    assert located_in(done.atlas)["2.jpg"] == Position(52.2, 0.1)
    assert set(done.atlas.rows.groups) == {"pano"}
    assert sorted(done.atlas.rows.headings_deg.tolist()) == [0.0, 10.0, 20.0, 30.0]


def test_a_csv_as_source_names_its_bad_rows(tiny_run: Run, tmp_path: Path) -> None:
    plain_street(tmp_path / "photos")
    rows = ["0.jpg,52.0,0.1", "1.jpg,north,east", "2.jpg,52.2,0.1", "gone.jpg,52.3,0.1", "3.jpg,52.3,"]
    csv = table(tmp_path / "photos" / "list.csv", rows)
    done = index([csv], tiny_run, tmp_path / "atlas")
    assert sorted(located_in(done.atlas)) == ["0.jpg", "2.jpg"]
    told = " ".join(str(error) for error in done.errors)
    assert len(done.errors) == 3
    for what in ("'north' as lat", "gone.jpg is listed", "'' as lon"):
        assert what in told


def test_a_csv_as_source_with_its_photos_elsewhere(tiny_run: Run, tmp_path: Path) -> None:
    photos = plain_street(tmp_path / "photos")
    csv = table(tmp_path / "list.csv", [f"{n}.jpg,52.{n},0.1" for n in range(4)])
    with pytest.raises(DataError, match=r"4 of the 4 photos .*say with --images"):
        index([csv], tiny_run, tmp_path / "atlas")
    assert index([csv], tiny_run, tmp_path / "atlas", images=photos).added == 4


def test_positions_from_a_table_by_file_name(tiny_run: Run, tmp_path: Path) -> None:
    """The table lies elsewhere and knows more photos than there are."""
    photos = plain_street(tmp_path / "photos")
    rows = ["0.jpg,52.0,0.1", "1.jpg,52.1,0.1", "3.jpg,52.3,0.1", "unknown.jpg,1,1", "bad.jpg,x,1"]
    csv = table(tmp_path / "tables" / "list.csv", rows)
    done = index([photos], tiny_run, tmp_path / "atlas", csv=csv)
    assert {name: where.lat for name, where in located_in(done.atlas).items()} == {
        "0.jpg": 52.0, "1.jpg": 52.1, "3.jpg": 52.3,
    }  # fmt: skip
    told = " ".join(str(error) for error in done.errors)
    assert len(done.errors) == 2
    assert "2.jpg has no position" in told
    assert "'x' as lat" in told


def test_a_table_overrides_exif(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    csv = table(street / "list.csv", ["003.jpg,10.0,20.0"])
    done = index([street], tiny_run, tmp_path / "atlas", csv=csv)
    assert done.added == 24
    assert located_in(done.atlas)["003.jpg"] == Position(10.0, 20.0)
    assert located_in(done.atlas)["004.jpg"].metres_to(STREET_START) < 100


def test_a_file_name_that_several_photos_have_gives_none_of_them_a_position(tiny_run: Run, tmp_path: Path) -> None:
    for camera in "ab":
        plain_street(tmp_path / "photos" / camera, 2)
    csv = table(tmp_path / "list.csv", ["0.jpg,52.0,0.1", "photos/a/1.jpg,52.1,0.1"])
    found, problems = gather([tmp_path / "photos"], csv)
    positions = {photo.path.relative_to(tmp_path / "photos").as_posix(): photo.position for photo in found}
    assert positions == {"a/0.jpg": None, "b/0.jpg": None, "a/1.jpg": Position(52.1, 0.1), "b/1.jpg": None}
    assert problems == []


def test_deep_vg_datasets_give_their_galleries(tiny_run: Run, tmp_path: Path) -> None:
    root = toy_places.write(tmp_path / "toy")
    done = index([root / "images" / "test"], tiny_run, tmp_path / "atlas")
    assert done.added == 40
    assert all("database" in path for path in done.atlas.rows.paths)


def test_deep_vg_names_in_any_folder(tiny_run: Run, tmp_path: Path) -> None:
    name = "@0300123.45@5787890.12@31@U@@@p1@0@120@@@@202405@@.jpg"
    put(tmp_path / "photos" / "x@y" / name, save_jpeg(blobs(1)))
    rows = index([tmp_path / "photos"], tiny_run, tmp_path / "atlas").atlas.rows
    utm = Position(*rows.latlons[0].tolist()).utm()
    assert (round(utm.easting_m, 2), round(utm.northing_m, 2), utm.zone) == (300123.45, 5787890.12, 31)
    assert rows.headings_deg.tolist() == [120.0]
    assert rows.groups[0].startswith("p1")


def test_deep_vg_names_that_make_no_sense_say_why(tiny_run: Run, tmp_path: Path) -> None:
    put(tmp_path / "photos" / "@300123@5787890@99@U@@@@@@@@@@@.jpg", save_jpeg(blobs(1)))
    put(tmp_path / "photos" / "@300123@5787890@31@U@@@@@@@@@@@.jpg", save_jpeg(blobs(2)))
    done = index([tmp_path / "photos"], tiny_run, tmp_path / "atlas")
    assert done.added == 1
    assert any("UTM zone 99U does not exist" in str(error) for error in done.errors)


def test_progress(tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(INDEX, "COMMIT_PHOTOS", 10)
    told: list[tuple[int, int]] = []
    index([street], tiny_run, tmp_path / "atlas", progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 24), (20, 24), (24, 24)]


@pytest.mark.parametrize("stop_at", [0, 1, 2, 3])
def test_a_stopped_index_goes_on_where_it_was(
    stop_at: int, tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INDEX, "COMMIT_PHOTOS", 7)
    whole = index([street], tiny_run, tmp_path / "whole").atlas.rows
    real, calls = Atlas.put, []

    def put_then_stop(self: Atlas, *arguments: object) -> None:
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(1)
        real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Atlas, "put", put_then_stop)
        index([street], tiny_run, tmp_path / "atlas")
    left = Atlas.open(tmp_path / "atlas")
    assert left.count() == 7 * stop_at
    assert verify(left) == []
    done = index([street], tiny_run, tmp_path / "atlas")
    assert (done.added, done.unchanged) == (24 - 7 * stop_at, 7 * stop_at)
    rows = done.atlas.rows
    assert sorted(rows.paths) == sorted(whole.paths)
    for row, path in enumerate(rows.paths):
        np.testing.assert_allclose(rows.vectors[row], whole.vectors[whole.paths.index(path)], rtol=0, atol=1e-6)


def revisited(folder: Path, spots: int = 40) -> Path:
    """Two photos at each spot, a few metres and a little noise apart; every third pair shows two different views."""
    rng = np.random.default_rng(1)
    for spot in range(spots):
        place = STREET_START.moved(90.0, 60.0 * spot)
        for visit in range(2):
            view = blobs(spot if spot % 3 else 1000 + 2 * spot + visit).astype(int)
            pixels = np.clip(view + rng.integers(-12, 13, view.shape), 0, 255).astype(np.uint8)
            jpeg = with_gps(save_jpeg(pixels), place.moved(0.0, 4.0 * visit))
            put(folder / f"{spot:02d}-{visit}.jpg", jpeg)
    return folder


def test_an_atlas_with_enough_photos_is_calibrated_and_stays_so(tiny_run: Run, tmp_path: Path) -> None:
    photos = revisited(tmp_path / "photos")
    atlas = index([photos], tiny_run, tmp_path / "atlas").atlas
    calibration = Atlas.open(atlas.folder).calibration
    assert calibration is not None
    assert calibration.sample == 80
    assert 0.2 < calibration.right < 0.95
    index([photos], tiny_run, tmp_path / "atlas")
    assert Atlas.open(atlas.folder).calibration == calibration


def test_a_calibration_does_not_outlive_the_photos_it_was_made_on(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo is replaced by another, and the run is stopped before it can calibrate: the count is as before."""
    photos = revisited(tmp_path / "photos")
    atlas = index([photos], tiny_run, tmp_path / "atlas").atlas
    put(photos / "05-1.jpg", with_gps(save_jpeg(blobs(500)), STREET_START.moved(0.0, 2000.0)))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Atlas, "compact", stop)
        index([photos], tiny_run, tmp_path / "atlas")
    assert Atlas.open(atlas.folder).calibration is None
    index([photos], tiny_run, tmp_path / "atlas")
    assert Atlas.open(atlas.folder).calibration is not None


def test_photos_of_one_group_do_not_vouch_for_each_other(tiny_run: Run, tmp_path: Path) -> None:
    """All in one sequence: nothing is left to find any of them with, so nothing can be calibrated."""
    photos = revisited(tmp_path / "photos")
    rows = [f"{path.name},52.2,0.1,one" for path in sorted(photos.iterdir())]
    csv = table(photos / "list.csv", rows, "path,lat,lon,sequence")
    assert index([csv], tiny_run, tmp_path / "atlas").atlas.calibration is None


def test_the_time_of_a_file_alone_makes_it_looked_at_again(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    index([street], tiny_run, tmp_path / "atlas")
    os.utime(street / "002.jpg", ns=(1, 1))
    again = index([street], tiny_run, tmp_path / "atlas")
    assert (again.added, again.atlas.count()) == (1, 24)


def test_a_copied_street_is_other_photos(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    index([street], tiny_run, tmp_path / "atlas")
    shutil.copytree(street, tmp_path / "copy")
    assert index([tmp_path / "copy"], tiny_run, tmp_path / "atlas").atlas.count() == 48


def test_a_folder_of_many_runs_of_one_street(tiny_run: Run, tmp_path: Path) -> None:
    for day in range(3):
        write_street(tmp_path / "days" / str(day), 3)
    assert index([tmp_path / "days"], tiny_run, tmp_path / "atlas").added == 9


def test_a_position_corrected_in_the_table_is_taken_over(tiny_run: Run, tmp_path: Path) -> None:
    street = plain_street(tmp_path / "photos")
    names = sorted(path.name for path in street.glob("*.jpg"))
    first = table(tmp_path / "first.csv", [f"{name},52.0,0.1" for name in names])
    index([street], tiny_run, tmp_path / "atlas", csv=first)
    again = index([street], tiny_run, tmp_path / "atlas", csv=first)
    assert (again.added, again.unchanged) == (0, len(names))
    second = table(tmp_path / "second.csv", [f"{names[0]},53.3,0.1", *(f"{name},52.0,0.1" for name in names[1:])])
    done = index([street], tiny_run, tmp_path / "atlas", csv=second)
    assert (done.added, done.unchanged, done.atlas.count()) == (1, len(names) - 1, len(names))
    assert located_in(done.atlas)[names[0]] == Position(53.3, 0.1)
    assert located_in(done.atlas)[names[1]] == Position(52.0, 0.1)
