"""Five windows of a photo, and what countries and scenes make of them."""

from __future__ import annotations

import numpy as np
import pytest

from geofix.cli.countries import windows_of
from geofix.countries import look as module
from geofix.countries.routing import softmax
from geofix.errors import UsageError
from geofix.photos import resized
from geofix.transforms import METHODS, five_windows


def test_windows_are_the_corners_and_the_middle_of_the_photo_at_eight_sevenths() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    larger = resized(pixels, (256, 341))  # the shorter side to 256, as GeoEstimation
    expected = [
        larger[:224, :224],
        larger[:224, 117:],
        larger[32:, :224],
        larger[32:, 117:],
        larger[16:240, 58:282],
    ]
    for window, wanted in zip(five_windows(pixels, (224, 224)), expected, strict=True):
        assert np.array_equal(window, wanted)


@pytest.mark.parametrize("shape", [(40, 300, 3), (300, 40, 3), (5, 5, 3)])
def test_windows_of_any_photo(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert [one.shape for one in five_windows(pixels, (64, 96))] == [(64, 96, 3)] * 5


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_probabilities_of_windows_are_averaged(temperature: float) -> None:
    """The mean of softmax, not the softmax of the mean."""
    logits = np.random.default_rng(1).normal(0, 4, (6, 5, 7)).astype(np.float32)
    expected = np.array(
        [np.mean([np.exp(v / temperature) / np.exp(v / temperature).sum() for v in photo], axis=0) for photo in logits]
    )
    found = softmax(module._averaged(logits, temperature), temperature)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found != pytest.approx(softmax(logits.mean(axis=1), temperature), rel=1e-2)


def test_one_view_stays_as_it_is() -> None:
    logits = np.random.default_rng(1).normal(0, 4, (6, 1, 7)).astype(np.float32)
    assert np.array_equal(module._averaged(logits, 0.5), logits[:, 0])


def test_methods_that_are_for_places() -> None:
    assert [windows_of(method) for method in ("hard_resize", "five_crops")] == [False, True]
    for method in set(METHODS) - {"hard_resize", "five_crops"}:
        with pytest.raises(UsageError, match=f"--method {method} is for places; scenes and countries take hard_resize"):
            windows_of(method)
