"""Learning curves: a picture that shows what the log says."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from geofix.learn.course import as_csv
from geofix.reports.curves import learning_curves


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


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    code = "import sys, geofix.reports.curves; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
