"""Whether published totals can come from the published parts they are said to be made of.

A total over parts (scenes, countries) is the mean of the parts weighted by how many photos each has. With the counts
it can be computed. Without them there may still be no weights at all that give every stated total at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog

from geofix.errors import DataError

ROUNDING = 0.0005
"""Half a unit of the last place of a percentage with one decimal, as a fraction."""
_SLACK = 1e-9  # for the arithmetic of the linear programme


@dataclass(frozen=True, slots=True)
class Part:
    """One part: what was measured on it, fractions by name ("top1", "top5"), and on how many rows, if that is told."""

    name: str
    shares: Mapping[str, float]
    count: int | None = None

    def __post_init__(self) -> None:
        _check_shares(self.name, self.shares)
        if self.count is not None and self.count < 0:
            raise DataError(f"{self.name} has {self.count} rows; 0 or more are expected.")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one total can be while all others are as stated; `low` and `high` are NaN where nothing is left.

    The others are granted their own rounding, and nothing else. In `widest` every part is granted its rounding, too.
    """

    stated: float
    low: float
    high: float
    widest: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Fractions; null where nothing is left."""
        low, high, *widest = (None if math.isnan(end) else end for end in (self.low, self.high, *self.widest))
        return {"stated": self.stated, "low": low, "high": high, "widest": widest}


@dataclass(frozen=True, slots=True)
class Consistency:
    """Whether the totals are possible, what each can be (`bounds`), the rounding granted, and a sentence that says so.

    `counted` is whether the parts told how many rows they have.
    """

    possible: bool
    counted: bool
    bounds: Mapping[str, Bounds]
    rounding: float
    said: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON, fractions."""
        return {
            "possible": self.possible,
            "counted": self.counted,
            "bounds": {name: bounds.to_dict() for name, bounds in self.bounds.items()},
            "rounding": self.rounding,
            "said": self.said,
        }


def check_totals(parts: Sequence[Part], totals: Mapping[str, float], rounding: float = ROUNDING) -> Consistency:
    """Whether `totals` (fractions by name) can be weighted means of the parts.

    Every printed number, of parts and totals alike, may be off by `rounding`. With a count for each part the weights
    are known; else any weights of 0 or more that add up to 1 will do. Raises DataError for parts that lack a measure,
    for counts of some parts only, and for numbers that are no fractions.
    """
    _check(parts, totals, rounding)
    counts = [part.count for part in parts]
    if None not in counts:
        return _with_counts(parts, np.array(counts, dtype=np.float64), totals, rounding)
    rows = {name: np.array([part.shares[name] for part in parts]) for name in totals}
    bounds = {name: _bounds(name, rows, totals, rounding) for name in totals}
    possible = all(_holds(one, rounding) for one in bounds.values())
    return Consistency(possible, False, bounds, rounding, _said(len(parts), bounds, possible, rounding))


def _with_counts(
    parts: Sequence[Part], counts: np.ndarray, totals: Mapping[str, float], rounding: float
) -> Consistency:
    bounds = {}
    for name, stated in totals.items():
        mean = float(np.average([part.shares[name] for part in parts], weights=counts))
        bounds[name] = Bounds(stated, mean, mean, (mean - rounding, mean + rounding))
    possible = all(_holds(one, rounding) for one in bounds.values())
    made = ", ".join(f"{name} {_percent(one.low)} (stated {_percent(one.stated)})" for name, one in bounds.items())
    verdict = "agree with" if possible else "do not agree with"
    said = f"The stated totals {verdict} the means of {len(parts)} parts by their counts: {made}. {_granted(rounding)}."
    return Consistency(possible, True, bounds, rounding, said)


def _bounds(name: str, rows: Mapping[str, np.ndarray], totals: Mapping[str, float], rounding: float) -> Bounds:
    """What total `name` can be. Rounding of the parts moves a mean by as much at most, so it adds to that of the
    totals."""
    others = [other for other in totals if other != name]
    held, stated = [rows[other] for other in others], [totals[other] for other in others]
    low, high = _range(rows[name], held, stated, rounding)
    ends = _range(rows[name], held, stated, 2 * rounding)
    return Bounds(totals[name], low, high, (ends[0] - rounding, ends[1] + rounding))


def _range(wanted: np.ndarray, rows: list[np.ndarray], stated: list[float], tolerance: float) -> tuple[float, float]:
    """The least and the largest mean of `wanted` over weights that give every other row's mean as stated."""
    limits = [(row, total + tolerance + _SLACK) for row, total in zip(rows, stated, strict=True)]
    limits += [(-row, -total + tolerance + _SLACK) for row, total in zip(rows, stated, strict=True)]
    matrix = np.array([row for row, _ in limits]) if limits else None
    ceilings = np.array([limit for _, limit in limits]) if limits else None
    ends = []
    for sign in (1.0, -1.0):
        found = linprog(sign * wanted, matrix, ceilings, np.ones((1, len(wanted))), np.ones(1))
        ends.append(sign * float(found.fun) if found.status == 0 else math.nan)
    return ends[0], ends[1]


def _holds(bounds: Bounds, rounding: float) -> bool:
    low, high = bounds.widest
    return low - rounding - _SLACK <= bounds.stated <= high + rounding + _SLACK  # false for NaN


def _said(parts: int, bounds: Mapping[str, Bounds], possible: bool, rounding: float) -> str:
    if possible:
        return f"There are weights of the {parts} parts that give all stated totals. {_granted(rounding)}."
    reasons = "; ".join(_reason(name, bounds) for name in bounds)
    return f"No weights of the {parts} parts give all stated totals: {reasons}. {_granted(rounding)}."


def _reason(name: str, bounds: Mapping[str, Bounds]) -> str:
    one = bounds[name]
    others = " and ".join(f"{other} at {_percent(bounds[other].stated)}" for other in bounds if other != name)
    held = f"with {others} " if others else ""
    if math.isnan(one.low):
        return f"{held}no {name} is possible at all"
    end = f"at most {_percent(one.high)}" if one.stated > one.high else f"at least {_percent(one.low)}"
    return f"{held}{name} is {end} (stated {_percent(one.stated)})"


def _granted(rounding: float) -> str:
    return (
        f"Granted: {100 * rounding:g} points of rounding on each stated total, and, for the verdict, on each part, too"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _check(parts: Sequence[Part], totals: Mapping[str, float], rounding: float) -> None:
    if not parts or not totals:
        raise DataError("There is nothing to compare; at least one part and one total are expected.")
    if not 0 <= rounding < 0.5:
        raise DataError(f"The rounding is {rounding}; a fraction of 0 to 0.5 is expected, as 0.0005 for 12.3 %.")
    _check_shares("The total", totals)
    for part in parts:
        lacking = [name for name in totals if name not in part.shares]
        if lacking:
            raise DataError(f"{part.name} has no {lacking[0]}; every part needs each of {', '.join(totals)}.")
    counted = [part.name for part in parts if part.count is not None]
    if counted and len(counted) < len(parts):
        raise DataError(f"Only {len(counted)} of {len(parts)} parts have a count; give it for all of them or for none.")
    if counted and not any(part.count for part in parts):
        raise DataError("Every part has 0 rows; at least one row is expected.")


def _check_shares(name: str, shares: Mapping[str, float]) -> None:
    for measure, share in shares.items():
        if not 0 <= share <= 1:
            raise DataError(f"{name} has {share} as {measure}; a fraction of 0 to 1 is expected, as 0.573 for 57.3 %.")
