"""Views of the rendered town: from the street at 320x240, from above at 256x256.

floor  what any renderer that ends in such photos does to every pixel: light, haze, exposure and noise of a drawn
       frame, without drawing anything

python benchmarks/render.py [--rounds 3]
"""

from __future__ import annotations

import math

import numpy as np
from sides import arguments, in_turn, table

from geofix.world.conditions import DAY, NIGHT
from geofix.world.difficulty import HARD
from geofix.world.geometry.town import build_town
from geofix.world.renderer.above import DroneCamera, MapCamera, render_above
from geofix.world.renderer.frame import Canvas
from geofix.world.renderer.light import Lamplight, developed
from geofix.world.renderer.street import render
from geofix.world.styles import MIXED
from geofix.world.writers.shots import planned

VIEWS = 60


def main() -> None:
    chosen = arguments(__doc__)
    town = build_town(60, 3)
    conditions = {"day": DAY, "night": NIGHT, "hard day": HARD.day}
    shots = list(planned(town, conditions, (240, 320)))
    parts = {"street, gallery": [shot for shot in shots if shot.role == "database"][:VIEWS]}
    for name in conditions:
        parts[f"street, {name}"] = [s for s in shots if s.role == "queries" and s.note == name][:VIEWS]
    sides = {
        name: (lambda part=part: [render(town, s.camera, s.conditions, s.seed) for s in part])
        for name, part in parts.items()
    }
    sides["floor"] = lambda: [
        developed(canvas := Canvas(240, 320), Lamplight.none(canvas), MIXED, DAY, np.random.default_rng(n))
        for n in range(VIEWS)
    ]
    figures = in_turn(sides, chosen.rounds)
    print(table(f"heap {chosen.heap}: street views of 320x240", figures, "views", VIEWS, "floor", "street, day"))

    flown = [camera(town.spots.points[n], 60.0 * n) for n in range(20)]
    maps = [MapCamera.around(*(float(v) for v in town.spots.points[n]), 90.0, 256) for n in range(20)]
    sides = {
        "drone, day": lambda: [render_above(town, one, DAY, n) for n, one in enumerate(flown)],
        "drone, night": lambda: [render_above(town, one, NIGHT, n) for n, one in enumerate(flown)],
        "map": lambda: [render_above(town, one, DAY, n) for n, one in enumerate(maps)],
    }
    figures = in_turn(sides, chosen.rounds)
    print(table(f"heap {chosen.heap}: views of 256x256 from above", figures, "views", 20, "map", "drone, day"))


def camera(point: np.ndarray, heading_deg: float) -> DroneCamera:
    """110 m up, looking at the point 50 degrees down."""
    away = 110.0 / math.tan(math.radians(50))
    east = float(point[0]) - away * math.sin(math.radians(heading_deg))
    north = float(point[1]) - away * math.cos(math.radians(heading_deg))
    return DroneCamera(east, north, 110.0, heading_deg % 360, 50.0, 45.0, 256, 256)


if __name__ == "__main__":
    main()
