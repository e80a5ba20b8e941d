"""The demo as people read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geofix.cli import fixes, scores
from geofix.cli.output import table
from geofix.demo import ENCODER, NOT_IN_ATLAS, Demo
from geofix.fixes import Fix
from geofix.metrics import share_within
from geofix.reports.maps import write_report

_RENDERED = (
    f"Everything here was rendered, and {ENCODER} was trained on other rendered towns only. On real photos it is weak: "
    "take an encoder from ImageNet weights for those."
)


def write(made: Demo) -> Path:
    """Write the demo's report; returns where it lies."""
    report = made.folder / "report.html"
    summary = fixes.summary(made.fixes, made.truth)
    strangers = sum(kind == NOT_IN_ATLAS for kind in made.kinds.values())
    asked = f"{strangers} of the photos were taken in a quarter that the atlas does not know: the right answer is none."
    write_report(report, made.fixes, title="geofix demo", truth=made.truth, summary=summary, notes=[asked, _RENDERED])
    return report


def shown(made: Demo, report: Path) -> str:
    """Recall by day and by night, how the held-out photos were located, and what to do with one's own photos."""
    return f"""{scores.shown([ENCODER], [made.scores])}

{located(made)}

{_RENDERED}
Open {report} in a browser: the photos, their matches and the map.

Now with your own photos (with GPS in their EXIF):
  geofix train resnet18-netvlad --epochs 0 --data PHOTOS --out my-run
  geofix index PHOTOS --encoder my-run --atlas my-atlas
  geofix locate PHOTO --atlas my-atlas --report answer.html
The first takes ImageNet weights through timm's cache; where no model hub can be reached, add --weights FILE."""


def located(made: Demo) -> str:
    """A table of the located photos: by day, by night, and those the atlas cannot know."""
    header = ["located photos", "photos", "answered", "median error", "within 25 m", "within the radius (meant: 90 %)"]
    kinds = dict.fromkeys(made.kinds.values())
    rows = [[kind, *_figures(made, [fix for fix in made.fixes if made.kinds[fix.photo] == kind])] for kind in kinds]
    return table(header, rows)


def _figures(made: Demo, chosen: list[Fix]) -> list[str]:
    answered = [fix for fix in chosen if fix.position is not None]
    errors_m = np.array([fixes.error_m(fix, made.truth[fix.photo]) for fix in answered])
    radii_m = np.array([fix.radius_m or 0.0 for fix in answered])
    if not answered:
        return [str(len(chosen)), "0: can't tell", "", "", ""]
    return [
        str(len(chosen)),
        f"{len(answered)} ({len(answered) / len(chosen):.0%})",
        f"{np.median(errors_m):.1f} m",
        f"{share_within(errors_m, 25.0):.0%} of the answers",
        f"{share_within(errors_m, radii_m):.0%} of the answers",
    ]
