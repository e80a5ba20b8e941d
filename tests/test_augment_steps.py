"""Steps of augmentation: parity case P13, and each formula against a loop."""

from __future__ import annotations

import colorsys
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import transforms as v1

from geofix.augment.chance import seeded
from geofix.augment.papers import AUGMENTATIONS
from geofix.augment.steps import (
    Adjust,
    ByNight,
    CentreCrop,
    Erase,
    Jitter,
    NormaliseAgain,
    Perspective,
    Setting,
    Solarize,
    Step,
    Together,
)
from geofix.night.simple import SimpleNight, simple_night
from geofix.transforms import Preprocess, normalised
from toy_places import blobs

PREPROCESS = Preprocess((48, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SETTING = Setting(0, PREPROCESS)
RAMP = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)


def through(step: Step, photos: torch.Tensor, seed: int = 0, setting: Setting = SETTING) -> torch.Tensor:
    with seeded(seed, photos.device):
        return step(photos, setting)


def photo(seed: int = 0, rows: int = 48, columns: int = 64) -> torch.Tensor:
    return torch.from_numpy(blobs(seed, rows, columns).copy()).permute(2, 0, 1).contiguous()


# -- parity P13 ---------------------------------------------------------------------------------------------------


def test_p13_solarize_on_pil_levels() -> None:
    found = through(Solarize(0.25), RAMP)[0, 0].tolist()
    assert found == [0, *range(254, -1, -1)]
    assert found == np.asarray(ImageOps.solarize(Image.fromarray(RAMP[0].numpy()), 0.25))[0].tolist()
    assert found == [255 - level if level >= 0.25 else level for level in range(256)]


def test_p13_solarize_on_floats() -> None:
    found = through(Solarize(0.25), torch.tensor([0.249, 0.25, 0.251]).expand(3, 1, 3))
    assert found[0, 0].tolist() == pytest.approx([0.249, 0.75, 0.749])


def test_p13_brightness() -> None:
    assert through(Adjust((0.55, 0.55)), torch.full((3, 1, 1), 254, dtype=torch.uint8)).unique().tolist() == [139]


@pytest.mark.parametrize(("fill", "level"), [(1.0, 1), (150.0, 150), (300.0, 255), (-7.0, 0)])
def test_p13_fill(fill: float, level: int) -> None:
    found = through(Perspective(0.5, 1.0, fill), torch.full((3, 48, 64), 90, dtype=torch.uint8))
    assert set(found[:, [0, 0, -1, -1], [0, -1, 0, -1]].unique().tolist()) <= {level, 90}
    assert level in found
    if fill >= 0:
        torch.manual_seed(0)
        white = v1.RandomPerspective(0.5, 1.0, fill=int(fill))(Image.new("RGB", (64, 48), (90, 90, 90)))
        assert np.asarray(white)[0, 0, 0] == found[0, 0, 0]


def test_p13_normalised_twice() -> None:
    grey = (torch.full((3, 2, 2), 0.5) - torch.tensor(PREPROCESS.mean).view(3, 1, 1)) / torch.tensor(
        PREPROCESS.std
    ).view(3, 1, 1)
    assert through(NormaliseAgain(), grey)[:, 0, 0].tolist() == pytest.approx([-1.83, -1.16, 0.05], abs=0.005)


def test_p13_both_nights_level_by_level() -> None:
    night = AUGMENTATIONS["night"]
    for form, threshold in ((night.described, 0.25 * 255), (night.coded, 0.25)):
        found = RAMP
        for step in form.on_pixels:
            found = through(step, found)
        expected = [int(0.55 * (255 - level if level >= threshold else level)) for level in range(256)]
        assert found[0, 0].tolist() == pytest.approx(expected, abs=1)
    assert expected[254] == 0
    assert expected[1] == 139


# -- loops --------------------------------------------------------------------------------------------------------


def adjusted(pixels: np.ndarray, brightness: float, contrast: float, saturation: float, hue: float) -> np.ndarray:
    """Pixel by pixel, in floating point, cut and rounded down after each of the four."""

    def cut(value: float) -> int:
        return int(min(max(value, 0), 255))

    def grey(pixel: tuple[int, int, int]) -> float:
        return 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]

    found = [[tuple(cut(v * brightness) for v in pixel) for pixel in row] for row in pixels.tolist()]
    mean = np.mean([[np.floor(grey(pixel)) for pixel in row] for row in found])
    found = [[tuple(cut(v * contrast + mean * (1 - contrast)) for v in pixel) for pixel in row] for row in found]
    found = [
        [tuple(cut(v * saturation + np.floor(grey(pixel)) * (1 - saturation)) for v in pixel) for pixel in row]
        for row in found
    ]
    turned = []
    for row in found:
        turned.append([])
        for pixel in row:
            h, s, v = colorsys.rgb_to_hsv(*(level / 255 for level in pixel))
            turned[-1].append([255 * level for level in colorsys.hsv_to_rgb((h + hue) % 1, s, v)])
    return np.array(turned)


