"""Fixes as text for other programs: CSV, GeoJSON, KML, GPX and JSON Lines.

File names come from strangers. In CSV a cell that a spreadsheet would run as a formula gets an apostrophe in
front; in KML and GPX characters that XML forbids become U+FFFD, and the description, which viewers show as HTML, is
escaped as HTML. Numbers that are not finite become empty or null.
"""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from geofix.fixes import Fix
from geofix.positions import Position

CIRCLE_VERTICES = 72  # one every 5 degrees: a chord is at most 0.1 % of the radius inside the circle
COLUMNS = (
    "photo", "lat", "lon", "radius_m", "heading_deg", "confidence", "calibrated", "reason", "error",
    "match_path", "match_lat", "match_lon", "match_score", "scene", "country", "country_probability",
)  # fmt: skip
_GPX = "http://www.topografix.com/GPX/1/1"
_KML = "http://www.opengis.net/kml/2.2"
_HALFWAY_ROUND_EARTH_M = 20_003_000.0
# OWASP's list for CSV injection; the full-width signs count as the ASCII ones in some locales.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_XML_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def fixes_csv(fixes: Sequence[Fix]) -> str:
    """One header (COLUMNS) and one line per fix with its best match, in the given order.

    Degrees, metres and fractions; None is an empty cell. Text that starts with = + - @ (or a tab or line end)
    gets a leading apostrophe, so that no spreadsheet takes a file name for a formula. Lines end as RFC 4180
    says, with CR LF: write the text with newline="".
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in _row(fix).values()] for fix in fixes)
    return out.getvalue()


def fixes_json_lines(fixes: Sequence[Fix]) -> str:
    """`Fix.to_dict()` of every fix, one JSON object a line; ASCII only, so that no terminal can garble it."""
    return "".join(json.dumps(_finite(fix.to_dict()), allow_nan=False) + "\n" for fix in fixes)


def fixes_geojson(fixes: Sequence[Fix], *, line: bool = False) -> str:
    """An RFC 7946 FeatureCollection: per fix a Point (longitude, latitude), or geometry null without one.

    The properties are those of COLUMNS without lat and lon. With `line` the way from fix to fix comes last, as a
    MultiLineString that is broken where there is no answer.
    """
    features = [_feature(fix) for fix in fixes]
    if line:
        parts = [[[at.lon, at.lat] for at in part] for part in unbroken(fixes)]
        shape = {"type": "MultiLineString", "coordinates": parts}
        features.append({"type": "Feature", "geometry": shape, "properties": {"track": True}})
    return json.dumps(_finite({"type": "FeatureCollection", "features": features}), allow_nan=False) + "\n"


def fixes_kml(fixes: Sequence[Fix], *, name: str = "geofix", line: bool = False) -> str:
    """A KML 2.2 document: a Placemark per fix, with its point and the circle of its radius.

    Fixes without a position are Placemarks without a geometry; their description says why. With `line` the way from
    fix to fix is one more, broken where there is no answer.
    """
    root = ElementTree.Element("kml", xmlns=_KML)
    document = ElementTree.SubElement(root, "Document")
    _leaf(document, "name", name)
    _add_style(document)
    for fix in fixes:
        _add_placemark(document, fix)
    if line:
        placemark = ElementTree.SubElement(document, "Placemark")
        _leaf(placemark, "name", "track")
        _leaf(placemark, "styleUrl", "#fix")
        shapes = ElementTree.SubElement(placemark, "MultiGeometry")
        for part in unbroken(fixes):
            _leaf(ElementTree.SubElement(shapes, "LineString"), "coordinates", _coordinates(part))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def fixes_gpx(fixes: Sequence[Fix], *, line: bool = False) -> str:
    """A GPX 1.1 document: a waypoint per fix with a position or, with `line`, one track, whose segments end where there
    is no answer. Cameras' clocks name no time zone, and GPX wants UTC: no times are written.
    """
    root = ElementTree.Element("gpx", xmlns=_GPX, version="1.1", creator="geofix")
    if not line:
        for fix in fixes:
            if fix.position is not None:
                point = ElementTree.SubElement(root, "wpt", _gpx_point(fix.position))
                _leaf(point, "name", fix.photo)
    else:
        track = ElementTree.SubElement(root, "trk")
        _leaf(track, "name", "geofix")
        for part in unbroken(fixes):
            segment = ElementTree.SubElement(track, "trkseg")
            for position in part:
                ElementTree.SubElement(segment, "trkpt", _gpx_point(position))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def unbroken(fixes: Sequence[Fix]) -> list[list[Position]]:
    """The positions of fixes in order, a list for each stretch in which every fix has one; single ones are left out."""
    parts: list[list[Position]] = []
    last = None
    for number, fix in enumerate(fixes):
        if fix.position is None:
            continue
        if last is None or number - last > 1:
            parts.append([])
        parts[-1].append(fix.position)
        last = number
    return [part for part in parts if len(part) > 1]


def circle(centre: Position, radius_m: float, vertices: int = CIRCLE_VERTICES) -> list[Position]:
    """`vertices` positions at `radius_m` from `centre`, counter-clockwise from north, not closed."""
    return [centre.moved(-360.0 * index / vertices, radius_m) for index in range(vertices)]


def drawable_radius_m(fix: Fix) -> float | None:
    """The radius when a circle can be drawn with it: finite, above zero, at most half way round the Earth."""
    radius_m = fix.radius_m
    if fix.position is None or radius_m is None or not 0 < radius_m <= _HALFWAY_ROUND_EARTH_M:
        return None
    return radius_m


def _row(fix: Fix) -> dict[str, Any]:
    """The fix as one flat row; its keys are COLUMNS in their order."""
    match = fix.matches[0] if fix.matches else None
    country = fix.countries[0] if fix.countries else {}
    values = (
        fix.photo, *_lat_lon(fix.position), fix.radius_m, fix.heading_deg, fix.confidence, fix.calibrated,
        fix.reason, fix.error,
        match and match.path, *_lat_lon(match.position if match else None), match and match.score,
        max(fix.scene, key=fix.scene.__getitem__) if fix.scene else None,
        country.get("code"), country.get("probability"),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _lat_lon(position: Position | None) -> tuple[float | None, float | None]:
    return (None, None) if position is None else (position.lat, position.lon)


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return harmless(value) if isinstance(value, str) else value


def harmless(text: str) -> str:
    """Text no spreadsheet takes for a formula; bytes that were no valid file name become \\udcXX in full."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def _feature(fix: Fix) -> dict[str, Any]:
    row = _row(fix)
    lat, lon = row.pop("lat"), row.pop("lon")
    geometry = None if fix.position is None else {"type": "Point", "coordinates": [lon, lat]}
    return {"type": "Feature", "geometry": geometry, "properties": row}


