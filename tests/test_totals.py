"""`geofix evaluate TABLE.csv --totals`: published tables that can be, and those that cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Captured, called, refused
from geofix.data.totals_csv import read_totals
from geofix.errors import DataError
from toy_places import put

PAPER = "scene,top1,top5\ncity,63.5,81.1\nnature,50.3,72.8\ncoast,59.6,77.0\nindustrial,47.7,68.3\noverall,57.3,74.6\n"


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    return put(folder / name, text.encode())


def test_the_papers_table_is_infeasible(tmp_path: Path, capsys: Captured) -> None:
    status, out, err = called(capsys, "evaluate", table(tmp_path, PAPER), "--totals", "--json", tmp_path / "found.json")
    assert status == 1
    assert out.startswith("infeasible: No weights of the 4 parts give all stated totals: with top5 at 74.60 top1 is at")
    assert "at most 56.39 (stated 57.30)" in out and err.endswith("table.csv cannot be.\n")
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["possible"] is False
    possible = PAPER.replace("57.3,74.6", "57.3,75.9")
    status, out, err = called(capsys, "evaluate", table(tmp_path, possible), "--totals")
    assert (status, err) == (0, "") and out.startswith("possible: There are weights of the 4 parts")


def test_counts_fractions_and_rounding(tmp_path: Path, capsys: Captured) -> None:
    """Two parts of 30 and 10: their mean is 0.35."""
    path = table(tmp_path, "part;Photos;right\na;30;0.4\nb;10;0.2\nTotal;40;0.35\n")
    found = read_totals(path)
    assert [(part.name, part.count, part.shares) for part in found.parts] == [
        ("a", 30, {"right": 0.4}), ("b", 10, {"right": 0.2}),
    ]  # fmt: skip
    assert (found.totals, found.rounding) == ({"right": 0.35}, 0.05)  # the coarsest number has one digit
    status, out, _ = called(capsys, "evaluate", path, "--totals", "--json", "-")
    assert status == 0 and json.loads(out)["counted"]
    assert read_totals(table(tmp_path, PAPER)).rounding == pytest.approx(0.0005)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scene,top1\ncity,60\nnature,50\n",
            "has 2 rows, 0 of them a total, and 1 columns of numbers; a header, a row",
        ),
        ("scene,top1\noverall,50\n", "has 1 rows, 1 of them a total"),
        ("scene\ncity\noverall\n", "2 rows, 1 of them a total, and 0 columns of numbers"),
        ("scene,top1\ncity,high\noverall,50\n", "line 2: 'high' is no number; fractions or percent are expected"),
        ("scene,top1,top5\ncity,60\noverall,50,60\n", "line 2: '' is no number"),
        ("scene,n,top1\ncity,few,60\noverall,,50\n", "line 2: 'few' is no count; a whole number, 0 or more, is"),
    ],
)
def test_tables_that_say_nothing(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_totals(table(tmp_path, text))


def test_flags_that_do_not_go_with_it(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, PAPER)
    said = refused(capsys, "evaluate", path, "--totals", "--radians")
    assert "--radians is not for a table of parts and totals; leave it out." in said
    assert "--totals is not for a run; leave it out." in refused(capsys, "evaluate", "run", "--totals")
    said = refused(capsys, "evaluate", path, path, "--totals")
    assert "A table of parts and totals is checked by itself; name nothing else beside it." in said
