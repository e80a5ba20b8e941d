"""papers/lavinskyi.toml: numbers by scene against the paper's text, what its notes work out, and its page."""

from __future__ import annotations

import csv
import itertools
import math
import re
from pathlib import Path

import pytest

from commands import Captured, refused
from geofix import papers
from geofix.cli.paper_tables import published_page
from geofix.papers import Table
from geofix.reproduce.rows import NOT_RUN
from geofix.scenes.places365 import INDOOR, SCENES, scene_of

PAPER = papers.open_paper("lavinskyi")
ONE, TWO, TEXT = PAPER.tables[:3]
DATA = "im2gps3k"


def text(shared: Path) -> str:
    path = shared / "papers" / "lavinskyi.txt"
    if not path.is_file():
        pytest.skip(f"no text of the paper at {path}")
    return path.read_text(encoding="utf-8")


# -- as printed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "data"), [(ONE, "imagenet"), (TWO, DATA)], ids=["1", "2"])
def test_the_tables_are_printed_so(shared: Path, table: Table, data: str) -> None:
    """A line each of scene and numbers: four of Table 1 with one number, then four of Table 2 with two."""
    pattern = r"^(City|Nature|Coast|Industrial)" + r"\t(\d+\.\d)%" * len(table.recalls) + r"\s*$"
    lines = re.findall(pattern, text(shared), re.MULTILINE)
    assert len(lines) == 4
    assert table.by_scene(data) == {name.lower(): tuple(map(float, numbers)) for name, *numbers in lines}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("overall", "overall country classification accuracy of {0}% on the Im2GPS3k dataset"),
        ("overall", "the model correctly identified the ground truth country in {1}% of cases"),
        ("city", "performed best on urban scenes, reaching an accuracy of {0}%"),
        ("nature", "For natural landscapes, the accuracy was {0}%"),
        ("coast", "while coastal areas yielded {0}%"),
        ("rural", "and rural scenes were classified with an accuracy of {0}%"),
        (
            "inception-v3",
            "based on the Inception v3 model, the recognition accuracy is significantly lower and is {0}%",
        ),
        ("inception-v3", "{0}% and {1}%, respectively"),
    ],
)
def test_the_text_says_so(shared: Path, row: str, sentence: str) -> None:
    numbers = papers.open_row(f"lavinskyi/text/{row}").published[DATA]
    assert sentence.format(*(f"{number:g}" for number in numbers)) in text(shared)


def test_the_text_has_no_other_numbers(shared: Path) -> None:
    """But for 30 % of layers, and what augmentation and curves are said to do."""
    printed = {float(number.replace(",", ".")) for number in re.findall(r"(\d+(?:[.,]\d+)?)%", text(shared))}
    ours = {number for row in PAPER.rows.values() for numbers in row.published.values() for number in numbers}
    assert printed - ours == {20.0, 30.0, 60.0}
    assert {number for number in ours if not math.isnan(number)} <= printed


def test_every_scene_is_there_once() -> None:
    for table, data in ((ONE, "imagenet"), (TWO, DATA), (TEXT, DATA)):
        assert sorted(table.by_scene(data)) == sorted(SCENES)
        assert all(len(numbers) == len(table.measures) for numbers in table.by_scene(data).values())
    assert TEXT.by_scene(DATA)["industrial"][0] == 49.7
    assert (ONE.measures, TWO.measures) == (("top-1",), ("top-1", "top-5"))
    assert ONE.of_all_scenes("imagenet") is None
    assert TWO.of_all_scenes(DATA) == TEXT.of_all_scenes(DATA) == (57.3, 74.6)
    assert TWO.by_scene("imagenet") == {}


def test_where_table_and_text_differ() -> None:
    notes = {(table.name, row.scene): row.note for table in (TWO, TEXT) for row in table.rows}
    for scene in SCENES:
        first, other = TWO.by_scene(DATA)[scene][0], TEXT.by_scene(DATA)[scene][0]
        assert f"{first}" in notes[TWO.name, scene] and f"{other}" in notes[TWO.name, scene]
        assert f"{first}" in notes[TEXT.name, scene]
    gaps = [abs(TWO.by_scene(DATA)[scene][0] - TEXT.by_scene(DATA)[scene][0]) for scene in SCENES]
    assert (round(min(gaps), 1), round(max(gaps), 1)) == (0.3, 3.2)
    assert "by 0.3 to 3.2 points" in " ".join(TEXT.note.split())


