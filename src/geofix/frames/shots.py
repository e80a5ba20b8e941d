"""Frames one after the other: photos by name, or a video at regular times. The one door to PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from geofix.errors import MissingExtraError, PhotoError
from geofix.photos import read_bytes, read_capture, read_pixels
from geofix.shapes import Pixels
from geofix.telemetry import Telemetry, read_telemetry

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".ts", ".mts", ".mpg", ".mpeg", ".3gp"})


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A frame: its name, its pixels or what is wrong with it, when it was taken in seconds, if that is known, and what
    it says of its taking, if that was asked for. `ends` marks what is no frame but the error with which a video ends.
    """

    name: str
    pixels: Pixels | None
    time_s: float | None
    error: PhotoError | None = None
    telemetry: Telemetry | None = None
    ends: bool = False


def is_video(path: Path) -> bool:
    """Whether the file name has the ending of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def shots(paths: Sequence[Path], interval_s: float, telemetry: bool = False) -> Iterator[Shot]:
    """The frames of photos and videos in the order given; of a video one every `interval_s` seconds.

    With `telemetry` photos come with what they say of their taking. What cannot be read is a shot with an error. Raises
    MissingExtraError for a video without PyAV.
    """
    for path in paths:
        if is_video(path):
            yield from _of_video(path, interval_s)
        else:
            yield _of_photo(path, telemetry)


def _of_photo(path: Path, telemetry: bool) -> Shot:
    try:
        data = read_bytes(path)
        taken_at = read_capture(data, str(path)).taken_at
        said = read_telemetry(data, str(path)) if telemetry else None
        return Shot(str(path), read_pixels(data, str(path)), _seconds(taken_at), telemetry=said)
    except PhotoError as error:
        return Shot(str(path), None, None, error)


def _seconds(taken_at: str | None) -> float | None:
    try:
        return None if taken_at is None else datetime.fromisoformat(taken_at).timestamp()
    except ValueError:
        return None


def _of_video(path: Path, interval_s: float) -> Iterator[Shot]:
    """Frames are named VIDEO@SECONDS. A video that breaks off gives what came before, and then its error."""
    av = _av()
    told, last = 0, 0.0
    try:
        _check_openable(path)
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise PhotoError(f"{path} holds no picture stream; a video or photos were expected.")
            for frame in container.decode(container.streams.video[0]):
                time_s = float(frame.time if frame.time is not None else told * interval_s)
                last = time_s
                if time_s + 1e-6 >= told * interval_s:
                    told = int((time_s + 1e-6) // interval_s) + 1
                    yield Shot(f"{path}@{time_s:.2f}", np.ascontiguousarray(frame.to_ndarray(format="rgb24")), time_s)
            length_s = _length_s(container, av.time_base)
        if not told:
            raise PhotoError(f"{path} holds no picture that can be decoded; record or copy it again.")
        if length_s is not None and last < length_s - max(1.0, 0.1 * length_s):
            raise PhotoError(
                f"{path} says that it is {length_s:.1f} s long and ends after {last:.1f} s; the {told} frames before "
                "were used: copy it again for the rest."
            )
    except PhotoError as error:
        yield Shot(str(path), None, None, error, ends=True)
    except (av.FFmpegError, ValueError) as error:
        broken = f"breaks off after {last:.1f} s ({error}); the frames before were used"
        what = broken if told else f"is no video that can be read ({error})"
        yield Shot(str(path), None, None, PhotoError(f"{path} {what}: copy it again from its source."), ends=True)


def _length_s(container: Any, time_base: int) -> float | None:
    """How long a video says it is. The container of some follows the file's size, the stream's count of frames does
    not.
    """
    stream = container.streams.video[0]
    lengths_s = [] if container.duration is None else [container.duration / time_base]
    if stream.frames and stream.average_rate:
        lengths_s.append(stream.frames / float(stream.average_rate))
    return max(lengths_s, default=None)


def _check_openable(path: Path) -> None:
    """Says in one sentence what is wrong with a file that cannot even be opened. Raises PhotoError."""
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise PhotoError(f"{path} is empty (0 bytes); copy it again from its source.")
    except OSError as error:
        raise PhotoError(f"{path} cannot be read ({error.strerror}); check its name and permissions.") from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("Reading a video", "video") from error
    return av
