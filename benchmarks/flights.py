"""How well are frames located on a map? On rendered flights, whose every pose is known.

frames      anywhere on the map, at any heading: median error, share within 25 m, share within the stated radius
elsewhere   frames of another town: how many are told apart, at the threshold that 5 % of the frames learned from missed
            and at the confidence from which `geofix locate` answers
track       each frame alone, smoothed, and smoothed with ten frames in the middle replaced by ones of another town

python benchmarks/flights.py FLIGHT ... --encoder RUN [--scales M,M] [--learn FILE.json]

FLIGHT is a folder of `geofix data world FLIGHT --kind flight`. --learn learns confidence and radius on these flights
and writes them beside the encoder, for `geofix index` to take over; without it those that lie there are used.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geofix.atlas.calibration import Calibration
from geofix.atlas.store import Atlas
from geofix.files import write_json
from geofix.fixes import Fix
from geofix.frames.calibrate import Asked, ask, learned_on
from geofix.frames.locate import Searched, fix_of, searched_tiles
from geofix.frames.looks import Camera
from geofix.frames.shots import shots
from geofix.frames.track import locate_track, middle_and_slowest
from geofix.heap import keep_freed_memory
from geofix.index_maps import index_maps
from geofix.locate import MIN_CONFIDENCE, MIN_UNCALIBRATED
from geofix.models.runs import Run, load_run
from geofix.photos import Photo, read_pixels
from geofix.positions import Position

LOST = slice(25, 35)  # frames of a track that are replaced
INTERVAL_S = 2.0  # between the frames of a rendered track


class Frame(NamedTuple):
    """A rendered frame with what is known of it."""

    path: Path
    position: Position
    heading_deg: float
    camera: Camera


def read(flight: Path, folder: str) -> list[Frame]:
    """The frames of one folder of a flight, in order."""
    with (flight / "cameras.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith(folder)]
    return [
        Frame(
            flight / row["path"],
            Position(float(row["lat"]), float(row["lon"])),
            float(row["heading_deg"]),
            Camera(float(row["height_m"]), float(row["hfov_deg"])),
        )
        for row in rows
    ]


def located(run: Run, atlas: Atlas, frames: list[Frame], known: bool, calibration: Calibration | None) -> list[Fix]:
    """A Fix for every frame, whatever its confidence."""
    searched = searched_tiles(run, atlas.rows)
    return [
        fix_of(str(frame.path), read_pixels(frame.path), seen_by(searched, frame, known), calibration, 0.0)[0]
        for frame in frames
    ]


def seen_by(searched: Searched, frame: Frame, known: bool) -> Searched:
    """The same tiles for a frame whose camera is known or not."""
    return replace(searched, camera=frame.camera if known else None)


def errors_m(fixes: list[Fix], frames: list[Frame]) -> np.ndarray:
    """From answer to truth; infinite where there is no answer."""
    pairs = zip(fixes, frames, strict=True)
    return np.array([np.inf if fix.position is None else fix.position.metres_to(one.position) for fix, one in pairs])


def percent(share: float, count: int) -> str:
    """A share of `count` with its standard error of two sides."""
    return f"{100 * share:.0f} ± {196 * np.sqrt(share * (1 - share) / max(1, count)):.0f} %"


def learn(run: Run, atlases: dict[Path, Atlas]) -> Calibration:
    """On the frames of all flights, with and without a known camera."""
    parts: list[Asked] = []
    for flight, atlas in atlases.items():
        searched = searched_tiles(run, atlas.rows)
        for known in (False, True):
            for frame in read(flight, "frames"):
                parts.append(ask(seen_by(searched, frame, known), [Photo(frame.path.name, frame.path, frame.position)]))
    joined = Asked(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    finest_m = min(float(atlas.rows.tiles.sides_m.min()) for atlas in atlases.values() if atlas.rows.tiles is not None)
    learned = learned_on(joined, finest_m, f"rendered frames over {len(atlases)} towns")
    assert learned is not None, "too few frames were located"
    return learned


def report(run: Run, flight: Path, atlas: Atlas, calibration: Calibration | None) -> None:
    """One flight, in lines."""
    frames, strangers = read(flight, "frames"), read(flight, "elsewhere")
    print(f"## {flight}: {atlas.count()} tiles, {len(frames)} frames, {len(strangers)} of another town")
    for known in (False, True):
        fixes, others = (located(run, atlas, part, known, calibration) for part in (frames, strangers))
        away_m = errors_m(fixes, frames)
        right = away_m < 25
        turned = [
            abs(((fix.heading_deg or 0.0) - one.heading_deg + 180) % 360 - 180)
            for fix, one, good in zip(fixes, frames, right, strict=True)
            if good
        ]
        print(
            f"camera {'known' if known else 'unknown'}: median error {np.median(away_m):.1f} m; within 25 m "
            f"{percent(float(right.mean()), len(right))}; heading {np.median(turned) if turned else np.nan:.1f} degrees"
        )
        sure = np.array([fix.confidence for fix in fixes])
        missing = calibration.least if calibration and calibration.least is not None else float(np.quantile(sure, 0.05))
        for name, least in (("5 % missed", missing), ("confidence 0.5", MIN_CONFIDENCE)):
            told = sure >= least
            inside = away_m[told] <= np.array([fix.radius_m for fix in fixes])[told]
            line = [
                f"  threshold {name}: not told {percent(float((~told).mean()), len(told))}",
                f"another town not told {percent(np.mean([fix.confidence < least for fix in others]), len(others))}",
                f"of those told within 25 m {percent(float(right[told].mean()), int(told.sum()))}",
                f"within the radius {percent(float(inside.mean()), int(told.sum()))}",
                f"median radius {np.median([fix.radius_m for fix, one in zip(fixes, told, strict=True) if one]):.0f} m",
            ]
            print("; ".join(line))
    track = read(flight, "track")
    if track:
        tracked(run, atlas, track, strangers, calibration)


def tracked(
    run: Run, atlas: Atlas, track: list[Frame], strangers: list[Frame], calibration: Calibration | None
) -> None:
    """A track alone, smoothed, and with frames in its middle that show another town."""
    searched = searched_tiles(run, atlas.rows, track[0].camera)
    least = MIN_CONFIDENCE if calibration else MIN_UNCALIBRATED
    lost = [one.path for one in track]
    lost[LOST] = [one.path for one in strangers[LOST]]
    for name, paths in (("track", [one.path for one in track]), ("track with ten frames of another town", lost)):
        # Times of the other town's frames would say that they were taken on another day.
        timeless = (replace(shot, time_s=None) for shot in shots(paths, INTERVAL_S))
        flown = locate_track(timeless, searched, calibration, min_confidence=least, interval_s=INTERVAL_S)
        line = []
        for kind, fixes in (("each alone", flown.alone), ("smoothed", flown.fixes)):
            away_m = errors_m(list(fixes), track)
            told = np.isfinite(away_m)
            inside = [away <= (fix.radius_m or 0) for away, fix in zip(away_m, fixes, strict=True) if np.isfinite(away)]
            line.append(
                f"{kind}: {told.sum()} of {len(track)} told, median error {np.median(away_m[told]):.1f} m, largest "
                f"{away_m[told].max():.0f} m, within the radius {100 * np.mean(inside):.0f} %"
            )
            if paths is lost and kind == "smoothed":
                after = away_m[LOST.stop : LOST.stop + 3]
                line.append("errors of the first frames after them: " + ", ".join(f"{one:.0f} m" for one in after))
        middle_s, slowest_s = middle_and_slowest(flown.latencies_s)
        print(f"{name}: {'; '.join(line)}; {1000 * middle_s:.0f} ms a frame, 95 % within {1000 * slowest_s:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flights", type=Path, nargs="+")
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--scales", default=None, help="sides of tiles in metres; by default the map's")
    parser.add_argument("--atlases", type=Path, default=None, help="where atlases are kept; a temporary folder")
    parser.add_argument("--learn", type=Path, default=None, help="learn confidence and radius and write them here")
    chosen = parser.parse_args()
    keep_freed_memory()
    run = load_run(chosen.encoder)
    scales_m = None if chosen.scales is None else [float(part) for part in chosen.scales.split(",")]
    with tempfile.TemporaryDirectory() as spare:
        root = chosen.atlases or Path(spare)
        atlases = {
            flight: index_maps([flight / "map"], run, root / flight.name, scales_m=scales_m).atlas
            for flight in chosen.flights
        }
        if chosen.learn:
            learned = learn(run, atlases)
            write_json(chosen.learn, learned.to_dict())
            print(json.dumps(learned.to_dict()))
            return
        for flight, atlas in atlases.items():
            report(run, flight, atlas, atlas.calibration)


if __name__ == "__main__":
    sys.exit(main())
