"""Under what conditions a photo is taken, and what they make of a drawn scene."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from geofix.errors import UsageError
from geofix.shapes import Pixels
from geofix.world.frame import Frame, Plane

Light = Float32[np.ndarray, "3 rows columns"]
"""Red, green and blue planes, 1 being white."""


def _colour(parts: list[float]) -> Float32[np.ndarray, "3 1 1"]:  # noqa: F722
    return np.array(parts, dtype=np.float32)[:, None, None]


_LAMP = _colour([1.0, 0.74, 0.42])  # colour of lit windows and of street lamps
_NIGHT = _colour([0.11, 0.13, 0.23])  # what is left of daylight by night
_HAZE = _colour([0.80, 0.84, 0.88])
_HAZE_BY_NIGHT = _colour([0.10, 0.10, 0.13])
_CLEAR_AIR = 0.0011  # share of contrast lost per metre on a clear day
_SKY_M = 160.0  # the sky is hazed like a thing this far away


@dataclass(frozen=True)
class Conditions:
    """What a photo is taken under; a value out of range raises UsageError.

    `night`, `fog` and `noise` (of the sensor) run from 0, none, to 1, as is. `occlusion` 0..1 is how many
    parked cars and people are about. `jpeg_quality` is 1..100.
    """

    night: float = 0.0
    fog: float = 0.0
    noise: float = 0.0
    occlusion: float = 0.0
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        for name in ("night", "fog", "noise", "occlusion"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise UsageError(f"{name} is {value}; a number from 0 to 1 is expected, as in {name}=0.5.")
        if self.jpeg_quality not in range(1, 101):
            raise UsageError(
                f"jpeg_quality is {self.jpeg_quality}; a whole number from 1 to 100 is expected, as in jpeg_quality=90."
            )

    @classmethod
    def from_settings(cls, settings: Sequence[str]) -> Conditions:
        """Conditions from NAME=VALUE texts; of two for the same name the later one holds."""
        return replace(cls(), **dict(_setting(text) for text in settings))


DAY = Conditions(noise=0.1, occlusion=0.35)
NIGHT = Conditions(night=1.0, noise=0.35, occlusion=0.35)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = (part.strip() for part in text.partition("="))
    known = [field.name for field in fields(Conditions)]
    if not equals:
        raise UsageError(f"The condition {text!r} has no value; NAME=VALUE is expected, as in night=0.5.")
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f"There is no condition {name!r}; did you mean {nearest!r}? Known are: {', '.join(known)}.")
    try:
        return name, int(value) if name == "jpeg_quality" else float(value)
    except ValueError as error:
        kind = "a whole number" if name == "jpeg_quality" else "a number"
        raise UsageError(f"The condition {text!r} has the value {value!r}; {kind} is expected.") from error


@dataclass(frozen=True)
class Lamplight:
    """What only the dark shows: street light fallen on surfaces, and the halos of the lamps themselves."""

    fallen: Plane
    halo: Plane

    @classmethod
    def none(cls, frame: Frame) -> Lamplight:
        """No street lamp anywhere."""
        dark = np.zeros_like(frame.shade)
        return cls(dark, dark)


def developed(frame: Frame, lamplight: Lamplight, conditions: Conditions, rng: np.random.Generator) -> Pixels:
    """The photo of a drawn frame: its light by day and by night, the fog, the sensor."""
    planes = np.ascontiguousarray(np.moveaxis(frame.colours, -1, 0)).astype(np.float32) * np.float32(1 / 255)
    image = _lit(planes[:3], planes[3], frame.shade, lamplight.fallen, conditions.night)
    _add_fog(image, frame.depth_m, conditions)
    if conditions.night:
        image += np.float32(conditions.night) * lamplight.halo * _LAMP
    _expose(image, conditions, rng)
    np.clip(image, 0, 1, out=image)
    return np.ascontiguousarray(np.moveaxis(image * np.float32(255) + np.float32(0.5), 0, -1).astype(np.uint8))


def _lit(surface: Light, glow: Plane, shade: Plane, fallen: Plane, night: float) -> Light:
    """Daylight and, the later it is, the light of lamps and windows; windows are lit from dusk on."""
    if not night:
        return np.asarray(surface * shade)
    dark = np.float32(night)
    glow = glow * np.float32(min(2 * night, 1))
    light = shade * (1 - dark + dark * _NIGHT) + dark * fallen * _LAMP + np.float32(0.5) * glow
    return np.asarray(surface * light + np.float32(0.72) * glow * _LAMP, dtype=np.float32)


def _add_fog(image: Light, depth_m: Plane, conditions: Conditions) -> None:
    night = np.float32(conditions.night)
    haze = (1 - night) * _HAZE + night * _HAZE_BY_NIGHT
    density = _CLEAR_AIR + 0.055 * conditions.fog**1.5
    clear = np.exp(np.minimum(depth_m, np.float32(_SKY_M)) * np.float32(-density))
    image *= clear
    image += (1 - clear) * haze


def _expose(image: Light, conditions: Conditions, rng: np.random.Generator) -> None:
    """Exposure and white balance differ from photo to photo; noise is stronger in the dark."""
    image *= (rng.uniform(0.92, 1.08) * rng.uniform(0.97, 1.03, (3, 1, 1))).astype(np.float32)
    if conditions.noise:
        sigma = np.float32(0.11 * conditions.noise * (1 + 0.4 * conditions.night))
        image += sigma * rng.standard_normal(image.shape, dtype=np.float32)
