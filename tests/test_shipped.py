"""The encoders that come with geofix: they load by name, are small, and keep what they do on towns they never saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geofix import recipes
from geofix.atlas.spots import VERIFIED_METHOD
from geofix.atlas.store import METHODS, Atlas
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.data.truth import own_positions
from geofix.errors import WeightsError
from geofix.evaluate import evaluate
from geofix.frames.looks import Camera
from geofix.index_maps import FRAMES, VERIFIED_FRAMES, frames_calibration, index_maps
from geofix.locate import locate, locate_flight
from geofix.models.runs import FILES, WEIGHTS, load_run, shipped_runs
from geofix.train import train
from geofix.world.writers.deep_vg import write_places
from geofix.world.writers.flight import FlightSummary, write_flight

NAME, OF_MAPS = "geofix-town-small", "geofix-map-small"
TRAINED_ON_SEED = 1000


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("unseen") / "town"
    write_places(out, places=30, seed=11)
    return deep_vg.read(out)


def test_it_is_loaded_by_its_name_and_small() -> None:
    folder = shipped_runs()[NAME]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert (folder / WEIGHTS).stat().st_size < 6_000_000
    run = load_run(Path(NAME))
    assert run.folder == folder
    assert run.encoder.recipe.pretrained == "none"
    built_in = recipes.load(NAME)
    for key in ("backbone", "cut", "pooling", "projection", "image_size", "learn", "loss", "epochs"):
        assert getattr(run.encoder.recipe, key) == getattr(built_in, key)


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    with pytest.raises(WeightsError, match="is no whole run folder"):
        load_run(Path(NAME))


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(WeightsError, match=rf"no run folder at geofix-town-large; .* with geofix: {OF_MAPS}, {NAME}"):
        load_run(Path("geofix-town-large"))


def test_its_recall_on_a_town_it_never_saw(town: Dataset) -> None:
    """18 spots by day and by night among 72 gallery photos; 300 spots of other seeds gave 95 and 84 %."""
    scores = evaluate(load_run(Path(NAME)), town)
    by = scores.slices["condition"]
    assert by["day"]["recall@1"] >= 0.85
    assert by["night"]["recall@1"] >= 0.7
    assert scores.recall[5] >= 0.9


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> FlightSummary:
    """Over a town of a seed that was not trained on; frames about as wide as tiles of 64 m are."""
    out = tmp_path_factory.mktemp("unseen") / "flight"
    return write_flight(out, places=45, seed=11, frames=8, track=8, altitudes_m=(105.0, 105.0))


@pytest.fixture(scope="module")
def map_atlas(flight: FlightSummary, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("atlas")
    return index_maps([flight.root / "map"], load_run(Path(OF_MAPS)), folder / "atlas", scales_m=[64.0]).atlas


def test_the_maps_encoder_is_small_and_brings_its_calibration(map_atlas: Atlas) -> None:
    folder = shipped_runs()[OF_MAPS]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, FRAMES, VERIFIED_FRAMES])
    assert (folder / WEIGHTS).stat().st_size < 6_000_000
    run = load_run(Path(OF_MAPS))
    assert run.encoder.recipe.pretrained == "none"
    brought = frames_calibration(run)
    assert brought is not None and brought.method == METHODS["tiles"]
    assert map_atlas.calibration == brought
    verified = frames_calibration(run, verified=True)
    assert verified is not None and verified.method == VERIFIED_METHOD
    assert map_atlas.calibration_of(verified=True) == verified
    built_in = recipes.load_any(OF_MAPS)
    for key in ("backbone", "cut", "partition", "blocks", "part_length", "image_size", "loss"):
        assert getattr(run.encoder.recipe, key) == getattr(built_in, key)


def test_frames_are_found_on_a_map_it_never_saw(flight: FlightSummary, map_atlas: Atlas) -> None:
    paths = sorted((flight.root / "frames").iterdir())
    truth = own_positions(paths)
    fixes = locate(paths, map_atlas, camera=Camera(105.0, 60.0), min_confidence=0.0)
    away_m = [fix.position.metres_to(truth[fix.photo]) for fix in fixes if fix.position is not None]
    assert len(away_m) == 8 and np.median(away_m) < 20
    strangers = locate(sorted((flight.root / "elsewhere").iterdir()), map_atlas, camera=Camera(105.0, 60.0))
    assert sum(fix.position is None for fix in strangers) >= 3  # of 8; two thirds to five sixths of a hundred
    track = sorted((flight.root / "track").iterdir())
    flown = locate_flight(track, map_atlas, camera=Camera(105.0, 60.0), min_confidence=0.0)
    truth = own_positions(track)
    apart_m = [fix.position.metres_to(truth[fix.photo]) for fix in flown.fixes if fix.position is not None]
    assert len(apart_m) == 8 and max(apart_m[-3:]) < 25  # it comes from over fields, which this encoder does not know


def test_frames_are_verified_on_a_map_it_never_saw(flight: FlightSummary, map_atlas: Atlas) -> None:
    pytest.importorskip("cv2", reason="the verify extra is not installed")
    camera = Camera(105.0, 60.0)
    paths = sorted((flight.root / "frames").iterdir())
    truth = own_positions(paths)
    fixes = locate(paths, map_atlas, camera=camera, verify=True)
    away_m = [fix.position.metres_to(truth[fix.photo]) for fix in fixes if fix.position is not None]
    assert len(away_m) >= 6 and np.median(away_m) < 1
    strangers = locate(sorted((flight.root / "elsewhere").iterdir()), map_atlas, camera=camera, verify=True)
    assert sum(fix.position is None for fix in strangers) >= 5  # of 8


@pytest.mark.slow
def test_its_recipe_learns_from_random_weights(
    tmp_path: Path, town: Dataset, slow_runs: Callable[[int, int], int]
) -> None:
    """In short form: a small town of the seed it was trained on, a few epochs, far above the untrained trunk."""
    places, size = slow_runs(120, 40), (120, 160)
    write_places(tmp_path / "town", places=places, seed=TRAINED_ON_SEED, shares=(0.9, 0.1), visits=3, size=size)
    # fp32, as bf16 is slow where the processor has none.
    settings = [
        f"epochs={slow_runs(6, 3)}", "warmup_steps=5", "batch_size=12", "choose_on=val", "patience=9",
        "train_precision=fp32",
    ]  # fmt: skip
    recipe = recipes.with_settings(recipes.load(NAME), settings)
    learned = train(recipe, deep_vg.read(tmp_path / "town"), tmp_path / "run")
    untrained = train(recipes.with_settings(recipe, ["epochs=0"]), None, tmp_path / "untrained")
    before, after = (evaluate(run, town).recall[5] for run in (untrained, learned))
    assert after > before + 0.15
