"""UNIT trained on a few tiny photos: the same bits after a stop, what is written, and what is refused."""

from __future__ import annotations

import csv
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from geofix import recipes
from geofix.data.domains import Domains, domains
from geofix.data.layouts import open_dataset
from geofix.errors import DataError, PhotoError, TrainingError, UsageError, WeightsError
from geofix.learn import night as learning
from geofix.learn.checkpoints import CHECKPOINT
from geofix.learn.night import METRICS, middle_crop, train_night
from geofix.models.build import build
from geofix.night.run import NightRun, build_unit, load_night_run, save_night_run
from geofix.night.samples import as_images, as_pixels, sampled
from geofix.recipes import NightRecipe
from test_cli import Captured, called, refused
from toy_places import put


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


TINY = NightRecipe(
    name="tiny", channels=4, residual_blocks=1, downsamplings=1, discriminator_channels=4, discriminator_layers=2,
    discriminator_scales=1, shorter_side=40, image_size=(32, 48), steps=4, save_every=2, learning_rate=1e-3,
    sheet_photos=1,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos by day and two at night, of several sizes."""
    rng = np.random.default_rng(0)
    for number, (rows, columns) in enumerate(((40, 60), (33, 48), (80, 50))):
        day = rng.integers(100, 256, (rows, columns, 3), dtype=np.uint8)
        put(tmp_path / "data/train/day" / f"{number}.jpg", jpeg(day))
    for number in range(2):
        night = rng.integers(0, 80, (40, 60, 3), dtype=np.uint8)
        put(tmp_path / "data/train/night" / f"{number}.jpg", jpeg(night))
    return tmp_path / "data"


@pytest.fixture
def photos(folder: Path) -> Domains:
    return domains(open_dataset(folder))


def equal(first: NightRun, second: NightRun) -> bool:
    ours, others = first.unit.state_dict(), second.unit.state_dict()
    return all(torch.equal(ours[key], others[key]) for key in ours)


def test_both_domains_are_found_in_any_layout(folder: Path, tmp_path: Path) -> None:
    found = domains(open_dataset(folder))
    assert [photo.name for photo in found.day] == ["train/day/0.jpg", "train/day/1.jpg", "train/day/2.jpg"]
    assert len(found.night) == 2
    plain = domains(open_dataset(folder / "train"))
    assert (len(plain.day), len(plain.night)) == (3, 2)


def test_a_missing_domain(folder: Path) -> None:
    (folder / "train/night").rename(folder / "train/dusk")
    with pytest.raises(DataError, match="has 3 photos by day and 0 at night; both are needed"):
        domains(open_dataset(folder))


def test_a_run_is_read_back_equal(photos: Domains, tmp_path: Path) -> None:
    run = train_night(TINY, photos, tmp_path / "run")
    again = load_night_run(tmp_path / "run")
    assert again.recipe == TINY
    assert again.fingerprint == run.fingerprint
    assert equal(run, again)
    assert not equal(run, NightRun(tmp_path, TINY, build_unit(TINY)[0], "untrained"))


def test_a_stopped_training_ends_with_the_same_bits(photos: Domains, tmp_path: Path) -> None:
    whole = train_night(TINY, photos, tmp_path / "whole")

    def kill(_run: NightRun, steps: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_night(TINY, photos, tmp_path / "run", after_round=kill)
    with pytest.raises(UsageError, match="holds a training that was stopped; add --resume"):
        train_night(TINY, photos, tmp_path / "run")
    seen: list[int] = []
    resumed = train_night(TINY, photos, tmp_path / "run", resume=True, after_round=lambda _, steps: seen.append(steps))
    assert seen == [4]
    assert equal(resumed, whole)
    first, second = ((tmp_path / name / METRICS).read_text(encoding="utf-8") for name in ("whole", "run"))
    rows = [list(csv.DictReader(text.splitlines())) for text in (first, second)]
    assert [row["step"] for row in rows[0]] == ["2", "4"]
    for ours, theirs in zip(*rows, strict=True):
        assert {k: v for k, v in ours.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}
    told: list[str] = []
    train_night(TINY, photos, tmp_path / "run", resume=True, say=told)
    assert told == [f"{tmp_path / 'run'} is a finished run; nothing is left to do."]


def test_a_checkpoint_of_another_recipe(photos: Domains, tmp_path: Path) -> None:
    train_night(TINY, photos, tmp_path / "run")
    (tmp_path / "run/weights.safetensors").unlink()
    with pytest.raises(WeightsError, match="is of a training with another recipe or other photos"):
        train_night(TINY.model_copy(update={"gan": 2.0}), photos, tmp_path / "run", resume=True)


def test_the_judges_do_not_step_on_the_generators_loss(photos: Domains, tmp_path: Path) -> None:
    """Without a term for passing as real the generators learn the same, whatever the judges say."""
    blind = TINY.model_copy(update={"gan": 0.0})
    other = blind.model_copy(update={"discriminator_norm": "instance"})
    assert equal(train_night(blind, photos, tmp_path / "a"), train_night(other, photos, tmp_path / "b"))


def test_the_learning_rate_is_halved(photos: Domains, tmp_path: Path) -> None:
    slower = TINY.model_copy(update={"halve_every": 2})
    first, second = train_night(TINY, photos, tmp_path / "a"), train_night(slower, photos, tmp_path / "b")
    assert not equal(first, second)
    short = {"steps": 2}
    first = train_night(TINY.model_copy(update=short), photos, tmp_path / "c")
    second = train_night(slower.model_copy(update=short), photos, tmp_path / "d")
    assert equal(first, second)


def test_epochs_are_passes_over_the_larger_domain(photos: Domains, tmp_path: Path) -> None:
    seen: list[int] = []
    recipe = TINY.model_copy(update={"epochs": 2, "batch_size": 2, "save_every": 3})
    train_night(recipe, photos, tmp_path / "run", after_round=lambda _, steps: seen.append(steps))
    assert seen == [3, 4]
    untrained = train_night(TINY.model_copy(update={"epochs": 0}), photos, tmp_path / "untrained")
    assert equal(untrained, NightRun(tmp_path, TINY, build_unit(TINY)[0], ""))


def test_a_loss_that_is_no_number(photos: Domains, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"The loss \w+ became (nan|inf) in step \d"):
        train_night(TINY.model_copy(update={"learning_rate": 1e30}), photos, tmp_path / "run")


def test_a_perceptual_loss_needs_a_trunk(photos: Domains, tmp_path: Path) -> None:
    small = recipes.with_settings(recipes.load("resnet18-gem"), ["backbone=test_resnet", "cut=layer2"])
    trunk = build(small.model_copy(update={"pretrained": "none"}), pretrained=False).with_trunks()[0].trunk
    save_file(dict(trunk.network.state_dict()), tmp_path / "trunk.safetensors")  # type: ignore[union-attr,operator,arg-type]
    recipe = TINY.model_copy(
        update={"perceptual": 1.0, "perceptual_backbone": "test_resnet", "perceptual_cut": "layer2"}
    )
    told: list[str] = []
    train_night(recipe, photos, tmp_path / "run", weights=tmp_path / "trunk.safetensors", say=told)
    assert told[0].startswith("trunk.safetensors: ")
    assert "perceptual_night" in (tmp_path / "run" / METRICS).read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="--weights is for the trunk of the perceptual loss"):
        train_night(TINY, photos, tmp_path / "other", weights=tmp_path / "trunk.safetensors")


def test_photos_that_cannot_be_opened_or_are_too_small_are_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    (folder / "train/day/1.jpg").write_bytes(b"no photo")
    put(folder / "train/day/small.jpg", jpeg(np.zeros((31, 90, 3), dtype=np.uint8)))
    problems: list[PhotoError] = []
    train_night(TINY, domains(open_dataset(folder)), tmp_path / "run", errors=problems)
    assert "1.jpg" in str(problems[0])
    said = "small.jpg has 31 x 90 pixels; 32 x 48 (rows x columns) or more are needed for a crop; it was left out."
    assert said in str(problems[1])
    assert len(problems) == 2
    for number in range(2):
        put(folder / f"train/night/{number}.jpg", jpeg(np.zeros((60, 47, 3), dtype=np.uint8)))
    with pytest.raises(DataError, match=r"None of the 2 night photos can be opened and has 32 x 48 pixels"):
        train_night(TINY, domains(open_dataset(folder)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_was_left_out_draws_nothing(folder: Path, tmp_path: Path) -> None:
    clean = train_night(TINY, domains(open_dataset(folder)), tmp_path / "clean")
    put(folder / "train/day/small.jpg", jpeg(np.zeros((31, 90, 3), dtype=np.uint8)))
    assert equal(clean, train_night(TINY, domains(open_dataset(folder)), tmp_path / "run"))


def test_a_photo_that_is_damaged_further_down_is_passed_over(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "train/day/0.jpg").read_bytes()
    (folder / "train/day/0.jpg").write_bytes(whole[: len(whole) // 2])
    train_night(TINY, domains(open_dataset(folder)), tmp_path / "run")
    for number in range(2):
        night = folder / f"train/night/{number}.jpg"
        night.write_bytes(night.read_bytes()[: len(night.read_bytes()) // 2])
    with pytest.raises(DataError, match="None of the 2 photos of a domain can be read"):
        train_night(TINY, domains(open_dataset(folder)), tmp_path / "other")


def test_the_middle_is_looked_at_in_photos_of_any_size() -> None:
    assert middle_crop(np.zeros((5, 90, 3), dtype=np.uint8), TINY).shape == (32, 48, 3)
    assert middle_crop(np.zeros((1, 1, 3), dtype=np.uint8), TINY).shape == (32, 48, 3)


def test_crops_hang_on_the_step_alone(photos: Domains) -> None:
    first = learning._Crops(TINY, photos, range(4))
    later = learning._Crops(TINY, photos, range(2, 4))
    for ours, theirs in zip(first[3], later[1], strict=True):
        assert torch.equal(ours, theirs)
    assert first[3][0].shape == (1, 3, 32, 48)
    assert not torch.equal(first[2][0], first[3][0])


def test_samples_go_there_and_back() -> None:
    unit = build_unit(TINY)[0].eval()
    rng = np.random.default_rng(0)
    day, night = (rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(2))
    first, second = sampled(unit, [day], [night])
    assert torch.equal(first[0], torch.from_numpy(day).permute(2, 0, 1))
    images = as_images(torch.from_numpy(night).permute(2, 0, 1).unsqueeze(0))
    with torch.inference_mode():
        translated = unit.day.decode(unit.night.encode(images))
        assert torch.equal(second[2:3], as_pixels(translated))
        assert torch.equal(second[3:], as_pixels(unit.night.decode(unit.day.encode(translated))))


def test_runs_that_are_none(photos: Domains, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no run folder at .*; make one with `geofix train unit-small"):
        load_night_run(tmp_path / "nowhere")
    run = save_night_run(build_unit(TINY)[0], TINY, tmp_path / "run")
    weights = tmp_path / "run/weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="does not fit the recipe beside it"):
        load_night_run(run.folder)
    weights.unlink()
    with pytest.raises(WeightsError, match="is no whole run folder: weights.safetensors is missing"):
        load_night_run(run.folder)
    save_night_run(build_unit(TINY)[0], TINY.model_copy(update={"channels": 8}), tmp_path / "run")
    with pytest.raises(WeightsError, match="does not fit the recipe beside it"):
        load_night_run(run.folder)
    (tmp_path / "run/recipe.yaml").write_text("name: places\n", encoding="utf-8")
    with pytest.raises(WeightsError, match="is a run for places, which translates nothing"):
        load_night_run(run.folder)


def test_the_command(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.to_yaml(), encoding="utf-8")
    out = tmp_path / "run"
    status, said, err = called(capsys, "train", recipe, "--data", folder, "--out", out, "--set", "seed=3")
    assert (status, err) == (0, "")
    assert "tiny (" in said
    assert "learned from 3 photos by day and 2 at night" in said
    assert sorted(path.name for path in (out / "sheets").iterdir()) == ["step-0000002.png", "step-0000004.png"]
    assert (out / "curves.png").stat().st_size > 1000
    assert (out / CHECKPOINT).is_file()
    assert "UNIT is trained on photos" in refused(capsys, "train", recipe, "--out", tmp_path / "other")
    told = refused(capsys, "train", recipe, "--data", folder, "--out", tmp_path / "other", "--grid", "martin-asgd")
    assert "--grid and --member are for encoders of places" in told
    assert "exists and is not empty" in refused(capsys, "train", recipe, "--data", folder, "--out", out)
