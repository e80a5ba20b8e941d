"""Draw docs/pictures/town.jpg: spots of the rendered town as the gallery has them, by day, by night and in fog."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geofix.photos import save_jpeg
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.geometry.town import build_town
from geofix.world.renderer.street import render
from geofix.world.writers.deep_vg import planned

OUT = Path(__file__).parent / "pictures" / "town.jpg"
SPOTS = (16, 22, 31)
FOG = Conditions(fog=0.75)
SIZE = (480, 640)


def main() -> None:
    town = build_town(60, 3)
    shots = list(planned(town, (DAY, NIGHT, FOG), SIZE))
    rows = []
    for spot in SPOTS:
        queries = [shot for shot in shots if shot.role == "queries" and shot.pano == f"walk{spot:05d}"]
        gallery = [shot for shot in shots if shot.role == "database" and shot.pano == f"spot{spot:05d}"]
        heading = queries[0].camera.heading_deg
        nearest = min(gallery, key=lambda shot: abs((shot.camera.heading_deg - heading + 180) % 360 - 180))
        views = [render(town, shot.camera, shot.conditions, shot.seed) for shot in (nearest, *queries)]
        # Two rendered pixels for one shown: the renderer draws hard edges, halving makes them smooth.
        rows.append(np.concatenate([halved(view) for view in views], axis=1))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(save_jpeg(np.concatenate(rows), quality=82))


def halved(pixels: np.ndarray) -> np.ndarray:
    """Each 2 x 2 pixels averaged."""
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    return pixels.reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)


if __name__ == "__main__":
    main()
