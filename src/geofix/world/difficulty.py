"""How hard the queries of a rendered town are: where they are taken from, with what, and under what conditions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from geofix.errors import unknown_name
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.styles import Span


@dataclass(frozen=True)
class Difficulty:
    """A preset: queries stand up to `away_m` from their gallery spot (in their street), turned up to `turn_deg`
    from one of its headings, with a horizontal field of view of `hfov_deg`, under `day` and under `night`."""

    name: str
    away_m: float
    turn_deg: float
    hfov_deg: Span
    day: Conditions
    night: Conditions


def _by_night(day: Conditions) -> Conditions:
    return replace(day, night=1.0, noise=min(day.noise + 0.25, 1.0))


_MILD = Conditions(noise=0.05, occlusion=0.1)
_HARSH = Conditions(noise=0.25, occlusion=0.7, season=0.45, rebuilt=0.12, fog=0.15, jpeg_quality=75)
EASY = Difficulty("easy", 3.0, 5.0, (70.0, 74.0), _MILD, _by_night(_MILD))
STREET = Difficulty("street", 8.0, 12.0, (64.0, 80.0), DAY, NIGHT)
HARD = Difficulty("hard", 14.0, 28.0, (52.0, 90.0), _HARSH, _by_night(_HARSH))
DIFFICULTIES = {preset.name: preset for preset in (EASY, STREET, HARD)}


def difficulty(name: str) -> Difficulty:
    """The preset of that name; raises UsageError that names the nearest."""
    if name not in DIFFICULTIES:
        raise unknown_name("difficulty", name, DIFFICULTIES)
    return DIFFICULTIES[name]
