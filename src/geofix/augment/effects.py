"""What an augmentation does, measured from outside: on flat greys, on stripes, on a grey ramp and on photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from geofix.augment.chance import seeded
from geofix.augment.papers import Form
from geofix.augment.steps import Setting, through
from geofix.tensors import Images, PixelBatch
from geofix.transforms import Preprocess, normalised

_SIDE = 32  # pixels of the test pictures
_FLATS = (48, 96, 160, 208)  # greys that no tone curve of the papers makes equal
_DRAWS, _DRAWS_OF_RAMP, _DRAWS_OF_PHOTO = 24, 100, 12
_APART = 8  # levels between two greys whose order is looked at
_SLOWER = 4  # a slow form is drawn so many times less often, and tried on greys that lie `_APART`
_ROUNDING = 1.5  # levels


@dataclass(frozen=True, slots=True)
class Tones:
    """What becomes of flat greys 0..255, mostly: `inverted`, the share of pairs of greys (8 levels apart) whose order
    is turned round, 1 in a negative image; `clipped`, the share of greys that become black or white; `grey`, the
    middle one as the encoder gets it.
    """

    inverted: float
    clipped: float
    grey: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """What becomes of the frame, on average: `covered`, the share of it that shows none of the photo; `fills`, the
    levels 0..255 that make up a tenth of that or more; `lost`, the share of the photo that lies outside.
    """

    covered: float
    fills: tuple[float, ...]
    lost: float


@dataclass(frozen=True, slots=True)
class Values:
    """What the encoder gets of a grey ramp and of photos: `brightness`, their mean as a factor of what it was;
    `beyond`, the share of values that no photo can have; the `lowest` and `highest` of all; `changed`, the share of
    draws that change anything; `varies`, whether draws differ.
    """

    brightness: float
    beyond: float
    lowest: float
    highest: float
    changed: float
    varies: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What a form of an augmentation does, over many draws."""

    tones: Tones
    frame: Frame
    values: Values


def effect(form: Form, setting: Setting, photos: PixelBatch | None = None) -> Effect:
    """What a form does to test pictures and to photos (of any size; small ones are quick).

    Seeds are fixed, so the same form gives the same numbers; the global random state is left as it was.
    """
    return Effect(_tones(form, setting), _frame(form, setting), _values(form, setting, photos))


def levels(images: Images, preprocess: Preprocess) -> Images:
    """Normalised values back as levels; those of a photo are 0..255, others lie outside."""
    mean, std = (torch.tensor(three).view(1, 3, 1, 1) * 255 for three in (preprocess.mean, preprocess.std))
    return images * std + mean


def _drawn(form: Form, setting: Setting, pixels: PixelBatch, draws: int = _DRAWS) -> Iterator[Images]:
    """The photos as the encoder gets them, draw for draw, all changed by the same one."""
    for seed in range(draws // _SLOWER if form.slow else draws):
        with seeded(3 * seed + 1, pixels.device):
            images = normalised(through(form.on_pixels, pixels, setting), setting.preprocess)
            images = through(form.on_normalised, images, setting)
        yield images


def _tones(form: Form, setting: Setting) -> Tones:
    side = _SIDE // 4
    every = _APART if form.slow else 1
    greys = torch.tensor([*range(0, 256, every), 127, 128], dtype=torch.uint8)
    flats = greys.view(-1, 1, 1, 1).expand(-1, 3, side, side)
    # A perspective moves corners by a quarter of a side at most: the middle is never uncovered.
    middle = slice(side // 2 - 1, side // 2 + 1)
    middles = [images[..., middle, middle] for images in _drawn(form, setting, flats)]
    curves = torch.stack([levels(one, setting.preprocess).flatten(1).median(1).values for one in middles])
    red, green, blue = torch.stack([one[-2:].mean((0, 2, 3)) for one in middles]).median(0).values.tolist()
    curves, apart = curves[:, :-2], _APART // every
    inner = curves[:, (greys[:-2] > 0) & (greys[:-2] < 255)]
    return Tones(
        inverted=float((curves[:, apart:] < curves[:, :-apart] - 0.5).float().mean(1).median()),
        clipped=float(((inner <= 0.5) | (inner >= 254.5)).float().mean(1).median()),
        grey=(red, green, blue),
    )


def _frame(form: Form, setting: Setting) -> Frame:
    covered, found = [], []
    for flats in _drawn(form, setting, torch.cat([_flat(level) for level in _FLATS])):
        shown = levels(flats, setting.preprocess)
        hidden = (shown.amax(0) - shown.amin(0)).amax(0) < _ROUNDING
        covered.append(float(hidden.float().mean()))
        found.append(shown[0][:, hidden].round().flatten())
    lost = []
    for images in _drawn(form, setting, _stripes()):
        seen = (images[1:] - images[:1]).abs().flatten(1).amax(1)
        columns, rows = (seen > 0.25 * seen.max()).float().view(2, -1).mean(1).tolist()
        lost.append(1 - columns * rows)
    values, counts = torch.unique(torch.cat(found), return_counts=True)
    fills = values[counts >= 0.1 * max(1, int(counts.sum()))].tolist()
    return Frame(sum(covered) / len(covered), tuple(fills), sum(lost) / len(lost))


def _flat(level: int) -> PixelBatch:
    return torch.full((1, 3, _SIDE, _SIDE), level, dtype=torch.uint8)


def _stripes() -> PixelBatch:
    """A flat picture, then the same with one dark column of two pixels each, then with one such row each.

    Dark and not bright: a bright row at the top would be taken for the sky by what looks for one.
    """
    columns = _flat(200).repeat(_SIDE // 2, 1, 1, 1)
    for number, picture in enumerate(columns):
        picture[..., 2 * number : 2 * number + 2] = 60
    return torch.cat([_flat(200), columns, columns.mT])


def _values(form: Form, setting: Setting, photos: PixelBatch | None) -> Values:
    preprocess = setting.preprocess
    ramp = torch.arange(256, dtype=torch.uint8).view(16, 16).expand(1, 3, 16, 16)
    draws = list(_drawn(form, setting, ramp, _DRAWS_OF_RAMP))
    plain = normalised(ramp, preprocess)
    small = _ROUNDING / 255 / max(preprocess.std)
    pictures = [(plain, draws)]
    if photos is not None:
        every = [(photo, _drawn(form, setting, photo, _DRAWS_OF_PHOTO)) for photo in photos[:, None]]
        pictures = [(normalised(photo, preprocess), list(drawn)) for photo, drawn in every]
    seen = [one for _, drawn in pictures for one in drawn]
    return Values(
        brightness=_brightness(seen, preprocess) / max(_brightness([one for one, _ in pictures], preprocess), 1e-6),
        beyond=sum(_beyond(one, preprocess) for one in seen) / len(seen),
        lowest=min(float(one.min()) for one in [*seen, *draws]),
        highest=max(float(one.max()) for one in [*seen, *draws]),
        changed=sum(float((one - plain).abs().max()) > small for one in draws) / len(draws),
        varies=any(float((one - draws[0]).abs().max()) > small for one in draws),
    )


def _brightness(images: list[Images], preprocess: Preprocess) -> float:
    """The mean of what can be shown of them."""
    return sum(float(levels(one, preprocess).clamp(0, 255).mean()) for one in images) / len(images)


def _beyond(images: Images, preprocess: Preprocess) -> float:
    """The share of values below black or above white."""
    found = levels(images, preprocess)
    return float(((found < -0.1) | (found > 255.1)).float().mean())
