"""The written countries: layout, table, splits of whole regions, determinism, whole or nothing."""

import csv
import hashlib
from pathlib import Path

import pytest

from geofix.data.layouts import open_dataset
from geofix.errors import UsageError
from geofix.photos import read_capture, read_pixels
from geofix.world.writers.countries import TABLE, CountriesSummary, plan_regions, write_countries

SIZE = (32, 48)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> CountriesSummary:
    out = tmp_path_factory.mktemp("world") / "countries"
    return write_countries(out, regions=32, photos=2, countries=4, seed=1, size=SIZE)


def rows(root: Path) -> list[dict[str, str]]:
    with (root / TABLE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def test_every_country_has_every_scene_and_the_summary_counts_them(written: CountriesSummary) -> None:
    assert written.photos == 64
    assert written.by_country == {"FR": 16, "PL": 16, "SE": 16, "TR": 16}
    assert written.by_scene == {"city": 16, "nature": 16, "coast": 16, "industrial": 16}
    found = {(row["country"], row["scene"]) for row in rows(written.root)}
    assert len(found) == 16


def test_the_table_names_every_photo_with_the_position_of_its_exif(written: CountriesSummary) -> None:
    table = rows(written.root)
    assert sorted(row["IMG_ID"] for row in table) == sorted(
        path.relative_to(written.root).as_posix() for path in written.root.rglob("*.jpg")
    )
    for row in table[::7]:
        path = written.root / row["IMG_ID"]
        assert row["IMG_ID"].split("/")[:2] == [row["split"], row["country"]]
        capture = read_capture(path)
        assert capture.position is not None
        assert capture.position.lat == pytest.approx(float(row["LAT"]), abs=2e-6)
        assert capture.position.lon == pytest.approx(float(row["LON"]), abs=2e-6)
        assert read_pixels(path).shape == (*SIZE, 3)


def test_the_folder_and_the_table_are_both_understood(written: CountriesSummary) -> None:
    assert {name: len(split.photos) for name, split in open_dataset(written.root).splits.items()} == written.by_split
    table = open_dataset(written.root / TABLE)
    assert sum(len(split.photos) for split in table.splits.values()) == 64
    assert not table.problems


def test_a_region_lies_in_one_split(written: CountriesSummary) -> None:
    splits: dict[str, set[str]] = {}
    for row in rows(written.root):
        splits.setdefault(row["AUTHOR"], set()).add(row["split"])
    assert len(splits) == 32
    assert all(len(found) == 1 for found in splits.values())
    assert {row["split"] for row in rows(written.root)} == {"train", "val", "test"}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 2), ("two", 2), ("other", 3)):
        write_countries(tmp_path / name, regions=4, photos=1, countries=2, seed=seed, size=SIZE)
    assert digest(tmp_path / "one") == digest(tmp_path / "two") != digest(tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regions": 0}, "A world of 0 regions cannot be rendered; ask for at least 1 with --places"),
        ({"photos": 0}, "0 photos of every region were asked for; at least 1"),
        ({"countries": 1}, "1 countries were asked for; 2 to 12 can be rendered"),
        ({"countries": 99}, "99 countries were asked for"),
        ({"size": (8, 32)}, "8x32 pixels were asked for; at least 16x16"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_countries(tmp_path / "out", **{"size": SIZE, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_regions_go_in_turn_over_countries_and_scenes() -> None:
    planned = list(plan_regions(10, 2, 0))
    assert [region.code for region in planned[:4]] == ["FR", "PL", "FR", "PL"]
    assert [region.scene for region in planned[:4]] == ["city", "city", "nature", "nature"]
