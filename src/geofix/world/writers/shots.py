"""The photos of a town that a dataset of places is made of: gallery views of every spot, and queries near them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from geofix.errors import UsageError
from geofix.world.conditions import Conditions
from geofix.world.difficulty import STREET, Difficulty
from geofix.world.geometry.town import QUARTERS, Town
from geofix.world.renderer.street import Camera

GALLERY = Conditions(noise=0.05, occlusion=0.2)
HEADINGS_DEG = (40.0, 140.0, 220.0, 320.0)  # of the gallery, from the bearing of the street
_HFOV_DEG = 72.0
_FIRST_DAY = datetime(2024, 5, 13)


@dataclass(frozen=True)
class Shot:
    """One photo to be taken: where it belongs and everything its name says."""

    split: str
    role: str  # database or queries
    camera: Camera
    conditions: Conditions
    pano: str
    tile: int
    taken: datetime
    note: str  # what its conditions are called
    seed: int


def check_size(size: tuple[int, int]) -> None:
    """Raises UsageError for photos (rows, columns) too small to show anything."""
    if min(size) < 16:
        raise UsageError(f"Photos of {size[0]}x{size[1]} pixels were asked for; at least 16x16 are needed.")


def planned(
    town: Town,
    conditions: Mapping[str, Conditions],
    size: tuple[int, int],
    level: Difficulty = STREET,
    visits: int = 1,
) -> Iterator[Shot]:
    """The photos of a town, spot by spot: the gallery's, then on every visit a query for each of the named
    conditions.

    The queries of a visit are matched: the same pose, traffic, weather and sensor noise, so that only their
    conditions differ.
    """
    for spot in range(len(town.spots.points)):
        yield from _gallery_shots(town, spot, size)
        for visit in range(visits):
            yield from _query_shots(town, spot, visit, conditions, size, level)


def _gallery_shots(town: Town, spot: int, size: tuple[int, int]) -> Iterator[Shot]:
    east, north = town.spots.points[spot]
    for tile, offset in enumerate(HEADINGS_DEG):
        heading = float(town.spots.bearing_deg[spot]) + offset
        yield Shot(
            split=QUARTERS[int(town.spots.quarter[spot])],
            role="database",
            camera=camera_at(float(east), float(north), heading, size),
            conditions=GALLERY,
            pano=f"spot{spot:05d}",
            tile=tile,
            taken=_FIRST_DAY + timedelta(hours=11, seconds=10 * spot % 10_000 + tile),
            note="day",
            seed=_seed(town, spot, tile),
        )


def _query_shots(
    town: Town,
    spot: int,
    visit: int,
    conditions: Mapping[str, Conditions],
    size: tuple[int, int],
    level: Difficulty,
) -> Iterator[Shot]:
    camera = _query_camera(town, spot, size, level, np.random.default_rng([town.seed, 4, spot, visit]))
    for number, (note, condition) in enumerate(conditions.items()):
        hour = 21 if condition.night >= 0.5 else 10
        yield Shot(
            split=QUARTERS[int(town.spots.quarter[spot])],
            role="queries",
            camera=camera,
            conditions=condition,
            pano=f"walk{spot:05d}" + (f"-{visit}" if visit else ""),
            tile=number,
            taken=_FIRST_DAY + timedelta(days=number + 1, hours=hour, seconds=41 * spot % 10_000),
            note=note,
            seed=_seed(town, spot, 100 + visit),
        )


def _query_camera(town: Town, spot: int, size: tuple[int, int], level: Difficulty, rng: np.random.Generator) -> Camera:
    """A pose from 1 m to as far as the level says from the spot and still on its street, near one of the
    gallery's headings."""
    bearing = float(town.spots.bearing_deg[spot])
    away = 1 + (level.away_m - 1) * rng.random() ** 2  # small steps are commoner
    most = min(away, float(town.spots.sideways_m[spot]))
    sideways = rng.uniform(-most, most)
    along = rng.choice([-1, 1]) * math.sqrt(away**2 - sideways**2)
    sin, cos = math.sin(math.radians(bearing)), math.cos(math.radians(bearing))
    east, north = town.spots.points[spot] + [along * sin + sideways * cos, along * cos - sideways * sin]
    heading = bearing + float(rng.choice(HEADINGS_DEG)) + rng.uniform(-level.turn_deg, level.turn_deg)
    return camera_at(
        float(east),
        float(north),
        heading,
        size,
        height_m=round(rng.uniform(1.5, 2.0), 1),
        pitch_deg=float(rng.integers(3, 9)),
        hfov_deg=float(rng.uniform(*level.hfov_deg)),
    )


def camera_at(
    east: float,
    north: float,
    heading_deg: float,
    size: tuple[int, int],
    *,
    height_m: float = 2.0,
    pitch_deg: float = 6.0,
    hfov_deg: float = _HFOV_DEG,
) -> Camera:
    """A camera at whole centimetres, which is what names can say."""
    rows, columns = size
    place = round(east, 2), round(north, 2)
    return Camera(*place, height_m, heading_deg % 360, pitch_deg, hfov_deg, width=columns, height=rows)


def _seed(town: Town, spot: int, photo: int) -> int:
    return int(np.random.SeedSequence([town.seed, 5, spot, photo]).generate_state(1)[0])
