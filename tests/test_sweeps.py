"""Recall against a factor: which queries make a sweep, and its numbers against naive loops."""

from pathlib import Path

import numpy as np
import pytest

from geofix.evaluate import evaluate
from geofix.metrics import NEVER
from geofix.models.runs import Run
from geofix.photos import Photo
from geofix.reports.curves import sweep_curves
from geofix.sweeps import Sweep, sweep_of
from geofix.world.conditions import DAY
from geofix.world.writers.deep_vg import write_places


def queries(conditions: list[str | None]) -> list[Photo]:
    return [Photo(f"q{n}", Path(f"q{n}"), condition=condition) for n, condition in enumerate(conditions)]


def made(conditions: list[str | None], ranks: list[int], clusters: list[str]) -> Sweep | None:
    return sweep_of(queries(conditions), np.array(ranks, dtype=np.int64), clusters, (1, 5))


def test_recall_at_each_value_in_rising_order() -> None:
    conditions: list[str | None] = ["fog=1", "fog=0", "fog=0.5", "fog=1", "fog=0", "fog=0.5"]
    ranks = [3, 0, 0, NEVER, 0, 7]
    sweep = made(conditions, ranks, ["a", "a", "a", "b", "b", "b"])
    assert sweep is not None and sweep.factor == "fog"
    assert [point.value for point in sweep.points] == [0, 0.5, 1]
    for point in sweep.points:
        own = [
            rank for rank, name in zip(ranks, conditions, strict=True) if float(str(name).split("=")[1]) == point.value
        ]
        assert point.queries == len(own)
        for n in (1, 5):
            assert point.recall[n] == sum(rank < n for rank in own) / len(own)
            low, high = point.recall_ci95[n]
            assert 0 <= low <= point.recall[n] <= high <= 1
    changes = [point.change for point in sweep.points]
    assert changes[0] == (0, 0, 0)
    assert changes[1] is not None and changes[1][0] == -0.5
    assert changes[2] is not None and changes[2][0] == -1


def test_changes_pair_the_queries_of_one_spot() -> None:
    """Every spot loses by night what it had by day or keeps it: the paired interval is narrow, the unpaired is not."""
    spots = [f"s{n}" for n in range(40)]
    day = [0 if n % 2 else 9 for n in range(40)]
    sweep = made(["night=0"] * 40 + ["night=1"] * 40, day + list(day), spots + spots[::1])
    assert sweep is not None
    assert sweep.points[1].change == (0, 0, 0)
    low, high = sweep.points[1].recall_ci95[1]
    assert high - low > 0.2


def test_unmatched_sets_have_no_change() -> None:
    sweep = made(["fog=0", "fog=0", "fog=1"], [0, 0, 0], ["a", "b", "a"])
    assert sweep is not None
    assert [point.change for point in sweep.points] == [None if point.value else (0, 0, 0) for point in sweep.points]


@pytest.mark.parametrize(
    "conditions",
    [["day", "night"], ["fog=0", None], ["fog=0", "fog=0"], ["fog=0", "night=1"], ["fog=0", "fog=nan"], ["=0", "=1"]],
)
def test_other_conditions_make_no_sweep(conditions: list[str | None]) -> None:
    assert made(conditions, [0, 0], ["a", "b"]) is None


def test_a_rendered_sweep_is_evaluated_and_drawn(tmp_path: Path, tiny_run: Run) -> None:
    from geofix.data.layouts import open_dataset

    write_places(tmp_path / "town", places=3, conditions=DAY.swept("fog=0,0.5,1"), size=(48, 64))
    scores = evaluate(tiny_run, open_dataset(tmp_path / "town"))
    assert scores.sweep is not None
    assert [point.value for point in scores.sweep.points] == [0, 0.5, 1]
    assert all(point.change is not None for point in scores.sweep.points)
    assert scores.to_dict()["sweep"]["points"][0]["queries"] == scores.sweep.points[0].queries
    assert sweep_curves(scores.sweep, "fog").startswith(b"\x89PNG")
