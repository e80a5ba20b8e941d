"""Draw docs/pictures: the rendered town from the street and from above, and its countries and scenes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from geofix.photos import save_jpeg
from geofix.shapes import Pixels
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.geometry.regions import SCENES
from geofix.world.geometry.town import Town, build_region, build_town
from geofix.world.renderer.above import DroneCamera, MapCamera, render_above
from geofix.world.renderer.street import Camera, render
from geofix.world.writers.shots import planned

PICTURES = Path(__file__).parent / "pictures"
TOWN = build_town(60, 3)
SPOTS = (16, 22, 31)
CONDITIONS = {
    "day": DAY,
    "dusk": Conditions(night=0.5, noise=0.1, occlusion=0.35),
    "night": NIGHT,
    "winter": Conditions(season=1.0, noise=0.1, occlusion=0.35),
    "fog": Conditions(fog=0.75),
}
CODES = ("FR", "SE", "TR", "AU", "US", "DZ")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, rows in (("town", street()), ("above", above()), ("countries", countries())):
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        (PICTURES / f"{name}.jpg").write_bytes(save_jpeg(sheet, quality=80))


def street() -> list[list[Pixels]]:
    """Spots as the gallery has them, then queries of the same pose under every condition."""
    shots = list(planned(TOWN, CONDITIONS, (420, 560)))
    rows = []
    for spot in SPOTS:
        queries = [shot for shot in shots if shot.role == "queries" and shot.pano == f"walk{spot:05d}"]
        gallery = [shot for shot in shots if shot.role == "database" and shot.pano == f"spot{spot:05d}"]
        heading = queries[0].camera.heading_deg
        nearest = min(gallery, key=lambda shot: abs((shot.camera.heading_deg - heading + 180) % 360 - 180))
        rows.append([halved(render(TOWN, s.camera, s.conditions, s.seed)) for s in (nearest, *queries)])
    return rows


def above() -> list[list[Pixels]]:
    """A satellite tile, then the same place from a drone by day, in autumn, in winter and by night."""
    flown = [(0.0, DAY), (120.0, DAY), (240.0, Conditions(season=0.5)), (60.0, Conditions(season=1.0)), (60.0, NIGHT)]
    rows = []
    for spot in SPOTS[1:]:
        east, north = (float(part) for part in TOWN.spots.points[spot])
        row = [render_above(TOWN, MapCamera.around(east, north, 90.0, 280), DAY, 1)]
        for heading, conditions in flown:
            away = 110.0 / math.tan(math.radians(50))
            sin, cos = math.sin(math.radians(heading)), math.cos(math.radians(heading))
            camera = DroneCamera(east - away * sin, north - away * cos, 110.0, heading, 50.0, 45.0, 280, 280)
            row.append(render_above(TOWN, camera, conditions, 2))
        rows.append(row)
    return rows


def countries() -> list[list[Pixels]]:
    """A row for each scene, a column for each country."""
    return [[halved(region_view(build_region(scene, code, 5, 4))) for code in CODES] for scene in SCENES]


def region_view(town: Town) -> Pixels:
    """From a spot along its street, a little turned."""
    (east, north), bearing = town.spots.points[1], float(town.spots.bearing_deg[1])
    camera = Camera(float(east), float(north), 1.8, (bearing + 25) % 360, 4.0, 72.0, 560, 420)
    return render(town, camera, DAY, 3)


def halved(pixels: Pixels) -> Pixels:
    """Each 2 x 2 pixels averaged: the street's renderer draws hard edges, halving makes them smooth."""
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    return np.asarray(pixels.reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8))


if __name__ == "__main__":
    main()
