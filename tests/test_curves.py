"""Learning curves: a picture that shows what the log says."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from geofix.class_scores import ClassPredictions, ClassScores, score_classes
from geofix.learn.course import as_csv
from geofix.reports.curves import confidence_curves, learning_curves


def log(losses: list[float | None]) -> str:
    return as_csv(
        [
            {"epoch": n, "steps": 5, "loss": loss, "learning_rate": None, "false_negatives": 0,
             "recall@1": 0.5 + n / 100, "recall@5": 0.8, "seconds": 1.0}
            for n, loss in enumerate(losses)
        ]
    )  # fmt: skip


def pixels(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("losses", [[None], [None, 0.5], [None, 0.5, 0.4, 0.3]])
def test_a_picture_of_any_length(losses: list[float | None]) -> None:
    drawn = pixels(learning_curves(log(losses), measured_on="block"))
    assert drawn.shape == (416, 1040, 3)
    assert (drawn != 255).any()


def test_the_chosen_epoch_is_marked() -> None:
    text = log([None, 0.5, 0.4])
    assert (pixels(learning_curves(text, measured_on="block")) != pixels(
        learning_curves(text, measured_on="block", best_epoch=1)
    )).any()  # fmt: skip


def test_what_confidences_are_worth_is_drawn_from_the_scores() -> None:
    honest, vain = (scored(right) for right in (np.array([1, 1, 1, 0]), np.array([0, 0, 0, 0])))
    both = pixels(confidence_curves({"soft": honest, "hard": vain}))
    assert both.shape == (468, 1040, 3)
    assert (both != pixels(confidence_curves({"soft": honest, "hard": honest}))).any()
    assert (pixels(confidence_curves({"scenes": honest})) != pixels(confidence_curves({"scenes": vain}))).any()


def scored(right: np.ndarray) -> ClassScores:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    truth = tuple("A" if one else "B" for one in right)
    return score_classes(ClassPredictions(probabilities, ("A", "B"), truth, tuple("1234")))


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    code = "import sys, geofix.reports.curves; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
