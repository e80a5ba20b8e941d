"""Queries made into photos by day before the encoder sees them; whatever is known to be by day stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import toy_places
from geofix.atlas.store import Atlas
from geofix.cli import run as geofix
from geofix.data.layouts import open_dataset
from geofix.encode import encode
from geofix.evaluate import evaluate
from geofix.locate import locate
from geofix.models.runs import Run
from geofix.night.run import build_unit, save_night_run
from geofix.night.translators import Translator
from geofix.photos import Photo, read_pixels, save_jpeg
from geofix.recipes import NightRecipe
from toy_places import blobs, put

NEGATIVE = Translator("negative", "1", lambda pixels, _: 255 - pixels)


def negatives(folder: Path, conditions: list[str | None]) -> tuple[list[Photo], list[Photo]]:
    """Photos, and the same as negatives; a negative taken for a night gives the photo again."""
    days, nights = [], []
    for seed, condition in enumerate(conditions):
        day = put(folder / f"{seed}.jpg", save_jpeg(blobs(seed), quality=100))
        night = put(folder / f"{seed}n.jpg", save_jpeg(255 - read_pixels(day), quality=100))
        days.append(Photo(day.name, day))
        nights.append(Photo(night.name, night, condition=condition))
    return days, nights


def test_photos_by_night_and_of_unknown_light_are_translated(tiny_run: Run, tmp_path: Path) -> None:
    days, nights = negatives(tmp_path, ["night", None, "day", "dusk"])
    plain, dark = encode(tiny_run, days).single, encode(tiny_run, nights).single
    found = encode(tiny_run, nights, translator=NEGATIVE).single
    np.testing.assert_allclose(found[:2], plain[:2], atol=0.02)
    np.testing.assert_array_equal(found[2:], dark[2:])
    assert np.linalg.norm(found[:2] - dark[:2], axis=1).min() > 0.1


def test_a_journal_tells_translators_apart(tiny_run: Run, tmp_path: Path) -> None:
    _, nights = negatives(tmp_path, [None, None])
    journal = tmp_path / "journal"
    plain = encode(tiny_run, nights, journal=journal).single
    found = encode(tiny_run, nights, translator=NEGATIVE, journal=journal).single
    other = encode(tiny_run, nights, translator=replace(NEGATIVE, fingerprint="2"), journal=journal).single
    assert not np.array_equal(plain, found)
    np.testing.assert_array_equal(found, other)
    assert len(list(journal.iterdir())) == 3


def test_evaluate_translates_queries_only(averages: Run, tmp_path: Path) -> None:
    toy = toy_places.write(tmp_path / "toy")
    expected = evaluate(averages, open_dataset(toy)).recall
    for path in (toy / "images/test/queries").iterdir():
        path.write_bytes(save_jpeg(255 - read_pixels(path), quality=95))
    dark = evaluate(averages, open_dataset(toy))
    found = evaluate(averages, open_dataset(toy), night_to_day=NEGATIVE)
    assert found.recall == expected
    assert found.recall != dark.recall
    assert found.protocol["night_to_day"] == "negative"
    assert dark.protocol["night_to_day"] is None


def test_leave_one_out_keeps_the_gallery_as_it_is(tiny_run: Run, street: Path) -> None:
    dataset = open_dataset(street)
    split = next(iter(dataset.splits))
    assert dataset.splits[split].leave_one_out
    plain = evaluate(tiny_run, dataset, split=split)
    dark = evaluate(tiny_run, dataset, split=split, night_to_day=NEGATIVE)
    assert dark.predictions is not None and plain.predictions is not None
    assert not np.array_equal(dark.predictions.neighbours, plain.predictions.neighbours)


def test_locate_is_not_calibrated_with_it(street: Path, street_atlas: Path) -> None:
    atlas = Atlas.open(street_atlas)
    photo = sorted(street.iterdir())[5]
    night = put(street.parent / "night.jpg", save_jpeg(255 - read_pixels(photo), quality=95))
    found = locate([night], atlas, night_to_day=NEGATIVE)[0]
    assert found.matches[0].path.endswith(photo.name)
    assert not found.calibrated
    assert not locate([night], atlas)[0].matches[0].path.endswith(photo.name)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UNIT as it starts: its pictures show nothing, its ways are those of a trained one."""
    recipe = NightRecipe(
        name="tiny", channels=4, residual_blocks=1, discriminator_channels=4, image_size=(64, 64), shorter_side=64
    )
    return save_night_run(build_unit(recipe)[0], recipe, tmp_path_factory.mktemp("unit") / "run").folder


def test_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tiny_run: Run, street: Path, street_atlas: Path, unit: Path, tmp_path: Path
) -> None:
    toy, scores = toy_places.write(tmp_path / "toy"), tmp_path / "scores.json"
    run = str(tiny_run.folder)
    assert geofix(["evaluate", run, "--data", str(toy), "--night-to-day", str(unit), "--json", str(scores)]) == 0
    assert '"night_to_day": "tiny (' in scores.read_text()
    assert ", to day" in scores.read_text()
    photo = str(sorted(street.iterdir())[0])
    assert geofix(["locate", photo, "--atlas", str(street_atlas), "--night-to-day", str(unit)]) == 0
    capsys.readouterr()
    assert geofix(["locate", photo, "--atlas", str(street_atlas), "--night-to-day", run]) != 0
    assert "which translates nothing; name one trained by a recipe such as unit-small" in capsys.readouterr().err
