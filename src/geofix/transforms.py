"""What happens to pixels before an encoder sees them: the evaluation views and the normalisation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from geofix.errors import UsageError, WeightsError
from geofix.photos import resized
from geofix.shapes import Pixels, ResizedPixels
from geofix.tensors import Images, PixelBatch

Method = Literal["hard_resize", "single_query", "central_crop", "five_crops", "nearest_crop", "maj_voting"]
METHODS: tuple[Method, ...] = get_args(Method)
_FIVE_CROPS = frozenset({"five_crops", "nearest_crop", "maj_voting"})


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How photos become images: size (rows, columns), mean and standard deviation of RGB in 0..1."""

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear, antialiased"

    def to_dict(self) -> dict[str, Any]:
        """As stored in preprocess.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Preprocess:
        """From preprocess.json. Raises WeightsError when a field is missing or not of its kind."""
        try:
            rows, columns = (int(n) for n in fields["size"])
            mean, std = (tuple(float(v) for v in fields[key]) for key in ("mean", "std"))
            if len(mean) != 3 or len(std) != 3 or min(rows, columns) < 1 or min(std) <= 0:
                raise ValueError("three means, three positive deviations and a positive size are expected")
            return cls((rows, columns), mean, std, str(fields["interpolation"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"preprocess.json is damaged ({error}); copy the run again or train it anew.") from error


def check_method(name: str) -> Method:
    """The test method of that name; raises UsageError that lists them."""
    if name not in METHODS:
        raise UsageError(f"There is no test method {name!r}; choose one of {', '.join(METHODS)}.")
    return name


def crops_per_query(method: Method) -> int:
    """How many views of a query the method makes: 1 or 5."""
    return 5 if method in _FIVE_CROPS else 1


def views(pixels: Pixels, size: tuple[int, int], method: Method = "hard_resize") -> list[ResizedPixels]:
    """The view(s) of one photo that a test method encodes; gallery photos are always hard_resize.

    hard_resize: to (rows, columns), aspect not kept. single_query: shorter side to min(size), aspect kept.
    central_crop: scaled to cover the size, then its centre. five_crops, nearest_crop, maj_voting: shorter side
    to min(size), then four corner squares and the central one.
    """
    if method == "hard_resize":
        return [resized(pixels, size)]
    if method == "central_crop":
        return [_centre(_covering(pixels, size), size)]
    shorter = _covering(pixels, (min(size), min(size)))
    return [shorter] if method == "single_query" else _five(shorter, (min(size), min(size)))


def five_windows(pixels: Pixels, size: tuple[int, int]) -> list[ResizedPixels]:
    """Five parts of a photo at (rows, columns), as classifiers are tested with (GeoEstimation: shorter side to 256,
    FiveCrop of 224): scaled to cover 8/7 of the size, then the four corners and the middle.
    """
    rows, columns = size
    larger = _covering(pixels, (round(rows * 8 / 7), round(columns * 8 / 7)))
    return _five(larger, size)


def stacked(pixels: list[Pixels]) -> PixelBatch:
    """Views of one size as a channels-last tensor (n, 3, h, w), without a copy per channel."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def normalised(batch: PixelBatch, preprocess: Preprocess) -> Images:
    """Pixels 0..255 -> (x / 255 - mean) / std, in the memory format they came in."""
    mean = torch.tensor(preprocess.mean, device=batch.device) * 255
    scale = 1 / (torch.tensor(preprocess.std, device=batch.device) * 255)
    count, channels, rows, columns = batch.shape
    if not batch.is_contiguous(memory_format=torch.channels_last):
        return batch.float().sub_(mean.view(3, 1, 1)).mul_(scale.view(3, 1, 1))
    # A pixel's three numbers are too few for a processor's vectors, a row of pixels is enough: five times as fast.
    flat = batch.permute(0, 2, 3, 1).reshape(count, rows, columns * channels).float()
    flat.sub_(mean.repeat(columns)).mul_(scale.repeat(columns))
    return flat.view(count, rows, columns, channels).permute(0, 3, 1, 2)


def _covering(pixels: Pixels, size: tuple[int, int]) -> ResizedPixels:
    """Scaled, aspect kept, to the smallest size that covers (rows, columns)."""
    rows, columns = pixels.shape[:2]
    scale = max(size[0] / rows, size[1] / columns)
    return resized(pixels, (max(size[0], round(rows * scale)), max(size[1], round(columns * scale))))


def _centre(pixels: Pixels, size: tuple[int, int]) -> ResizedPixels:
    top, left = (pixels.shape[0] - size[0]) // 2, (pixels.shape[1] - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def _five(pixels: Pixels, size: tuple[int, int]) -> list[ResizedPixels]:
    """The four corners and the middle."""
    rows, columns = size
    corners = [pixels[:rows, :columns], pixels[:rows, -columns:], pixels[-rows:, :columns], pixels[-rows:, -columns:]]
    return [*corners, _centre(pixels, size)]
