"""A map from the air from end to end in Python: render a flight, index its map, locate frames, smooth a track.

python examples/map.py OUT
"""

import sys
from pathlib import Path

import geofix
from geofix.frames.looks import Camera
from geofix.index_maps import index_maps
from geofix.locate import locate_flight
from geofix.reports.tracks import track_png
from geofix.world.writers.flight import write_flight


def main(out: Path) -> None:
    flight = write_flight(out / "flight", places=60, seed=7, frames=6, track=12, altitudes_m=(100.0, 100.0))
    atlas = index_maps([flight.root / "map"], geofix.load_run(Path("geofix-map-small")), out / "atlas").atlas
    camera = Camera(altitude_m=100.0, fov_deg=60.0)

    frames = sorted((flight.root / "frames").iterdir())
    for fix in geofix.locate(frames, atlas, camera=camera):
        where = fix.reason if fix.position is None else f"{fix.position.lat:.5f}, {fix.position.lon:.5f}"
        print(Path(fix.photo).name, where, f"heading {fix.heading_deg:.0f}" if fix.heading_deg is not None else "")

    flown = locate_flight(sorted((flight.root / "track").iterdir()), atlas, camera=camera)
    print(sum(fix.position is not None for fix in flown.fixes), "of", len(flown.fixes), "frames of the track")
    (out / "track.png").write_bytes(track_png(flown.fixes, flown.alone, atlas.map_at(flight.root / "map")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
