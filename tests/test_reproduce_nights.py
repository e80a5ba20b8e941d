"""Table II of atadjanov: rows that learn from nights made of the data, and queries made into nights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofix import papers
from geofix.data import deep_vg
from geofix.data.nights import RECORD, translated
from geofix.data.places import Dataset
from geofix.errors import DataError, UsageError
from geofix.night.translators import Translator, simple
from geofix.reproduce.nights import Nights
from geofix.reproduce.rows import Bench, RowResult, recipe_of, run_rows
from geofix.world.writers.deep_vg import write_places
from test_cli import Captured, called, refused
from test_reproduce import TINY, no_training, runs

NIGHT, BOTH, DAY = "atadjanov/2/night-set-netvlad", "atadjanov/2/day-night-netvlad", "atadjanov/2/netvlad"
COLUMN = "town_synthetic_nights"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A town of 12 spots, and its nights."""
    town = tmp_path_factory.mktemp("with_nights") / "town"
    write_places(town, places=12, seed=3, size=(48, 64))
    translated(town, town.with_name("nights"), simple())
    return town, town.with_name("nights")


@pytest.fixture
def bench(folders: tuple[Path, Path], tmp_path: Path) -> Bench:
    town, nights = (deep_vg.read(folder) for folder in folders)
    return Bench((town,), tmp_path / "out", settings=TINY, nights=Nights.of(nights))


def ran(bench: Bench, *names: str) -> list[RowResult]:
    return run_rows(bench, [papers.open_row(name) for name in names], 1)


def names(photos: tuple[object, ...]) -> set[str]:
    return {photo.name for photo in photos}  # type: ignore[attr-defined]


def test_what_is_learned_from(bench: Bench) -> None:
    day = bench.learned[papers.BY_DAY].splits["train"]
    night = bench.learned[papers.AT_NIGHT].splits["train"]
    both = bench.learned[papers.DAY_AND_NIGHT].splits["train"]
    assert {"n.jpg" in name for name in names(night.photos)} == {True}
    assert {name.replace("n.jpg", ".jpg") for name in names(night.photos)} == names(day.photos)
    assert names(both.gallery) == names(day.gallery) | names(night.gallery)
    assert names(both.queries) == names(day.queries) | names(night.queries)
    assert len(both.photos) == 2 * len(day.photos)
    assert all("night" not in (photo.condition or "") for photo in both.photos)  # none made of a night
    for learned in bench.learned.values():
        assert learned.splits["val"] == bench.learned[papers.BY_DAY].splits["val"]


def test_queries_made_into_nights_are_asked_of_the_gallery_by_day(bench: Bench) -> None:
    assert list(bench.tested) == ["town", COLUMN]
    dataset, split = bench.tested[COLUMN]
    town = bench.datasets[0].splits[split]
    asked = dataset.splits[split]
    assert asked.gallery == town.gallery
    by_day = {photo.name for photo in town.queries if photo.condition == "day"}
    assert by_day and len(by_day) < len(town.queries)
    assert {name.replace("n.jpg", ".jpg") for name in names(asked.queries)} == by_day
    assert {photo.condition for photo in asked.queries} == {None}


def test_rows_learn_from_what_they_say(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ran(bench, DAY, NIGHT, BOTH)
    assert [one.problem for one in found] == [None, None, None]
    assert len(runs(bench)) == 3
    assert all(set(one.scores) == {"town", COLUMN} for one in found)
    assert "Its nights were made by simple." in found[1].said and "Its nights were made by simple." in found[2].said
    assert not any("nights" in line for line in found[0].said)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in runs(bench)]
    assert len(set(weights)) == 3
    no_training(monkeypatch)
    again = ran(bench, DAY, NIGHT, BOTH)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.hits(COLUMN, 1), other.hits(COLUMN, 1))


def test_nights_of_another_model_are_other_nights(bench: Bench, folders: tuple[Path, Path], tmp_path: Path) -> None:
    dark = Translator("dark", "1", lambda pixels, _: pixels // 4)
    translated(folders[0], tmp_path / "dark", dark)
    other = replace(bench, nights=Nights.of(deep_vg.read(tmp_path / "dark")))
    ran(replace(bench, settings=(*TINY, "epochs=0")), NIGHT, DAY)
    ran(replace(other, settings=(*TINY, "epochs=0")), NIGHT, DAY)
    assert len(runs(bench)) == 3  # one by day, and the nights of both
    day = next(folder for folder in runs(bench) if len(list(folder.glob(f"scores-{COLUMN}-*"))) == 2)
    assert "2-netvlad" in day.name
    assert len(list(day.glob("scores-town-[0-9a-f]*"))) == 1


def test_by_day_nothing_changes_with_nights_at_hand(bench: Bench) -> None:
    alone = replace(bench, nights=None)
    assert bench.photos_hash[papers.BY_DAY] == alone.photos_hash[papers.BY_DAY]
    assert recipe_of(bench, papers.open_row(DAY), 0) == recipe_of(alone, papers.open_row(DAY), 0)
    assert set(alone.learned) == {papers.BY_DAY}
    assert list(alone.tested) == ["town"]


def test_nights_that_are_none(bench: Bench, folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"night.json does not say what nights these are \(FileNotFoundError\)"):
        Nights.of(bench.datasets[0])
    nights = bench.nights
    assert nights is not None
    merged = replace(nights.dataset, root=tmp_path)
    record = json.loads((folders[1] / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps({**record, "merge": True}))
    with pytest.raises(UsageError, match="was made with --merge and holds days and nights"):
        Nights.of(merged)
    (tmp_path / RECORD).write_text('{"merge": false}')
    with pytest.raises(UsageError, match="does not say what nights these are .KeyError."):
        Nights.of(merged)
    part = Dataset(nights.dataset.root, "deep-VG", {"test": nights.dataset.splits["test"]})
    with pytest.raises(DataError, match="has no split train .it has test.; translate the whole of the data"):
        _ = replace(bench, nights=replace(nights, dataset=part)).learned


def test_the_command(capsys: Captured, folders: tuple[Path, Path], tmp_path: Path) -> None:
    town, nights = folders
    settings = [argument for setting in TINY for argument in ("--set", setting)]
    command = ("reproduce", NIGHT, "--data", town, "--out", tmp_path / "out", *settings)
    status, _, err = called(capsys, *command, "--nights", nights)
    assert status == 0, err
    page = (tmp_path / "out/atadjanov.md").read_text(encoding="utf-8")
    assert "Synthetic nights were made by simple: of what Table II learns from" in page
    assert f"{COLUMN}, R@1/5" in page
    assert "does not say what nights these are" in refused(capsys, *command, "--nights", town)
