"""Exports are parsed back with the readers other programs use."""

import csv
import io
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from geofix.fixes import Fix, Match
from geofix.positions import Position
from geofix.reports.exports import (
    COLUMNS,
    circle,
    drawable_radius_m,
    fixes_csv,
    fixes_geojson,
    fixes_json_lines,
    fixes_kml,
)

NOTRE_DAME = Position(48.8530, 2.3499)
KML = {"k": "http://www.opengis.net/kml/2.2"}
HOSTILE_NAMES = [
    '</script><script>alert("1")</script>.jpg',
    "=HYPERLINK(\"http://example.org\";'x').jpg",
    "a\x00b\x08\x0b\x1fc\ufffe.jpg",
    "two\nlines, \"quotes\" & 'more'.jpg",
    "caf\udce9 \u202egpj.exe",
    "東京 🗼.jpg",
    "]]><Placemark/>",
]


def located(photo: str = "q/one.jpg", **changes: Any) -> Fix:
    values: dict[str, Any] = {
        "position": NOTRE_DAME,
        "radius_m": 40.0,
        "heading_deg": 90.0,
        "confidence": 0.8,
        "calibrated": True,
        "matches": (
            Match("g/best.jpg", NOTRE_DAME.moved(0.0, 10.0), 0.91),
            Match("g/next.jpg", NOTRE_DAME, 0.8),
        ),
        **changes,
    }
    return Fix(photo, **values)


UNKNOWN = Fix("q/dusk.jpg", reason="no match is better than chance", confidence=0.1)
BROKEN = Fix("q/broken.jpg", error="q/broken.jpg is empty (0 bytes); copy it again from its source.")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def placemarks(text: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(text).findall(".//k:Placemark", KML)


def ring(placemark: ElementTree.Element) -> list[Position]:
    text = placemark.findtext(".//k:LinearRing/k:coordinates", namespaces=KML)
    assert text is not None
    pairs = [corner.split(",") for corner in text.split()]
    return [Position(float(lat), float(lon)) for lon, lat in pairs]


def test_csv_holds_a_line_per_fix_in_order() -> None:
    read = rows(fixes_csv([located(), UNKNOWN, BROKEN]))
    assert [row["photo"] for row in read] == ["q/one.jpg", "q/dusk.jpg", "q/broken.jpg"]
    assert (float(read[0]["lat"]), float(read[0]["lon"])) == (48.8530, 2.3499)
    assert (read[0]["match_path"], read[0]["match_score"]) == ("g/best.jpg", "0.91")
    assert read[0]["calibrated"] == "true"
    assert (read[1]["lat"], read[1]["reason"]) == ("", "no match is better than chance")
    assert read[2]["error"].startswith("q/broken.jpg is empty")


def test_csv_names_the_likeliest_country_and_scene() -> None:
    countries = ({"code": "FR", "name": "France", "probability": 0.6},)
    row = rows(fixes_csv([located(countries=countries, scene={"nature": 0.3, "city": 0.7})]))[0]
    assert (row["country"], row["country_probability"], row["scene"]) == ("FR", "0.6", "city")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "  ="])
def test_csv_makes_formulas_harmless(start: str) -> None:
    name = f"{start}cmd|' /C calc'!A0.jpg"
    assert rows(fixes_csv([located(name)]))[0]["photo"] == f"'{name}"


def test_csv_lines_cannot_be_forged() -> None:
    text = fixes_csv([located("a.jpg\r=1+1,\nb.jpg"), UNKNOWN])
    assert [row["photo"] for row in rows(text)] == ["a.jpg\r=1+1,\nb.jpg", "q/dusk.jpg"]


def test_csv_leaves_negative_numbers_alone() -> None:
    row = rows(fixes_csv([located(position=Position(-33.8, -70.5))]))[0]
    assert (row["lat"], row["lon"]) == ("-33.8", "-70.5")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_come_back_from_every_format(name: str) -> None:
    fix = located(name, matches=(Match(name, NOTRE_DAME, 0.5),))
    for text in (fixes_csv([fix]), fixes_geojson([fix]), fixes_kml([fix]), fixes_json_lines([fix])):
        text.encode("utf-8")
    assert json.loads(fixes_json_lines([fix]))["photo"] == name
    assert json.loads(fixes_geojson([fix]))["features"][0]["properties"]["photo"] == name
    assert len(rows(fixes_csv([fix]))) == 1
    assert len(placemarks(fixes_kml([fix]))) == 1


