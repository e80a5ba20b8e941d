"""Ranks, average precision and the protocol across views: stated values, naive loops, and whole evaluations."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from geofix import metrics
from geofix.cli import run as command
from geofix.crossview import whole_ranking, without_distractors
from geofix.data.layouts import open_dataset
from geofix.data.places import Benchmark, benchmark
from geofix.errors import UsageError
from geofix.evaluate import Scores, compare, evaluate
from geofix.metrics import APKind
from geofix.models.runs import Run
from geofix.photos import Photo
from geofix.recipes import CrossviewRecipe, with_settings
from geofix.train import train
from toy_views import plain, university


def ranked(labels: Sequence[int], query: int) -> list[np.ndarray]:
    """The ranks of a ranking that is given by its labels, best first; -1 is junk that leaves it."""
    kept = np.array([label for label in labels if label != -1])
    alike = np.arange(len(kept), 0, -1).astype(np.float32)[None]
    return metrics.relevant_ranks(alike, [np.flatnonzero(kept == query)])


@pytest.mark.parametrize(
    ("labels", "trapezoid", "step", "first"),
    [
        ([7, 8, 9], 1, 1, 0),
        ([8, 7, 9], 0.25, 0.5, 1),
        ([8, 9, 7], 0.1666667, 0.3333333, 2),
        ([7, 8, 7, 7, 9, 9], 0.7638889, 0.8055556, 0),
        ([8, 7, 9, 9, 7, 9], 0.2875, 0.45, 1),
        ([-1, 8, 7, 7], 0.4166667, 0.5833333, 1),
        ([8, 9, 10, 7, 7], 0.225, 0.325, 3),
        ([8, 9, 9], 0, 0, metrics.NEVER),
    ],
)
def test_average_precision_as_stated(labels: list[int], trapezoid: float, step: float, first: int) -> None:
    ranks = ranked(labels, 7)
    assert metrics.average_precision(ranks).tolist() == pytest.approx([trapezoid], abs=1e-6)
    assert metrics.average_precision(ranks, "step").tolist() == pytest.approx([step], abs=1e-6)
    assert metrics.first_ranks(ranks).tolist() == [first]


@pytest.mark.parametrize(
    ("labels", "expected"), [([8, 8, 8, 7], 1.0), ([7, 8, 8, 8], 0.125), ([8, 7, 8, 7], 0.7916667)]
)
def test_among_equals_the_later_row_comes_first(labels: list[int], expected: float) -> None:
    right = np.flatnonzero(np.array(labels) == 7)
    ranks = metrics.relevant_ranks(np.ones((1, 4), dtype=np.float32), [right])
    assert metrics.average_precision(ranks).tolist() == pytest.approx([expected], abs=1e-6)


def case() -> tuple[np.ndarray, np.ndarray]:
    """Unit descriptors (20, 8) and (60, 8) that hang on no chance."""
    i, c, j = np.arange(60)[:, None], np.arange(20)[:, None], np.arange(8)[None]
    gallery = np.sin((i // 3) * (j + 1) * 0.7) + 0.6 * np.cos(i * (j + 2) * 1.3)
    queries = np.sin(c * (j + 1) * 0.7) + 0.6 * np.cos(c * (j + 5) * 2.1)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, gallery)]
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def labelled(queries: np.ndarray, gallery: np.ndarray) -> Benchmark:
    photos = tuple(Photo(f"g{n}", Path("g"), place=str(label)) for n, label in enumerate(gallery.tolist()))
    asked = tuple(Photo(f"q{n}", Path("q"), place=str(label)) for n, label in enumerate(queries.tolist()))
    relevant = tuple(np.flatnonzero(gallery == label) for label in queries)
    junk = np.flatnonzero(gallery == -1)
    return Benchmark("test", asked, photos, relevant, (junk,) * len(asked), tuple(photo.name for photo in asked))


@pytest.mark.parametrize(
    ("change", "recalls", "ap"),
    [
        ("none", [50, 100, 100, 80], 48.261879),
        ("junk", [50, 75, 75, 70], 45.142947),
        ("unanswerable", [45, 95, 95, 75], 46.399235),
    ],
)
def test_the_case_without_chance_as_stated(change: str, recalls: list[float], ap: float) -> None:
    queries, gallery = case()
    places, asked = np.arange(60) // 3, np.arange(20)
    if change == "junk":
        places = np.where(places >= 15, -1, places)
    if change == "unanswerable":
        asked[0] = 99
    found = whole_ranking(labelled(asked, places), np.arange(20), queries, gallery, "trapezoid", 60)
    assert found.top_percent == 2
    got = [100 * metrics.recall(found.ranks, n) for n in (1, 5, 10, found.top_percent)]
    assert got == pytest.approx(recalls)
    assert 100 * found.ap == pytest.approx(ap, abs=1e-5)
    if change == "none":
        step = whole_ranking(labelled(asked, places), np.arange(20), queries, gallery, "step", 60)
        assert 100 * step.ap == pytest.approx(55.275923, abs=1e-5)


def test_a_distractor_s_junk_changes_the_score_as_stated() -> None:
    alike = np.array([[0.9, 0.5, 0.95, 0.1]], dtype=np.float32)
    kept = metrics.relevant_ranks(alike, [np.array([0])])
    assert metrics.average_precision(kept).tolist() == [0.25] and metrics.recall(metrics.first_ranks(kept), 1) == 0
    dropped = metrics.relevant_ranks(alike[:, [0, 1, 3]], [np.array([0])])
    assert metrics.average_precision(dropped).tolist() == [1] and metrics.recall(metrics.first_ranks(dropped), 1) == 1


@pytest.mark.parametrize("kind", ["trapezoid", "step"])
def test_ranks_and_precision_against_a_loop_over_every_query(kind: APKind) -> None:
    rng = np.random.default_rng(0)
    alike = rng.integers(0, 12, (40, 25)).astype(np.float32)  # with many ties
    relevant = [np.sort(rng.permutation(25)[: rng.integers(0, 5)]) for _ in range(40)]
    ranks = metrics.relevant_ranks(alike, relevant)
    precisions = metrics.average_precision(ranks, kind)
    for row, right, at, precision in zip(alike, relevant, ranks, precisions, strict=True):
        order = sorted(range(25), key=lambda g: (row[g], g), reverse=True)
        naive = [place for place, g in enumerate(order) if g in right]
        assert at.tolist() == naive
        total, hits = 0.0, 0
        for place, g in enumerate(order):
            if g in right:
                before = 1.0 if place == 0 else hits / place
                hits += 1
                after = hits / (place + 1)
                total += after if kind == "step" else (before + after) / 2
        assert precision == pytest.approx(total / len(right) if len(right) else 0)


def test_step_precision_is_scikit_learn_s() -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(1)
    alike = rng.standard_normal((10, 30)).astype(np.float32)
    relevant = [np.sort(rng.permutation(30)[:4]) for _ in range(10)]
    ours = metrics.average_precision(metrics.relevant_ranks(alike, relevant), "step")
    theirs = [average_precision_score(np.isin(np.arange(30), r), row) for row, r in zip(alike, relevant, strict=True)]
    assert ours.tolist() == pytest.approx(theirs)


def test_ranking_by_distance_whatever_the_lengths() -> None:
    rng = np.random.default_rng(2)
    queries, gallery = (3 * rng.standard_normal((n, 5)).astype(np.float32) for n in (7, 30))
    places, asked = np.arange(30) % 10, np.arange(7)
    found = whole_ranking(labelled(asked, places), np.arange(7), queries, gallery, "trapezoid", 30)
    for query, at in enumerate(found.ranks):
        order = np.argsort(np.linalg.norm(gallery - queries[query], axis=1))
        assert at == np.flatnonzero(places[order] == query)[0]


@pytest.mark.parametrize(("gallery", "n"), [(951, 11), (51_355, 515), (60, 2), (10, 1)])
def test_top_one_percent(gallery: int, n: int) -> None:
    assert metrics.top_percent(gallery) == n


# -- whole evaluations ---------------------------------------------------------------------------------------------


def untrained(out: Path) -> Run:
    recipe = with_settings(
        CrossviewRecipe(name="tiny"),
        ["backbone=test_resnet", "cut=layer3", "global_stages=[layer2]", "image_size=64x64", "part_length=8",
         "pretrained=none"],
    )  # fmt: skip
    return train(recipe, None, out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return university(tmp_path_factory.mktemp("university"))


def test_both_directions_have_average_precision(run: Run, views: Path) -> None:
    dataset = open_dataset(views)
    drone = evaluate(run, dataset, direction="drone-satellite")
    satellite = evaluate(run, dataset, direction="satellite-drone")
    assert (drone.queries, drone.gallery, satellite.queries, satellite.gallery) == (6, 3, 2, 9)
    for scores in (drone, satellite):
        assert scores.whole is not None
        kept = scores.to_dict()
        assert kept["task"] == "crossview" and kept["direction"] == scores.protocol["direction"]
        assert 0 < kept["ap"] <= 1 and kept["ap_ci95"][0] <= kept["ap"] <= kept["ap_ci95"][1]
        assert kept["ap"] == pytest.approx(np.mean([row["ap"] for row in kept["per_query"].values()]))
        assert kept["protocol"]["distractors"] == "keep" and kept["protocol"]["ap"] == "trapezoid"
        assert kept["protocol"]["top_percent"] == 1 and kept["recall_top1_percent"] == kept["recall"]["1"]
        again = Scores.from_dict(json.loads(json.dumps(kept)), "here")
        assert again.whole is not None and again.whole.to_dict() == scores.whole.to_dict()
    assert len(set(drone.clusters)) == 2  # three drone photos of a building are not independent


def test_dropped_distractors_leave_the_gallery_and_are_said(run: Run, views: Path) -> None:
    dataset = open_dataset(views)
    kept = evaluate(run, dataset, direction="drone-satellite")
    dropped = evaluate(run, dataset, direction="drone-satellite", distractors="drop")
    assert (kept.gallery, dropped.gallery) == (3, 2)
    assert dropped.protocol["distractors"] == "drop"
    assert (dropped.ranks <= kept.ranks).all()
    mark = benchmark(dataset.split("test"))
    assert {photo.place for photo in without_distractors(mark).gallery} == {"0000", "0007"}
    with pytest.raises(Exception, match="distractors is keep and drop|split_hash"):
        compare(kept, dropped)


def test_steps_by_name_and_compared(run: Run, views: Path) -> None:
    dataset = open_dataset(views)
    step = evaluate(run, dataset, direction="drone-satellite", ap="step")
    trapezoid = evaluate(run, dataset, direction="drone-satellite")
    assert step.whole is not None and trapezoid.whole is not None and step.whole.ap >= trapezoid.whole.ap
    with pytest.raises(Exception, match="ap is trapezoid and step"):
        compare(trapezoid, step)
    same = compare(trapezoid, trapezoid)
    assert same.ap is not None and same.ap[0] == 0


def test_votes_of_crops_have_no_average_precision(run: Run, views: Path) -> None:
    scores = evaluate(run, open_dataset(views), direction="drone-satellite", method="maj_voting")
    assert scores.whole is None and "ap" not in scores.to_dict()


def test_places_without_views_have_neither(run: Run, toy_places: Path) -> None:
    dataset = open_dataset(toy_places)
    assert "ap" not in evaluate(run, dataset, split=next(iter(dataset.splits))).to_dict()
    with pytest.raises(UsageError, match="Distractors are dropped where views ask for each other"):
        evaluate(run, dataset, split=next(iter(dataset.splits)), distractors="drop")


@pytest.fixture
def toy_places(tmp_path: Path) -> Path:
    from geofix.photos import save_jpeg
    from toy_places import blobs, put

    for place in ("a", "b", "c"):
        for number in range(2):
            put(tmp_path / "places" / place / f"{number}.jpg", save_jpeg(blobs(ord(place) + number)))
    return tmp_path / "places"


def test_the_command_prints_both(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = plain(tmp_path / "views")
    (data / "val/drone/0004/image-02.jpg").write_bytes((data / "val/drone/0005/image-00.jpg").read_bytes())
    asked = ["evaluate", str(run.folder), "--data", str(data), "--split", "val"]
    assert command([*asked, "--json", str(tmp_path / "s.json")]) == 0
    shown = capsys.readouterr().out
    assert "R@top 1 %" in shown and " AP" in shown and "distractors keep" in shown
    assert "ap" in json.loads((tmp_path / "s.json").read_text())
    assert command([*asked, "--ap", "step", "--direction", "satellite-drone"]) == 0
    assert "AP (step)" in capsys.readouterr().out
    assert command([*asked, "--ap", "mean"]) == 2
    assert "There is no average precision 'mean'; trapezoid or step is expected." in capsys.readouterr().err
    assert command([*asked, "--distractors", "lose"]) == 2
    assert "Distractors are to 'lose'; keep or drop is expected." in capsys.readouterr().err
    assert command(["evaluate", str(run.folder), str(run.folder), "--data", str(data), "--split", "val"]) == 0
    assert "AP " in capsys.readouterr().out.split("second - first")[1]


def test_a_query_that_cannot_be_read_finds_nothing(run: Run, tmp_path: Path) -> None:
    data = plain(tmp_path / "views")
    (data / "val/drone/0004/image-00.jpg").write_bytes(b"no photo")
    broken = sorted((data / "val/drone/0004").iterdir())[0]
    broken.write_bytes(b"no photo")
    scores = evaluate(run, open_dataset(data), split="val")
    assert scores.whole is not None and len(scores.errors) == 1
    assert math.isclose(min(scores.whole.precisions), 0.0)
