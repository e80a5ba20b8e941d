"""How well are frames located on a map? On rendered flights, whose every pose is known.

frames      anywhere on the map, at any heading: median error, share within 25 m, share within the stated radius
elsewhere   frames of another town: how many are told apart, at the threshold that 5 % of the frames learned from missed
            and at the confidence from which `geofix locate` answers
track       each frame alone, smoothed, and smoothed with ten frames in the middle replaced by ones of another town

python benchmarks/flights.py FLIGHT ... --encoder RUN [--verify] [--towns SEED:PLACES,...] [--scales M,M]
    [--table FILE.csv] [--learn FILE.json [--frames N]]

FLIGHT is a folder of `geofix data world FLIGHT --kind flight`. --verify asks everything a second time with places that
are verified on the map. --towns says which towns were flown over, in the flights' order, and tells frames over streets
from those over fields, 60 m and more from any house. --learn learns confidence and radius on these flights (with
--verify those of verified answers) and writes them beside the encoder, for `geofix index` to take over; without it
those that lie there are used.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geofix.atlas.calibration import Calibration
from geofix.atlas.store import Atlas
from geofix.files import write_json
from geofix.fixes import Fix
from geofix.frames.calibrate import Asked, ask, learned_on
from geofix.frames.locate import Searched, fix_by_tiles, searched_tiles
from geofix.frames.looks import Camera, Look
from geofix.frames.shots import shots
from geofix.frames.track import locate_track, middle_and_slowest
from geofix.frames.verify import Verifier
from geofix.heap import keep_freed_memory
from geofix.index_maps import index_maps
from geofix.locate import MIN_CONFIDENCE, MIN_UNCALIBRATED
from geofix.models.runs import Run, load_run
from geofix.photos import Photo, read_pixels
from geofix.positions import Position, latlons, project
from geofix.shapes import DescriptorRows, Pixels
from geofix.world.geometry.town import ORIGIN, build_town

LOST = slice(25, 35)  # frames of a track that are replaced
FIELDS_M = 60.0  # from the nearest house
OTHER_TOWN, FAR = 100_000, Position(ORIGIN.lat + 0.5, ORIGIN.lon)  # see world.writers.flight
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


class Looked(NamedTuple):
    """A frame seen in every direction, and described; what takes longest."""

    pixels: Pixels
    looks: list[Look]
    descriptors: DescriptorRows


def looked_at(run: Run, atlas: Atlas, frames: list[Frame], known: bool) -> list[Looked]:
    """Every frame once, for answers with and without verification."""
    searched = searched_tiles(run, atlas.rows)
    looked = []
    for frame in frames:
        one, pixels = seen_by(searched, frame, known), read_pixels(frame.path)
        looks = one.looks(*pixels.shape[:2])
        looked.append(Looked(pixels, looks, one.described(pixels, looks)))
    return looked


def located(
    run: Run,
    atlas: Atlas,
    frames: list[Frame],
    looked: list[Looked],
    known: bool,
    calibration: Calibration | None,
    verifier: Verifier | None,
) -> tuple[list[Fix], list[float]]:
    """A Fix for every frame, whatever its confidence, and the processor's seconds that it took beyond its looks."""
    searched = replace(searched_tiles(run, atlas.rows), verifier=verifier)
    fixes, seconds = [], []
    for frame, (pixels, looks, descriptors) in zip(frames, looked, strict=True):
        begun = time.process_time()
        one = seen_by(searched, frame, known)
        tiles = one.found(descriptors, looks)
        fixes.append(fix_by_tiles(str(frame.path), pixels, tiles, one, calibration, 0.0)[0])
        seconds.append(time.process_time() - begun)
    return fixes, seconds


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


