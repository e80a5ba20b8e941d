"""The same town seen from above: by a drone, a satellite or a survey plane."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geofix.errors import UsageError
from geofix.shapes import Pixels
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Town, Uprights
from geofix.world.renderer.aerial.cameras import DownCamera, DroneCamera, MapCamera, Projection, Triple
from geofix.world.renderer.aerial.crowns import crowns, lamp_posts
from geofix.world.renderer.aerial.fields import fields_of
from geofix.world.renderer.aerial.lamplight import lamplight_above
from geofix.world.renderer.aerial.land import footprint, land, land_colours
from geofix.world.renderer.aerial.patches import Patches, together
from geofix.world.renderer.aerial.shadows import Sun, thrown
from geofix.world.renderer.aerial.solids import solid_town
from geofix.world.renderer.aerial.surfaces import Shown
from geofix.world.renderer.aerial.traffic import parked
from geofix.world.renderer.aerial.visibility import covered, nearest
from geofix.world.renderer.aerial.yards import Yards, yards_of
from geofix.world.renderer.frame import Canvas
from geofix.world.renderer.light import Lamplight, developed
from geofix.world.seasons import snow

__all__ = ["DroneCamera", "MapCamera", "Sun", "drawn_above", "render_above"]

_SAMPLES = 2  # rays a pixel in each direction, of all but the ground
_BAND_PIXELS = 1 << 18  # drawn at once, whatever the size of the picture
_ABOVE_ROOFS_M = 4.0
_NEARBY_M = 120.0  # how near a roof has to be to be flown into


def render_above(town: Town, camera: DownCamera, conditions: Conditions, seed: int) -> Pixels:
    """The photo that a camera above the town takes; `seed` decides the sun, parked cars and sensor noise.

    The same arguments always give the same pixels. A MapCamera has the same late-morning sun in every picture.
    Raises UsageError for a drone lower than the roofs around it.
    """
    weather, sensor = (np.random.default_rng([seed, part]) for part in (21, 23))
    sun = Sun.late_morning(town) if isinstance(camera, MapCamera) else Sun.at_random(town, weather)
    frame = drawn_above(town, camera, conditions, sun, seed)
    lamplight = lamplight_above(town, camera.projection(), frame.depth_m) if conditions.night else None
    return developed(frame, lamplight or Lamplight.none(frame), town.style, conditions, sensor)


def drawn_above(town: Town, camera: DownCamera, conditions: Conditions, sun: Sun, seed: int) -> Canvas:
    """Everything below the camera in plain daylight, with depths and what will glow in the dark."""
    _refuse_among_roofs(town, camera)
    sun = sun.dimmed((1 - conditions.night) * (1 - conditions.fog))
    frame = Canvas(camera.height, camera.width)
    projection = camera.projection()
    standing, casting = _scene(town, projection, (camera.height, camera.width), conditions, sun, seed)
    step = max(_BAND_PIXELS // camera.width, 16)
    for first in range(0, camera.height, step):
        band = slice(first, min(first + step, camera.height))
        _paint_land(frame, band, town, projection.below(first), conditions.season)
        _paint_patches(frame, band, standing, casting, projection.below(first), sun, conditions.season)
    return frame


def _paint_land(frame: Canvas, band: slice, town: Town, projection: Projection, season: float) -> None:
    rows, columns = frame.depth_m[band].shape
    ground = land(projection, rows, columns)
    colour, shade = land_colours(town, ground, projection, season)
    frame.colours[band, :, :3] = np.moveaxis(colour, 0, -1)
    frame.shade[band], frame.depth_m[band] = shade, ground.depth_m


def _paint_patches(
    frame: Canvas, band: slice, standing: Patches, casting: Patches, projection: Projection, sun: Sun, season: float
) -> None:
    """Put patches and their shadows over the ground, at more rays a pixel than that needs."""
    colours, shade, depth = (_repeated(plane[band]) for plane in (frame.colours, frame.shade, frame.depth_m))
    fine = projection.finer(_SAMPLES)
    seen = nearest(standing, fine, *depth.shape)
    shown = Shown(seen, standing, fine)
    if sun.strength:
        shade[covered(thrown(casting, sun), fine, *depth.shape)] *= np.float32(sun.shadow)
    upright = ~shown.lying
    colours.reshape(-1, 4)[shown.pixel] = shown.texels(snow(season))
    shade.ravel()[shown.pixel[upright]] = shown.shade(sun)[upright]
    depth.ravel()[shown.pixel] = seen.depth_m.ravel()[shown.pixel]
    frame.colours[band], frame.shade[band], frame.depth_m[band] = (_averaged(part) for part in (colours, shade, depth))


def _scene(
    town: Town, projection: Projection, size: tuple[int, int], conditions: Conditions, sun: Sun, seed: int
) -> tuple[Patches, Patches]:
    """Everything that stands or lies on the ground, turned to the camera, and what throws shadows, to the sun."""
    built, grounds, yards = _built(town, conditions.rebuilt, round(conditions.season, 2))
    cars = parked(town, conditions.occlusion, seed, *footprint(projection, *size))
    fixed = [built, *([cars] if cars is not None else [])]
    trees = _all_trees(town.trees, yards.trees)

    def turned(*axes: Triple) -> list[Patches]:
        return [*fixed, crowns(trees, town.style, conditions.season, *axes), lamp_posts(town.lamps, *axes)]

    return together([*turned(projection.right, projection.up), grounds]), together(turned(*sun.across))


@lru_cache(maxsize=8)
def _built(town: Town, rebuilt: float, season: float) -> tuple[Patches, Patches, Yards]:
    """What neither camera nor sun changes: what is built, the ground behind houses and around the town, yards."""
    yards = yards_of(town, season)
    built = together([solid_town(town, Conditions(rebuilt=rebuilt)), yards.sheds])
    return built, together([yards.ground, fields_of(town, season)]), yards


def _all_trees(street: Uprights, garden: Uprights) -> Uprights:
    columns = ((getattr(part, name) for part in (street, garden)) for name in ("points", "height_m", "width_m", "kind"))
    return Uprights(*(np.concatenate(list(column)) for column in columns))


def _refuse_among_roofs(town: Town, camera: DownCamera) -> None:
    if not isinstance(camera, DroneCamera):
        return
    here = np.array([camera.easting_m, camera.northing_m])
    walls, masts = town.walls, town.masts
    points = np.concatenate([walls.lines[:, :2], masts.points])
    tops = np.concatenate([walls.eave_m + walls.roof_m, masts.height_m])
    near = np.hypot(*(points - here).T) < _NEARBY_M
    tallest = float(tops[near].max()) if near.any() else 0.0
    if camera.height_m < tallest + _ABOVE_ROOFS_M:
        raise UsageError(
            f"A drone at {camera.height_m:g} m would fly among roofs up to {tallest:.1f} m high; "
            f"choose a height_m of {tallest + _ABOVE_ROOFS_M:.0f} or more."
        )


def _repeated(plane: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(plane, _SAMPLES, axis=0), _SAMPLES, axis=1)


def _averaged(fine: np.ndarray) -> np.ndarray:
    """The mean of each pixel's samples."""
    starts = range(_SAMPLES)
    kind = np.uint16 if fine.dtype == np.uint8 else fine.dtype
    total = sum(fine[row::_SAMPLES, column::_SAMPLES].astype(kind) for row in starts for column in starts)
    return np.asarray(total // _SAMPLES**2 if kind == np.uint16 else total / _SAMPLES**2, dtype=fine.dtype)
