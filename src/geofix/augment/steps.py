"""Single changes to photos, each with its parameters as data. The door to torchvision's transforms.

A step is called with photos (..., 3, h, w) and changes all of them by one and the same draw from torch's random
state. Those named in a form's `on_pixels` get pixels 0..255, those in `on_normalised` normalised photos.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from torchvision.transforms import v2

from geofix.night.simple import SimpleNight, simple_nights
from geofix.tensors import AnyPhotos
from geofix.transforms import Preprocess

Range = tuple[float, float]
"""Lowest and highest value; the same twice is no draw."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays the same through a whole run: its seed, and how its photos are normalised."""

    seed: int
    preprocess: Preprocess


@runtime_checkable
class Step(Protocol):
    """One change, drawn anew at each call."""

    def __call__(self, photos: AnyPhotos, setting: Setting, /) -> AnyPhotos:
        """The photos changed, all by the same draw; their size is kept."""


@dataclass(frozen=True, slots=True)
class Solarize:
    """Levels at or above `threshold` (of 0..255) are inverted: v -> 255 - v. PIL and torchvision agree on this."""

    threshold: float

    def __call__(self, photos: AnyPhotos, _: Setting) -> AnyPhotos:
        """Each pixel on its own."""
        changed: AnyPhotos = v2.functional.solarize(photos, self.threshold)
        return changed


@dataclass(frozen=True, slots=True)
class Adjust:
    """Factors on brightness, contrast and saturation and a turn of the hue (of 1), in that order.

    Each is drawn evenly from its range; with `once` it is drawn once for the whole run.
    """

    brightness: Range = (1.0, 1.0)
    contrast: Range = (1.0, 1.0)
    saturation: Range = (1.0, 1.0)
    hue: Range = (0.0, 0.0)
    once: bool = False

    def __call__(self, photos: AnyPhotos, setting: Setting) -> AnyPhotos:
        """Products are cut at 255 and rounded down."""
        draw = _draw(setting.seed if self.once else None)
        brightness, contrast, saturation, hue = map(draw, (self.brightness, self.contrast, self.saturation, self.hue))
        if brightness != 1:
            photos = v2.functional.adjust_brightness(photos, brightness)
        if contrast != 1:
            photos = v2.functional.adjust_contrast(photos, contrast)
        if saturation != 1:
            photos = v2.functional.adjust_saturation(photos, saturation)
        if hue != 0:
            photos = v2.functional.adjust_hue(photos, hue)
        return photos


@dataclass(frozen=True, slots=True)
class Jitter:
    """torchvision's ColorJitter: factors drawn from 1 - strength (at least 0) to 1 + strength, hue from +-strength.

    The strengths are drawn from their ranges first; with `once` that is done once for the whole run. With `apart`
    the four are separate and come in that order; without it, in a random one.
    """

    brightness: Range = (0.0, 0.0)
    contrast: Range = (0.0, 0.0)
    saturation: Range = (0.0, 0.0)
    hue: Range = (0.0, 0.0)
    apart: bool = False
    once: bool = False

    def __call__(self, photos: AnyPhotos, setting: Setting) -> AnyPhotos:
        """Products are cut at 255 and rounded down."""
        draw = _draw(setting.seed if self.once else None)
        brightness, contrast, saturation, hue = map(draw, (self.brightness, self.contrast, self.saturation, self.hue))
        if self.apart:
            jitters = [v2.ColorJitter(brightness), v2.ColorJitter(0, contrast), v2.ColorJitter(0, 0, saturation)]
            jitters.append(v2.ColorJitter(hue=hue))
        else:
            jitters = [v2.ColorJitter(brightness, contrast, saturation, hue)]
        for jitter in jitters:
            photos = jitter(photos)
        return photos


