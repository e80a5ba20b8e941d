"""UNIT's networks against the published counts and shapes (parity P12), and what each layer is said to do."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from geofix.night.networks import VAE, ContentEncoder, Decoder, Discriminator, Norm, ResidualBlock


def parameters(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.parameters())


def empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def small_vae(seed: int = 0) -> VAE:
    torch.manual_seed(seed)
    return VAE(channels=2, residual_blocks=1)


def weights(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(part.weight.detach(), part.bias.detach()) for part in module.modules() if isinstance(part, nn.Conv2d)]


def test_p12_parameters() -> None:
    with torch.device("meta"):
        vae, discriminator = VAE(), Discriminator()
    assert parameters(vae.encoder) == 5_385_856
    assert parameters(vae.decoder) == 5_754_627
    assert parameters(vae) == 11_140_483
    assert parameters(discriminator) == 8_271_171


def test_p12_tensors_and_norms_of_a_generator() -> None:
    with torch.device("meta"):
        vae = VAE()
    assert len(vae.state_dict()) == 48
    assert sum(isinstance(part, nn.InstanceNorm2d) for part in vae.modules()) == 19
    assert sum(isinstance(part, nn.GroupNorm) for part in vae.modules()) == 2


@pytest.mark.parametrize(
    ("size", "latent", "decoded"),
    [
        ((288, 512), (1, 256, 72, 128), (1, 3, 288, 512)),
        ((512, 682), (1, 256, 128, 170), (1, 3, 512, 680)),
        ((256, 340), (1, 256, 64, 85), (1, 3, 256, 340)),
    ],
)
def test_p12_shapes_of_a_generator(size: tuple[int, int], latent: tuple[int, ...], decoded: tuple[int, ...]) -> None:
    with torch.device("meta"):
        vae = VAE()
    mean = vae.encode(empty(1, 3, *size))
    assert mean.shape == latent
    assert vae.decode(mean).shape == decoded
    assert vae(empty(1, 3, *size)).shape == decoded


def test_p12_shapes_of_the_discriminator() -> None:
    with torch.device("meta"):
        discriminator = Discriminator()
    shapes = [tuple(scores.shape) for scores in discriminator(empty(1, 3, 288, 512))]
    assert shapes == [(1, 1, 18, 32), (1, 1, 9, 16), (1, 1, 4, 8)]


@pytest.mark.parametrize(("downsamplings", "blocks"), [(1, 0), (2, 3), (3, 1)])
def test_sizes_of_a_generator_are_arguments(downsamplings: int, blocks: int) -> None:
    with torch.device("meta"):
        vae = VAE(4, blocks, downsamplings)
    factor = 2**downsamplings
    assert vae.encode(empty(2, 3, 64, 96)).shape == (2, 4 * factor, 64 // factor, 96 // factor)
    assert vae(empty(2, 3, 64, 96)).shape == (2, 3, 64, 96)
    assert sum(isinstance(part, ResidualBlock) for part in vae.modules()) == 2 * blocks


@pytest.mark.parametrize(("scales", "layers"), [(1, 2), (2, 4), (4, 3)])
def test_sizes_of_the_discriminator_are_arguments(scales: int, layers: int) -> None:
    with torch.device("meta"):
        discriminator = Discriminator(4, scales, layers)
    shapes = [tuple(scores.shape) for scores in discriminator(empty(2, 3, 128, 256))]
    assert shapes == [(2, 1, 128 >> layers + scale, 256 >> layers + scale) for scale in range(scales)]


def test_noise_only_in_training() -> None:
    vae = small_vae()
    mean = torch.zeros(1, 8, 40, 40)
    noise = vae.train().sample(mean)
    assert not torch.equal(noise, vae.sample(mean))
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    assert torch.equal(vae.eval().sample(mean), mean)


def test_the_latent_mean_is_the_same_in_training() -> None:
    vae, images = small_vae(), torch.rand(1, 3, 16, 24)
    assert torch.equal(vae.train().encode(images), vae.eval().encode(images))


def test_images_are_rebuilt_the_same_every_time_except_in_training() -> None:
    vae, images = small_vae(), torch.rand(1, 3, 16, 24)
    assert torch.equal(vae.eval()(images), vae(images))
    assert not torch.equal(vae.train()(images), vae(images))


def test_translations_are_in_range_and_alone_as_among_others() -> None:
    vae, images = small_vae().eval(), 2 * torch.rand(3, 3, 16, 24) - 1
    together = vae(images)
    assert float(together.detach().abs().max()) <= 1
    torch.testing.assert_close(together[1:2], vae(images[1:2]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [VAE, Discriminator])
def test_a_seed_gives_the_same_network(make: type[nn.Module]) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([tensor.flatten() for tensor in make(2).state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_generators_start_kaiming_normal() -> None:
    torch.manual_seed(0)
    for weight, bias in weights(nn.ModuleList([ContentEncoder(16, 1), Decoder(16, 1)])):
        expected = (2 / weight[0].numel()) ** 0.5
        assert float(weight.std()) == pytest.approx(expected, rel=0.1)
        assert not bias.any()


def test_discriminators_start_gaussian() -> None:
    torch.manual_seed(0)
    for weight, bias in weights(Discriminator(16, scales=1)):
        assert float(weight.std()) == pytest.approx(0.02, rel=0.2)
        assert not bias.any()


def test_a_residual_block_starts_from_its_input() -> None:
    block, maps = ResidualBlock(3), torch.rand(2, 3, 5, 6)
    nn.init.zeros_(block.change[3].weight)
    torch.testing.assert_close(block(maps), maps)
    assert not torch.equal(ResidualBlock(3)(maps), maps)


def test_the_decoder_s_norm_is_over_a_whole_sample_and_then_scales_each_channel() -> None:
    norm = next(part for part in Decoder(4, 0, 1).modules() if isinstance(part, nn.GroupNorm))
    maps = torch.randn(2, 4, 3, 5) * torch.tensor([1.0, 2.0, 5.0, 0.1]).view(1, 4, 1, 1)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0, -1.0, 2.0]))
    for sample, found in zip(maps.numpy(), norm(maps).detach().numpy(), strict=True):
        values = [float(value) for value in sample.flatten()]
        mean = sum(values) / len(values)
        deviation = (sum((value - mean) ** 2 for value in values) / len(values) + 1e-5) ** 0.5
        for channel in range(4):
            expected = (sample[channel] - mean) / deviation * (channel + 1) + [0.5, 0.0, -1.0, 2.0][channel]
            np.testing.assert_allclose(found[channel], expected, rtol=1e-4, atol=1e-5)


def test_each_scale_looks_at_averages_of_the_last() -> None:
    discriminator, images = Discriminator(2, scales=2, layers=2), torch.rand(1, 3, 9, 14)
    halved = torch.zeros(1, 3, 5, 7)
    for row in range(5):
        for column in range(7):
            around = images[:, :, max(0, 2 * row - 1) : 2 * row + 2, max(0, 2 * column - 1) : 2 * column + 2]
            halved[:, :, row, column] = around.mean(dim=(2, 3))
    full, half = discriminator(images)
    torch.testing.assert_close(full, discriminator.scales[0](images))
    torch.testing.assert_close(half, discriminator.scales[1](halved))


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("none", None), ("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d), ("layer", nn.GroupNorm)],
)
def test_norms_of_the_discriminator(norm: Norm, kind: type[nn.Module] | None) -> None:
    discriminator = Discriminator(2, scales=2, norm=norm)
    norms = (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)
    for scale in discriminator.scales:
        found = [type(part) for part in scale if isinstance(part, norms)]
        assert found == ([] if kind is None else [kind] * 3)
        assert isinstance(scale[1], nn.LeakyReLU) and isinstance(scale[-1], nn.Conv2d)
    assert all(scores.isfinite().all() for scores in discriminator(torch.rand(2, 3, 64, 64)))


def test_the_smallest_pictures() -> None:
    assert small_vae()(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert [scores.shape[-1] for scores in Discriminator(2)(torch.rand(1, 3, 64, 64))] == [4, 2, 1]


def test_every_weight_learns() -> None:
    vae, discriminator = small_vae(), Discriminator(2)
    sum(scores.square().sum() for scores in discriminator(vae(torch.rand(1, 3, 64, 64)))).backward()
    for module in (vae, discriminator):
        assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in module.parameters())
        assert all(part.weight.grad.any() for part in module.modules() if isinstance(part, nn.Conv2d))
