"""`geofix train` with a recipe for the night: UNIT, with sample sheets and curves while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geofix.cli import output
from geofix.errors import PhotoError, UsageError

if TYPE_CHECKING:
    from geofix.data.domains import Domains
    from geofix.night.run import NightRun
    from geofix.recipes import NightRecipe


def train_unit(
    recipe: NightRecipe, data: Path | None, out: Path, weights: Path | None, resume: bool, devices: int
) -> None:
    """Train, and draw what the networks make of a few photos after every round."""
    from geofix.data.domains import domains
    from geofix.data.layouts import open_dataset
    from geofix.learn.checkpoints import is_helper
    from geofix.learn.night import train_night

    if data is None:
        raise UsageError("UNIT is trained on photos by day and at night; name them with --data DIR.")
    dataset = open_dataset(data)
    found = domains(dataset)
    told: list[str] = []
    errors: list[PhotoError] = []
    with output.steps() as progress:
        run = train_night(
            recipe,
            found,
            out,
            weights=weights,
            resume=resume,
            devices=devices,
            progress=progress,
            after_round=lambda now, steps: _draw(now, found, steps),
            say=told,
            errors=errors,
        )
    if is_helper():
        return
    for line in told:
        output.remark(line)
    output.result(f"{out}: {run.name}, learned from {len(found.day)} photos by day and {len(found.night)} at night")
    output.finish([*dataset.problems, *errors])


def _draw(run: NightRun, domains: Domains, steps: int) -> None:
    """The curves, and a sheet of the first photos of both domains."""
    from geofix.augment.preview import Strip
    from geofix.files import write_atomically
    from geofix.learn.night import CURVES, METRICS, SHEETS, middle_crop
    from geofix.night.samples import CAPTIONS, sampled
    from geofix.photos import read_pixels
    from geofix.reports.curves import loss_curves
    from geofix.reports.sheets import contact_sheet

    chosen = [photos[: run.recipe.sheet_photos] for photos in (domains.day, domains.night)]
    cut = [[middle_crop(read_pixels(photo.path), run.recipe) for photo in photos] for photos in chosen]
    strips = [Strip(pictures, CAPTIONS) for pictures in sampled(run.unit, *cut)]
    names = [photo.name for photos in chosen for photo in photos]
    write_atomically(run.folder / SHEETS / f"step-{steps:07d}.png", contact_sheet(strips, names))
    write_atomically(run.folder / CURVES, loss_curves((run.folder / METRICS).read_text(encoding="utf-8")))
