"""bui's tables across views: trained once, asked both ways, with average precision; photos and places counted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from geofix import papers
from geofix.cli.paper_tables import paper_page, rows_csv
from geofix.data.layouts import open_dataset
from geofix.errors import UsageError
from geofix.papers import Row
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
