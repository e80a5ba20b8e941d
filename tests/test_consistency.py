"""Totals against their parts: naive weights, a paper's table, each refusal."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from geofix.consistency import ROUNDING, Part, check_totals
from geofix.errors import DataError

# Table 2 of Lavinskyi and Skurat (2025), and top-1 as its text has them.
SCENES = ("city", "nature", "coast", "industrial")
TABLE = [(63.5, 81.1), (50.3, 72.8), (59.6, 77.0), (47.7, 68.3)]
TEXT = [(63.8, 81.1), (52.1, 72.8), (56.4, 77.0), (49.7, 68.3)]
STATED = {"top1": 0.573, "top5": 0.746}


def parts_of(rows: list[tuple[float, float]], counts: list[int] | None = None) -> list[Part]:
    return [
        Part(name, {"top1": top1 / 100, "top5": top5 / 100}, None if counts is None else counts[row])
        for row, (name, (top1, top5)) in enumerate(zip(SCENES, rows, strict=False))
    ]


@pytest.mark.parametrize(("rows", "most", "least"), [(TABLE, 56.39, 75.28), (TEXT, 56.69, 75.15)])
def test_the_totals_of_the_paper_are_impossible(rows: list[tuple[float, float]], most: float, least: float) -> None:
    found = check_totals(parts_of(rows), STATED)
    assert not found.possible and not found.counted
    assert round(100 * found.bounds["top1"].high, 2) == most
    assert round(100 * found.bounds["top5"].low, 2) == least
    assert f"with top5 at 74.60 top1 is at most {most} (stated 57.30)" in found.said
    assert f"with top1 at 57.30 top5 is at least {least} (stated 74.60)" in found.said
    assert (
        "Granted: 0.05 points of rounding on each stated total, and, for the verdict, on each part, too." in found.said
    )
    # Rounding of the parts moves the bounds, and not nearly far enough.
    assert found.bounds["top1"].high < found.bounds["top1"].widest[1] < 0.569
    assert 0.749 < found.bounds["top5"].widest[0] < found.bounds["top5"].low


def test_bounds_against_a_grid_of_weights() -> None:
    """Every mixture in steps of 1/60, three parts: what fits the other total within rounding."""
    parts = parts_of(TABLE[:3])
    step, stated, rounding = 60, {"top1": 0.58, "top5": 0.77}, 0.004
    low, high = 1.0, 0.0
    for first, second in itertools.product(range(step + 1), repeat=2):
        weights = np.array([first, second, step - first - second]) / step
        if weights[2] >= 0:
            top1, top5 = (float(np.dot(weights, [part.shares[name] for part in parts])) for name in ("top1", "top5"))
            if abs(top5 - stated["top5"]) <= rounding:
                low, high = min(low, top1), max(high, top1)
    bounds = check_totals(parts, stated, rounding).bounds["top1"]
    assert bounds.low <= low <= bounds.low + 0.004
    assert bounds.high - 0.004 <= high <= bounds.high


def test_totals_that_some_weights_give_are_possible() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        weights = rng.dirichlet(np.ones(4))
        totals = {
            name: round(float(np.dot(weights, [row[at] for row in TABLE])), 1) / 100
            for at, name in enumerate(("top1", "top5"))
        }
        found = check_totals(parts_of(TABLE), totals)
        assert found.possible, found.said
        assert found.said.startswith("There are weights of the 4 parts that give all stated totals.")


def test_rounding_is_granted_to_parts_and_totals_and_no_further() -> None:
    parts = [Part("one", {"top1": 0.5}), Part("two", {"top1": 0.5})]
    assert check_totals(parts, {"top1": 0.5 + 2 * ROUNDING}).possible
    beyond = check_totals(parts, {"top1": 0.5 + 2.1 * ROUNDING})
    assert not beyond.possible
    assert "give all stated totals: top1 is at most 50.00 (stated 50.10" in beyond.said.replace("50.11", "50.10")
    assert not check_totals(parts, {"top1": 0.501}, rounding=0.0).possible
    assert check_totals(parts, {"top1": 0.5}, rounding=0.0).possible


def test_a_total_outside_all_parts_leaves_nothing_for_the_others() -> None:
    found = check_totals(parts_of(TABLE), {"top1": 0.573, "top5": 0.9})
    assert not found.possible
    assert "with top5 at 90.00 no top1 is possible at all" in found.said
    assert "with top1 at 57.30 top5 is at most" in found.said
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["bounds"]["top1"]["low"] is None


def test_with_counts_the_total_is_the_weighted_mean() -> None:
    counts = [100, 50, 30, 20]
    means = [
        sum(count * row[at] for count, row in zip(counts, TABLE, strict=True)) / sum(counts) / 100 for at in range(2)
    ]
    good = check_totals(parts_of(TABLE, counts), {"top1": round(means[0], 3), "top5": round(means[1], 3)})
    assert good.possible and good.counted
    assert good.bounds["top1"].low == good.bounds["top1"].high == pytest.approx(means[0])
    bad = check_totals(parts_of(TABLE, counts), {"top1": round(means[0], 3), "top5": round(means[1], 3) + 0.002})
    assert not bad.possible
    assert "The stated totals do not agree with the means of 4 parts by their counts: top1 58.04" in bad.said


@pytest.mark.parametrize(
    ("parts", "totals", "rounding", "said"),
    [
        ([], STATED, ROUNDING, "There is nothing to compare; at least one part"),
        (parts_of(TABLE), {}, ROUNDING, "There is nothing to compare"),
        (parts_of(TABLE), STATED, 0.5, "The rounding is 0.5; a fraction"),
        (parts_of(TABLE), {"top1": 57.3}, ROUNDING, "The total has 57.3 as top1; a fraction of 0 to 1"),
        (parts_of(TABLE), {"top10": 0.9}, ROUNDING, "city has no top10; every part needs each of top10."),
        ([*parts_of(TABLE, [1, 2, 3, 4]), *parts_of(TABLE)[:1]], STATED, ROUNDING, "Only 4 of 5 parts have a count"),
        (parts_of(TABLE, [0, 0, 0, 0]), STATED, ROUNDING, "Every part has 0 rows"),
    ],
)
def test_what_cannot_be_compared(parts: list[Part], totals: dict[str, float], rounding: float, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_totals(parts, totals, rounding)


def test_parts_are_checked_at_birth() -> None:
    with pytest.raises(DataError, match="city has 63.5 as top1; a fraction of 0 to 1 is expected"):
        Part("city", {"top1": 63.5})
    with pytest.raises(DataError, match="city has -1 rows"):
        Part("city", {"top1": 0.6}, -1)
