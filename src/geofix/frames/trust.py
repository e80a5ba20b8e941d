"""What frames say of their own taking, used where somebody asks for it: which parts are trusted, and what they narrow.

Nothing of it is read otherwise. A prior that is wrong makes answers wrong, so each part is asked for by its name.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geofix.atlas.calibration import Calibration
from geofix.atlas.spots import Found
from geofix.errors import DataError, PhotoError, UsageError
from geofix.fixes import Fix
from geofix.frames.level import MOST_TILT_DEG, levelled
from geofix.frames.locate import TURNS, Searched, fix_of
from geofix.frames.looks import Camera
from geofix.frames.shots import Shot
from geofix.positions import Position, grid_convergence_deg, metres_from
from geofix.shapes import Pixels
from geofix.telemetry import NOTHING, Telemetry, read_telemetry

HEADING_WITHIN_DEG = 20.0  # compasses beside motors are off by as much now and then
GPS_WITHIN_M = 200.0
MAGNETIC_DEG = 20.0  # magnetic north is so far from true north, at most, in nearly all inhabited places
STRAIGHT_DEG = 3.0  # a tilt that moves the middle by less than a twentieth of the altitude
PARTS = ("altitude", "fov", "heading", "gps", "tilt")
_FIELDS = {
    "altitude": "altitude_m",
    "fov": "fov_deg",
    "heading": "heading_deg",
    "gps": "position",
    "tilt": "orientation",
}
_WITHIN = {"heading": HEADING_WITHIN_DEG, "gps": GPS_WITHIN_M}
_SILENT = "a frame of a video carries none"


@dataclass(frozen=True, slots=True)
class Trust:
    """Which parts of what a frame says are used: its altitude, its field of view, the tilt of its camera; its heading
    to within `heading_within_deg` and its GPS position to within `gps_within_m`, None for neither.

    `altitude_m` and `fov_deg` are those of all frames, where they are known and not read. Raises UsageError for what
    contradicts itself.
    """

    altitude: bool = False
    fov: bool = False
    tilt: bool = False
    heading_within_deg: float | None = None
    gps_within_m: float | None = None
    altitude_m: float | None = None
    fov_deg: float | None = None

    def __post_init__(self) -> None:
        for part, given in (("altitude", self.altitude_m), ("fov", self.fov_deg)):
            if getattr(self, part) and given is not None:
                raise UsageError(
                    f"--{part} {given:g} was given and --trust {part} reads it from frames; leave one out."
                )
        has_fov, has_altitude = self.fov or self.fov_deg is not None, self.altitude or self.altitude_m is not None
        if has_altitude and not has_fov:
            raise UsageError("How wide a frame is needs its field of view, too; add fov to --trust, or --fov.")
        if self.tilt and not has_fov:
            raise UsageError("Levelling a tilted frame needs its field of view; add fov to --trust, or --fov.")
        if has_fov and not has_altitude and not self.tilt:
            raise UsageError("How wide a frame is needs its altitude, too; add altitude to --trust, or --altitude.")
        if has_altitude or has_fov:
            Camera(self.altitude_m or 100.0, self.fov_deg or 60.0)  # says what is wrong with what was given
        if self.heading_within_deg is not None and not 0 < self.heading_within_deg <= 180:
            raise UsageError(f"--trust heading={self.heading_within_deg:g} is no tolerance; 0 to 180 degrees can be.")
        if self.gps_within_m is not None and not 0 < self.gps_within_m < math.inf:
            raise UsageError(f"--trust gps={self.gps_within_m:g} is no radius; metres above 0 are expected.")

    @classmethod
    def parse(cls, text: str, altitude_m: float | None = None, fov_deg: float | None = None) -> Trust:
        """From altitude,fov,heading=DEGREES,gps=METRES,tilt: any of them, the numbers if wanted. Raises UsageError."""
        parts: dict[str, float | None] = {}
        for word in text.split(","):
            name, equals, number = word.strip().partition("=")
            if name not in PARTS:
                raise UsageError(
                    f"--trust {word.strip()!r} is nothing that frames say; choose from altitude, fov, heading, gps and "
                    "tilt, as in altitude,fov,heading=20,gps=200."
                )
            parts[name] = _number(name, number) if equals else _WITHIN.get(name)
        return cls(
            altitude="altitude" in parts,
            fov="fov" in parts,
            tilt="tilt" in parts,
            heading_within_deg=parts.get("heading"),
            gps_within_m=parts.get("gps"),
            altitude_m=altitude_m,
            fov_deg=fov_deg,
        )

    @property
    def narrows(self) -> bool:
        """Whether fewer tiles or headings are looked at, for which no calibration was learned."""
        return self.heading_within_deg is not None or self.gps_within_m is not None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what is trusted."""
        wanted = (self.altitude, self.fov, self.heading_within_deg, self.gps_within_m, self.tilt)
        return tuple(name for name, one in zip(PARTS, wanted, strict=True) if one is not None and one is not False)

    def altitude_of(self, telemetry: Telemetry) -> float | None:
        """How high a frame was taken, as far as that is known or trusted."""
        return telemetry.altitude_m if self.altitude else self.altitude_m

    def fov_of(self, telemetry: Telemetry) -> float | None:
        """A frame's field of view along its rows, as far as that is known or trusted."""
        return telemetry.fov_deg if self.fov else self.fov_deg