def test_kml_replaces_characters_xml_forbids() -> None:
    placemark = placemarks(fixes_kml([located("a\x00b\x1f\udce9.jpg")]))[0]
    assert placemark.findtext("k:name", namespaces=KML) == "a\ufffdb\ufffd\ufffd.jpg"


def test_kml_description_is_escaped_as_the_html_viewers_take_it_for() -> None:
    fix = Fix("a.jpg", error="<script>alert(1)</script>")
    assert "&lt;script&gt;" in str(placemarks(fixes_kml([fix]))[0].findtext("k:description", namespaces=KML))


def test_json_lines_are_the_contract() -> None:
    fixes = [located(), UNKNOWN, BROKEN]
    lines = fixes_json_lines(fixes).splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(json.dumps(fix.to_dict())) for fix in fixes]


def test_geojson_is_longitude_first_and_null_without_a_position() -> None:
    collection = json.loads(fixes_geojson([located(), UNKNOWN, BROKEN]))
    first, second, third = collection["features"]
    assert collection["type"] == "FeatureCollection"
    assert first["geometry"] == {"type": "Point", "coordinates": [2.3499, 48.8530]}
    assert first["properties"]["match_path"] == "g/best.jpg"
    assert set(first["properties"]) == set(COLUMNS) - {"lat", "lon"}
    assert second["geometry"] is None
    assert second["properties"]["reason"] == UNKNOWN.reason
    assert third["properties"]["error"] == BROKEN.error


def test_numbers_that_are_not_finite_become_null() -> None:
    fix = located(radius_m=float("inf"), matches=(Match("g.jpg", NOTRE_DAME, float("nan")),))
    assert json.loads(fixes_json_lines([fix]))["matches"][0]["score"] is None
    assert json.loads(fixes_geojson([fix]))["features"][0]["properties"]["radius_m"] is None
    assert rows(fixes_csv([fix]))[0]["radius_m"] == ""
    assert drawable_radius_m(fix) is None
    assert placemarks(fixes_kml([fix]))[0].find(".//k:Polygon", KML) is None


def test_kml_point_and_circle() -> None:
    placemark = placemarks(fixes_kml([located()]))[0]
    point = placemark.findtext(".//k:Point/k:coordinates", namespaces=KML)
    corners = ring(placemark)
    assert point == "2.34990000,48.85300000"
    assert corners[0] == corners[-1]
    assert all(NOTRE_DAME.metres_to(corner) == pytest.approx(40, abs=0.01) for corner in corners)


def test_kml_without_a_position_has_no_geometry_but_a_reason() -> None:
    unknown, broken = placemarks(fixes_kml([UNKNOWN, BROKEN]))
    assert unknown.find(".//k:coordinates", KML) is None
    assert "no match is better" in str(unknown.findtext("k:description", namespaces=KML))
    assert str(broken.findtext("k:description", namespaces=KML)).startswith("Error: ")


@pytest.mark.parametrize(
    "centre", [NOTRE_DAME, Position(0.0, 179.9999), Position(89.9999, 10.0), Position(-70.0, -180.0)]
)
def test_circle_corners_lie_on_the_radius(centre: Position) -> None:
    corners = circle(centre, 250.0)
    assert len(corners) == 72
    assert all(centre.metres_to(corner) == pytest.approx(250, abs=1e-6) for corner in corners)


def test_no_fixes_give_valid_empty_documents() -> None:
    assert rows(fixes_csv([])) == []
    assert fixes_csv([]).strip().split(",") == list(COLUMNS)
    assert json.loads(fixes_geojson([])) == {"type": "FeatureCollection", "features": []}
    assert placemarks(fixes_kml([])) == []
    assert fixes_json_lines([]) == ""
