"""What the report page shows of each fix: plain data, and the photos as small pictures stored once each."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geofix.errors import PhotoError
from geofix.fixes import Fix, Match
from geofix.photos import thumbnail_jpeg
from geofix.positions import Position
from geofix.reports.exports import drawable_radius_m

QUERY_SIDE_PIXELS = 320
MATCH_SIDE_PIXELS = 200
MATCHES_WITH_PICTURES = 5  # as many as a card shows
MATCHES_ON_MAP = 20
_COUNTRIES_SHOWN = 3
# Control characters, lone surrogates and the marks that turn the reading direction: shown as escapes, so that
# a file name cannot pass for another.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass
class Pictures:
    """Thumbnails by number; a photo that is asked for twice is decoded and stored once."""

    jpegs: list[str] = field(default_factory=list)  # base64
    _numbers: dict[tuple[Path, int], int | None] = field(default_factory=dict)

    def number(self, path: Path, longest_side: int) -> int | None:
        """The number of this photo's thumbnail in `jpegs`, or None when the photo cannot be read."""
        key = (path, longest_side)
        if key not in self._numbers:
            self._numbers[key] = self._stored(path, longest_side)
        return self._numbers[key]

    def _stored(self, path: Path, longest_side: int) -> int | None:
        try:
            jpeg = thumbnail_jpeg(path, longest_side)
        except (PhotoError, ValueError):  # ValueError: a name no file can have, such as one with a zero byte
            return None
        self.jpegs.append(base64.b64encode(jpeg).decode("ascii"))
        return len(self.jpegs) - 1


@dataclass(frozen=True)
class CardMaker:
    """Makes the data of one card after the other; relative paths are looked up below the two roots."""

    photo_root: Path
    gallery_root: Path
    truth: Mapping[str, Position]
    pictures: Pictures

    def card(self, fix: Fix, pictured: bool) -> dict[str, Any]:
        """One fix as the page's scripts read it; without `pictured` no photo is opened."""
        picture = self.pictures.number(self.photo_root / fix.photo, QUERY_SIDE_PIXELS) if pictured else None
        return {
            **_name(fix.photo),
            "state": state(fix),
            "pictured": pictured,
            "picture": picture,
            "lat": fix.position and fix.position.lat,
            "lon": fix.position and fix.position.lon,
            "radius_m": _finite(fix.radius_m),
            "circle_m": drawable_radius_m(fix),
            "heading_deg": _finite(fix.heading_deg),
            "confidence": _finite(fix.confidence) or 0.0,
            "calibrated": fix.calibrated,
            "reason": fix.reason and shown(fix.reason),
            "error": fix.error and shown(fix.error),
            "truth": self._truth(fix),
            "matches": self._matches(fix, pictured),
            "countries": _countries(fix),
            "scene": _scene(fix),
        }

    def _truth(self, fix: Fix) -> dict[str, Any] | None:
        truth = self.truth.get(fix.photo)
        if truth is None:
            return None
        return {"lat": truth.lat, "lon": truth.lon, "off_m": fix.position and fix.position.metres_to(truth)}

    def _matches(self, fix: Fix, pictured: bool) -> list[dict[str, Any]]:
        return [
            self._match(rank, match, fix.position, pictured and rank <= MATCHES_WITH_PICTURES)
            for rank, match in enumerate(fix.matches[:MATCHES_ON_MAP], start=1)
        ]

    def _match(self, rank: int, match: Match, estimate: Position | None, pictured: bool) -> dict[str, Any]:
        path = self.gallery_root / match.path
        return {
            "rank": rank,
            **_name(match.path),
            "lat": match.position.lat,
            "lon": match.position.lon,
            "score": _finite(match.score),
            "distance_m": estimate and estimate.metres_to(match.position),
            "bounds": match.bounds,
            "picture": self.pictures.number(path, MATCH_SIDE_PIXELS) if pictured else None,
        }


def state(fix: Fix) -> str:
    """`located`, `unknown` (geofix cannot tell) or `error`."""
    if fix.error is not None:
        return "error"
    return "unknown" if fix.position is None else "located"


def shown(text: str) -> str:
    """The text with what is invisible or turns the reading direction written as escapes."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _name(path: str) -> dict[str, str]:
    """The path in its two parts, as they are shown: `folder` ends with a slash or is empty."""
    folder, slash, name = path.replace(os.sep, "/").rpartition("/")
    return {"name": shown(name), "folder": shown(folder + slash)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _countries(fix: Fix) -> list[dict[str, Any]]:
    rows: Sequence[dict[str, Any]] = (fix.countries or ())[:_COUNTRIES_SHOWN]
    return [{"name": shown(str(row["name"])), "probability": row["probability"]} for row in rows]


def _scene(fix: Fix) -> list[dict[str, Any]]:
    best = sorted((fix.scene or {}).items(), key=lambda entry: -entry[1])[:1]
    return [{"name": shown(name), "probability": probability} for name, probability in best]
