"""A simple night: what a dark sky, a few lamps and a camera at its limits make of a day photo. Nothing is learned.

The day photo is taken for what its surfaces reflect. They get a little cool light from everywhere and warm light from
lamps; the sky gets almost none, and some windows shine by themselves. The lens scatters, the sensor adds noise, and a
tone curve makes levels of it. Light is linear, in units of what a white surface sends by day. The defaults were set
by eye and by simple statistics of levels, against the night photos of dash cameras (BDD).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy import fft, ndimage

from geofix.errors import UsageError
from geofix.shapes import Pixels
from geofix.tensors import PixelBatch

Light = Float32[np.ndarray, "h w 3"]
"""Linear red, green and blue of each pixel; 1 is white by day."""

Grey = Float32[np.ndarray, "h w"]
"""One number for each pixel."""

Spots = Bool[np.ndarray, "h w"]
"""Which pixels are meant."""

Colour = Float32[np.ndarray, "3"]
"""Linear red, green and blue."""

Box = tuple[slice, slice]
"""Rows and columns of a part of a photo."""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear sRGB
_RODS = np.array([0.05, 0.60, 0.35], np.float32)  # roughly what the rods of the eye see: hardly red, much blue
_WAVELENGTHS_UM = np.array([0.610, 0.550, 0.465])  # about where red, green and blue lie
_DAYLIGHT_K = 6500.0  # sRGB's white
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True, slots=True)
class SimpleNight:
    """How a night is. Raises UsageError for values that no night has."""

    exposure_ev: float = -5.5  # light that comes from everywhere, in stops against the day
    exposure_spread_ev: float = 0.8  # standard deviation from photo to photo, of what lamps light as well
    sky_ev: float = -3.0  # what the sky loses beyond that
    colour_temperature_k: float = 7500.0  # of the light from everywhere; more than 6500 is cooler than the day's
    colourless_ev: float = -4.0  # light in which half of the colour is left; in less, less: the Purkinje effect
    lamps: int = 6
    lamp_temperature_k: float = 3000.0  # of lamps and windows on average; each has its own
    lamp_ev: float = -1.8  # light that a near lamp throws on what is next to it
    lit_share: float = 0.5  # of what looks like a window
    bloom: float = 0.2  # share of the light that lens and air scatter
    white_electrons: float = 6000.0  # what a pixel counts at white; its root is the shot noise there
    read_noise: float = 2.0  # standard deviation in electrons, in the dark as well

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), _LIMITS[field.name]
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"{field.name} is {value}; a number from {low:g} to {high:g} is expected.")


_LIMITS = {
    "exposure_ev": (-20, 0),
    "exposure_spread_ev": (0, 5),
    "sky_ev": (-20, 0),
    "colour_temperature_k": (1000, 40000),
    "colourless_ev": (-20, 20),
    "lamps": (0, 100),
    "lamp_temperature_k": (1000, 40000),
    "lamp_ev": (-20, 5),
    "lit_share": (0, 1),
    "bloom": (0, 1),
    "white_electrons": (1, 1e9),
    "read_noise": (0, 1e6),
}


def simple_night(pixels: Pixels, night: SimpleNight, seed: int) -> Pixels:
    """One photo by night. The same photo, night and seed give the same picture."""
    draw = np.random.default_rng(seed)
    day, grey, shape = _LINEAR[pixels], _grey(pixels), pixels.shape[:2]
    sky = _sky(pixels, grey)
    exposure = 2 ** (night.exposure_spread_ev * draw.standard_normal())
    lamps = _Lamps.drawn(night, draw)
    light = np.exp2(night.exposure_ev + night.sky_ev * sky)[..., None] * _colour(night.colour_temperature_k)
    light += lamps.on_surfaces(shape) * (1 - sky)[..., None]
    scene = _coloured(exposure * day * light, night.colourless_ev) + lamps.seen(shape)
    scene += _windows(pixels, grey, sky, night, draw)
    return _levels(_noisy(_scattered(scene, night.bloom), night, draw))


def simple_nights(photos: PixelBatch, night: SimpleNight, seed: int) -> PixelBatch:
    """A batch of photos by night, each as `simple_night` makes it: the first from `seed`, the next from seed + 1."""
    made = torch.empty_like(photos)
    for number, photo in enumerate(photos.cpu()):
        pixels = simple_night(photo.permute(1, 2, 0).numpy(), night, seed + number)
        made[number] = torch.from_numpy(pixels).permute(2, 0, 1)
    return made


@dataclass(frozen=True, slots=True)
class _Lamps:
    """Lamps on both sides of a street, evenly spaced, seen in perspective: the near ones large, high and outside."""

    rows: np.ndarray  # (k,) where they hang, shares of the photo's height and width
    columns: np.ndarray
    nearness: np.ndarray  # (k,) 1 nearby, 0 at the end of the street
    colours: np.ndarray  # (k, 3) linear, luminance 1
    light: float  # what a lamp at nearness 1 throws on what is next to it

    @staticmethod
    def drawn(night: SimpleNight, draw: np.random.Generator) -> _Lamps:
        count = night.lamps
        end = draw.uniform(0.3, 0.7)
        nearness = 1 / (draw.uniform(1.0, 1.8) + 0.7 * (np.arange(count) // 2) + draw.uniform(0, 0.4, count))
        sides = np.where(np.arange(count) % 2, 1, -1) * draw.choice([-1, 1]) * draw.uniform(0.45, 0.6, count)
        rows = 0.57 - 0.22 * nearness + draw.uniform(-0.015, 0.015, count)
        colours = [_colour(night.lamp_temperature_k * 2 ** draw.normal(0, 0.2)) for _ in range(count)]
        return _Lamps(rows, end + sides * nearness, nearness, np.reshape(colours, (-1, 3)), 2**night.lamp_ev)

    def on_surfaces(self, shape: tuple[int, int]) -> Light:
        """Their light on what is around and below them: it falls off as under a lamp that hangs over a plane."""
        reach = 0.05 + 0.35 * self.nearness
        strength = self.light * (0.3 + 0.7 * self.nearness)
        down, along = (part / reach[:, None] for part in self._offsets(shape, self.rows + 0.4 * reach))
        light = np.zeros((*shape, 3), np.float32)
        for vertical, horizontal, colour in zip(down, along, strength[:, None] * self.colours, strict=True):
            far = np.add.outer(vertical**2 + 1, horizontal**2).astype(np.float32)
            light += (1 / (far * np.sqrt(far)))[..., None] * colour.astype(np.float32)
        return light

    def seen(self, shape: tuple[int, int]) -> Light:
        """The lamps themselves, far brighter than white by day."""
        radius = 0.002 + 0.014 * self.nearness
        down, along = (np.exp(-((part / radius[:, None]) ** 2)) for part in self._offsets(shape, self.rows))
        light: Light = np.einsum("kh,kw,kc->hwc", 40 * down, along, self.colours, optimize=True).astype(np.float32)
        return light

    def _offsets(self, shape: tuple[int, int], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far every row (k, h) lies below these `rows` and every column (k, w) beside the lamps, in shares of the
        photo's shorter side."""
        height, width = shape
        down = np.arange(height) + 0.5 - rows[:, None] * height
        along = np.arange(width) + 0.5 - self.columns[:, None] * width
        return down / min(shape), along / min(shape)