class View(NamedTuple):
    """A frame made ready by what it says: pixels, the tiles and looks that it is compared with, the rows that are as if
    they were not there, and why it cannot be located at all, if so.
    """

    pixels: Pixels
    searched: Searched
    without: np.ndarray | None
    reason: str | None = None


def viewed(pixels: Pixels, telemetry: Telemetry, searched: Searched, trust: Trust) -> View:
    """A frame as its trusted telemetry lets it be looked at. What it does not say narrows nothing."""
    altitude_m, fov_deg = trust.altitude_of(telemetry), trust.fov_of(telemetry)
    orientation = telemetry.orientation if trust.tilt else None
    if orientation is not None and fov_deg is not None:
        try:
            pixels = levelled(pixels, orientation, fov_deg)
        except DataError as error:
            return View(pixels, searched, None, f"can't tell: {error}")
        # As far from the ground in its middle as the drone was.
        altitude_m = altitude_m and altitude_m / math.cos(math.radians(orientation.tilt_deg))
    camera = searched.camera if altitude_m is None or fov_deg is None else Camera(altitude_m, fov_deg)
    searched = replace(searched, camera=camera, turns=_turns(telemetry, searched, trust))
    if trust.gps_within_m is None or telemetry.position is None:
        return View(pixels, searched, None)
    apart_m = metres_from(aimed(telemetry, trust) or telemetry.position, searched.rows.latlons)
    beyond = np.flatnonzero(apart_m - searched.tiles.sides_m / 2 > trust.gps_within_m)
    if len(beyond) == len(searched.rows):
        away = f"within {trust.gps_within_m:g} m of where the frame says it was taken"
        return View(pixels, searched, beyond, f"can't tell: the map has no tile {away}")
    return View(pixels, searched, beyond)


def aimed(telemetry: Telemetry, trust: Trust) -> Position | None:
    """Where the ground in the middle of a frame lies by its own position, altitude and orientation; that is the
    position itself where the camera looked straight down, or the tilt is unknown or not trusted.
    """
    position, orientation = telemetry.position, telemetry.orientation
    altitude_m = trust.altitude_of(telemetry)
    if position is None or orientation is None or not trust.tilt or altitude_m is None:
        return position
    if orientation.tilt_deg > MOST_TILT_DEG:
        return position
    north_m, east_m = orientation.middle_m(altitude_m)
    return position.moved(math.degrees(math.atan2(east_m, north_m)), math.hypot(east_m, north_m))


def aimed_positions(positions: Mapping[str, Position], trust: Trust) -> dict[str, Position]:
    """Positions of drones by photo -> those of the ground in the photos' middles, as `aimed` has them."""
    ground = dict(positions)
    for path, position in positions.items() if trust.tilt else ():
        with contextlib.suppress(PhotoError):  # which has its own line among the answers
            ground[path] = aimed(replace(read_telemetry(Path(path)), position=position), trust) or position
    return ground


