"""How many photos of each Places365 class were taken within 2 km of the coastline: what docs/scenes.md rests on.

npm pack world-atlas@2.0.2 && tar xf world-atlas-2.0.2.tgz package/land-10m.json
python benchmarks/coast_leaves.py package/land-10m.json yfcc25600_places365.csv
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from geofix.scenes.places365 import leaves

NEAR_KM, APART_KM, EARTH_KM, KM_PER_DEG = 2.0, 0.7, 6371.0, 111.0
OUTDOORS = ("1", "2")  # S3_Label: natural, urban


def main(land: Path, labels: Path) -> None:
    """Print a line for each leaf, the nearest to the sea first."""
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    points = np.array([[float(row["LAT"]), float(row["LON"])] for row in rows])
    near = EARTH_KM * cKDTree(on_sphere(coastline(land))).query(on_sphere(points))[0] < NEAR_KM
    outdoors = np.array([row["S3_Label"] in OUTDOORS for row in rows])
    print(f"{'all outdoors':28s} {outdoors.sum():5d} photos {100 * near[outdoors].mean():3.0f} %")
    of_leaves = np.array([int(row["S365_Label"]) for row in rows])
    found = [(near[of_leaves == one.index], one) for one in leaves() if (of_leaves == one.index).any()]
    for hits, one in sorted(found, key=lambda pair: -float(pair[0].mean())):
        print(f"{one.name:28s} {len(hits):5d} photos {100 * hits.mean():3.0f} %  {one.scene}")


def coastline(land: Path) -> np.ndarray:
    """(latitude, longitude) along all arcs of a TopoJSON file, at most APART_KM apart; not the cut at longitude 180."""
    topology = json.loads(land.read_text(encoding="utf-8"))
    scale, start = topology["transform"]["scale"], topology["transform"]["translate"]
    pieces = []
    for arc in topology["arcs"]:
        corners = np.cumsum(np.array(arc, dtype=np.float64), axis=0) * scale + start
        for begin, step in zip(corners[:-1], np.diff(corners, axis=0), strict=True):
            if min(abs(begin[0]), abs(begin[0] + step[0])) < 179.99:
                count = max(1, int(np.ceil(np.hypot(*step) * KM_PER_DEG / APART_KM)))
                pieces.append(begin + np.linspace(0, 1, count, endpoint=False)[:, None] * step)
    return np.concatenate(pieces)[:, ::-1]


def on_sphere(points: np.ndarray) -> np.ndarray:
    """Vectors of length 1."""
    lats, lons = np.radians(points[:, 0]), np.radians(points[:, 1])
    return np.stack([np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)], axis=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
