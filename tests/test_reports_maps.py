"""The report is read back the way a browser does: tags, data blocks and the content policy."""

import base64
import errno
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofix.errors import StorageError
from geofix.fixes import Fix, Match
from geofix.photos import save_jpeg
from geofix.positions import Position
from geofix.reports.maps import write_report

HERE = Position(48.8530, 2.3499)
HOSTILE = '</script><img src="http://example.org/x" onerror=alert(1)>\u2028\u202e\udce9.jpg'
OWN_URLS = {"https://tile.openstreetmap.org/{z}/{x}/{y}.png", "https://www.openstreetmap.org/?mlat="}


class Page(HTMLParser):
    """What a browser would find: elements by tag, the texts of scripts and styles, the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.visible = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        self._inside = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside][-1] += data
        else:
            self.visible += data

    @property
    def data(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.texts["script"][0])
        return value

    @property
    def policy(self) -> str:
        found = (attrs["content"] for _, attrs in self.attributes if "http-equiv" in attrs)
        return str(next(found))


def make_photo(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save_jpeg(np.full((60, 80, 3), value, dtype=np.uint8)))


def located(photo: str = "q/one.jpg", count: int = 7) -> Fix:
    matches = tuple(Match(f"g/{n}.jpg", HERE.moved(90.0, 10.0 * n), 0.9 - 0.1 * n) for n in range(count))
    return Fix(photo, HERE, 30.0, heading_deg=45.0, confidence=0.7, calibrated=True, matches=matches)


def report(folder: Path, fixes: list[Fix], title: str = "A report", **options: Any) -> Page:
    path = folder / "out" / "report.html"
    write_report(path, fixes, title=title, photo_root=folder, gallery_root=folder, **options)
    return Page(path.read_text("utf-8"))


def test_a_card_holds_the_answer_its_matches_and_their_distances(tmp_path: Path) -> None:
    make_photo(tmp_path / "q" / "one.jpg")
    make_photo(tmp_path / "g" / "0.jpg")
    truth = {"q/one.jpg": HERE.moved(0.0, 12.0)}
    data = report(tmp_path, [located()], truth=truth).data
    card = data["fixes"][0]
    assert (card["folder"], card["name"], card["state"]) == ("q/", "one.jpg", "located")
    assert (card["lat"], card["lon"], card["circle_m"]) == (HERE.lat, HERE.lon, 30.0)
    assert card["truth"]["off_m"] == pytest.approx(12)
    assert [match["distance_m"] for match in card["matches"][:3]] == pytest.approx([0, 10, 20], abs=1e-6)
    jpeg = base64.b64decode(data["pictures"][card["picture"]])
    assert jpeg.startswith(b"\xff\xd8")
    assert card["matches"][0]["picture"] is not None


def test_missing_photos_leave_placeholders(tmp_path: Path) -> None:
    card = report(tmp_path, [located(), Fix("zero\x00byte.jpg", reason="none")]).data["fixes"]
    assert card[0]["picture"] is None
    assert {match["picture"] for match in card[0]["matches"]} == {None}
    assert card[1]["picture"] is None


def test_a_photo_shown_twice_is_stored_once(tmp_path: Path) -> None:
    make_photo(tmp_path / "g" / "0.jpg")
    data = report(tmp_path, [located("q/a.jpg", 1), located("q/b.jpg", 1)]).data
    assert len(data["pictures"]) == 1
    assert [card["matches"][0]["picture"] for card in data["fixes"]] == [0, 0]


def test_states_and_reasons(tmp_path: Path) -> None:
    page = report(tmp_path, [located(), Fix("b.jpg", reason="too dark"), Fix("c.jpg", error="c.jpg is empty.")])
    cards = page.data["fixes"]
    assert [card["state"] for card in cards] == ["located", "unknown", "error"]
    assert (cards[1]["reason"], cards[2]["error"]) == ("too dark", "c.jpg is empty.")
    assert (cards[1]["lat"], cards[1]["circle_m"]) == (None, None)
    assert "3 photos: 1 located, 1 can’t tell, 1 error" in page.visible


def test_countries_scenes_and_map_tiles(tmp_path: Path) -> None:
    tile = Match("t.png", HERE, 0.5, bounds=(48.0, 2.0, 49.0, 3.0))
    countries = tuple({"code": c, "name": c * 2, "probability": 0.25} for c in "ABCD")
    fix = Fix("a.jpg", matches=(tile,), scene={"nature": 0.2, "city": 0.8}, countries=countries)
    card = report(tmp_path, [fix]).data["fixes"][0]
    assert card["matches"][0]["bounds"] == [48.0, 2.0, 49.0, 3.0]
    assert card["matches"][0]["distance_m"] is None
    assert [row["name"] for row in card["countries"]] == ["AA", "BB", "CC"]
    assert card["scene"] == [{"name": "city", "probability": 0.8}]


def test_only_the_first_fixes_have_pictures_and_the_page_says_so(tmp_path: Path) -> None:
    for name in "abc":
        make_photo(tmp_path / f"{name}.jpg")
    page = report(tmp_path, [Fix(f"{name}.jpg", reason="none") for name in "abc"], pictured=2)
    assert [card["picture"] for card in page.data["fixes"]] == [0, 1, None]
    assert [card["pictured"] for card in page.data["fixes"]] == [True, True, False]
    assert "Pictures are shown for the first 2 photos; 1 more have none." in page.visible


def test_no_fixes_at_all(tmp_path: Path) -> None:
    page = report(tmp_path, [])
    assert page.data == {"fixes": [], "pictures": []}
    assert "0 photos" in page.visible


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    fix = Fix(HOSTILE, HERE, 10.0, reason=HOSTILE, matches=(Match(HOSTILE, HERE, float("nan")),))
    page = report(tmp_path, [fix], title=HOSTILE, summary=[(HOSTILE, HOSTILE)], notes=[HOSTILE])
    assert [tag for tag, _ in page.attributes if tag == "img"] == []
    assert [tag for tag, _ in page.attributes].count("script") == 5
    card = page.data["fixes"][0]
    assert card["folder"] + card["name"] == (
        '</script><img src="http://example.org/x" onerror=alert(1)>\\u2028\\u202e\\udce9.jpg'
    )
    assert card["matches"][0]["score"] is None
    assert page.visible.count("onerror=alert(1)") == 5  # title, heading, name and value of the figure, note


def test_placeholders_in_text_are_not_filled_in(tmp_path: Path) -> None:
    assert "$data ${policy} $$" in report(tmp_path, [], notes=["$data ${policy} $$"]).visible


def test_the_page_asks_no_server(tmp_path: Path) -> None:
    page = report(tmp_path, [located()])
    addresses = [
        value
        for _, attrs in page.attributes
        for name, value in attrs.items()
        if name in {"src", "href", "srcset", "action", "data", "poster"}
    ]
    assert all(str(address).startswith("#") for address in addresses)
    styles = "".join(page.texts["style"])
    assert "@import" not in styles
    assert not re.search(r"url\(\s*['\"]?\s*(https?:|//)", styles)
    assert not [tag for tag, _ in page.attributes if tag in {"link", "iframe", "object", "embed", "base"}]


def test_our_scripts_name_only_addresses_that_a_click_asks_for() -> None:
    folder = files("geofix.reports").joinpath("map_report")
    drawing = folder.joinpath("map.js").read_text("utf-8")
    scripts = drawing + folder.joinpath("page.js").read_text("utf-8")
    found = set(re.findall(r"https?://[^\"`$]+", scripts))
    assert found - {"http://www.w3.org/2000/svg"} == OWN_URLS
    assert drawing.count("TILE_URL") == 2
    assert 'tileButton.addEventListener("click", () => loadTiles(tileButton))' in drawing
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttp", scripts)


def test_the_policy_names_exactly_these_scripts_and_styles(tmp_path: Path) -> None:
    page = report(tmp_path, [located()])
    assert page.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in page.policy
    running = page.texts["script"][2:]  # the first two are data
    for text in running + page.texts["style"]:
        digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
        assert f"'sha256-{digest}'" in page.policy
    assert page.policy.count("sha256-") == len(running) + len(page.texts["style"])


def test_the_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one", "utf-8")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"The disk is full: .*report\.html could not be written"):
            write_report(path, [], title="A report")
    assert path.read_text("utf-8") == "the old one"
    assert list(tmp_path.iterdir()) == [path]
    write_report(path, [], title="A report")
    assert "A report" in path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["", "file/report.html"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder", "utf-8")
    with pytest.raises(StorageError, match="could not be written"):
        write_report(tmp_path / place, [], title="A report")


def test_vendored_parts_come_with_their_licences() -> None:
    vendored = files("geofix.reports").joinpath("vendored")
    assert "BSD 2-Clause" in vendored.joinpath("leaflet/LICENSE").read_text("utf-8")
    assert "Permission to use" in vendored.joinpath("world-atlas/LICENSE").read_text("utf-8")
    outlines = vendored.joinpath("world-atlas/outlines.json").read_text("utf-8")
    assert len(outlines) < 200_000
    kinds = [feature["properties"]["kind"] for feature in json.loads(outlines)["features"]]
    assert kinds == ["land", "borders"]


def test_the_licences_are_in_the_page_too(tmp_path: Path) -> None:
    page = report(tmp_path, [])
    assert "Redistribution and use in source and binary forms" in page.visible
    assert "Copyright 2013-2019 Michael Bostock" in page.visible