def _grey(pixels: Pixels) -> Grey:
    """Brightness as the camera's levels tell it, 0..1."""
    grey: Grey = pixels.astype(np.float32) @ (_LUMINANCE / 255)
    return grey


def _colour(temperature_k: float) -> Colour:
    """The colour of a black body against daylight, luminance 1: Planck's law in Wien's form at three wavelengths."""
    shift = 1 / temperature_k - 1 / _DAYLIGHT_K
    colour: Colour = np.exp(-14388.0 / _WAVELENGTHS_UM * shift).astype(np.float32)  # hc / k in micrometre kelvin
    return colour / (colour @ _LUMINANCE)


def _sky(pixels: Pixels, grey: Grey) -> Grey:
    """How much of each pixel is sky, 0..1: smooth regions from the top edge down to three quarters of the height,
    brighter or bluer than the ground and not warm; and what shows of them in between, as through a tree.
    """
    side = max(3, min(grey.shape) // 40)
    mean = ndimage.uniform_filter(grey, side)
    smooth = ndimage.uniform_filter(grey * grey, side) - mean * mean < 0.06**2
    red, blue = (ndimage.uniform_filter(pixels[..., channel].astype(np.float32), side) for channel in (0, 2))
    ground = float(np.median(grey[len(grey) // 2 :]))
    cool = blue > 0.87 * red
    possible = smooth & cool & ((mean > ground + 0.1) | ((blue > 1.3 * red) & (mean > 0.35)))
    possible[math.ceil(0.75 * len(grey)) :] = False
    regions, _ = ndimage.label(possible)
    large = np.bincount(regions.ravel()) > 0.005 * grey.size
    found = np.isin(regions, [number for number in np.unique(regions[0]) if number and large[number]])
    if not found.any():
        return np.zeros_like(grey)
    near = np.clip(8 * ndimage.uniform_filter(found.astype(np.float32), 4 * side), 0, 1)
    least = min(ground, float(np.quantile(grey[found], 0.05)) - 0.1)
    sky: Grey = near * cool * np.clip((grey - least) / 0.1, 0, 1)
    return sky


def _windows(pixels: Pixels, grey: Grey, sky: Grey, night: SimpleNight, draw: np.random.Generator) -> Light:
    """Light from the windows that are lit, 0 elsewhere: the darker a pane is by day, the freer the view into the room.

    They are not looked for in the lowest third, where cars are, nor against the sky, nor in anything green.
    """
    possible = ndimage.maximum_filter(sky, max(3, min(grey.shape) // 30)) < 0.1
    possible &= pixels[..., 1] <= 1.05 * np.maximum(pixels[..., 0], pixels[..., 2])
    possible[round(0.67 * len(grey)) :] = False
    light = np.zeros((*grey.shape, 3), np.float32)
    for share in (0.1, 0.2):
        boxes, darker = _dark_boxes(grey, possible, share)
        for box in boxes:
            shines, much, kelvin = draw.uniform(), draw.normal(-1.3, 0.8), draw.normal(0.1, 0.2)
            if shines < night.lit_share:
                pane = np.clip(2.5 * darker[box] - 0.5, 0, 1)[..., None]
                light[box] = pane * _colour(night.lamp_temperature_k * 2**kelvin) * 2**much
    return light


def _dark_boxes(grey: Grey, possible: Spots, share: float) -> tuple[list[Box], Grey]:
    """Upright rectangles that are darker than what surrounds them, narrower than `share` of the photo's shorter side;
    and by what share each pixel is darker than that, 0..1.
    """
    reach = max(3, round(share * min(grey.shape)))
    around = ndimage.minimum_filter(ndimage.maximum_filter(grey, reach), reach)
    darker = 1 - grey / np.maximum(around, 0.01)
    labels, count = ndimage.label((darker > 0.42) & (around > 0.15) & possible)
    boxes = ndimage.find_objects(labels)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    tall, wide = np.array([[part.stop - part.start for part in box] for box in boxes], float).reshape(-1, 2).T
    good = (area > 3e-4 * grey.size) & (area < 0.03 * grey.size) & (area > 0.65 * tall * wide)
    good &= (tall > 0.6 * wide) & (tall < 4 * wide)
    return [box for box, one in zip(boxes, good, strict=True) if one and _in_a_wall(darker, box)], darker


def _in_a_wall(darker: Grey, box: Box) -> bool:
    """Whether what lies directly around a dark rectangle is evenly light: a wall rather than leaves."""
    margins = [(part.stop - part.start + 3) // 4 for part in box]
    wider = [slice(max(0, part.start - more), part.stop + more) for part, more in zip(box, margins, strict=True)]
    outside, inside = darker[wider[0], wider[1]], darker[box]
    return float(outside.sum() - inside.sum()) < 0.35 * (outside.size - inside.size)


def _coloured(scene: Light, colourless_ev: float) -> Light:
    """The scene with as much of its colour as its light lets one see; the rest becomes what the rods see of it."""
    luminance = scene @ _LUMINANCE
    seen = (luminance / (luminance + 0.2 * 2**colourless_ev))[..., None]  # 0.2 is what a usual surface reflects
    mixed: Light = seen * scene + (1 - seen) * (scene @ _RODS)[..., None]
    return mixed


def _scattered(scene: Light, share: float) -> Light:
    """`share` of the light spread around where it came from, half of it narrowly and half widely."""
    height, width = scene.shape[:2]
    spreads = 0.012 * min(height, width), 0.07 * min(height, width)  # standard deviations in pixels
    padded = [fft.next_fast_len(side + math.ceil(2 * spreads[1]), real=True) for side in (height, width)]
    waves = np.add.outer(fft.fftfreq(padded[0]) ** 2, fft.rfftfreq(padded[1]) ** 2)
    kept = 1 - share + share / 2 * sum(np.exp(-2 * (math.pi * spread) ** 2 * waves) for spread in spreads)
    spectrum = fft.rfft2(scene, padded, axes=(0, 1)) * kept[..., None].astype(np.float32)
    light: Light = np.maximum(fft.irfft2(spectrum, padded, axes=(0, 1))[:height, :width], 0)
    return light


def _noisy(scene: Light, night: SimpleNight, draw: np.random.Generator) -> Light:
    """With the noise of counting electrons, and of reading them."""
    variance = scene / night.white_electrons + (night.read_noise / night.white_electrons) ** 2
    noise = np.sqrt(variance) * draw.standard_normal(scene.shape, np.float32)
    return scene + noise


def _levels(scene: Light) -> Pixels:
    """Light -> levels 0..255: a shoulder that keeps lamps from clipping hard, then sRGB's curve."""
    shown = 1 - np.exp(-np.maximum(scene, 0))
    curve = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    pixels: Pixels = np.rint(255 * curve).astype(np.uint8)
    return pixels
