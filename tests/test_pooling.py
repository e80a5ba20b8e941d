"""Poolings against the values of the reference code (parity P1-P5, P6's inputs) and against naive loops."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from geofix.models.pooling import MAC, RMAC, GeM, NetVLAD, SPoC, rmac_regions
from geofix.search import kmeans


def parity_maps(n: int = 2, c: int = 8, h: int = 6, w: int = 5) -> torch.Tensor:
    x = torch.arange(n * c * h * w, dtype=torch.float64).reshape(n, c, h, w)
    return (torch.sin(0.37 * x) + 0.25 * torch.cos(0.011 * x)).float()


def parity_netvlad(maps: torch.Tensor) -> tuple[NetVLAD, float]:
    k, j = np.mgrid[0:4, 0:8]
    centroids = torch.from_numpy(np.sin(0.9 * j + 1.3 * k).astype(np.float32))
    local = functional.normalize(maps, dim=1).permute(0, 2, 3, 1).reshape(-1, 8)
    layer = NetVLAD(8, 4).eval()
    return layer, layer.place_clusters(centroids, local)


def close(found: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-5)


def test_the_input_is_the_reference_s() -> None:
    assert float(parity_maps().double().sum()) == pytest.approx(-16.664294644724578, abs=1e-4)


def test_p1_gem() -> None:
    pooled = GeM(3.0)(parity_maps()).detach()
    assert pooled.shape == (2, 8)
    close(pooled[0, :4], [0.8061760, 0.7836479, 0.6882513, 0.6251872])
    assert float(pooled.sum()) == pytest.approx(9.1257291, abs=1e-5)


def test_p2_l2_before_and_after_gem() -> None:
    before = GeM(3.0)(functional.normalize(parity_maps(), dim=1)).detach()
    close(before[0, :4], [0.3681223, 0.3747182, 0.3532326, 0.3233806])
    close(before.norm(dim=1), [0.8821374, 0.7121923])
    after = functional.normalize(GeM(3.0)(parity_maps()), dim=1).detach()
    close(after[0, :4], [0.4442019, 0.4317890, 0.3792256, 0.3444774])
    close(after.norm(dim=1), [1.0, 1.0])


def test_p3_mac_spoc_rmac() -> None:
    close(MAC()(parity_maps())[0, :4], [1.2456388, 1.2254997, 1.1735879, 1.0972128])
    close(SPoC()(parity_maps())[0, :4], [0.3420621, 0.3029310, 0.0908849, 0.0020185])
    close(RMAC(3)(parity_maps())[0, :4], [8.2968321, 8.7771292, 7.7107735, 6.0553265])


def test_p4_netvlad() -> None:
    layer, alpha = parity_netvlad(parity_maps())
    assert alpha == pytest.approx(27.2351122, rel=1e-5)
    close(layer.assign.detach()[0, :4], [0.0, 11.4141531, 14.1903019, 6.2275138])
    pooled = layer(parity_maps()).detach()
    assert pooled.shape == (2, 32)
    close(pooled[0, :4], [-0.0409166, -0.2915234, -0.2166076, -0.0267306])
    assert float(pooled.sum()) == pytest.approx(-0.6722294, abs=1e-5)
    close(pooled[0].reshape(4, 8).norm(dim=1), [0.5] * 4)


def test_p5_kmeans_of_netvlad() -> None:
    x = np.arange(2000 * 8, dtype=np.float64).reshape(2000, 8)
    rows = (np.sin(0.37 * x) + 0.25 * np.cos(0.011 * x)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    centroids = kmeans(rows, 4, 100)
    norms = np.sort(np.linalg.norm(centroids, axis=1))
    np.testing.assert_allclose(norms, [0.881756, 0.897240, 0.902826, 0.903864], rtol=1e-3)
    layer = NetVLAD(8, 4)
    assert layer.place_clusters(torch.from_numpy(centroids), torch.from_numpy(rows)) == pytest.approx(
        8.779719, rel=1e-3
    )


def test_gem_is_the_naive_mean_of_powers() -> None:
    maps = parity_maps(1, 2, 3, 2)
    for p in (1.0, 2.5, 3.0, 7.0):
        for channel in range(2):
            values = [max(float(v), 1e-6) ** p for v in maps[0, channel].flatten()]
            expected = (sum(values) / len(values)) ** (1 / p)
            assert float(GeM(p)(maps).detach()[0, channel]) == pytest.approx(expected, rel=1e-5)


def test_gem_learns_its_power_only_if_it_may() -> None:
    learning, fixed = GeM(3.0, learnable=True), GeM(3.0, learnable=False)
    learning(parity_maps()).sum().backward()
    assert learning.p.grad is not None and float(learning.p.grad.abs()) > 0
    assert not fixed.p.requires_grad


def test_gem_gives_the_same_with_and_without_gradients() -> None:
    pooling = GeM(3.0)
    with torch.inference_mode():
        without = pooling(parity_maps())
    torch.testing.assert_close(pooling(parity_maps()).detach(), without, rtol=1e-6, atol=1e-7)


def test_netvlad_is_the_naive_sum_of_residuals() -> None:
    maps = parity_maps(1, 8, 3, 2)
    layer, _ = parity_netvlad(parity_maps())
    assign, centroids = layer.assign.detach(), layer.centroids.detach()
    local = functional.normalize(maps, dim=1)[0].flatten(1).T
    blocks = torch.zeros(4, 8)
    for x in local:
        scores = [float(assign[k] @ x) for k in range(4)]
        total = sum(math.exp(score) for score in scores)
        for k in range(4):
            blocks[k] += math.exp(scores[k]) / total * (x - centroids[k])
    blocks /= blocks.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(maps).detach()[0], (blocks / blocks.norm()).flatten(), rtol=1e-4, atol=1e-5)


def test_rmac_is_the_naive_sum_over_its_regions() -> None:
    maps = parity_maps(1, 3, 7, 12)
    expected = torch.zeros(3)
    for top, left, side in [*rmac_regions(7, 12, 2), (0, 0, None)]:
        part = maps[0] if side is None else maps[0, :, top : top + side, left : left + side]
        most = torch.tensor([max(float(v) for v in channel.flatten()) for channel in part])
        expected += most / (most.norm() + 1e-6)
    torch.testing.assert_close(RMAC(2)(maps)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(6, 5), (30, 40), (20, 20), (9, 40), (40, 9), (3, 3), (1, 4)])
def test_rmac_s_regions_lie_in_the_map(rows: int, columns: int) -> None:
    for top, left, side in rmac_regions(rows, columns, 3):
        assert 0 <= top <= rows - side and 0 <= left <= columns - side and side >= 1
