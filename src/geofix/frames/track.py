"""Frames of one flight, in order -> a track: each frame located by itself, and all of them smoothed together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofix.atlas.calibration import Calibration
from geofix.atlas.spots import Found, mean_heading_deg
from geofix.encode import Progress
from geofix.errors import DataError, UsageError
from geofix.fixes import Fix
from geofix.frames.bayes import Grid, Point, believed, claimed, point_of, reaches_m, smoothed
from geofix.frames.locate import Searched
from geofix.frames.shots import Shot
from geofix.frames.trust import Ledger, Trust, fix_of_shot
from geofix.positions import grid_convergence_deg, metres_from
from geofix.shapes import PlanePoints

SPEED_M_S = 25.0  # how fast a drone flies at most
INTERVAL_S = 1.0  # between frames that do not say when they were taken
MOST_TRACK_CELLS = 200_000_000  # frames times cells: 1.6 GB each way


@dataclass(frozen=True, slots=True)
class Track:
    """A located flight: the Fixes of its frames in order, smoothed, and as each frame alone has them; when they were
    taken in seconds, if that is known; and how long locating each took, in seconds (0 where it could not be read).
    """

    fixes: tuple[Fix, ...]
    alone: tuple[Fix, ...]
    times_s: tuple[float | None, ...]
    latencies_s: tuple[float, ...]


def locate_track(
    shots: Iterable[Shot],
    searched: Searched,
    calibration: Calibration | None,
    *,
    min_confidence: float,
    speed_m_s: float = SPEED_M_S,
    interval_s: float = INTERVAL_S,
    moves_m: PlanePoints | None = None,
    trust: Trust | None = None,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> Track:
    """Locate the frames of one flight, see `frames.bayes` for how they are smoothed.

    `speed_m_s` is how fast the drone flies at most; frames without a time are `interval_s` apart. `moves_m` (n - 1, 2)
    is odometry, metres east and north from each of n frames to the next: the speed then says how far it may be off.
    `trust` is what is used of the frames' own telemetry, `ledger` counts it. A frame that cannot be read has its
    `error` set and lies between its neighbours; the error with which a video ends comes last and has no place. Smoothed
    confidence is the probability within half a tile, given the filter's assumptions; it is not calibrated. Raises
    DataError where there is no frame, or more than can be smoothed on such a map.
    """
    alone: list[Fix] = []
    broken: list[Fix] = []
    found: list[Found] = []
    times_s: list[float | None] = []
    latencies_s: list[float] = []
    for done, shot in enumerate(shots, start=1):
        begun = time.perf_counter()
        fix, tiles = fix_of_shot(shot, searched, calibration, min_confidence, trust, ledger)
        if shot.ends:
            broken.append(fix)
            continue
        alone.append(fix)
        found.append(tiles)
        latencies_s.append(time.perf_counter() - begun if shot.pixels is not None else 0.0)
        times_s.append(shot.time_s)
        if progress:
            progress(done, done)
    if not any(len(one.tiles) for one in found):
        first = next(
            (fix.error or fix.reason for fix in (*alone, *broken) if fix.error or fix.reason), "no frame was named"
        )
        raise DataError(f"None of the {len(alone)} frames could be located on. The first: {first}")
    sides_m, places = searched.tiles.sides_m, searched.rows.latlons
    grid = Grid.over(places, sides_m, int(searched.tiles.planes[0]) % 100)
    if grid.rows * grid.columns * len(alone) > MOST_TRACK_CELLS:
        most = MOST_TRACK_CELLS // (grid.rows * grid.columns)
        raise DataError(f"{len(alone)} frames are more than can be smoothed on so large a map; give {most} at a time.")
    reach_m = reaches_m(times_s, speed_m_s, interval_s)
    if moves_m is not None and len(moves_m) != len(reach_m):
        raise UsageError(f"Odometry of {len(moves_m)} steps was given for {len(alone)} frames; one less is expected.")
    claims = (claimed(grid, one, places[one.tiles], sides_m[one.tiles]) for one in found)
    said = believed(claims, [fix.confidence for fix in alone], reach_m, grid, moves_m)
    posterior = smoothed(said, reach_m, grid.side_m, moves_m)
    within_m = float(sides_m.min()) / 2
    fixes = [
        _along(fix, point_of(cells, grid, within_m), grid, searched, one, min_confidence)
        for fix, cells, one in zip(alone, posterior, found, strict=True)
    ]
    rest = [None] * len(broken)
    return Track((*fixes, *broken), (*alone, *broken), (*times_s, *rest), (*latencies_s, *(0.0 for _ in broken)))


def _along(fix: Fix, point: Point, grid: Grid, searched: Searched, found: Found, min_confidence: float) -> Fix:
    """The Fix of a frame as the whole track has it, with the heading of its own tiles near that place."""
    told = replace(fix, confidence=point.confidence, calibrated=False)
    if point.confidence < min_confidence:
        lost = f"can't tell: the track is lost here (confidence {point.confidence:.2f}, below {min_confidence:.2f})"
        return replace(told, position=None, radius_m=None, heading_deg=None, reason=lost)
    # Where the map itself has said where the frame is, cells of the filter are coarser than that.
    if (
        searched.verifier
        and fix.position
        and fix.position.metres_to(point.position) <= searched.tiles.sides_m.min() / 2
    ):
        return told
    near = metres_from(point.position, searched.rows.latlons[found.tiles]) <= searched.tiles.sides_m[found.tiles] / 2
    heading = None
    if near.any():
        mean = mean_heading_deg(found.headings_deg[near], found.weights()[near])
        heading = float((mean + grid_convergence_deg(point.position, grid.zone)) % 360 % 360)
    return replace(told, position=point.position, radius_m=point.radius_m, heading_deg=heading, reason=None)


def middle_and_slowest(latencies_s: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile of the frames that were located; 0 where there is none."""
    timed = [one for one in latencies_s if one > 0]
    return (float(np.median(timed)), float(np.percentile(timed, 95))) if timed else (0.0, 0.0)