@dataclass(frozen=True, slots=True)
class Perspective:
    """torchvision's RandomPerspective: with `probability`, each corner moves inwards by up to distortion / 2 of a side.

    What the photo no longer covers gets the level `fill`, cut to 0..255 as Pillow does. (On pixel tensors
    torchvision lets 300 run over to 44.)
    """

    distortion: float
    probability: float
    fill: float = 0.0

    def __call__(self, photos: AnyPhotos, _: Setting) -> AnyPhotos:
        """Bilinear."""
        fill = min(max(self.fill, 0.0), 255.0)
        changed: AnyPhotos = v2.RandomPerspective(self.distortion, p=self.probability, fill=fill)(photos)
        return changed


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """The middle of a photo, `rows` and `columns` of it as shares of its sides, at the size of the whole."""

    rows: float
    columns: float

    def __call__(self, photos: AnyPhotos, _: Setting) -> AnyPhotos:
        """Bilinear with anti-aliasing."""
        rows, columns = photos.shape[-2:]
        middle = v2.functional.center_crop(photos, [round(self.rows * rows), round(self.columns * columns)])
        changed: AnyPhotos = v2.functional.resize(middle, [rows, columns], antialias=True)
        return changed


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A part of random place, shape (0.9..1.1) and size (from `least` of the area), at the size of the whole."""

    least: float

    def __call__(self, photos: AnyPhotos, _: Setting) -> AnyPhotos:
        """Bilinear with anti-aliasing."""
        crop = v2.RandomResizedCrop(tuple(photos.shape[-2:]), (self.least, 1.0), ratio=(0.9, 1.1), antialias=True)
        changed: AnyPhotos = crop(photos)
        return changed


@dataclass(frozen=True, slots=True)
class Erase:
    """torchvision's RandomErasing: with `probability`, a rectangle is overwritten.

    `scale` is its share of the area, `ratio` its height by its width, `value` what it is overwritten with: a number,
    or noise with mean 0 and deviation 1, which means something on normalised photos only.
    """

    probability: float
    scale: Range = (0.02, 0.33)
    ratio: Range = (0.3, 3.3)
    value: float | Literal["random"] = 0.0

    def __call__(self, photos: AnyPhotos, _: Setting) -> AnyPhotos:
        """Leaves the photos alone where ten draws give no rectangle that fits."""
        erase = v2.RandomErasing(self.probability, scale=self.scale, ratio=self.ratio, value=self.value)
        changed: AnyPhotos = erase(photos)
        return changed


@dataclass(frozen=True, slots=True)
class NormaliseAgain:
    """The normalisation once more, on photos that have had theirs."""

    def __call__(self, photos: AnyPhotos, setting: Setting) -> AnyPhotos:
        """(x - mean) / std of an x that is not 0..1 any longer."""
        mean, std = (
            torch.tensor(three, device=photos.device).view(3, 1, 1)
            for three in (setting.preprocess.mean, setting.preprocess.std)
        )
        return (photos - mean) / std


@dataclass(frozen=True, slots=True)
class ByNight:
    """The simple night of `geofix.night`, which learns nothing: pixels 0..255 only."""

    night: SimpleNight = field(default_factory=SimpleNight)

    def __call__(self, photos: AnyPhotos, _: Setting) -> AnyPhotos:
        """The same exposure, street of lamps and noise for all photos of a call."""
        seed = int(torch.randint(2**62, (1,)))
        changed = torch.empty_like(photos)
        flat = photos.reshape(-1, *photos.shape[-3:])
        for photo, made in zip(flat, changed.view(flat.shape), strict=True):
            made.copy_(simple_nights(photo[None], self.night, seed)[0])
        return changed


@dataclass(frozen=True, slots=True)
class Together:
    """With `probability` all of these steps, else none."""

    probability: float
    steps: tuple[Step, ...]

    def __call__(self, photos: AnyPhotos, setting: Setting) -> AnyPhotos:
        """In their order."""
        if torch.rand(1) >= self.probability:
            return photos
        return through(self.steps, photos, setting)


def through(steps: Iterable[Step], photos: AnyPhotos, setting: Setting) -> AnyPhotos:
    """Photos through one step after the other."""
    for step in steps:
        photos = step(photos, setting)
    return photos


def _draw(seed: int | None) -> Callable[[Range], float]:
    """Even draws from a range: from Python's generator started at `seed`, or from torch's random state."""
    fixed = None if seed is None else random.Random(seed)

    def drawn(limits: Range) -> float:
        low, high = limits
        if low == high:
            return low
        return fixed.uniform(low, high) if fixed else low + (high - low) * float(torch.rand(1))

    return drawn
