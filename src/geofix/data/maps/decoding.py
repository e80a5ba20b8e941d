"""Pictures of maps as colours and what is transparent in them, and both made smaller."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofix import photos
from geofix.data.maps.source import Valid
from geofix.errors import PhotoError
from geofix.shapes import Pixels


class Decoded(NamedTuple):
    """Colours, and which pixels are not wholly transparent."""

    pixels: Pixels
    valid: Valid


def decoded(data: bytes, name: str) -> Decoded:
    """A picture from its bytes. Raises PhotoError, which says `name`, for what is damaged, too large or none."""
    # read_pixels has no word for transparency, so that is read here.
    with photos.opened(data, name, huge=False) as image:
        if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
            pixels = photos.read_pixels(data, name)
            return Decoded(pixels, np.ones(pixels.shape[:2], dtype=np.bool_))
        try:
            colours = np.array(image.convert("RGBA"))
        except Exception as error:  # decoders raise whatever the broken bytes provoke
            raise PhotoError(f"{name} is damaged: its data end or break early ({error}); copy it again.") from error
    return Decoded(np.ascontiguousarray(colours[..., :3]), colours[..., 3] > 0)


def halved(whole: Decoded) -> Decoded:
    """Half the size, rounded up: every pixel the mean of the valid ones among four."""
    return made_smaller(whole, 2)


def made_smaller(whole: Decoded, times: int) -> Decoded:
    """Every pixel the mean of the valid ones in a square of `times` pixels a side, valid where any of them is.

    The last row and column are of what is left.
    """
    if times == 1:
        return whole
    rows, columns = (-(-side // times) for side in whole.valid.shape)
    height, width = whole.valid.shape
    padding = ((0, rows * times - height), (0, columns * times - width))
    valid = np.pad(whole.valid, padding).reshape(rows, times, columns, times)
    shown = valid.sum(axis=(1, 3), dtype=np.float32)
    # Colour by colour: a whole map in numbers wide enough to add up would not fit in memory three times.
    pixels = np.empty((rows, columns, 3), dtype=np.uint8)
    for colour in range(3):
        values = np.pad(whole.pixels[..., colour] * whole.valid, padding).reshape(rows, times, columns, times)
        sums = values.sum(axis=(1, 3), dtype=np.float32)
        # To the even neighbour: halves rounded up would make every level of a pyramid brighter than the last.
        pixels[..., colour] = np.rint(sums / np.maximum(shown, 1))
    return Decoded(pixels, shown > 0)
