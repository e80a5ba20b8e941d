"""Telemetry: what a photo itself says of where and how it was taken, in EXIF and in the XMP of drones.

Read on request only: it is what the camera believed, and may be wrong, forged, or missing. A value that is damaged or
cannot be meant is None, and `reasons` says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from geofix.errors import DataError
from geofix.orientation import Orientation
from geofix.photos import Capture, Metadata, read_bytes, read_capture, read_metadata
from geofix.positions import Position
from geofix.xmp import properties

NOTHING = "it carries none in EXIF or XMP"
LOWEST_M, HIGHEST_M = 1.0, 10_000.0  # above the ground, that a drone's photo can have been taken at
_FILM_DIAGONAL_MM = math.hypot(36, 24)  # CIPA DCG-001: lengths are equivalent by the diagonals of picture and film
_SHORTEST_MM, _LONGEST_MM = 4.0, 3000.0
# Names by which makers write the same, the most exact first. Camera:AboveGroundAltitude is measured from the ground
# below, RelativeAltitude from where the drone took off.
_ALTITUDES = (
    "Camera:AboveGroundAltitude",
    "drone-dji:RelativeAltitude",
    "drone:RelativeAltitude",
    "drone-skydio:RelativeAltitude",
)
# Yaw, pitch and roll of the camera: -90 is straight down. Autel writes them as DJI does, under one of two prefixes.
_GIMBALS = (
    ("drone-dji:GimbalYawDegree", "drone-dji:GimbalPitchDegree", "drone-dji:GimbalRollDegree"),
    ("drone:GimbalYawDegree", "drone:GimbalPitchDegree", "drone:GimbalRollDegree"),
    ("drone-parrot:CameraYawDegree", "drone-parrot:CameraPitchDegree", "drone-parrot:CameraRollDegree"),
    (
        "drone-skydio:CameraOrientationNED/drone-skydio:Yaw",
        "drone-skydio:CameraOrientationNED/drone-skydio:Pitch",
        "drone-skydio:CameraOrientationNED/drone-skydio:Roll",
    ),
)
_PIX4D = ("Camera:Yaw", "Camera:Pitch", "Camera:Roll")  # 0 is straight down
_PIX4D_AS_GIMBAL_DEG = -45.0  # a pitch below this is no view backwards but one in the drone's own way of counting
_FLIGHT_YAWS = ("drone-dji:FlightYawDegree", "drone:FlightYawDegree", "drone-parrot:DroneYawDegree")
_PLACES = (
    ("drone-dji:GpsLatitude", ("drone-dji:GpsLongitude", "drone-dji:GpsLongtitude")),  # the latter by older firmware
    ("drone-dji:Latitude", ("drone-dji:Longitude",)),
    ("drone:GpsLatitude", ("drone:GpsLongitude", "drone:GpsLongtitude")),
    ("drone-parrot:DroneLatitude", ("drone-parrot:DroneLongitude",)),
    ("drone-skydio:Latitude", ("drone-skydio:Longitude",)),
    ("exif:GPSLatitude", ("exif:GPSLongitude",)),
)
_ADOBE_DEGREES = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a photo says of its taking.

    `altitude_m` is above the ground, or above where the drone took off, where only that is known; `fov_deg` the field
    of view along the upright picture's rows; `heading_deg` (0..360) where its upper edge points to, from true north or,
    where `magnetic`, from magnetic north; `orientation` how its camera was turned. `reasons` says of each of the five
    that is None why it is, by its name.
    """

    position: Position | None = None
    altitude_m: float | None = None
    fov_deg: float | None = None
    heading_deg: float | None = None
    orientation: Orientation | None = None
    magnetic: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Carried:
    """Whether a photo carries a position, which one, and that in a `sentence`."""

    position: Position | None
    sentence: str


