"""Local features of pictures and the similarity between two of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conftest import hide
from geofix.errors import MissingExtraError
from geofix.frames.local_features import LocalFeatures, features_of, require, similarity
from toy_flights import frame

pytest.importorskip("cv2", reason="the verify extra is not installed")


def some(count: int, seed: int = 0) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    return LocalFeatures(
        rng.uniform(0, 50, (count, 2)),
        rng.uniform(2, 9, count),
        rng.uniform(0, 360, count),
        rng.integers(0, 256, (count, 128), dtype=np.uint8),
    )


def test_features_can_be_taken_joined_and_measured() -> None:
    one, other = some(3), some(2, seed=1)
    joined = LocalFeatures.joined([one, LocalFeatures.none(), other])
    assert len(joined) == 5 and len(LocalFeatures.none()) == 0 == len(LocalFeatures.joined([]))
    last = joined.take(np.array([4]))
    assert np.array_equal(last.points[0], other.points[1]) and np.array_equal(last.descriptors[0], other.descriptors[1])
    metres = one.measured(np.array([10.0, 20.0]), 0.5)
    for row in range(3):
        assert metres.points[row].tolist() == [(one.points[row, 0] - 10) / 2, (one.points[row, 1] - 20) / 2]
        assert metres.widths[row] == one.widths[row] / 2 and metres.angles_deg[row] == one.angles_deg[row]


def test_roots_are_rootsift() -> None:
    features = some(4)
    for row, root in zip(features.descriptors.tolist(), features.roots(), strict=True):
        assert root.tolist() == pytest.approx([math.sqrt(value / sum(row)) for value in row], abs=1e-6)
    nothing = LocalFeatures(np.zeros((1, 2)), np.ones(1), np.zeros(1), np.zeros((1, 128), dtype=np.uint8))
    assert not nothing.roots().any()


def test_the_strongest_features_of_a_picture() -> None:
    pixels = frame(240, 240, 0.0, 120, 90)
    many, few = features_of(pixels, 300), features_of(pixels, 10)
    assert len(few) == 10 < len(many) <= 300
    assert (many.points >= 0).all() and (many.points <= [120, 90]).all()
    assert len(features_of(np.full((40, 40, 3), 90, dtype=np.uint8), 10)) == 0
    assert len(features_of(np.zeros((1, 1, 3), dtype=np.uint8), 10)) == 0


def test_features_turn_with_the_picture() -> None:
    """A quarter turn carries every feature, and its direction, where it should be: to a fraction of a pixel."""
    pixels = frame(240, 240, 0.0, 100, 100)
    upright = features_of(pixels, 60)
    turned = features_of(np.ascontiguousarray(np.rot90(pixels, -1)), 60)  # clockwise
    found = 0
    for point, angle in zip(upright.points, upright.angles_deg, strict=True):
        right, down = 100 - point[1], point[0]
        near = np.hypot(*(turned.points - [right, down]).T) < 0.3
        found += any(abs((other - angle - 90 + 180) % 360 - 180) < 5 for other in turned.angles_deg[near])
    assert found > 0.8 * len(upright)


@pytest.mark.parametrize(("turn_deg", "stretch"), [(0.0, 1.0), (30.0, 1.1), (200.0, 0.9), (359.0, 1.0)])
def test_a_similarity_among_outliers(turn_deg: float, stretch: float) -> None:
    rng = np.random.default_rng(0)
    here = rng.uniform(-50, 50, (40, 2))
    angle = math.radians(turn_deg)
    there = np.empty_like(here)
    for row, (x, y) in enumerate(here):
        there[row] = (
            stretch * (math.cos(angle) * x - math.sin(angle) * y) + 7,
            stretch * (math.sin(angle) * x + math.cos(angle) * y) - 3,
        )
    there[25:] += rng.uniform(20, 40, (15, 2))
    fit = similarity(here, there, 0.5)
    assert fit is not None and fit.inliers == 25
    assert abs((fit.turn_deg - turn_deg + 180) % 360 - 180) < 0.1 and fit.stretch == pytest.approx(stretch, abs=1e-3)
    assert (fit.right, fit.down) == (pytest.approx(7, abs=0.05), pytest.approx(-3, abs=0.05))


def test_two_pairs_say_nothing() -> None:
    points = np.array([[0.0, 0.0], [5.0, 1.0]])
    assert similarity(points, points, 1.0) is None
    assert similarity(np.zeros((4, 2)), np.zeros((4, 2)), 1.0) is None


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "cv2")
    with pytest.raises(MissingExtraError) as error:
        require()
    assert str(error.value) == (
        "Verifying places on a map needs an optional part that is not installed: pip install 'geofix[verify]'."
    )
