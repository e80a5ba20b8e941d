"""Run folders: what is saved is what is loaded, and nothing half."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import as_nobody
from geofix import recipes
from geofix.encode import encode
from geofix.errors import GeofixError, StorageError, WeightsError
from geofix.models.runs import FILES, PREPROCESS, RECIPE, WEIGHTS, Run, copy_run, fingerprint, load_run, save_run
from geofix.photos import Photo, find_photos


@pytest.fixture
def copied(tiny_run: Run, tmp_path: Path) -> Path:
    """A copy of a run folder, to be spoilt at will."""
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "copy"))


def test_round_trip_gives_equal_descriptors(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    photos = [Photo(path.name, path) for path in find_photos(street)[:4]]
    loaded = load_run(tiny_run.folder)
    assert loaded.fingerprint == tiny_run.fingerprint
    assert loaded.encoder.recipe == tiny_run.encoder.recipe
    assert loaded.encoder.preprocess == tiny_run.encoder.preprocess
    expected = encode(tiny_run, photos).single
    np.testing.assert_array_equal(encode(loaded, photos).single, expected)
    again = save_run(loaded.encoder, tmp_path / "again")
    assert again.fingerprint == tiny_run.fingerprint
    copy_run(loaded, tmp_path / "third")
    assert load_run(tmp_path / "third").fingerprint == tiny_run.fingerprint


def test_a_run_folder_holds_the_three_files_and_no_leftovers(tiny_run: Run) -> None:
    assert sorted(path.name for path in tiny_run.folder.iterdir()) == sorted(FILES)


def test_name_says_recipe_and_fingerprint(tiny_run: Run) -> None:
    assert tiny_run.name == f"tiny ({tiny_run.fingerprint[:8]})"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name} is missing; it may come from a run that was stopped"):
        load_run(copied)


def test_no_folder_and_no_run(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no run folder at"):
        load_run(tmp_path / "none")
    with pytest.raises(WeightsError, match=r"recipe.yaml, preprocess.json, weights.safetensors is missing"):
        load_run(tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00\x01 garbage", b"[1, 2", b"[1, 2]", b"17"])
def test_damaged_files_are_one_sentence(copied: Path, name: str, data: bytes) -> None:
    (copied / name).write_bytes(data)
    with pytest.raises(GeofixError) as caught:
        load_run(copied)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_weights(copied: Path) -> None:
    weights = copied / WEIGHTS
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_run(copied)


def test_weights_of_another_recipe(copied: Path) -> None:
    recipe = recipes.with_settings(recipes.load(str(copied / RECIPE)), ["cut=layer2"])
    (copied / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"does not fit the recipe .*copy the whole run folder"):
        load_run(copied)


def test_fingerprint_changes_with_weights(copied: Path) -> None:
    before = fingerprint(copied)
    data = bytearray((copied / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (copied / WEIGHTS).write_bytes(bytes(data))
    assert load_run(copied).fingerprint == fingerprint(copied) != before


def test_fingerprint_changes_with_recipe(copied: Path) -> None:
    before = fingerprint(copied)
    recipe = recipes.with_settings(recipes.load(str(copied / RECIPE)), ["name=renamed"])
    (copied / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    assert fingerprint(copied) != before


def test_fingerprint_changes_with_preprocess_and_the_photos_are_seen_that_way(copied: Path) -> None:
    before = fingerprint(copied)
    fields = json.loads((copied / PREPROCESS).read_text(encoding="utf-8"))
    (copied / PREPROCESS).write_text(json.dumps({**fields, "size": [96, 64]}), encoding="utf-8")
    loaded = load_run(copied)
    assert loaded.fingerprint != before
    assert loaded.encoder.preprocess.size == (96, 64)


def test_fingerprint_does_not_depend_on_the_folder(tiny_run: Run, copied: Path) -> None:
    assert fingerprint(copied) == tiny_run.fingerprint


def test_a_folder_that_may_not_be_written(tiny_run: Run, public: Path) -> None:
    with as_nobody(), pytest.raises(StorageError, match="may not be written"):
        save_run(tiny_run.encoder, public / "new")
    assert not (public / "new").exists()
