"""bui's tables across views: trained once, asked both ways, with average precision; photos and places counted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from commands import Captured, called
from geofix import papers
from geofix.cli.paper_tables import paper_page, rows_csv
from geofix.data.layouts import open_dataset
from geofix.errors import UsageError
from geofix.papers import Row
from geofix.reproduce.claims import judged
from geofix.reproduce.rows import Bench, RowResult, planned, read_row, run_rows
from test_crossview_training import put_views
from toy_views import university

TINY = ("backbone=test_resnet", "cut=layer3", "global_stages=[layer2]", "block_stages=[]", "image_size=64x64",
        "pretrained=none", "part_length=4", "epochs=1", "batch_size=3")  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    data = open_dataset(put_views(tmp_path / "views"))
    return planned(Bench((data,), tmp_path / "out", settings=TINY), papers.chosen_rows("bui/3/small-gem"), 1, None)


def test_a_row_is_asked_both_ways(bench: Bench) -> None:
    row = papers.open_row("bui/3/small-gem")
    result = run_rows(bench, [row], 2)[0]
    assert result.problem is None and result.seeds == 2
    assert list(result.scores) == ["views drone-satellite", "views satellite-drone"]
    for data in result.scores:
        precision = result.average_precision(data)
        wholes = [scores.whole for scores in result.scores[data]]
        assert precision is not None and all(wholes)
        assert precision[0] == pytest.approx(sum(whole.ap for whole in wholes if whole) / 2)
    assert (result.scores["views drone-satellite"][0].queries, result.scores["views satellite-drone"][0].queries) == (
        8,
        4,
    )
    # A difference in the settings alone is another training; a row that agrees in all is not.
    assert len(list((bench.out / "runs").iterdir())) == 2
    run_rows(bench, [papers.open_row("bui/3/small-average")], 1)
    assert len(list((bench.out / "runs").iterdir())) == 3


def test_the_page_has_published_and_ours(bench: Bench) -> None:
    run_rows(bench, [papers.open_row("bui/3/small-gem")], 1)
    known: dict[str, RowResult] = {}

    def look(row: Row) -> RowResult:
        return known.setdefault(row.name, read_row(bench, row))

    page = paper_page(bench, papers.open_paper("bui"), look)
    assert "published university_1652 drone-satellite, R@1 / AP" in page and "views satellite-drone, R@1 / AP" in page
    assert "| SE-ResNet-50, GeM `seresnet50-gem` | 82.87 / 85.31 | 90.87 / 82.06 |" in page
    assert "| Training `training` | 50,218 / 701 | 21 / 7 |" in page
    assert "Otherwise than the row says: backbone test_resnet (the paper: resnet18)" in page
    lines = list(csv.DictReader(rows_csv(bench, [look(papers.open_row("bui/3/small-gem"))]).splitlines()))
    assert [line["recall_at"] for line in lines] == ["1", "5", "10", "20", "AP"] * 2
    assert all(0 <= float(line["low95"]) <= float(line["recall"]) <= float(line["high95"]) <= 1 for line in lines)


def test_claims_are_those_of_views(capsys: Captured, bench: Bench, tmp_path: Path) -> None:
    found = judged(bench, lambda row: read_row(bench, row))
    of_views = [claim for claim in papers.claims() if claim.across_views]
    assert [(one.claim, one.data) for one in found] == [
        (claim, f"views {way}") for claim in of_views for way in ("drone-satellite", "satellite-drone")
    ]
    assert all("rows are not run" in one.missing for one in found)
    settings = [part for setting in TINY for part in ("--set", setting)]
    status, out, err = called(
        capsys, "reproduce", "claims", "--data", tmp_path / "views", "--out", tmp_path / "claims", *settings
    )
    assert status == 0, err
    assert "# What the papers claim, on our data" in (tmp_path / "claims" / "claims.md").read_text(encoding="utf-8")
    assert [Path(line).name for line in out.splitlines()] == ["bui.md", "rows.csv", "claims.md"]


def test_rows_that_settings_make_the_same_are_not_compared(bench: Bench) -> None:
    rows = [papers.open_row(f"bui/3/{name}") for name in ("resnet50-gem", "seresnet50-gem", "no-blocks")]
    rows += [papers.open_row(f"bui/3/{name}") for name in ("resnet50-average", "seresnet50-average")]
    run_rows(bench, rows, 1)
    found = {one.claim.name: one.missing for one in judged(bench, lambda row: read_row(bench, row))}
    assert found["channel-attention"] == "the settings over every row make the rows that it compares one and the same"
    assert "independent groups" in found["blocks"] and "independent groups" in found["gem-across-views"]


def test_photos_of_the_release_are_counted_by_view(tmp_path: Path) -> None:
    bench = Bench((open_dataset(university(tmp_path / "university-1652")),), tmp_path / "out", settings=TINY)
    page = paper_page(bench, papers.open_paper("bui"), lambda row: read_row(bench, row))
    assert "| Query (UAV) `query-drone` | 37,855 / 701 | 6 / 2 |" in page
    assert "| Gallery (Satellite) `gallery-satellite` | 951 / 951 | 3 / 3 |" in page
    # Its name is that of the published columns, with whose numbers ours can then be compared.
    assert "cannot be compared" not in page


def test_places_without_views_are_no_data_for_it(bench: Bench, tmp_path: Path) -> None:
    data = put_views(tmp_path / "others")
    (data / "train/drone").rename(data / "train/street")
    other = Bench((open_dataset(data),), tmp_path / "out2", settings=TINY)
    result = run_rows(other, [papers.open_row("bui/3/small-gem")], 1)[0]
    assert result.problem is not None and "has no view 'drone'; found: satellite, street" in result.problem


def test_a_budget_is_for_places(bench: Bench, tmp_path: Path) -> None:
    fresh = Bench(bench.datasets, tmp_path / "fresh", settings=TINY)
    with pytest.raises(UsageError, match="--budget shortens trainings of places; across views use --set epochs=N"):
        planned(fresh, papers.chosen_rows("bui/3"), 1, 5.0)