def _turns(telemetry: Telemetry, searched: Searched, trust: Trust) -> tuple[float, ...]:
    """The directions to look in, from grid north: every 15 degrees around the frame's heading, or all around."""
    if trust.heading_within_deg is None or telemetry.heading_deg is None:
        return searched.turns
    within = trust.heading_within_deg + (MAGNETIC_DEG if telemetry.magnetic else 0.0)
    if within >= 180:
        return searched.turns
    place = Position(*(float(part) for part in searched.rows.latlons.mean(axis=0)))
    middle = telemetry.heading_deg - grid_convergence_deg(place, int(searched.tiles.planes[0]) % 100)
    steps = int(within // (360 / TURNS))
    return tuple((middle + step * 360 / TURNS) % 360 % 360 for step in range(-steps, steps + 1))


@dataclass(slots=True)
class Ledger:
    """Counts what frames said of what was trusted, for one remark at the end."""

    trust: Trust
    frames: int = 0
    used: Counter[str] = field(default_factory=Counter)
    lacking: dict[str, str] = field(default_factory=dict)
    tilted: list[tuple[float, str]] = field(default_factory=list)
    magnetic: int = 0

    def note(self, name: str, telemetry: Telemetry | None) -> None:
        """One more frame, and what it says; None for a frame that can say nothing."""
        self.frames += 1
        said = telemetry or Telemetry(reasons=dict.fromkeys(_FIELDS.values(), _SILENT))
        for part in self.trust.parts:
            if getattr(said, _FIELDS[part]) is None:
                self.lacking.setdefault(part, f"{name}: {said.reasons.get(_FIELDS[part], NOTHING)}")
            elif part in ("altitude", "tilt") and self.trust.fov_of(said) is None:
                self.lacking.setdefault(part, f"{name}: its field of view is not known")
            else:
                self.used[part] += 1
        self.magnetic += said.magnetic and "heading" in self.trust.parts
        if said.orientation is not None and said.orientation.tilt_deg > STRAIGHT_DEG:
            self.tilted.append((said.orientation.tilt_deg, name))

    def told(self) -> list[str]:
        """Sentences: what was used of how many frames and why not of the rest, tilted cameras, magnetic headings."""
        parts = self.trust.parts
        used = ", ".join(f"{part} of {self.used[part]}" for part in parts)
        lines = [f"trusted: {used} of {_frames(self.frames)}"]
        lines += [
            f"{part} was not used of {_frames(self.frames - self.used[part])} ({self.lacking[part]})"
            for part in parts
            if part in self.lacking
        ]
        if self.magnetic:
            lines.append(
                f"the headings of {_frames(self.magnetic)} are from magnetic north; they were trusted to within "
                f"{(self.trust.heading_within_deg or 0) + MAGNETIC_DEG:g} degrees"
            )
        if self.tilted and not self.trust.tilt:
            most, name = max(self.tilted)
            lines.append(
                f"{_frames(len(self.tilted))} did not look straight down, {name} least (by {most:.0f} degrees); add "
                "tilt to --trust to level them"
            )
        return lines


def fix_of_shot(
    shot: Shot,
    searched: Searched,
    calibration: Calibration | None,
    min_confidence: float,
    trust: Trust | None = None,
    ledger: Ledger | None = None,
) -> tuple[Fix, Found]:
    """The Fix of one frame that was read, with what is trusted of its telemetry, and the tiles that it was made of."""
    if shot.pixels is None:
        return Fix(shot.name, reason="the photo could not be read", error=str(shot.error)), Found.none()
    if trust is None:
        return fix_of(shot.name, shot.pixels, searched, calibration, min_confidence)
    if ledger is not None:
        ledger.note(shot.name, shot.telemetry)
    view = viewed(shot.pixels, shot.telemetry or Telemetry(), searched, trust)
    if view.reason is not None:
        return Fix(shot.name, reason=view.reason), Found.none()
    return fix_of(shot.name, view.pixels, view.searched, calibration, min_confidence, view.without)


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _number(name: str, text: str) -> float:
    if name not in _WITHIN:
        raise UsageError(f"--trust {name}={text} has a number; only heading=DEGREES and gps=METRES take one.")
    try:
        return float(text)
    except ValueError as error:
        unit = "degrees" if name == "heading" else "metres"
        raise UsageError(f"--trust {name}={text} is no number; {unit} are expected, as in {name}=20.") from error