def learn(run: Run, atlases: dict[Path, Atlas], verify: bool, most: int | None) -> Calibration:
    """On the frames of all flights, with and without a known camera."""
    parts: list[Asked] = []
    for flight, atlas in atlases.items():
        searched = searched_tiles(run, atlas.rows, verifier=Verifier.of(atlas) if verify else None)
        for known in (False, True):
            for frame in read(flight, "frames")[:most]:
                parts.append(ask(seen_by(searched, frame, known), [Photo(frame.path.name, frame.path, frame.position)]))
    joined = Asked(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    finest_m = min(float(atlas.rows.tiles.sides_m.min()) for atlas in atlases.values() if atlas.rows.tiles is not None)
    learned = learned_on(joined, finest_m, f"rendered frames over {len(atlases)} towns", verified=verify)
    assert learned is not None, "too few frames were located"
    return learned


def report(run: Run, flight: Path, atlas: Atlas, verify: bool, town: tuple[int, int] | None) -> list[dict[str, object]]:
    """One flight, in lines; returns a row for every frame."""
    frames, strangers = read(flight, "frames"), read(flight, "elsewhere")
    print(f"## {flight}: {atlas.count()} tiles, {len(frames)} frames, {len(strangers)} of another town")
    houses_m = (
        [np.zeros(len(part)) for part in (frames, strangers)] if town is None else to_houses(*town, frames, strangers)
    )
    rows: list[dict[str, object]] = []
    for known in (False, True):
        looked = [looked_at(run, atlas, part, known) for part in (frames, strangers)]
        for verifier in (None, Verifier.of(atlas)) if verify else (None,):
            calibration = atlas.calibration_of(verifier is not None)
            (fixes, seconds), (others, more) = (
                located(run, atlas, part, seen, known, calibration, verifier)
                for part, seen in zip((frames, strangers), looked, strict=True)
            )
            kind = f"camera {'known' if known else 'unknown'}, {'verified' if verifier else 'by tiles'}"
            print(f"{kind}: {1000 * np.mean(seconds + more):.0f} ms a frame beyond its looks, of one core")
            answered(fixes, others, frames, houses_m, calibration, town is not None)
            about = {"flight": flight.name, "known": known, "verified": verifier is not None}
            rows += [{**about, **row} for row in listed("frames", fixes, frames, houses_m[0])]
            rows += [{**about, **row} for row in listed("elsewhere", others, strangers, houses_m[1])]
    track = read(flight, "track")
    if track:
        for verifier in (None, Verifier.of(atlas)) if verify else (None,):
            tracked(run, atlas, track, strangers, verifier)
    return rows


def listed(folder: str, fixes: list[Fix], frames: list[Frame], houses_m: np.ndarray) -> list[dict[str, object]]:
    """A row for every frame."""
    return [
        {
            "folder": folder,
            "frame": frame.path.name,
            "house_m": house_m,
            "confidence": fix.confidence,
            "error_m": away_m,
            "radius_m": fix.radius_m,
        }
        for fix, frame, away_m, house_m in zip(fixes, frames, errors_m(fixes, frames), houses_m, strict=True)
    ]


def answered(
    fixes: list[Fix],
    others: list[Fix],
    frames: list[Frame],
    houses_m: list[np.ndarray],
    calibration: Calibration | None,
    split: bool,
) -> None:
    """How frames on the map were located, and ones of another town told apart: all, over streets, over fields."""
    away_m = errors_m(fixes, frames)
    right = away_m < 25
    turned = np.array(
        [
            abs(((fix.heading_deg or 0.0) - one.heading_deg + 180) % 360 - 180)
            for fix, one in zip(fixes, frames, strict=True)
        ]
    )
    sure, strange = (np.array([fix.confidence for fix in part]) for part in (fixes, others))
    radius_m = np.array([fix.radius_m for fix in fixes])
    groups = {"all": [np.ones(len(part), dtype=bool) for part in houses_m]}
    if split:
        groups["streets"] = [part < FIELDS_M for part in houses_m]
        groups["fields"] = [part >= FIELDS_M for part in houses_m]
    for name, (here, there) in groups.items():
        good = here & right
        line = [
            f"  {name}: {here.sum()} frames and {there.sum()} of another town",
            f"median error {np.median(away_m[here]):.1f} m",
            f"within 25 m {percent(float(right[here].mean()), int(here.sum()))}",
            f"of these median error {np.median(away_m[good]):.2f} m, heading {np.median(turned[good]):.2f} degrees",
        ]
        print("; ".join(line))
        missing = calibration.least if calibration and calibration.least is not None else float(np.quantile(sure, 0.05))
        own = float(np.quantile(sure[here], 0.05))
        for kind, least in (("5 % missed", missing), ("5 % of these missed", own), ("confidence 0.5", MIN_CONFIDENCE)):
            told = here & (sure >= least)
            inside = away_m[told] <= radius_m[told]
            line = [
                f"    {kind}: not told {percent(float((~told)[here].mean()), int(here.sum()))}",
                f"another town not told {percent(float((strange[there] < least).mean()), int(there.sum()))}",
                f"of those told within 25 m {percent(float(right[told].mean()), int(told.sum()))}",
                f"within the radius {percent(float(inside.mean()), int(told.sum()))}",
                f"median radius {np.median(radius_m[told]):.1f} m",
            ]
            print("; ".join(line))


def to_houses(seed: int, places: int, frames: list[Frame], strangers: list[Frame]) -> list[np.ndarray]:
    """From the middle of each frame to the nearest house of its town, in metres."""
    towns = build_town(places, seed), build_town(places, seed + OTHER_TOWN, origin=FAR)
    apart = []
    for town, part in zip(towns, (frames, strangers), strict=True):
        corners = town.walls.lines.reshape(-1, 2)
        points = project(latlons([one.position for one in part]), town.zone, town.north)
        near = [np.hypot(*(corners - point).T).min() for point in points]
        apart.append(np.array(near))
    return apart


def tracked(run: Run, atlas: Atlas, track: list[Frame], strangers: list[Frame], verifier: Verifier | None) -> None:
    """A track alone, smoothed, and with frames in its middle that show another town."""
    searched = searched_tiles(run, atlas.rows, track[0].camera, verifier=verifier)
    calibration = atlas.calibration_of(verifier is not None)
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
        kind = f"{name}{', verified' if verifier else ''}"
        print(f"{kind}: {'; '.join(line)}; {1000 * middle_s:.0f} ms a frame, 95 % within {1000 * slowest_s:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flights", type=Path, nargs="+")
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--scales", default=None, help="sides of tiles in metres; by default the map's")
    parser.add_argument("--atlases", type=Path, default=None, help="where atlases are kept; a temporary folder")
    parser.add_argument("--verify", action="store_true", help="also with places that are verified on the map")
    parser.add_argument("--towns", default=None, help="SEED:PLACES of each flight's town")
    parser.add_argument("--frames", type=int, default=None, help="learn on so many of each flight")
    parser.add_argument("--table", type=Path, default=None, help="write a row for every frame")
    parser.add_argument("--learn", type=Path, default=None, help="learn confidence and radius and write them here")
    chosen = parser.parse_args()
    keep_freed_memory()
    run = load_run(chosen.encoder)
    scales_m = None if chosen.scales is None else [float(part) for part in chosen.scales.split(",")]
    with tempfile.TemporaryDirectory() as spare:
        root = chosen.atlases or Path(spare)
        atlases = {
            flight: index_maps([flight / "map"], run, root / flight.name, scales_m=scales_m, ce90_m=0.0).atlas
            for flight in chosen.flights
        }
        if chosen.learn:
            learned = learn(run, atlases, chosen.verify, chosen.frames)
            write_json(chosen.learn, learned.to_dict())
            print(json.dumps(learned.to_dict()))
            return
        towns = [None] * len(atlases)
        if chosen.towns:
            towns = [tuple(int(part) for part in town.split(":")) for town in chosen.towns.split(",")]
        rows = []
        for (flight, atlas), town in zip(atlases.items(), towns, strict=True):
            rows += report(run, flight, atlas, chosen.verify, town)
        if chosen.table:
            with chosen.table.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
