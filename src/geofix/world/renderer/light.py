"""What the conditions make of a drawn scene: daylight and the dark, lamps, fog, the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from geofix.shapes import Pixels
from geofix.world.conditions import Conditions
from geofix.world.renderer.frame import Canvas, Plane, flat
from geofix.world.renderer.grain import white_noise
from geofix.world.styles import Style

Light = Float32[np.ndarray, "3 rows columns"]
"""Red, green and blue planes, 1 being white."""


_LAMP = flat((1.0, 0.74, 0.42))  # colour of lit windows and of street lamps
_NIGHT = flat((0.11, 0.13, 0.23))  # what is left of daylight by night
_DUSK = flat((0.16, -0.06, -0.22))  # what a low sun adds to daylight
_HAZE_BY_NIGHT = flat((0.10, 0.10, 0.13))
_CLEAR_AIR = 0.0011  # share of contrast lost per metre on a clear day
_SKY_M = 160.0  # the sky is hazed like a thing this far away


@dataclass(frozen=True)
class Lamplight:
    """What only the dark shows: street light fallen on surfaces, and the halos of the lamps themselves."""

    fallen: Plane
    halo: Plane

    @classmethod
    def none(cls, frame: Canvas) -> Lamplight:
        """No street lamp anywhere."""
        dark = np.zeros_like(frame.shade)
        return cls(dark, dark)


def developed(
    frame: Canvas, lamplight: Lamplight, style: Style, conditions: Conditions, rng: np.random.Generator
) -> Pixels:
    """The photo of a drawn frame: its light by day and by night, the fog, the sensor."""
    planes = np.ascontiguousarray(np.moveaxis(frame.colours, -1, 0)).astype(np.float32) * np.float32(1 / 255)
    image = _lit(planes[:3], planes[3], frame.shade, lamplight.fallen, style, conditions.night)
    _add_fog(image, frame.depth_m, style, conditions)
    if conditions.night:
        image += np.float32(conditions.night) * lamplight.halo * _LAMP
    _expose(image, conditions, rng)
    np.clip(image, 0, 1, out=image)
    return np.ascontiguousarray(np.moveaxis(image * np.float32(255) + np.float32(0.5), 0, -1).astype(np.uint8))


def _lit(surface: Light, glow: Plane, shade: Plane, fallen: Plane, style: Style, night: float) -> Light:
    """Daylight and, the later it is, the light of lamps and windows; windows are lit from dusk on."""
    if not night:
        return np.asarray(surface * (shade * flat(style.sun)))
    dark = np.float32(night)
    low_sun = np.float32(4 * night * (1 - night))  # warm in the middle of dusk, none by day or by night
    shade = shade * (flat(style.sun) + low_sun * _DUSK)
    glow = glow * np.float32(min(2 * night, 1))
    light = shade * (1 - dark + dark * _NIGHT) + dark * fallen * _LAMP + np.float32(0.5) * glow
    return np.asarray(surface * light + np.float32(0.72) * glow * _LAMP, dtype=np.float32)


def _add_fog(image: Light, depth_m: Plane, style: Style, conditions: Conditions) -> None:
    night = np.float32(conditions.night)
    haze = (1 - night) * flat(style.haze) + night * _HAZE_BY_NIGHT
    density = _CLEAR_AIR + 0.055 * conditions.fog**1.5
    clear = np.exp(np.minimum(depth_m, np.float32(_SKY_M)) * np.float32(-density))
    image *= clear
    image += (1 - clear) * haze


def _expose(image: Light, conditions: Conditions, rng: np.random.Generator) -> None:
    """Exposure and white balance differ from photo to photo; noise is stronger in the dark."""
    image *= (rng.uniform(0.92, 1.08) * rng.uniform(0.97, 1.03, (3, 1, 1))).astype(np.float32)
    if conditions.noise:
        sigma = np.float32(0.11 * conditions.noise * (1 + 0.4 * conditions.night))
        image += sigma * white_noise(image.size, rng).reshape(image.shape)
