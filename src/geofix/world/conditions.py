"""Under what conditions a photo is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from geofix.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Conditions:
    """What a photo is taken under; a value out of range raises UsageError.

    All but the last run from 0 to 1. `night`: from day through dusk (0.5) to night. `fog`, `noise` (of the
    sensor): from none. `occlusion`: how many parked cars and people are about. `season`: from midsummer through
    autumn (0.5) to a winter with snow. `rebuilt`: the share of houses whose fronts were built anew since the
    gallery was photographed. `jpeg_quality` is 1..100.
    """

    night: float = 0.0
    fog: float = 0.0
    noise: float = 0.0
    occlusion: float = 0.0
    season: float = 0.0
    rebuilt: float = 0.0
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        for name in ("night", "fog", "noise", "occlusion", "season", "rebuilt"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise UsageError(f"{name} is {value}; a number from 0 to 1 is expected, as in {name}=0.5.")
        if self.jpeg_quality not in range(1, 101):
            raise UsageError(
                f"jpeg_quality is {self.jpeg_quality}; a whole number from 1 to 100 is expected, as in jpeg_quality=90."
            )

    def with_settings(self, settings: Sequence[str]) -> Conditions:
        """These conditions changed by NAME=VALUE texts; of two for the same name the later one holds."""
        return replace(self, **dict(_setting(text) for text in settings))

    def swept(self, text: str) -> dict[str, Conditions]:
        """These conditions with one of them at several values, from NAME=VALUE,VALUE,..., by NAME=VALUE.

        Raises UsageError for an unknown name, a value that is none, one given twice, or fewer than two.
        """
        name, _, values = (part.strip() for part in text.partition("="))
        each = [f"{name}={value.strip()}" for value in values.split(",")]
        found = {f"{name}={_setting(setting)[1]:g}": self.with_settings([setting]) for setting in each}
        if len(found) < 2 or len(found) < len(each):
            raise UsageError(
                f"The sweep {text!r} has {len(found)} different values in {len(each)}; at least two different ones "
                "are expected, as in night=0,0.5,1."
            )
        return found


DAY = Conditions(noise=0.1, occlusion=0.35)
NIGHT = Conditions(night=1.0, noise=0.35, occlusion=0.35)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = (part.strip() for part in text.partition("="))
    known = [field.name for field in fields(Conditions)]
    if not equals:
        raise UsageError(f"The condition {text!r} has no value; NAME=VALUE is expected, as in night=0.5.")
    if name not in known:
        raise unknown_name("condition", name, known)
    try:
        return name, int(value) if name == "jpeg_quality" else float(value)
    except ValueError as error:
        kind = "a whole number" if name == "jpeg_quality" else "a number"
        raise UsageError(f"The condition {text!r} has the value {value!r}; {kind} is expected.") from error
