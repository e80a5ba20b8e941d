"""UNIT's losses against naive loops on tiny tensors, and the totals of a step put together by hand."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from geofix.night import objectives
from geofix.night.networks import VAE, Discriminator
from geofix.night.objectives import Domain, Travel, Weights, discriminator_losses, exchange, generator_losses

TERMS = ("gan", "recon", "kl", "cycle", "kl_cycle")


def images(seed: int, n: int = 2, h: int = 4, w: int = 6) -> Tensor:
    return 2 * torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(seed)) - 1


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def numbers(tensor: Tensor) -> list[float]:
    return [float(value) for value in tensor.detach().numpy().flatten()]


def naive_error(first: Tensor, second: Tensor) -> float:
    return mean(abs(a - b) for a, b in zip(numbers(first), numbers(second), strict=True))


def naive_square(tensor: Tensor, target: float = 0.0) -> float:
    return mean((value - target) ** 2 for value in numbers(tensor))


def naive_gan(scores: list[Tensor], target: float) -> float:
    return sum(naive_square(one, target) for one in scores)


def naive_perceptual(first: Tensor, second: Tensor) -> float:
    differences = []
    for one, other in zip(first.detach().double().numpy(), second.detach().double().numpy(), strict=True):
        for channels in zip(one, other, strict=True):
            flat = [(maps - maps.mean()) / np.sqrt(maps.var() + 1e-5) for maps in channels]
            differences += ((flat[0] - flat[1]) ** 2).flatten().tolist()
    return mean(differences)


def domain(seed: int, n: int = 1, side: int = 16) -> Domain:
    torch.manual_seed(seed)
    return Domain(images(seed, n, side, side), VAE(2, 1, 1), Discriminator(2, scales=2, layers=2))


def both(n: int = 1, training: bool = False) -> tuple[Domain, Domain]:
    day, night = domain(1, n), domain(2)
    for one in (day, night):
        one.vae.train(training)
    return day, night


def test_reconstruction() -> None:
    first, second = images(1), images(2)
    assert float(objectives.reconstruction(first, second)) == pytest.approx(naive_error(first, second), rel=1e-5)
    assert float(objectives.reconstruction(first, first)) == 0


def test_kl() -> None:
    latent = torch.randn(2, 5, 3, 4)
    assert float(objectives.kl(latent)) == pytest.approx(naive_square(latent), rel=1e-5)


def test_kl_is_twice_the_divergence_of_unit_gaussians() -> None:
    latent = torch.tensor([0.5, -2.0, 1.5]).view(1, 3, 1, 1)
    prior, posterior = (torch.distributions.Normal(mean, 1.0) for mean in (torch.zeros_like(latent), latent))
    divergence = torch.distributions.kl_divergence(posterior, prior).mean()
    assert float(objectives.kl(latent)) == pytest.approx(2 * float(divergence), rel=1e-6)


def test_gan_losses() -> None:
    real = [torch.randn(2, 1, 4, 6), torch.randn(2, 1, 2, 3), torch.randn(2, 1, 1, 1)]
    fake = [torch.randn(2, 1, 4, 6), torch.randn(2, 1, 2, 3), torch.randn(2, 1, 1, 1)]
    assert float(objectives.gan_generator(fake)) == pytest.approx(naive_gan(fake, 1), rel=1e-5)
    expected = naive_gan(real, 1) + naive_gan(fake, 0)
    assert float(objectives.gan_discriminator(real, fake)) == pytest.approx(expected, rel=1e-5)


def test_gan_losses_are_0_where_each_side_has_won() -> None:
    ones, zeros = [torch.ones(1, 1, 2, 2)], [torch.zeros(1, 1, 2, 2)]
    assert float(objectives.gan_generator(ones)) == 0
    assert float(objectives.gan_discriminator(ones, zeros)) == 0


def test_perceptual() -> None:
    first, second = images(1), images(2)

    def trunk(pictures: Tensor) -> Tensor:
        return torch.cat([pictures, pictures.square()], dim=1)[:, :4, ::2]

    expected = naive_perceptual(trunk(first), trunk(second))
    assert float(objectives.perceptual(first, second, trunk)) == pytest.approx(expected, rel=1e-4)


def test_perceptual_does_not_see_brightness_and_contrast_of_a_map() -> None:
    first = images(1)
    assert float(objectives.perceptual(first, 0.2 * first - 0.7, lambda maps: maps)) == pytest.approx(0, abs=1e-3)
    assert float(objectives.perceptual(first, images(2), lambda maps: maps)) > 0.5


def test_weights_are_the_paper_s() -> None:
    assert Weights() == Weights(gan=1.0, recon=10.0, kl=0.01, cycle=10.0, kl_cycle=0.01, perceptual=0.0)


def test_exchange() -> None:
    day, night = both(n=2)
    from_day, from_night = exchange(day, night)
    for home, away, travel in ((day, night, from_day), (night, day, from_night)):
        latent = home.vae.encode(home.images)
        torch.testing.assert_close(travel.latent, latent)
        torch.testing.assert_close(travel.rebuilt, home.vae.decode(latent))
        torch.testing.assert_close(travel.translated, away.vae.decode(latent))
        torch.testing.assert_close(travel.latent_there, away.vae.encode(travel.translated))
        torch.testing.assert_close(travel.returned, home.vae.decode(travel.latent_there))


def test_one_draw_serves_the_rebuilt_and_the_translated() -> None:
    one = domain(1)
    travel, _ = exchange(one, one)
    assert torch.equal(travel.rebuilt, travel.translated)
    again, _ = exchange(one, one)
    assert torch.equal(travel.latent, again.latent)
    assert not torch.equal(travel.rebuilt, again.rebuilt)


def expected_terms(home: Domain, travel: Travel, away: Domain) -> dict[str, float]:
    return {
        "gan": naive_gan(away.discriminator(travel.translated), 1),
        "recon": naive_error(travel.rebuilt, home.images),
        "kl": naive_square(home.vae.encode(home.images)),
        "cycle": naive_error(travel.returned, home.images),
        "kl_cycle": naive_square(away.vae.encode(travel.translated)),
    }


def test_the_generators_terms_and_total() -> None:
    day, night = both(n=2)
    travels = exchange(day, night)
    weights = Weights(gan=2.0, recon=3.0, kl=5.0, cycle=7.0, kl_cycle=11.0)
    found = generator_losses(day, night, travels, weights)
    assert list(found) == [f"{name}_{domain}" for domain in ("day", "night") for name in TERMS] + ["total"]
    total = 0.0
    for suffix, home, travel, away in (("day", day, travels[0], night), ("night", night, travels[1], day)):
        for name, expected in expected_terms(home, travel, away).items():
            assert found[f"{name}_{suffix}"].item() == pytest.approx(expected, rel=1e-4)
            total += getattr(weights, name) * expected
    assert found["total"].item() == pytest.approx(total, rel=1e-4)
    assert all(term.shape == () for term in found.values())


def test_the_perceptual_terms_come_with_their_weight() -> None:
    day, night = both()
    travels = exchange(day, night)
    plain = generator_losses(day, night, travels, Weights(), trunk=torch.square)
    found = generator_losses(day, night, travels, Weights(perceptual=0.5), trunk=torch.square)
    assert set(found) - set(plain) == {"perceptual_day", "perceptual_night"}
    terms = []
    for suffix, home, travel in (("day", day, travels[0]), ("night", night, travels[1])):
        terms.append(naive_perceptual(travel.translated.square(), home.images.square()))
        assert found[f"perceptual_{suffix}"].item() == pytest.approx(terms[-1], rel=1e-3)
    assert (found["total"] - plain["total"]).item() == pytest.approx(0.5 * sum(terms), rel=1e-3)


def test_the_discriminators_terms_and_total() -> None:
    day, night = both(n=2)
    from_day, from_night = travels = exchange(day, night)
    found = discriminator_losses(day, night, travels, Weights(gan=3.0))
    by_day = naive_gan(day.discriminator(day.images), 1) + naive_gan(day.discriminator(from_night.translated), 0)
    by_night = naive_gan(night.discriminator(night.images), 1) + naive_gan(night.discriminator(from_day.translated), 0)
    assert list(found) == ["judge_day", "judge_night", "total"]
    assert found["judge_day"].item() == pytest.approx(by_day, rel=1e-4)
    assert found["judge_night"].item() == pytest.approx(by_night, rel=1e-4)
    assert found["total"].item() == pytest.approx(3 * (by_day + by_night), rel=1e-4)


def gradients(networks: list[VAE] | list[Discriminator]) -> bool:
    return any(tensor.grad is not None for network in networks for tensor in network.parameters())


def test_what_each_total_teaches() -> None:
    day, night = both(training=True)
    travels = exchange(day, night)
    discriminator_losses(day, night, travels, Weights())["total"].backward()
    assert gradients([day.discriminator]) and gradients([night.discriminator])
    assert not gradients([day.vae, night.vae])
    generator_losses(day, night, travels, Weights())["total"].backward()
    for vae in (day.vae, night.vae):
        assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in vae.parameters())


@pytest.mark.parametrize(
    ("networks", "losses"),
    [
        (lambda day, night: [*day.vae.parameters(), *night.vae.parameters()], generator_losses),
        (lambda day, night: [*day.discriminator.parameters(), *night.discriminator.parameters()], discriminator_losses),
    ],
)
def test_steps_lower_the_total(
    networks: Callable[[Domain, Domain], list[Tensor]], losses: Callable[..., dict[str, Tensor]]
) -> None:
    day, night = both(training=True)
    optimiser = torch.optim.Adam(networks(day, night), 1e-2)
    totals = []
    for _ in range(15):
        optimiser.zero_grad()
        total = losses(day, night, exchange(day, night), Weights())["total"]
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert sum(totals[-3:]) < 0.9 * sum(totals[:3])
