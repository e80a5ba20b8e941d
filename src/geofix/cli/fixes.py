"""Fixes as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from geofix.cli.output import table
from geofix.files import absolute
from geofix.fixes import Fix
from geofix.frames.track import Track, middle_and_slowest
from geofix.metrics import share_within
from geofix.positions import Position

_LONGEST_NAME = 48


def listed(fixes: Sequence[Fix], truth: Mapping[str, Position]) -> str:
    """One line a photo; with the error in metres where the truth is known."""
    header = ["photo", "latitude", "longitude", "radius", "confidence"] + (["error"] if truth else [])
    rows = []
    for fix in fixes:
        row = [_short(fix.photo), *_answer(fix)]
        if truth:
            row.append(_error(fix, truth))
        rows.append(row)
    return table(header, rows)


def summary(fixes: Sequence[Fix], truth: Mapping[str, Position]) -> list[tuple[str, str]]:
    """Figures over all fixes: how many were answered and, where the truth is known, how well."""
    readable = [fix for fix in fixes if not fix.error]
    answered = [fix for fix in readable if fix.position is not None]
    figures = [("answered", f"{len(answered)} of {len(readable)} photos")]
    if any(not fix.calibrated for fix in readable):
        figures.append(("confidence", "not calibrated: an order, not a probability"))
    itself = sum(any(match.path == str(absolute(Path(fix.photo))) for match in fix.matches) for fix in readable)
    if itself:
        figures.append(("careful", f"{itself} of these photos are in the atlas itself and find themselves"))
    known = [fix for fix in readable if fix.photo in truth]
    errors_m = np.array([error_m(fix, truth[fix.photo]) for fix in known])
    told = np.isfinite(errors_m)
    if told.any():
        radii_m = np.array([fix.radius_m or 0.0 for fix in known])
        figures += [
            ("median error of the answers", f"{np.median(errors_m[told]):.1f} m"),
            ("within 25 m, of the answers", f"{share_within(errors_m[told], 25.0):.1%}"),
            ("within 25 m, of all photos", f"{share_within(errors_m, 25.0):.1%}"),
            (
                "within the stated radius, of the answers",
                f"{share_within(errors_m[told], radii_m[told]):.1%} (meant: 90%)",
            ),
            ("median radius", f"{np.median(radii_m[told]):.0f} m"),
        ]
    return figures


def track_summary(flown: Track, truth: Mapping[str, Position]) -> list[tuple[str, str]]:
    """Of a flight: time a frame and, where the truth is known, the errors before smoothing."""
    middle_s, slowest_s = middle_and_slowest(flown.latencies_s)
    figures = [("time a frame", f"{1000 * middle_s:.0f} ms, 95 % within {1000 * slowest_s:.0f} ms")]
    alone = [fix for fix in flown.alone if fix.photo in truth]
    errors_m = np.array([error_m(fix, truth[fix.photo]) for fix in alone])
    if len(alone):
        told = errors_m[np.isfinite(errors_m)]
        median = f", median error {np.median(told):.1f} m" if len(told) else ""
        figures.append(("each frame alone", f"answered {len(told)} of {len(alone)}{median}"))
    return figures


def error_m(fix: Fix, truth: Position) -> float:
    """Metres from the answer to the truth; inf where there is no answer."""
    return float("inf") if fix.position is None else fix.position.metres_to(truth)


def _answer(fix: Fix) -> list[str]:
    if fix.error:
        return ["unreadable", "", "", ""]
    if fix.position is None:
        return ["can't tell", "", "", f"{fix.confidence:.2f}"]
    radius = "" if fix.radius_m is None else f"{fix.radius_m:.0f} m"
    return [f"{fix.position.lat:.6f}", f"{fix.position.lon:.6f}", radius, f"{fix.confidence:.2f}"]


def _error(fix: Fix, truth: Mapping[str, Position]) -> str:
    if fix.photo not in truth or fix.position is None:
        return ""
    return f"{error_m(fix, truth[fix.photo]):.1f} m"


def _short(path: str) -> str:
    name = Path(path).name
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
