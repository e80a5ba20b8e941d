"""The sky of a frame: clouds that differ from photo to photo and hills that always stand in the same direction."""

from __future__ import annotations

import math

import numpy as np

from geofix.world.geometry.town import Town
from geofix.world.renderer.frame import Frame, Plane, Spread, flat
from geofix.world.renderer.grain import TILE, soft_blobs

_CLOUD, _HILLS = flat((244, 244, 244)), flat((138, 160, 156))


def paint_sky(frame: Frame, town: Town, rng: np.random.Generator) -> None:
    """Sky, clouds that differ from photo to photo, and the town's own hills; over the sea there are none."""
    last = int(np.clip(math.ceil(frame.camera.horizon), 0, frame.camera.height))
    if not last:
        return
    slope = frame.slopes[:last, None]
    bearing = np.arctan(frame.across)[None, :] + np.float32(math.radians(frame.camera.heading_deg))
    rim = flat(town.style.haze) * np.float32(264)
    zenith = flat(town.style.zenith) + np.float32(rng.uniform(-22, 14))
    sky = rim + (zenith - rim) * np.clip(slope * np.float32(1.4), 0, 1)
    sky = sky + (_CLOUD - sky) * _clouds(bearing, slope, rng)
    hills = slope < _skyline(bearing, town)
    frame.colours[:last, :, :3] = np.moveaxis(np.clip(np.where(hills, _hills(slope, town), sky), 0, 255), 0, -1)


def _hills(slope: Spread, town: Town) -> np.ndarray:
    """Hills greener at their foot than far up, where the air between is thicker."""
    green = flat(town.style.grass) - _HILLS
    return np.asarray(_HILLS + green * np.float32(0.35) * np.exp(slope * np.float32(-9)))


def _skyline(bearing: Spread, town: Town) -> Spread:
    """The slope at which hills end in each direction."""
    line = sum(height * np.sin(waves * bearing + phase) for height, waves, phase in town.hills.astype(np.float32))
    if town.shore is not None:
        away = -np.cos(bearing - np.float32(math.radians(town.shore.seaward_deg)))
        line = line * np.clip(away * np.float32(4), 0, 1)
    return np.asarray(line, dtype=np.float32)


def _clouds(bearing: Spread, slope: Spread, rng: np.random.Generator) -> Plane:
    drift, cover = rng.uniform(0, TILE, 2), rng.uniform(-0.1, 0.45)
    flat = np.maximum(slope, np.float32(0.03)) + np.float32(0.15)
    u = (bearing * np.float32(34) / np.sqrt(flat) + np.float32(drift[0])).astype(np.int32)
    v = (np.float32(26) / flat + np.float32(drift[1])).astype(np.int32)
    soft = soft_blobs()[v & (TILE - 1), u & (TILE - 1)]
    return np.asarray(np.clip(soft * 1.6 + np.float32(cover - 0.15), 0, 0.92), dtype=np.float32)
