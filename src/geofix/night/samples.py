"""What UNIT makes of a few photos: rebuilt, translated, and brought back."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from geofix.night.run import Unit
from geofix.shapes import Pixels
from geofix.tensors import Images, PixelBatch

CAPTIONS = ("photo", "rebuilt", "translated", "and back")


@torch.inference_mode()
def sampled(unit: Unit, day: Sequence[Pixels], night: Sequence[Pixels]) -> list[PixelBatch]:
    """The pictures (4, 3, h, w) of each photo of a size the networks take, day ones first, in the order of CAPTIONS."""
    found = []
    for photos, home, away in ((day, unit.day, unit.night), (night, unit.night, unit.day)):
        for pixels in photos:
            images = as_images(torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0))
            latent = home.encode(images)
            translated = away.decode(latent)
            returned = home.decode(away.encode(translated))
            found.append(torch.cat([as_pixels(one) for one in (images, home.decode(latent), translated, returned)]))
    return found


def as_images(pixels: PixelBatch) -> Images:
    """0..255 -> -1..1."""
    return pixels.float() / 127.5 - 1


def as_pixels(images: Images) -> PixelBatch:
    """-1..1 -> 0..255."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