def position_in(source: Path | bytes, name: str | None = None) -> Carried:
    """The position that a photo carries in EXIF or XMP. Raises PhotoError for what is no image."""
    name = name or (str(source) if isinstance(source, Path) else "the photo")
    data = read_bytes(source) if isinstance(source, Path) else source
    capture = read_capture(data, name)
    problems = [capture.problem] if capture.problem else []
    if capture.position is not None:
        return Carried(capture.position, f"{name} carries a position in EXIF: {_degrees(capture.position)}.")
    position = _position(_packet(read_metadata(data, name), problems), problems)
    if position is not None:
        return Carried(position, f"{name} carries a position in XMP: {_degrees(position)}.")
    if problems:
        return Carried(None, f"{name} carries no position that can be used: {'; '.join(problems).rstrip('.')}.")
    return Carried(None, f"{name} carries no position in EXIF or XMP.")


def read_telemetry(source: Path | bytes, name: str | None = None) -> Telemetry:
    """Everything that a photo says of its taking. Raises PhotoError for what is no image."""
    name = name or (str(source) if isinstance(source, Path) else "the photo")
    data = read_bytes(source) if isinstance(source, Path) else source
    capture, metadata = read_capture(data, name), read_metadata(data, name)
    damage: list[str] = []
    packet = _packet(metadata, damage)
    problems: dict[str, list[str]] = {key: [] for key in ("position", "altitude_m", "fov_deg", "orientation")}
    if capture.problem:
        problems["position"].append(capture.problem.rstrip("."))
    position = capture.position or _position(packet, problems["position"])
    orientation, heading_deg, magnetic = _turned(packet, capture, metadata, problems["orientation"])
    told = Telemetry(
        position=position,
        altitude_m=_altitude(packet, metadata, problems["altitude_m"]),
        fov_deg=_fov(metadata, problems["fov_deg"]),
        heading_deg=heading_deg,
        orientation=orientation,
        magnetic=magnetic,
    )
    problems["heading_deg"] = problems["orientation"]
    reasons = {
        key: "; ".join(found if key == "fov_deg" else found + damage) or NOTHING for key, found in problems.items()
    }
    return replace(told, reasons={key: why for key, why in reasons.items() if getattr(told, key) is None})


def _packet(metadata: Metadata, problems: list[str]) -> dict[str, str]:
    if not metadata.xmp:
        return {}
    try:
        return properties(metadata.xmp)
    except DataError as error:
        problems.append(f"its XMP cannot be used: {error}")
        return {}


def _position(packet: dict[str, str], problems: list[str]) -> Position | None:
    for lat_name, lon_names in _PLACES:
        lat_text = packet.get(lat_name)
        lon_text = next((packet[name] for name in lon_names if name in packet), None)
        if lat_text is None or lon_text is None:
            continue
        lat, lon = _angle(lat_text), _angle(lon_text)
        try:
            if lat is None or lon is None:
                raise DataError(f"{lat_text!r}, {lon_text!r} are no degrees.")
            if lat == 0 and lon == 0:
                raise DataError("it is 0, 0, which drones write when they have no fix.")
            return Position(lat, lon)
        except DataError as error:
            problems.append(f"the XMP position cannot be used: {str(error).rstrip('.')}")
    return None


def _altitude(packet: dict[str, str], metadata: Metadata, problems: list[str]) -> float | None:
    for name in _ALTITUDES:
        if name in packet:
            altitude_m = _number(packet[name])
            if altitude_m is not None and LOWEST_M <= altitude_m <= HIGHEST_M:
                return altitude_m
            problems.append(f"{name} is {packet[name]!r}; {LOWEST_M:g} to {HIGHEST_M:g} m above the ground can be")
    if not problems and ("GPSAltitude" in metadata.gps or "drone-dji:AbsoluteAltitude" in packet):
        problems.append("it carries one above the sea only, which does not say how high above the ground")
    return None