@pytest.mark.parametrize(
    "factors", [(0.5, 1.0, 1.0, 0.0), (1.0, 0.4, 1.0, 0.0), (1.0, 1.0, 1.7, 0.0), (0.8, 1.3, 0.6, 0.2)]
)
def test_adjust_against_a_loop(factors: tuple[float, float, float, float]) -> None:
    pixels = photo(3, 5, 7)
    step = Adjust(*((factor, factor) for factor in factors))
    expected = adjusted(pixels.permute(1, 2, 0).numpy(), *factors)
    assert through(step, pixels).permute(1, 2, 0).numpy() == pytest.approx(expected, abs=2)


def test_what_is_drawn_once_is_drawn_as_the_program_did() -> None:
    """Python's generator, brightness, contrast, saturation, hue; the run's seed alone counts."""
    even = (0.0, 1.0)
    once = Adjust(even, even, even, (0.0, 0.5), once=True)
    made = [through(once, photo(), seed) for seed in range(3)]
    assert all(torch.equal(one, made[0]) for one in made)
    drawn = random.Random(0)
    factors = [drawn.uniform(0, limit) for limit in (1, 1, 1, 0.5)]
    assert torch.equal(made[0], through(Adjust(*((factor, factor) for factor in factors)), photo()))
    assert not torch.equal(made[0], through(once, photo(), 0, Setting(1, PREPROCESS)))


def drawn_from(strength: float) -> float:
    """A factor of ColorJitter: from 1 - strength, not below 0, to 1 + strength."""
    return float(torch.empty(1).uniform_(max(0.0, 1 - strength), 1 + strength))


def test_jitter_draws_its_strengths_then_its_factors_in_a_random_order() -> None:
    with seeded(5, torch.device("cpu")):
        strengths = [0.2 + 2.8 * float(torch.rand(1)) for _ in range(3)]
        order = torch.randperm(4).tolist()
        factors = [drawn_from(strength) for strength in strengths]
    expected = photo()
    for number in order:
        if number < 3:
            single = [(1.0, 1.0)] * 3
            single[number] = (factors[number], factors[number])
            expected = through(Adjust(*single), expected)
    assert torch.equal(through(Jitter((0.2, 3.0), (0.2, 3.0), (0.2, 3.0)), photo(), 5), expected)


def test_jitter_apart_keeps_to_one_order() -> None:
    factors = []
    with seeded(5, torch.device("cpu")):
        for strength in (1.0, 1.0, 2.0):
            torch.randperm(4)
            factors.append(drawn_from(strength))
    step = Jitter((1.0, 1.0), (1.0, 1.0), (2.0, 2.0), apart=True)
    expected = through(Adjust(*((factor, factor) for factor in factors)), photo())
    assert torch.equal(through(step, photo(), 5), expected)


