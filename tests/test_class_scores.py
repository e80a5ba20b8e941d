"""Scores of class probabilities and their priors: naive loops, ties, classes that cannot be answered."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from geofix.class_scores import ClassPredictions, brier, negative_log_likelihood, score_classes
from geofix.errors import DataError
from geofix.geography.countries import countries_at
from geofix.priors import Prior, lift_over
from geofix.reliability import reliability

CLASSES = ("AA", "BB", "CC", "DD", "EE", "FF", "GG")


def made(count: int = 150, seed: int = 0) -> ClassPredictions:
    """Random probabilities; one row in ten is of a class that is not among the answers."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(len(CLASSES), 0.4), count)
    truth = [
        "ZZ"
        if row % 10 == 9
        else str(rng.choice(CLASSES, p=probabilities[row] ** 0.5 / (probabilities[row] ** 0.5).sum()))
        for row in range(count)
    ]
    return ClassPredictions(probabilities, CLASSES, tuple(truth), tuple(f"by {row // 5}" for row in range(count)))


def naive_hit(row: np.ndarray, classes: tuple[str, ...], truth: str, n: int) -> bool:
    """Sorted by probability, the earlier class first where two are equal."""
    order = sorted(range(len(classes)), key=lambda column: (-row[column], column))
    return truth in [classes[column] for column in order[:n]]


@pytest.mark.parametrize("n", [1, 5])
def test_hits_macro_and_lift(n: int) -> None:
    predictions = made()
    rows = list(zip(predictions.probabilities, predictions.truth, strict=True))
    hits = [naive_hit(row, CLASSES, truth, n) for row, truth in rows]
    assert predictions.hits(n).tolist() == hits
    scores = score_classes(predictions, {"AA": 10, "CC": 30, "BB": 30, "DD": 1, "EE": 2, "FF": 3})
    assert scores.top[n].share == pytest.approx(np.mean(hits))
    per_class = [np.mean([h for h, t in zip(hits, predictions.truth, strict=True) if t == c]) for c in {*CLASSES, "ZZ"}]
    assert scores.top[n].macro == pytest.approx(np.mean(per_class))
    for ends, value in ((scores.top[n].share_ci95, np.mean(hits)), (scores.top[n].macro_ci95, np.mean(per_class))):
        assert ends[0] < value < ends[1]
    own, training = scores.priors
    common = [name for name, _ in sorted(Counter(predictions.truth).items(), key=lambda item: (-item[1], item[0]))]
    assert (own.prior.source, list(own.prior.classes)) == ("set", common[:5])
    assert (training.prior.source, training.prior.classes) == ("training", ("BB", "CC", "AA", "FF", "EE"))
    for score in (own, training):
        always = np.mean([truth in score.prior.classes[:n] for truth in predictions.truth])
        assert score.lifts[n].prior == pytest.approx(always)
        assert score.lifts[n].lift == pytest.approx(np.mean(hits) - always)
        assert score.lifts[n].lift_ci95[0] < score.lifts[n].lift < score.lifts[n].lift_ci95[1]


def test_ties_go_by_the_order_of_classes() -> None:
    even = np.full((3, 6), 1 / 6)
    predictions = ClassPredictions(even, CLASSES[:6], ("AA", "EE", "FF"), ("1", "2", "3"))
    assert predictions.hits(1).tolist() == [True, False, False]
    assert predictions.hits(5).tolist() == [True, True, False]
    assert predictions.answers(6).tolist() == [[0, 1, 2, 3, 4, 5]] * 3
    partly = np.array([[0.2, 0.3, 0.3, 0.2]])
    assert ClassPredictions(partly, CLASSES[:4], ("CC",), ("1",)).answers(4).tolist() == [[1, 2, 0, 3]]


