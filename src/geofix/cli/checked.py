"""A data check as people read it."""

from __future__ import annotations

from geofix.cli.output import table
from geofix.data.check import CheckReport, SplitReport

_LISTED = 5


def shown(report: CheckReport) -> str:
    """Layout, a table of splits, then one paragraph for each kind of trouble."""
    header = ["split", "gallery", "queries", "no position", "nothing relevant", "km2", "photos/km2", "spots"]
    parts = [f"{report.root}: layout {report.layout}", "", table(header, [_line(split) for split in report.splits]), ""]
    parts += _listing("reader problems", list(report.problems))
    parts += _listing("unreadable photos", [bad.problem for bad in report.unreadable])
    parts += _listing("photos without a position", list(report.without_position_names), report.without_position)
    exact, near = report.duplicates.exact_pairs, report.duplicates.near_pairs
    parts += _listing("exact copies", [f"{a} = {b}" for a, b in exact], report.duplicates.exact)
    parts += _listing("near-duplicates", [f"{a} ~ {b}" for a, b in near], report.duplicates.near)
    leaks = [f"{leak.kind} between {' and '.join(leak.between)}: {leak.count}, {leak.example}" for leak in report.leaks]
    parts += _listing("leaks", leaks)
    return "\n".join(parts)


def _line(split: SplitReport) -> list[str]:
    numbers = (split.area_km2, split.photos_per_km2, split.spots)
    return [
        split.name,
        str(split.gallery),
        "the same" if split.leave_one_out else str(split.queries),
        str(split.without_position),
        "" if split.queries_without_relevant is None else str(split.queries_without_relevant),
        *("" if number is None else f"{number:.4g}" for number in numbers),
    ]


def _listing(title: str, lines: list[str], count: int | None = None) -> list[str]:
    total = len(lines) if count is None else count
    more = [f"  ... and {total - _LISTED} more"] if total > _LISTED else []
    return [f"{title}: {total or 'none'}", *(f"  {line}" for line in lines[:_LISTED]), *more]