def _fov(metadata: Metadata, problems: list[str]) -> float | None:
    length_mm = _number(metadata.exif.get("FocalLengthIn35mmFilm"))
    zoom = _number(metadata.exif.get("DigitalZoomRatio")) or 1.0
    if not length_mm:  # 0 is EXIF's word for unknown
        return None
    if not _SHORTEST_MM <= length_mm <= _LONGEST_MM:
        problems.append(f"a focal length of {length_mm:g} mm cannot be; {_SHORTEST_MM:g} to {_LONGEST_MM:g} mm can")
        return None
    if zoom > 1:
        problems.append(f"a digital zoom of {zoom:g} leaves its field of view open")
        return None
    across = metadata.columns / math.hypot(metadata.rows, metadata.columns)
    return math.degrees(2 * math.atan(_FILM_DIAGONAL_MM / 2 * across / length_mm))


def _turned(
    packet: dict[str, str], capture: Capture, metadata: Metadata, problems: list[str]
) -> tuple[Orientation | None, float | None, bool]:
    """How the camera was turned, the heading of the picture's upper edge, and whether that is from magnetic north."""
    turn = metadata.exif.get("Orientation", 1)
    if isinstance(turn, int) and 2 <= turn <= 8:
        problems.append(f"its picture is turned (EXIF orientation {turn}), so its angles are not the picture's")
        return None, None, False
    orientation = _orientation(packet, problems)
    if orientation is not None:
        try:
            return orientation, orientation.heading_deg, False
        except DataError:  # it looks at the sky: where its upper edge points to on the ground has no meaning
            return orientation, None, False
    yaw_deg = next((yaw for yaw in _yaws(packet) if yaw is not None and abs(yaw) <= 360), None)
    if yaw_deg is not None:
        return None, yaw_deg % 360 % 360, False
    magnetic = str(metadata.gps.get("GPSImgDirectionRef", "T")).strip("\x00 ").upper() == "M"
    return None, capture.heading_deg, magnetic and capture.heading_deg is not None


def _yaws(packet: dict[str, str]) -> Iterator[float | None]:
    """Yaws that come without a pitch, and those of the drone."""
    for yaw, pitch, _ in (*_GIMBALS, _PIX4D):
        if pitch not in packet:
            yield _number(packet.get(yaw))
    for name in _FLIGHT_YAWS:
        yield _number(packet.get(name))


def _orientation(packet: dict[str, str], problems: list[str]) -> Orientation | None:
    for names in (*_GIMBALS, _PIX4D):
        if names[0] not in packet or names[1] not in packet:
            continue
        try:
            yaw, pitch, roll = _angles(packet, names)
            if names == _PIX4D and pitch >= _PIX4D_AS_GIMBAL_DEG:
                return Orientation.from_downwards(yaw, pitch, roll)
            if yaw == pitch == roll == 0:
                raise DataError("they are 0, 0 and 0, which drones write when they do not know")
            return Orientation(yaw, pitch, roll)
        except DataError as error:
            problems.append(f"the angles {names[0]} to {names[2].rpartition(':')[2]} cannot be used: {error}")
    return None


def _angles(packet: dict[str, str], names: Sequence[str]) -> tuple[float, float, float]:
    found = [_number(packet.get(name, "0")) for name in names]
    if any(angle is None for angle in found):
        raise DataError(f"{', '.join(repr(packet.get(name, '0')) for name in names)} are no numbers")
    yaw, pitch, roll = (angle for angle in found if angle is not None)
    return yaw, pitch, roll


def _angle(text: str) -> float | None:
    """Degrees as drones write them (+52.5), or as XMP does (52,30.0N)."""
    adobe = _ADOBE_DEGREES.fullmatch(text)
    if adobe is None:
        return _number(text)
    degrees, minutes, seconds, letter = adobe.groups(default="0")
    value = float(degrees) + float(minutes) / 60 + float(seconds) / 3600
    return -value if letter in "SW" else value


def _number(value: object) -> float | None:
    """A finite number, also one written as a fraction ("366/100"); None for what is none."""
    try:
        above, slash, below = str(value).partition("/")
        number = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _degrees(position: Position) -> str:
    return f"{position.lat:.5f}, {position.lon:.5f}"
