"""A photo of the town from a camera: the one function that draws."""

from __future__ import annotations

import numpy as np

from geofix.shapes import Pixels
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Town
from geofix.world.renderer.cards import paint_cards, passing, standing
from geofix.world.renderer.frame import Camera, Frame, Plane
from geofix.world.renderer.ground import paint_ground
from geofix.world.renderer.light import Lamplight, developed
from geofix.world.renderer.sky import paint_sky
from geofix.world.renderer.sprites import LAMP_HEAD_M
from geofix.world.renderer.walls import paint_walls

__all__ = ["Camera", "drawn", "render"]

_LAMP_REACH_M = 42.0
_LAMP_RADIUS_M = 5.2  # where a lamp's light has fallen to half


def render(town: Town, camera: Camera, conditions: Conditions, seed: int) -> Pixels:
    """The photo that `camera` takes; `seed` decides what passes: weather, parked cars, people, sensor noise.

    The same arguments always give the same pixels. Clouds and the sun differ between seeds, houses never do.
    """
    weather, traffic, sensor = (np.random.default_rng([seed, part]) for part in (11, 12, 13))
    frame = drawn(town, camera, conditions, weather, traffic)
    lamplight = _lamplight(frame, town) if conditions.night else Lamplight.none(frame)
    return developed(frame, lamplight, town.style, conditions, sensor)


def drawn(
    town: Town,
    camera: Camera,
    conditions: Conditions,
    weather: np.random.Generator,
    traffic: np.random.Generator,
) -> Frame:
    """Everything before the camera in plain daylight, with depths and what will glow in the dark."""
    frame = Frame(camera)
    sun_bearing_deg, sun = float(weather.uniform(90, 270)), float(weather.uniform(0.1, 1))
    paint_sky(frame, town, weather)
    paint_ground(frame, town, conditions.season)
    paint_walls(frame, town, conditions, sun_bearing_deg, sun)
    paint_cards(frame, standing(frame, town, conditions.season) + passing(frame, town, conditions.occlusion, traffic))
    return frame


def _lamplight(frame: Frame, town: Town) -> Lamplight:
    """The light of near lamps on every surface, fading with the square of the distance, and their halos."""
    light = Lamplight.none(frame)
    fallen, halo = light.fallen.copy(), light.halo.copy()
    depth = np.minimum(frame.depth_m, np.float32(1e4))
    right, height = depth * frame.across, depth * frame.slopes[:, None]
    up = np.float32(LAMP_HEAD_M - frame.camera.height_m)
    for x, y in zip(*frame.seen(town.lamps.points), strict=True):
        if -8 < y < _LAMP_REACH_M and abs(x) < y + 14:
            squared = (right - x) ** 2 + (depth - y) ** 2 + (height - up) ** 2
            fallen += np.float32(1.0) / (1 + squared * np.float32(_LAMP_RADIUS_M**-2))
            if y > 1:
                _add_halo(frame, halo, float(x), float(y), float(up))
    return Lamplight(np.minimum(fallen, np.float32(1.25)), halo)


def _add_halo(frame: Frame, halo: Plane, x: float, y: float, up: float) -> None:
    """A bright head and a faint halo around it, where nothing nearer hides them."""
    focal = frame.camera.focal
    column, row = focal * x / y + frame.camera.width / 2, frame.camera.horizon - focal * up / y
    reach = focal * 2.2 / y
    left, right = (int(np.clip(column + side * reach, 0, frame.camera.width)) for side in (-1, 1))
    top, foot = (int(np.clip(row + side * reach, 0, frame.camera.height)) for side in (-1, 1))
    if left >= right or top >= foot:
        return
    across = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - column)) * np.float32(y / focal)
    above = (np.arange(top, foot, dtype=np.float32) + np.float32(0.5 - row)) * np.float32(y / focal)
    squared = above[:, None] ** 2 + across**2
    shown = frame.depth_m[top:foot, left:right] > y - 0.6
    soft = 0.5 * np.exp(-squared * np.float32(1.4)) + 1.5 * np.exp(-squared * np.float32(14))
    halo[top:foot, left:right] += shown * soft
