"""Translators: what makes a night of a day photo, or a day of a night photo, and what can be wrapped around them.

Wrapping makes another translator: `stretched(tiled(one, 512, 128))` translates tile by tile and stretches the whole.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from geofix.errors import UsageError, unknown_name
from geofix.night.run import load_night_run
from geofix.night.simple import SimpleNight, simple_night
from geofix.night.unit import unit_translation
from geofix.shapes import Pixels

MODELS = ("unit", "simple")
SMALLEST_TILE = 16  # pixels; a network has nothing to see in less

TileWeights = Float32[np.ndarray, "rows columns 1"]
"""What each pixel of a tile counts."""

Ramp = Float32[np.ndarray, " n"]
"""What each row, or column, of a tile counts."""


@dataclass(frozen=True, slots=True)
class Translator:
    """A way to make another picture of a photo.

    `name` is for people. `fingerprint` is another one wherever the same photo and seed may give another picture.
    `translate` takes pixels (h, w, 3) and a seed, gives pixels of the same shape, and leaves the first as they were.
    `whole` says that a part of a photo cannot be translated on its own.
    """

    name: str
    fingerprint: str
    translate: Callable[[Pixels, int], Pixels]
    whole: bool = False


def open_translator(model: str, weights: Path | None = None) -> Translator:
    """The translator of a model's name, with the weights of a trained run where the model has any.

    Raises UsageError for an unknown name, and for weights that are missing or that the model does not have.
    """
    if model not in MODELS:
        raise unknown_name("night model", model, MODELS)
    if model == "simple":
        if weights is not None:
            raise UsageError(f"The simple night learns nothing and takes no weights; leave --weights {weights} out.")
        return simple()
    if weights is None:
        raise UsageError(
            "The model unit needs a trained run: add --weights RUN, or take --model simple, which needs none."
        )
    return _unit(weights)


def open_day_translator(weights: Path) -> Translator:
    """The way back: makes photos by day of photos by night, with a trained run of UNIT. Raises WeightsError."""
    run = load_night_run(weights)
    return Translator(
        f"{run.name}, to day", _hashed(f"{run.fingerprint} to day"), unit_translation(run, to_night=False)
    )


def simple(night: SimpleNight | None = None) -> Translator:
    """The simple night: whole photos only, as its sky, its street of lamps and its exposure are those of a photo."""
    how = night or SimpleNight()
    return Translator("simple", _hashed(repr(how)), lambda day, seed: simple_night(day, how, seed), True)


def each_its_own_night() -> Translator:
    """The simple night with exposure, lamps and noise by the pixels of each photo, whatever seed is asked for."""
    plain = simple()

    def translate(pixels: Pixels, seed: int) -> Pixels:
        return plain.translate(pixels, seed + zlib.crc32(np.ascontiguousarray(pixels).data))

    return _wrapped(plain, "by its pixels", translate)


def stretched(translator: Translator) -> Translator:
    """The same translations, each stretched: its darkest level of all three colours becomes 0, its brightest 255.

    What Atadjanov et al. did, by saving with `normalize=True`; they stretched before rounding to levels. A picture of a
    single level becomes black.
    """

    def translate(pixels: Pixels, seed: int) -> Pixels:
        return _stretched(translator.translate(pixels, seed))

    return _wrapped(translator, "stretched", translate)


def tiled(translator: Translator, size: int, overlap: int) -> Translator:
    """The same, for photos of more than `size` rows or columns in tiles of size x size, blended where they meet.

    Tiles are spread evenly and overlap by at least `overlap` pixels, a third of a tile at most. What a tile counts
    falls towards its neighbours, over all of the overlap. Every tile is translated with the photo's own seed. Raises
    UsageError for sizes that make no sense, and for a translator that takes whole photos only.
    """
    if translator.whole:
        raise UsageError(
            f"The {translator.name} night is made of whole photos, whatever their size; leave --tiles out."
        )
    if size < SMALLEST_TILE:
        raise UsageError(f"Tiles of {size} pixels are too small; {SMALLEST_TILE} or more are expected.")
    if not 0 <= overlap <= size // 3:
        raise UsageError(f"Tiles of {size} pixels cannot overlap by {overlap}; 0 to {size // 3} are expected.")

    def translate(pixels: Pixels, seed: int) -> Pixels:
        return _in_tiles(pixels, lambda tile: translator.translate(tile, seed), size, overlap)

    return _wrapped(translator, f"in tiles of {size} that overlap by {overlap}", translate)


def _unit(weights: Path) -> Translator:
    """The translator of a trained UNIT."""
    run = load_night_run(weights)
    return Translator(run.name, run.fingerprint, unit_translation(run))


def _wrapped(translator: Translator, how: str, translate: Callable[[Pixels, int], Pixels]) -> Translator:
    fingerprint = _hashed(f"{translator.fingerprint} {how}")
    return replace(translator, name=f"{translator.name}, {how}", fingerprint=fingerprint, translate=translate)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stretched(pixels: Pixels) -> Pixels:
    lowest, highest = int(pixels.min()), int(pixels.max())
    levels: Pixels = np.rint((pixels - np.float32(lowest)) * (255 / max(1, highest - lowest))).astype(np.uint8)
    return levels


def _in_tiles(pixels: Pixels, translate: Callable[[Pixels], Pixels], size: int, overlap: int) -> Pixels:
    """A photo translated tile by tile: the weighted mean of the tiles over each pixel."""
    height, width = pixels.shape[:2]
    light, counted = np.zeros(pixels.shape, np.float32), np.zeros((height, width, 1), np.float32)
    for rows in _spans(height, size, overlap):
        for columns in _spans(width, size, overlap):
            part = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
            weights: TileWeights = np.multiply.outer(_ramp(rows, height), _ramp(columns, width))[..., None]
            light[part] += weights * translate(np.ascontiguousarray(pixels[part]))
            counted[part] += weights
    blended: Pixels = np.rint(light / counted).astype(np.uint8)
    return blended


def _spans(length: int, size: int, overlap: int) -> list[range]:
    """The tiles along a side: as few as overlap by that much or more, at even distances, the ends met."""
    if length <= size:
        return [range(length)]
    count = math.ceil((length - overlap) / (size - overlap))
    starts = [round(number * (length - size) / (count - 1)) for number in range(count)]
    return [range(start, start + size) for start in starts]


def _ramp(span: range, length: int) -> Ramp:
    """1 at the edges of a tile and one more with every pixel inwards; it does not fall where the photo ends."""
    inwards = np.arange(1, len(span) + 1, dtype=np.float32)
    rising = inwards if span.start > 0 else np.full_like(inwards, len(span))
    falling = inwards[::-1] if span.stop < length else np.full_like(inwards, len(span))
    weights: Ramp = np.minimum(rising, falling)
    return weights
