"""UNIT's networks as a translator of whole photos."""

from __future__ import annotations

from collections.abc import Callable

import torch

from geofix.night.run import NightRun
from geofix.night.samples import as_images, as_pixels
from geofix.photos import resized
from geofix.shapes import Pixels


def unit_translation(run: NightRun, *, to_night: bool = True) -> Callable[[Pixels, int], Pixels]:
    """A function of a photo (h, w, 3) and a seed, which it does not need, that gives the photo by night, or by day.

    The photo is scaled to the recipe's shorter side (sides cut to what the networks take), translated as a whole, and
    scaled back, so that everything known of its pixels stays true.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if run.recipe.precision == "bf16" else torch.float32
    unit = run.unit.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    home, away = (unit.day, unit.night) if to_night else (unit.night, unit.day)
    part = 2**run.recipe.downsamplings

    @torch.inference_mode()
    def translate(pixels: Pixels, _seed: int) -> Pixels:
        height, width = pixels.shape[:2]
        scale = run.recipe.shorter_side / min(height, width)
        size = tuple(max(2 * part, round(side * scale / part) * part) for side in (height, width))
        small = torch.from_numpy(resized(pixels, size).transpose(2, 0, 1).copy()).unsqueeze(0).to(device)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            images = as_images(small).contiguous(memory_format=torch.channels_last)
            translated = away.decode(home.encode(images))
        found: Pixels = as_pixels(translated.float())[0].permute(1, 2, 0).contiguous().cpu().numpy()
        return resized(found, (height, width))

    return translate
