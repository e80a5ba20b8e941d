"""Fixes as one HTML file with pictures and a map, made to be read without a network.

The file holds everything it needs. Its content policy lets only its own scripts and styles run and no address
be asked, with one exception: OpenStreetMap's tiles, which load after a click on the button that says so.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from geofix.files import write_atomically
from geofix.fixes import Fix
from geofix.positions import Position
from geofix.reports.cards import CardMaker, Pictures, shown, state

PICTURED_FIXES = 200  # about 40 kB each; more makes a file that browsers open slowly
TILE_SERVER = "https://tile.openstreetmap.org"


def write_report(
    path: Path,
    fixes: Sequence[Fix],
    *,
    title: str,
    photo_root: Path = Path(),
    gallery_root: Path = Path(),
    truth: Mapping[str, Position] | None = None,
    summary: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    pictured: int = PICTURED_FIXES,
) -> None:
    """Write the report of `fixes` to `path` in one step: a reader sees the old file or the whole new one.

    Relative `Fix.photo` and `Match.path` are looked up below `photo_root` and `gallery_root`; a photo that is
    no longer there leaves a placeholder. `truth` maps `Fix.photo` to where it really was taken. `summary` are
    (name, value) figures and `notes` sentences for the head of the page. The first `pictured` fixes have
    pictures. Raises StorageError when the file cannot be written.
    """
    maker = CardMaker(photo_root, gallery_root, truth or {}, Pictures())
    cards = [maker.card(fix, index < pictured) for index, fix in enumerate(fixes)]
    data = {"fixes": cards, "pictures": maker.pictures.jpegs}
    page = _page(title, _counts(fixes), summary, [*notes, *_cap_note(len(fixes), pictured)], data)
    write_atomically(path, page)


def _page(
    title: str, counts: str, summary: Sequence[tuple[str, str]], notes: Sequence[str], data: dict[str, Any]
) -> str:
    """The page's template filled in; every value is escaped for the place where it goes."""
    scripts = {
        "leaflet_script": _part("vendored/leaflet/leaflet.js"),
        "list_script": _part("map_report/page.js"),
        "map_script": _part("map_report/map.js"),
    }
    styles = {
        "leaflet_style": _part("vendored/leaflet/leaflet.css"),
        "page_style": _part("map_report/page.css"),
    }
    return Template(_part("map_report/page.html")).substitute(
        scripts,
        **styles,
        policy=_policy(list(scripts.values()), list(styles.values())),
        title=_text(title),
        counts=_text(counts),
        summary="".join(_figure(name, value) for name, value in summary),
        notes="".join(f"<li>{_text(note)}</li>" for note in notes),
        data=_data_block(data),
        outlines=_data_block(json.loads(_part("vendored/world-atlas/outlines.json"))),
        leaflet_licence=_text(_part("vendored/leaflet/LICENSE"), keep_lines=True),
        outlines_licence=_text(_part("vendored/world-atlas/LICENSE"), keep_lines=True),
    )


def _figure(name: str, value: str) -> str:
    return f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"


def _counts(fixes: Sequence[Fix]) -> str:
    states = [state(fix) for fix in fixes]
    known = ((states.count("located"), "located"), (states.count("unknown"), "can’t tell"))
    errors = states.count("error")
    parts = [f"{count} {word}" for count, word in (*known, (errors, "error" if errors == 1 else "errors"))]
    return f"{len(fixes)} {'photo' if len(fixes) == 1 else 'photos'}: {', '.join(parts)}"


def _cap_note(count: int, pictured: int) -> list[str]:
    if count <= pictured:
        return []
    return [f"Pictures are shown for the first {pictured} photos; {count - pictured} more have none."]


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The content security policy: only these very scripts and styles, embedded pictures and the tiles."""
    return "; ".join((
        "default-src 'none'",
        f"script-src {' '.join(map(_hash_source, scripts))}",
        f"style-src {' '.join(map(_hash_source, styles))}",
        f"img-src data: {TILE_SERVER}",
        "base-uri 'none'",
        "form-action 'none'",
    ))  # fmt: skip


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _part(name: str) -> str:
    """A text file of this package, with line feeds only: the hashes must be of what browsers read."""
    return files("geofix.reports").joinpath(name).read_text("utf-8")


def _text(value: str, keep_lines: bool = False) -> str:
    return html.escape(value if keep_lines else shown(value))


def _data_block(value: Any) -> str:
    """JSON that is ASCII and cannot end or open a script element, whatever its strings hold."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
