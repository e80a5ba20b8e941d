"""Translators: tiles without seams, the stretch, and which model is which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geofix.errors import UsageError, WeightsError
from geofix.night.run import build_unit, load_night_run, save_night_run
from geofix.night.samples import as_images, as_pixels
from geofix.night.simple import SimpleNight, simple_night
from geofix.night.translators import Translator, open_translator, simple, stretched, tiled
from geofix.night.unit import unit_translation
from geofix.recipes import NightRecipe
from toy_places import blobs

SAME = Translator("same", "1", lambda pixels, _: pixels)


class Counting:
    """Adds a constant to each tile, another one every time, and notes their sizes and seeds."""

    def __init__(self, *constants: int) -> None:
        self.constants, self.sizes, self.seeds = constants, [], []

    def __call__(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        constant = self.constants[len(self.sizes) % len(self.constants)]
        self.sizes.append(pixels.shape[:2])
        self.seeds.append(seed)
        return (pixels + np.uint8(constant)).astype(np.uint8)


# -- tiles --------------------------------------------------------------------------------------------------------

SIZES = [(16, 16), (9, 13), (48, 64), (50, 70), (33, 17), (16, 100), (65, 16), (1, 40)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 3, 5])
def test_the_same_photo_comes_back(size: tuple[int, int], overlap: int) -> None:
    pixels = blobs(1, *size)
    before = pixels.copy()
    np.testing.assert_array_equal(tiled(SAME, 16, overlap).translate(pixels, 0), before)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_no_larger_and_no_more_than_needed(size: tuple[int, int]) -> None:
    counting = Counting(0)
    tiled(Translator("counting", "1", counting), 16, 4).translate(blobs(1, *size), 7)
    assert set(counting.sizes) == {(min(16, size[0]), min(16, size[1]))}
    across, down = (max(1, -(-(side - 4) // 12)) for side in size)
    assert len(counting.sizes) == across * down
    assert set(counting.seeds) == {7}


@pytest.mark.parametrize("overlap", [0, 1, 4, 5])
@pytest.mark.parametrize("constants", [(0, 200), (0, 100, 200), (200, 0, 0, 60)])
def test_constants_of_tiles_are_blended(overlap: int, constants: tuple[int, ...]) -> None:
    ramp = (max(constants) - min(constants)) / (overlap + 1)
    for columns in range(1, 80):
        flat = np.zeros((3, columns, 3), np.uint8)
        made = tiled(Translator("constants", "1", Counting(*constants)), 16, overlap).translate(flat, 0)
        steps = np.abs(np.diff(made[0, :, 0].astype(int)))
        assert steps.max(initial=0) <= ramp + 1, columns  # rounding on both sides
        assert (made == made[:1]).all()
        turned = tiled(Translator("constants", "1", Counting(*constants)), 16, overlap)
        np.testing.assert_array_equal(turned.translate(flat.transpose(1, 0, 2), 0).transpose(1, 0, 2), made)


def test_two_tiles_against_a_loop() -> None:
    made = tiled(Translator("constants", "1", Counting(0, 90)), 16, 5).translate(np.zeros((1, 24, 3), np.uint8), 0)
    expected = []
    for column in range(24):
        first = 16 - column if column < 16 else 0
        second = column - 7 if column >= 8 else 0
        expected.append(round(90 * second / (first + second)))
    assert made[0, :, 0].tolist() == expected


def test_tiles_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="Tiles of 8 pixels are too small; 16 or more are expected"):
        tiled(SAME, 8, 2)
    with pytest.raises(UsageError, match="Tiles of 32 pixels cannot overlap by 17; 0 to 10 are expected"):
        tiled(SAME, 32, 17)
    with pytest.raises(UsageError, match="simple night is made of whole photos, whatever their size; leave --tiles"):
        tiled(simple(), 32, 8)


# -- the stretch --------------------------------------------------------------------------------------------------


def test_the_stretch_against_a_loop() -> None:
    dark = (blobs(2, 12, 15) // 4 + 20).astype(np.uint8)
    made = stretched(SAME).translate(dark, 0)
    lowest, highest = min(dark.ravel().tolist()), max(dark.ravel().tolist())
    expected = [round(255 * (level - lowest) / (highest - lowest)) for level in dark.ravel().tolist()]
    assert made.ravel().tolist() == pytest.approx(expected, abs=1)  # a half is rounded either way
    assert (int(made.min()), int(made.max())) == (0, 255)


@pytest.mark.parametrize("level", [0, 130, 255])
def test_a_picture_of_one_level_becomes_black(level: int) -> None:
    assert not stretched(SAME).translate(np.full((4, 5, 3), level, np.uint8), 0).any()


def test_a_lamp_and_a_black_corner_leave_nothing_to_stretch() -> None:
    pixels = np.full((6, 6, 3), 30, np.uint8)
    pixels[0, 0], pixels[5, 5] = 0, 255
    np.testing.assert_array_equal(stretched(SAME).translate(pixels, 0), pixels)


# -- names --------------------------------------------------------------------------------------------------------


def test_the_simple_night_by_name() -> None:
    translator = open_translator("simple")
    expected = simple_night(blobs(0), SimpleNight(), 5)
    np.testing.assert_array_equal(translator.translate(blobs(0), 5), expected)
    assert translator.name == "simple" and translator.whole


def test_fingerprints_tell_all_that_matters_apart() -> None:
    one = SAME
    all_of_them = [one, stretched(one), tiled(one, 32, 8), tiled(one, 32, 4), stretched(tiled(one, 32, 8))]
    all_of_them += [tiled(stretched(one), 32, 8), simple(), simple(SimpleNight(lamps=2))]
    assert len({one.fingerprint for one in all_of_them}) == len(all_of_them)
    assert simple().fingerprint == simple(SimpleNight()).fingerprint
    assert stretched(tiled(one, 32, 8)).name == "same, in tiles of 32 that overlap by 8, stretched"


@pytest.mark.parametrize(
    ("model", "weights", "said"),
    [
        ("unit", None, "The model unit needs a trained run: add --weights RUN, or take --model simple"),
        ("simple", Path("run"), "learns nothing and takes no weights; leave --weights run out"),
        ("simpel", None, "no night model 'simpel'; did you mean 'simple'? Known are: unit, simple"),
    ],
)
def test_models_that_cannot_be_had(model: str, weights: Path | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_translator(model, weights)
    assert said in str(caught.value)


def test_a_run_of_unit_translates_whole_photos(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no run folder at my-run"):
        open_translator("unit", Path("my-run"))
    recipe = NightRecipe(name="u", channels=4, residual_blocks=1, downsamplings=1, shorter_side=64, image_size=(64, 64))
    run = save_night_run(build_unit(recipe)[0], recipe, tmp_path / "run")
    found = open_translator("unit", run.folder)
    assert found.fingerprint == run.fingerprint
    assert not found.whole
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    unit = load_night_run(run.folder).unit
    with torch.inference_mode():
        images = as_images(torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0))
        expected = as_pixels(unit.night.decode(unit.day.encode(images)))[0].permute(1, 2, 0).numpy()
    assert np.abs(found.translate(pixels, 0).astype(int) - expected).max() <= 1
    assert np.array_equal(found.translate(pixels, 0), found.translate(pixels, 9))
    back = unit_translation(load_night_run(run.folder), to_night=False)(pixels, 0)
    assert not np.array_equal(back, expected)
    for shape in ((33, 70, 3), (1, 1, 3), (300, 41, 3)):
        assert found.translate(np.zeros(shape, dtype=np.uint8), 0).shape == shape