def test_a_class_that_cannot_be_answered_is_wrong_and_lowers_the_ceiling() -> None:
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
    predictions = ClassPredictions(probabilities, ("FR", "US"), ("FR", "US", "XX", "YY"), ("a", "b", "c", "d"))
    scores = score_classes(predictions)
    assert (scores.ceiling, scores.unknown) == (0.5, ("XX", "YY"))
    assert (scores.queries, scores.answerable, scores.clusters) == (4, 2, 4)
    assert scores.top[1].share == scores.top[5].share == 0.5
    assert scores.top[1].macro == 0.5
    squares = [(0.3**2) * 2, (0.4**2) * 2, 0.9**2 + 0.1**2 + 1, 0.2**2 + 0.8**2 + 1]
    assert scores.brier == pytest.approx(np.mean(squares))
    assert scores.nll == pytest.approx(-(math.log(0.7) + math.log(0.6)) / 2)
    assert scores.reliability == reliability(np.array([0.7, 0.6, 0.9, 0.8]), np.array([True, True, False, False]))


def test_brier_and_likelihood_against_loops() -> None:
    predictions = made(40)
    columns = predictions.columns()
    total, logs = 0.0, []
    for row, right in zip(predictions.probabilities, columns, strict=True):
        total += sum((p - (column == right)) ** 2 for column, p in enumerate(row)) + (right == -1)
        logs += [] if right == -1 else [-math.log(row[right])]
    assert brier(predictions.probabilities, columns) == pytest.approx(total / 40)
    assert negative_log_likelihood(predictions.probabilities, columns) == pytest.approx(np.mean(logs))
    assert negative_log_likelihood(predictions.probabilities, np.full(40, -1)) is None
    certain = np.array([[1.0, 0.0]])
    assert negative_log_likelihood(certain, np.array([1])) == pytest.approx(-math.log(1e-12))


def test_scores_as_json() -> None:
    made_dict = score_classes(made(), {"AA": 0.5, "BB": 0.5}, bins="mass", protocol={"level": "territory"}).to_dict()
    again = json.loads(json.dumps(made_dict, allow_nan=False))
    assert list(again)[:5] == ["task", "top1", "top1_ci95", "macro_top1", "macro_top1_ci95"]
    assert again["task"] == "country"
    assert again["protocol"] == {"level": "territory"}
    assert again["calibration"]["bins"] == "mass"
    assert again["unknown_classes"] == ["ZZ"]
    assert (again["queries"], again["answerable"], again["gallery"]) == (150, 135, 0)
    assert [prior["source"] for prior in again["priors"]] == ["set", "training"]
    assert set(again["priors"][1]["top5"]) == {"share", "lift", "lift_ci95"}
    assert score_classes(made()).to_dict("scene")["task"] == "scene"


