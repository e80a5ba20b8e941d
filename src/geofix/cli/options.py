"""What options that several commands have mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geofix.errors import UsageError

if TYPE_CHECKING:
    from geofix.frames.looks import Camera
    from geofix.models.runs import Run
    from geofix.night.translators import Translator
    from geofix.recipes import Precision

DATA = "A dataset folder or a geotagged CSV."
PRECISION = "Arithmetic of the trunk: fp32 or bf16 (faster where the processor has it); the recipe's by default."


def run_of(folder: str) -> Run:
    """A run by its folder, or a shipped one by its name."""
    from geofix.models.runs import load_run

    return load_run(Path(folder))


def day_maker_of(folder: Path | None) -> Translator | None:
    """The translator of --night-to-day."""
    if folder is None:
        return None
    from geofix.night.translators import open_day_translator

    return open_day_translator(folder)


def precision_of(name: str | None) -> Precision | None:
    """The precision of --precision; raises UsageError for another word."""
    if name not in (None, "fp32", "bf16"):
        raise UsageError(f"There is no precision {name!r}; choose fp32 or bf16.")
    return name  # type: ignore[return-value]


def camera_of(altitude_m: float | None, fov_deg: float | None) -> Camera | None:
    """What --altitude and --fov say; raises UsageError for one without the other."""
    if altitude_m is None and fov_deg is None:
        return None
    if altitude_m is None or fov_deg is None:
        raise UsageError("How wide a frame is on the ground needs both --altitude and --fov; add the other one.")
    from geofix.frames.looks import Camera

    return Camera(altitude_m, fov_deg)
