"""Fix: the answer to "where was this photo taken?", and Match: one piece of evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geofix.positions import Position


@dataclass(frozen=True, slots=True)
class Match:
    """A gallery photo that resembles the query; score is 1 - d²/2 of the descriptor distance d.

    For unit descriptors the score is their cosine similarity. `bounds` (south, west, north, east in degrees) is
    set for map tiles.
    """

    path: str
    position: Position
    score: float
    heading_deg: float | None = None
    bounds: tuple[float, float, float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of house style: path, lat, lon, score and, for map tiles, bounds."""
        row: dict[str, Any] = {
            "path": self.path,
            "lat": self.position.lat,
            "lon": self.position.lon,
            "score": self.score,
        }
        return row if self.bounds is None else {**row, "bounds": list(self.bounds)}


@dataclass(frozen=True, slots=True)
class Routing:
    """How a country was found: the way ("soft", "hard" or "single"), the head that counts most, what each head says
    (likeliest first) and counts, whether the country is told, and the continent with its probability.

    `told` is False where the country is less sure than the limit that was learned; `continent_told` likewise.
    `carries_position` says whether the photo itself says where it was taken, and `by_position` whether that, trusted on
    request, is the answer. `level` is that of the countries: "territory", or "sovereign" where territories count as
    theirs.
    """

    way: str
    head: str
    weights: dict[str, float]
    heads: dict[str, tuple[tuple[str, float], ...]]
    told: bool
    continent: str
    continent_probability: float
    continent_told: bool
    carries_position: bool = False
    by_position: bool = False
    level: str = "territory"

    def to_dict(self) -> dict[str, Any]:
        """As part of a Fix's JSON."""
        heads = {name: [{"code": code, "probability": p} for code, p in said] for name, said in self.heads.items()}
        return {
            "way": self.way,
            "head": self.head,
            "weights": self.weights,
            "heads": heads,
            "told": self.told,
            "continent": {
                "name": self.continent,
                "probability": self.continent_probability,
                "told": self.continent_told,
            },
            "carries_position": self.carries_position,
            "by_position": self.by_position,
            "level": self.level,
        }


@dataclass(frozen=True, slots=True)
class Fix:
    """The answer for one photo.

    `position` is None when geofix cannot tell; `reason` then says why. `radius_m` is meant to hold the truth
    9 times in 10. `confidence` is 0..1: the probability that the truth lies within 25 m of the position when
    `calibrated`, otherwise only an order. `error` is set when the photo could not be read; there is no
    answer then.

    Where a run that names countries was asked, `scene` has the probability of each scene, `countries` every country
    that it can say, likeliest first ({"code", "name", "probability"}), and `routing` what lies behind them. Without an
    atlas `confidence` is the first country's probability and `position` stays None.
    """

    photo: str
    position: Position | None = None
    radius_m: float | None = None
    heading_deg: float | None = None
    confidence: float = 0.0
    calibrated: bool = False
    reason: str | None = None
    matches: tuple[Match, ...] = ()
    scene: dict[str, float] | None = None
    countries: tuple[dict[str, Any], ...] | None = None
    error: str | None = None
    routing: Routing | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same dictionary for the command line's --json, the web and Python."""
        position = None if self.position is None else {"lat": self.position.lat, "lon": self.position.lon}
        return {
            "photo": self.photo,
            "position": position,
            "radius_m": self.radius_m,
            "heading_deg": self.heading_deg,
            "confidence": self.confidence,
            "calibrated": self.calibrated,
            "reason": self.reason,
            "matches": [match.to_dict() for match in self.matches],
            "scene": self.scene,
            "countries": None if self.countries is None else list(self.countries),
            "error": self.error,
            **({} if self.routing is None else {"routing": self.routing.to_dict()}),
        }
