"""A data check as people read it."""

from __future__ import annotations

from geofix.cli.output import table
from geofix.data.check import CheckReport, LackReport, SplitReport

_LISTED = 5


def shown(report: CheckReport) -> str:
    """Layout, a table of splits, then one paragraph for each kind of trouble."""
    header = ["split", "gallery", "queries", "no position", "nothing relevant", "km2", "photos/km2", "spots"]
    parts = [f"{report.root}: layout {report.layout}", "", table(header, [_line(split) for split in report.splits]), ""]
    parts += _views(report.splits)
    parts += _listing("reader problems", list(report.problems))
    parts += _listing("unreadable photos", [bad.problem for bad in report.unreadable])
    parts += _without_position(report)
    exact, near = report.duplicates.exact_pairs, report.duplicates.near_pairs
    parts += _listing("exact copies", [f"{a} = {b}" for a, b in exact], report.duplicates.exact)
    parts += _listing("near-duplicates", [f"{a} ~ {b}" for a, b in near], report.duplicates.near)
    leaks = [f"{leak.kind} between {' and '.join(leak.between)}: {leak.count}, {leak.example}" for leak in report.leaks]
    parts += _listing("leaks", leaks)
    told = report.telling
    parts += _listing("text in the picture's edge (time, coordinates?)", list(told.captioned_names), told.captioned)
    if told.positioned:
        parts.append(f"photos that carry a position in EXIF or XMP: {told.positioned}")
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


def _views(splits: tuple[SplitReport, ...]) -> list[str]:
    """The views of every split, the directions that gallery and queries were counted in, and what is lacking."""
    rows = [[split.name, view.name, str(view.photos), str(view.places)] for split in splits for view in split.views]
    if not rows:
        return []
    directions = sorted({split.direction for split in splits if split.direction})
    told = (
        f"gallery and queries are counted for --direction {', '.join(directions)}"
        if directions
        else "no view asks for another"
    )
    lacks = [f"{split.name}: {_lack(lack)}" for split in splits for lack in split.lacks]
    return [table(["split", "view", "photos", "places"], rows), "", told, *_listing("views that places lack", lacks)]


def _lack(lack: LackReport) -> str:
    have = "1 place has" if lack.count == 1 else f"{lack.count} places have"
    named = ", ".join(lack.places[:_LISTED]) + (", ..." if lack.count > _LISTED else "")
    return f"{have} a {lack.seen_from} view but no {lack.unseen_from} view ({named})"


def _without_position(report: CheckReport) -> list[str]:
    title = "photos without a position"
    if report.without_position and not report.without_position_names:
        return [f"{title}: {report.without_position}, each with a place label instead"]
    return _listing(title, list(report.without_position_names), report.without_position)


def _listing(title: str, lines: list[str], count: int | None = None) -> list[str]:
    total = len(lines) if count is None else count
    more = [f"  ... and {total - _LISTED} more"] if total > _LISTED else []
    return [f"{title}: {total or 'none'}", *(f"  {line}" for line in lines[:_LISTED]), *more]