def _finite(value: Any) -> Any:
    """The same JSON value with null for NaN and infinity, which JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _add_style(document: ElementTree.Element) -> None:
    style = ElementTree.SubElement(document, "Style", id="fix")
    line = ElementTree.SubElement(style, "LineStyle")
    _leaf(line, "color", "ff0f48c2")  # KML colours are alpha, blue, green, red
    _leaf(line, "width", "2")
    _leaf(ElementTree.SubElement(style, "PolyStyle"), "color", "330f48c2")


def _add_placemark(document: ElementTree.Element, fix: Fix) -> None:
    placemark = ElementTree.SubElement(document, "Placemark")
    _leaf(placemark, "name", fix.photo)
    _leaf(placemark, "description", "<br>".join(html.escape(line) for line in _description(fix)))
    if fix.position is None:
        return
    _leaf(placemark, "styleUrl", "#fix")
    shapes = ElementTree.SubElement(placemark, "MultiGeometry")
    _leaf(ElementTree.SubElement(shapes, "Point"), "coordinates", _coordinates([fix.position]))
    radius_m = drawable_radius_m(fix)
    if radius_m is not None:
        _add_polygon(shapes, circle(fix.position, radius_m))


def _add_polygon(shapes: ElementTree.Element, corners: list[Position]) -> None:
    polygon = ElementTree.SubElement(shapes, "Polygon")
    _leaf(polygon, "tessellate", "1")
    ring = ElementTree.SubElement(ElementTree.SubElement(polygon, "outerBoundaryIs"), "LinearRing")
    _leaf(ring, "coordinates", _coordinates([*corners, corners[0]]))


def _description(fix: Fix) -> list[str]:
    """What a person wants to read about a fix, line by line, unescaped."""
    if fix.error is not None:
        return [f"Error: {fix.error}"]
    if fix.position is None:
        return [f"No answer: {fix.reason or 'no reason was given'}"]
    lines = [] if fix.radius_m is None else [f"Within {fix.radius_m:.0f} m, 9 times in 10"]
    lines.append(f"Confidence {fix.confidence:.2f} ({'calibrated' if fix.calibrated else 'not calibrated'})")
    if fix.heading_deg is not None:
        lines.append(f"Facing {fix.heading_deg:.0f}°")
    if fix.reason is not None:
        lines.append(fix.reason)
    if fix.matches:
        lines.append(f"Best match: {fix.matches[0].path} (score {fix.matches[0].score:.3f})")
    return lines


def _gpx_point(position: Position) -> dict[str, str]:
    return {"lat": f"{position.lat:.8f}", "lon": f"{position.lon:.8f}"}


def _leaf(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = _XML_ILLEGAL.sub("\ufffd", text)


def _coordinates(positions: Sequence[Position]) -> str:
    return " ".join(f"{position.lon:.8f},{position.lat:.8f}" for position in positions)


def countries_csv(fixes: Sequence[Fix]) -> str:
    """One line per fix that names countries: is it told, the first five, scene and continent; as `fixes_csv`."""
    out = io.StringIO()
    writer = csv.writer(out)
    ranked = [column for n in range(1, 6) for column in (f"country_{n}", f"probability_{n}")]
    writer.writerow(["photo", "told", *ranked, "continent", "continent_probability", "scene", "reason", "error"])
    for fix in fixes:
        first = [part for one in (fix.countries or ())[:5] for part in (one["code"], one["probability"])]
        scene = max(fix.scene, key=lambda name: (fix.scene or {})[name]) if fix.scene else None
        routing = fix.routing
        cells = [
            fix.photo,
            None if routing is None else str(routing.told).lower(),
            *first,
            *[None] * (10 - len(first)),
            None if routing is None else routing.continent,
            None if routing is None else routing.continent_probability,
            scene,
            fix.reason,
            fix.error,
        ]
        writer.writerow([_cell(value) for value in cells])
    return out.getvalue()