@pytest.mark.parametrize(
    ("probabilities", "classes", "truth", "said"),
    [
        (np.full((2, 2), 0.5), ("A", "B", "C"), ("A", "B"), "There are 2 x 2 probabilities for 3 classes, 2 true"),
        (np.full((2, 2), 0.5), ("A", "B"), ("A",), "1 true classes and 2 clusters; one of each a row"),
        (np.full((2, 2), 0.5), ("A", "A"), ("A", "A"), "The class A is there twice; add its columns up first."),
        (np.full((2, 2), 0.5), ("A", "B"), ("A", ""), "1 of 2 rows have no true class; leave them out"),
        (
            np.array([[0.5, 0.5], [0.5, 0.6]]),
            ("A", "B"),
            ("A", "B"),
            r"1 of 2 rows are no .* row 1, which adds up to 1.1",
        ),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), ("A", "B"), ("A", "B"), "1 of 2 rows are no probabilities .* row 0"),
        (np.array([[math.nan, 1.0], [0.5, 0.5]]), ("A", "B"), ("A", "B"), "which adds up to nan"),
    ],
)
def test_what_is_no_prediction(
    probabilities: np.ndarray, classes: tuple[str, ...], truth: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        ClassPredictions(probabilities, classes, truth, ("1", "2"))


def test_single_precision_probabilities_are_taken() -> None:
    predictions = ClassPredictions(np.array([[0.25, 0.75]], dtype=np.float32), ("A", "B"), ("B",), ("1",))
    assert score_classes(predictions).top[1].share == 1.0


# -- priors -------------------------------------------------------------------------------------------------------


def test_priors() -> None:
    prior = Prior.of(["US", "", "FR", "US", "DE", "", ""])
    assert prior == Prior("set", ("US", "DE", "FR"))
    truth = np.array(["US", "FR", "IT", "DE"])
    assert prior.hits(truth, 1).tolist() == [True, False, False, False]
    assert prior.hits(truth, 2).tolist() == [True, False, False, True]
    assert Prior.from_counts({"A": 0.1, "B": 0.9, "C": 0.0}) == Prior("training", ("B", "A"))
    for nothing in ([], [""]):
        with pytest.raises(DataError, match="There is no class to take the most frequent of"):
            Prior.of(nothing)


def test_lift() -> None:
    hits = np.array([True] * 60 + [False] * 40)
    always = np.array([True] * 30 + [False] * 70)
    lift = lift_over(always, hits, [str(row) for row in range(100)])
    assert (lift.prior, lift.lift) == (0.3, pytest.approx(0.3))
    assert 0.2 < lift.lift_ci95[0] < 0.3 < lift.lift_ci95[1] < 0.4
    assert lift.to_dict() == {"share": 0.3, "lift": lift.lift, "lift_ci95": list(lift.lift_ci95)}


def real_rows(shared: Path, name: str) -> list[dict[str, str]]:
    path = shared / "data" / "im2gps_meta" / name
    if not path.is_file():
        pytest.skip(f"no {name} in {path.parent}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def codes_of(rows: list[dict[str, str]], lat: str = "LAT", lon: str = "LON") -> np.ndarray:
    codes = countries_at(np.array([(row[lat], row[lon]) for row in rows], dtype=np.float64)).codes
    return codes[codes != ""]


@pytest.mark.parametrize(
    ("name", "lat", "lon", "top1", "top5"),
    [
        ("im2gps3k_places365.csv", "LAT", "LON", 26.2, 50.6),
        ("yfcc25600_places365.csv", "LAT", "LON", 35.8, 59.1),
        ("meta_im2gps_places365.csv", "LON", "LAT", 23.6, 42.6),  # its columns are swapped
    ],
)
def test_priors_of_the_published_sets(shared: Path, name: str, lat: str, lon: str, top1: float, top5: float) -> None:
    codes = codes_of(real_rows(shared, name), lat, lon)
    prior = Prior.of(codes.tolist())
    assert round(100 * float(prior.hits(codes, 1).mean()), 1) == top1
    assert round(100 * float(prior.hits(codes, 5).mean()), 1) == top5
    if name.startswith("im2gps3k"):
        assert prior.classes == ("US", "GB", "CN", "IT", "FR")


def test_priors_of_scenes_on_im2gps3k(shared: Path) -> None:
    """The five most frequent countries of each scene, which a router of scenes has to beat."""
    table = shared / "specs" / "places365_to_4.json"
    if not table.is_file():
        pytest.skip(f"no {table.name} in {table.parent}")
    scenes = list(json.loads(table.read_text(encoding="utf-8")).values())  # in the order of Places365's labels
    rows = real_rows(shared, "im2gps3k_places365.csv")
    codes, scene = codes_of(rows), np.array([scenes[int(row["S365_Label"])] for row in rows])
    five = {
        name: round(100 * float(Prior.of(codes[scene == name].tolist()).hits(codes[scene == name], 5).mean()), 1)
        for name in sorted(set(scenes))
    }
    assert five == {"city": 52.3, "coast": 59.6, "indoor": 50.8, "industrial": 58.9, "nature": 50.3}
