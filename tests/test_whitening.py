"""Learned whitening against the matrix it stands for; pairs that show one place against a naive loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from geofix import recipes
from geofix.errors import RecipeError
from geofix.mining import mutual_pairs
from geofix.models.build import build
from geofix.models.whitening import LearnedWhitening


def test_it_is_the_inverse_root_of_the_covariance() -> None:
    rng = torch.Generator().manual_seed(0)
    differences = torch.randn(40, 6, generator=rng, dtype=torch.float64) * torch.tensor([5.0, 2, 1, 1, 0.5, 0.1])
    whitening = LearnedWhitening(6, 6).double()
    whitening.fit(differences, 0.7)
    covariance = differences.T @ differences / 80  # a difference has twice the variance of a descriptor
    floor = 0.7 * covariance.diagonal().mean()
    values, vectors = np.linalg.eigh((covariance / floor + torch.eye(6)).numpy())
    root = torch.from_numpy(vectors @ np.diag(values**-0.5) @ vectors.T)
    photos = torch.randn(9, 6, generator=rng, dtype=torch.float64)
    assert torch.allclose(whitening(photos), functional.normalize(photos @ root, dim=1), atol=1e-9)


def test_few_directions_leave_the_others_as_they_are() -> None:
    whitening = LearnedWhitening(3, 1)
    whitening.fit(torch.tensor([[2.0, 0, 0], [-2.0, 0, 0], [2.0, 0, 0]]), 1.0)
    assert whitening.gains.tolist() == pytest.approx([1 - 0.5**0.5])
    found = whitening(torch.tensor([[1.0, 1.0, 1.0]]))[0]
    assert float(found[1] / found[0]) == pytest.approx(2**0.5, rel=1e-5)
    assert float(found[1]) == pytest.approx(float(found[2]))


def test_fewer_differences_than_directions() -> None:
    whitening = LearnedWhitening(8, 5)
    whitening.fit(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), 1.0)
    assert torch.count_nonzero(whitening.gains) == 2
    assert torch.isfinite(whitening(torch.ones(1, 8))).all()


def test_before_it_is_fitted_only_the_length_changes() -> None:
    photos = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(LearnedWhitening(6, 3)(photos), functional.normalize(photos, dim=1))


@pytest.mark.parametrize("seed", range(4))
def test_mutual_pairs_against_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(24, 5)).astype(np.float32)
    spots = [number // 4 for number in range(24)]  # six panoramas of four photos
    near = rng.random((6, 6)) < 0.6
    near |= near.T
    same = [np.array([j for j in range(24) if j != i and near[spots[i], spots[j]]], dtype=np.int64) for i in range(24)]
    expected = []
    for i in range(24):
        for j in range(i + 1, 24):
            if spots[i] == spots[j] or not near[spots[i], spots[j]]:
                continue
            apart = np.linalg.norm(descriptors[:, None] - descriptors[None], axis=2)
            best_there = min((k for k in range(24) if spots[k] == spots[j]), key=lambda k: apart[i, k])
            best_here = min((k for k in range(24) if spots[k] == spots[i]), key=lambda k: apart[j, k])
            if (best_there, best_here) == (j, i):
                expected.append([i, j])
    assert mutual_pairs(descriptors, same, spots).tolist() == expected


def test_no_pairs() -> None:
    nothing = [np.empty(0, dtype=np.int64)] * 3
    assert mutual_pairs(np.zeros((3, 2), dtype=np.float32), nothing, "abc").shape == (0, 2)


# -- several scales -----------------------------------------------------------------------------------------------


def test_scales_are_pooled_together() -> None:
    settings = ["pretrained=none", "cut=layer1", "image_size=64x64", "epochs=0"]
    one = build(recipes.with_settings(recipes.load("resnet18-gem"), settings), pretrained=False)
    two = build(recipes.with_settings(recipes.load("resnet18-gem"), [*settings, "scales=[1.0, 0.5]"]), pretrained=False)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        large = functional.normalize(one.trunk(images), dim=1).clamp(min=1e-6).pow(3)
        half = functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
        small = functional.normalize(one.trunk(half), dim=1).clamp(min=1e-6).pow(3)
        total = large.sum(dim=(2, 3)) + small.sum(dim=(2, 3))
        count = large[0, 0].numel() + small[0, 0].numel()
        assert torch.allclose(two(images), (total / count).pow(1 / 3), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["scales=[]"], "scales are one or more factors of 0.25..4"),
        (["scales=[1.0, 9.0]"], "scales are one or more factors of 0.25..4"),
        (["scales=[1.0, 0.5]", "pooling=rmac"], "rmac pools squares of one map"),
        (["learn=pairs"], "set whiten_directions too"),
    ],
)
def test_what_does_not_fit_together(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.with_settings(recipes.load("resnet18-gem"), settings)
