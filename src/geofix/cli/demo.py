"""The demo as people read it."""

from __future__ import annotations

from pathlib import Path

from geofix.cli import fixes, scores
from geofix.demo import Demo
from geofix.reports.maps import write_report

_RANDOM = (
    "The encoder is a trunk of seeded random weights: nothing was trained. It shows how geofix works, not how well "
    "a trained encoder does."
)


def write(made: Demo) -> Path:
    """Write the demo's report; returns where it lies."""
    report = made.folder / "report.html"
    summary = fixes.summary(made.fixes, made.truth)
    write_report(report, made.fixes, title="geofix demo", truth=made.truth, summary=summary, notes=[_RANDOM])
    return report


def shown(made: Demo, report: Path) -> str:
    """Recall by day and by night, how the held-out photos were located, and what to do with one's own photos."""
    located = "\n".join(f"  {name}: {value}" for name, value in fixes.summary(made.fixes, made.truth))
    return f"""{scores.shown(["random trunk"], [made.scores])}

{len(made.fixes)} held-out photos, half by day and half by night:
{located}

{_RANDOM}
Open {report} in a browser: the photos, their matches and the map.

Now with your own photos (with GPS in their EXIF):
  geofix train resnet18-gem --epochs 0 --out my-run          (--weights FILE where no model hub can be reached)
  geofix index PHOTOS --encoder my-run --atlas my-atlas
  geofix locate PHOTO --atlas my-atlas --report answer.html"""