def test_jitter_with_strengths_of_the_run() -> None:
    """Strengths are fixed by the run's seed, factors are not."""
    drawn = random.Random(0)
    strengths = [drawn.uniform(0, 1) for _ in range(3)]
    fixed = Jitter(*((strength, strength) for strength in strengths))
    once = Jitter((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), once=True)
    made = [through(once, photo(), seed) for seed in range(3)]
    assert all(torch.equal(one, through(fixed, photo(), seed)) for seed, one in enumerate(made))
    assert not torch.equal(made[0], made[1])


@pytest.mark.parametrize("size", [(480, 640), (48, 64), (60, 60), (33, 47)])
def test_the_centre_is_a_share_of_any_size(size: tuple[int, int]) -> None:
    """Each pixel says its row and column; of the papers' 480 x 640 those from 90 to 389 and 120 to 519 are left."""
    rows, columns = size
    places = torch.zeros(3, rows, columns)
    places[0], places[1] = torch.arange(rows)[:, None], torch.arange(columns)[None]
    found = through(CentreCrop(0.625, 0.625), places)
    for channel, side in ((0, rows), (1, columns)):
        left = round(0.625 * side)
        first = round((side - left) / 2)
        assert found[channel].min() == pytest.approx(first, abs=1)
        assert found[channel].max() == pytest.approx(first + left - 1, abs=1)


def test_a_rectangle_is_of_the_stated_share_and_shape() -> None:
    step = Erase(1.0, (0.05, 0.08), (0.3, 5.3))
    for seed in range(40):
        hidden = through(step, torch.ones(3, 100, 140), seed)[0] == 0
        rows, columns = int(hidden.any(1).sum()), int(hidden.any(0).sum())
        assert hidden.sum() == rows * columns
        assert 0.045 <= rows * columns / hidden.numel() <= 0.085
        assert 0.27 <= rows / columns <= 5.9


def test_noise_is_normal() -> None:
    found = through(Erase(1.0, (0.5, 0.6), value="random"), torch.full((3, 100, 100), 9.0))
    noise = found[found != 9]
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.std()) == pytest.approx(1, abs=0.05)


def test_by_night_is_the_simple_night_of_a_seed_that_is_drawn() -> None:
    night = SimpleNight(lamps=2)
    torch.manual_seed(5)
    seed = int(torch.randint(2**62, (1,)))
    expected = simple_night(photo(1).permute(1, 2, 0).contiguous().numpy(), night, seed)
    found = through(ByNight(night), photo(1), 5)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)
    assert not torch.equal(found, through(ByNight(night), photo(1), 6))


@pytest.mark.parametrize("probability", [0.0, 0.7, 1.0])
def test_together_is_all_or_nothing(probability: float) -> None:
    step = Together(probability, (Adjust((0.5, 0.5)), Adjust((0.5, 0.5))))
    flat = torch.full((3, 2, 2), 200, dtype=torch.uint8)
    levels = [int(through(step, flat, seed)[0, 0, 0]) for seed in range(200)]
    assert set(levels) <= {200, 50}
    assert levels.count(50) / 200 == pytest.approx(probability, abs=0.1)


def test_all_photos_of_a_call_change_alike() -> None:
    jitter = Jitter((1.0, 1.0), (0.0, 0.0), (2.0, 2.0), (0.5, 0.5))
    for step in (Perspective(0.5, 1.0), Erase(1.0), jitter, ByNight()):
        pair = torch.stack([photo(1), photo(2)])
        together = through(step, pair, 4)
        assert torch.equal(together[1], through(step, photo(2), 4))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_every_form_keeps_size_and_kind(name: str, size: tuple[int, int]) -> None:
    one = AUGMENTATIONS[name]
    for form in (one.described, one.coded):
        for seed in range(3):
            pixels = photo(seed, *size)[None]
            for step in form.on_pixels:
                pixels = through(step, pixels, seed)
            assert pixels.shape == (1, 3, *size) and pixels.dtype == torch.uint8
            images = normalised(pixels, PREPROCESS)
            for step in form.on_normalised:
                images = through(step, images, seed)
            assert images.shape == (1, 3, *size) and images.dtype == torch.float32
            assert bool(torch.isfinite(images).all())
