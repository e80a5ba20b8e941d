"""losses: parity case P7, and each loss against loops written from the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from geofix import losses

Q, P = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.8, 0.6, 0.0]])
N = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])


def test_p7() -> None:
    assert losses.sare_independent(Q, P, N[:, :1]).item() == pytest.approx(0.1839008, abs=1e-6)
    assert losses.sare_joint(Q, P, N).item() == pytest.approx(0.3391779, abs=1e-6)
    assert losses.triplet(Q, P, N[:, :1], 0.1).item() == 0
    assert losses.triplet(Q, P, N[:, :1], 1.0).item() == pytest.approx(0.2182413, abs=1e-5)


@pytest.fixture
def group() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=rng) for shape in ((3, 5), (3, 5), (3, 4, 5)))  # type: ignore[return-value]


def test_triplet_against_a_loop(group: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    queries, positives, negatives = (part.tolist() for part in group)
    found = [
        max(0.0, math.dist(q, p) - math.dist(q, n) + 0.5)
        for q, p, many in zip(queries, positives, negatives, strict=True)
        for n in many
    ]
    assert losses.triplet(*group, 0.5).item() == pytest.approx(sum(found) / 12, rel=1e-4)


def test_sare_against_loops(group: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    independent, joint = [], []
    for q, p, many in zip(*(part.tolist() for part in group), strict=True):
        ratios = [math.exp(math.dist(q, p) ** 2 - math.dist(q, n) ** 2) for n in many]
        # The papers' form: minus the logarithm of the positive's share of the probability.
        independent += [-math.log(1 / (1 + ratio)) for ratio in ratios]
        joint.append(-math.log(1 / (1 + sum(ratios))))
    assert losses.sare_independent(*group).item() == pytest.approx(np.mean(independent), rel=1e-4)
    assert losses.sare_joint(*group).item() == pytest.approx(np.mean(joint), rel=1e-4)


def test_sare_joint_of_far_apart_descriptors_is_finite() -> None:
    assert torch.isfinite(losses.sare_joint(Q * 100, -P * 100, N))


def test_multi_similarity_against_a_loop() -> None:
    rng = torch.Generator().manual_seed(1)
    descriptors = functional.normalize(torch.randn(8, 4, generator=rng), dim=1)
    places = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])
    cosines = (descriptors @ descriptors.T).tolist()
    found = 0.0
    for i in range(8):
        same = [cosines[i][j] for j in range(8) if j != i and places[j] == places[i]]
        other = [cosines[i][j] for j in range(8) if places[j] != places[i]]
        hard_same = [s for s in same if s - 0.1 < max(other)]
        hard_other = [s for s in other if s + 0.1 > min(same)]
        if hard_same:
            found += math.log(1 + sum(math.exp(-1.0 * s) for s in hard_same)) / 1.0
        if hard_other:
            found += math.log(1 + sum(math.exp(50.0 * s) for s in hard_other)) / 50.0
    assert losses.multi_similarity(descriptors, places).item() == pytest.approx(found / 8, rel=1e-3)


def test_every_loss_has_gradients() -> None:
    start = torch.randn(9, 6, generator=torch.Generator().manual_seed(2)).requires_grad_()
    unit = functional.normalize(start, dim=1)
    values = [
        losses.triplet(unit[:3], unit[3:6], unit[6:, None], 1.0),
        losses.sare_independent(unit[:3], unit[3:6], unit[6:, None]),
        losses.sare_joint(unit[:3], unit[3:6], unit[6:, None]),
        losses.multi_similarity(unit, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])),
    ]
    for value in values:
        (gradient,) = torch.autograd.grad(value, start, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0
