"""Views against naive crops, and the normalisation against its formula."""

import numpy as np
import pytest
import torch
from PIL import Image

from geofix.errors import UsageError, WeightsError
from geofix.transforms import METHODS, Preprocess, check_method, crops_per_query, normalised, stacked, views
from toy_places import blobs

SIZES = [(40, 60), (60, 40), (48, 48), (120, 33)]
PREPROCESS = Preprocess((32, 48), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def scaled(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("shape", SIZES)
def test_hard_resize_fills_the_size(shape: tuple[int, int]) -> None:
    pixels = blobs(1, *shape)
    (view,) = views(pixels, (32, 48), "hard_resize")
    np.testing.assert_array_equal(view, scaled(pixels, 32, 48))


@pytest.mark.parametrize("shape", SIZES)
def test_single_query_brings_the_shorter_side_to_the_smaller_number(shape: tuple[int, int]) -> None:
    pixels = blobs(1, *shape)
    (view,) = views(pixels, (32, 48), "single_query")
    rows, columns = shape
    expected = (32, round(columns * 32 / rows)) if rows <= columns else (round(rows * 32 / columns), 32)
    np.testing.assert_array_equal(view, scaled(pixels, *expected))


@pytest.mark.parametrize("shape", SIZES)
def test_central_crop_covers_the_size_and_takes_its_centre(shape: tuple[int, int]) -> None:
    pixels = blobs(1, *shape)
    (view,) = views(pixels, (32, 48), "central_crop")
    factor = max(32 / shape[0], 48 / shape[1])
    large = scaled(pixels, max(32, round(shape[0] * factor)), max(48, round(shape[1] * factor)))
    top, left = (large.shape[0] - 32) // 2, (large.shape[1] - 48) // 2
    np.testing.assert_array_equal(view, large[top : top + 32, left : left + 48])


@pytest.mark.parametrize("method", ["five_crops", "nearest_crop", "maj_voting"])
@pytest.mark.parametrize("shape", SIZES)
def test_five_crops_are_the_corners_and_the_centre(shape: tuple[int, int], method: str) -> None:
    pixels = blobs(1, *shape)
    found = views(pixels, (32, 48), method)
    (large,) = views(pixels, (32, 48), "single_query")
    rows, columns = large.shape[:2]
    middle = ((rows - 32) // 2, (columns - 32) // 2)
    starts = [(0, 0), (0, columns - 32), (rows - 32, 0), (rows - 32, columns - 32), middle]
    assert len(found) == crops_per_query(method) == 5
    for view, (top, left) in zip(found, starts, strict=True):
        np.testing.assert_array_equal(view, large[top : top + 32, left : left + 32])


@pytest.mark.parametrize("method", METHODS)
def test_views_of_the_right_size_are_left_as_they_are(method: str) -> None:
    pixels = blobs(2, 32, 32)
    found = views(pixels, (32, 32), method)
    assert len(found) == crops_per_query(method)
    for view in found:
        np.testing.assert_array_equal(view, pixels)


def test_views_do_not_change_the_photo() -> None:
    pixels = blobs(3)
    before = pixels.copy()
    for method in METHODS:
        views(pixels, (32, 32), method)
    np.testing.assert_array_equal(pixels, before)


def test_normalised_is_the_formula() -> None:
    photos = [blobs(seed, 8, 10) for seed in range(3)]
    batch = stacked(photos)
    images = normalised(batch, PREPROCESS)
    assert images.shape == (3, 3, 8, 10)
    assert images.dtype == torch.float32
    for number, photo in enumerate(photos):
        for channel in range(3):
            expected = (photo[:, :, channel] / 255 - PREPROCESS.mean[channel]) / PREPROCESS.std[channel]
            np.testing.assert_allclose(images[number, channel].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), photos[0])  # the pixels stay


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_normalised_keeps_the_memory_format(count: int, memory_format: torch.memory_format) -> None:
    batch = stacked([blobs(seed, 6, 9) for seed in range(count)]).contiguous(memory_format=memory_format)
    images = normalised(batch, PREPROCESS)
    assert images.is_contiguous(memory_format=memory_format)
    assert torch.equal(images, normalised(batch.contiguous(), PREPROCESS))


def test_mid_grey_is_normalised_once() -> None:
    grey = stacked([np.full((4, 4, 3), 128, dtype=np.uint8)])
    once = normalised(grey, PREPROCESS)[0, :, 0, 0].numpy()
    np.testing.assert_allclose(once, [0.0740, 0.2052, 0.4265], atol=1e-4)


def test_method_names() -> None:
    assert check_method("five_crops") == "five_crops"
    with pytest.raises(UsageError, match=r"'five'; .*hard_resize, single_query, central_crop, five_crops"):
        check_method("five")


def test_preprocess_round_trip() -> None:
    assert Preprocess.from_dict(PREPROCESS.to_dict()) == PREPROCESS


@pytest.mark.parametrize(
    "damage",
    [
        {"size": [32]}, {"size": [0, 32]}, {"size": None}, {"size": ["a", "b"]}, {"mean": [1, 2]}, {"std": [0, 1, 1]},
        {"std": [-1, 1, 1]}, {"mean": 3},
    ],
)  # fmt: skip
def test_damaged_preprocess_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match=r"preprocess\.json is damaged"):
        Preprocess.from_dict({**PREPROCESS.to_dict(), **damage})


def test_preprocess_with_a_field_missing_is_refused() -> None:
    fields = PREPROCESS.to_dict()
    del fields["interpolation"]
    with pytest.raises(WeightsError, match="interpolation"):
        Preprocess.from_dict(fields)