# -- what the notes work out --------------------------------------------------------------------------------------


def mixes(points: list[tuple[float, float]], top5: float) -> list[float]:
    """The top-1 of every mix of two scenes that has that top-5; the extremes of all mixes are among them."""
    found = []
    for (one, five), (other_one, other_five) in itertools.combinations(points, 2):
        if min(five, other_five) <= top5 <= max(five, other_five):
            share = (top5 - other_five) / (five - other_five)
            found.append(share * one + (1 - share) * other_one)
    return found


@pytest.mark.parametrize("table", [TWO, TEXT], ids=["table", "text"])
def test_no_mix_of_scenes_gives_the_overall_numbers(table: Table) -> None:
    fives = {scene: numbers[1] for scene, numbers in TWO.by_scene(DATA).items()}
    points = [(numbers[0], fives[scene]) for scene, numbers in table.by_scene(DATA).items()]
    top1, top5 = TWO.of_all_scenes(DATA) or (math.nan, math.nan)
    rounding = 0.05
    most = max(mixes(points, top5 + rounding))
    least = min(mixes([(five, one) for one, five in points], top1 - rounding))
    assert most < top1 - rounding and least > top5 + rounding
    assert f"{most:.2f} at most" in table.note and f"{least:.2f} at least" in table.note


def test_weighted_alike_and_by_photos(shared: Path) -> None:
    path = shared / "data" / "im2gps_meta" / "im2gps3k_places365.csv"
    if not path.is_file():
        pytest.skip(f"no labels at {path}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [scene_of(int(row["S365_Label"])) for row in rows]
    counts = {scene: found.count(scene) for scene in SCENES}
    counts["city"] += found.count(INDOOR)
    assert sum(counts.values()) == 2997
    by_scene = TWO.by_scene(DATA)
    alike = [sum(numbers[at] for numbers in by_scene.values()) / 4 for at in (0, 1)]
    weighted = [sum(counts[scene] * by_scene[scene][at] for scene in SCENES) / 2997 for at in (0, 1)]
    assert f"{alike[0]:.1f} / {alike[1]:.1f};" in TWO.note
    assert f"{weighted[0]:.1f} / {weighted[1]:.1f}." in TWO.note
    assert f"{len(rows):,} photos, not 3,000, of {len({row['AUTHOR'] for row in rows})} authors" in TWO.note
    margins = [196 * math.sqrt(share * (1 - share) / 2997) for share in (0.573, 0.746)]
    assert f"known to {margins[0]:.1f} points and 74.6 to {margins[1]:.1f}" in TWO.note


# -- the page and the command -------------------------------------------------------------------------------------


def test_the_page_has_every_number_and_says_what_is_not_run() -> None:
    page = published_page(PAPER)
    assert "| City `city` | 63.5 / 81.1 | 1, 2 |" in page
    assert "| row | published imagenet, top-1 | notes |" in page
    assert "| Rural `rural` | 49.7 / – |" in page
    for table in PAPER.tables:
        section = page.partition(f"## {table.where}: {table.title}\n")[2].partition("\n## ")[0]
        assert table.note in section
        assert section.count(NOT_RUN) == bool(table.rows)
        assert ("| row |" in section) == bool(table.rows)
    assert PAPER.note in page


def test_the_command_needs_photos(capsys: Captured, tmp_path: Path) -> None:
    """Its tables are run on photos of countries, so there must be some; test_countries_scores.py runs them."""
    for name in ("lavinskyi", "lavinskyi/figure-2"):
        said = refused(capsys, "reproduce", name, "--data", tmp_path, "--out", tmp_path / "out")
        assert f"{tmp_path} is empty" in said
    assert NOT_RUN not in published_page(PAPER, None)


def test_the_command_refuses_what_is_not_there(capsys: Captured, tmp_path: Path) -> None:
    said = refused(capsys, "reproduce", "lavinskyi/3", "--data", tmp_path, "--out", tmp_path / "out")
    assert "There is no table 'lavinskyi/3'; did you mean 'lavinskyi/" in said
    assert not (tmp_path / "out").exists()
