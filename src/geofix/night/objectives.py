"""What training UNIT lowers: pure functions of images, latents and scores, and the totals of one step.

Liu, Breuel, Kautz, "Unsupervised image-to-image translation networks" (2017), section 3, with least-squares GANs and
absolute errors, as Atadjanov et al. trained it. Images are (n, 3, h, w) in -1..1, both sides multiples of what the
encoder divides them by. Every loss is a mean, so sizes and batches do not change what a weight is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from geofix.night.networks import VAE, Discriminator, Scores
from geofix.tensors import Images, Loss, Maps

Trunk = Callable[[Tensor], Tensor]
"""Images in -1..1 -> maps of features, normalising the images in its own way first."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each term of the generators' loss counts."""

    gan: float = 1.0  # translations pass for real
    recon: float = 10.0  # images rebuilt in their own domain
    kl: float = 0.01  # their latents near the prior
    cycle: float = 10.0  # images that went to the other domain and came back
    kl_cycle: float = 0.01  # the latents of translations near the prior
    perceptual: float = 0.0  # translations with the features of the original, 0..1; 1 in Atadjanov et al.


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain in a step: its images (n, 3, h, w) and its two networks. Batches of both domains may differ in n."""

    images: Images
    vae: VAE
    discriminator: Discriminator


@dataclass(frozen=True, slots=True)
class Travel:
    """What becomes of one domain's images in a step: `latent` is their mean (not the draw); `rebuilt` they are here,
    `translated` over there; `latent_there` is the mean that the other encoder finds in the translation, and `returned`
    what this domain's decoder makes of that.
    """

    latent: Maps
    rebuilt: Images
    translated: Images
    latent_there: Maps
    returned: Images


def reconstruction(rebuilt: Images, images: Images) -> Loss:
    """Mean absolute error."""
    return (rebuilt - images).abs().mean()


def kl(mean: Maps) -> Loss:
    """Mean of the squared latent means: twice the divergence of N(mean, I) from N(0, I) per number."""
    return mean.square().mean()


def gan_generator(fake: Sequence[Scores]) -> Loss:
    """How far the scores of translations are from 1, the score of real images: mean square, summed over the scales.

    Mao et al., "Least squares generative adversarial networks" (2017), with targets 0 and 1, without the factor 1/2.
    """
    return _sum((scores - 1).square().mean() for scores in fake)


def gan_discriminator(real: Sequence[Scores], fake: Sequence[Scores]) -> Loss:
    """How far real images are from scoring 1 and translations from scoring 0: mean squares, summed over the scales."""
    return gan_generator(real) + _sum(scores.square().mean() for scores in fake)


def perceptual(images: Images, others: Images, trunk: Trunk) -> Loss:
    """Mean squared difference of the trunk's maps, each channel of each image brought to mean 0 and deviation 1.

    Huang et al., "Multimodal unsupervised image-to-image translation" (2018), section 5.1: without its statistics a
    feature says less about the domain and more about the content. The maps must have more than one place.
    """
    first, second = (functional.instance_norm(trunk(one)) for one in (images, others))
    return (first - second).square().mean()


def exchange(day: Domain, night: Domain) -> tuple[Travel, Travel]:
    """Both domains' images encoded, rebuilt, translated and brought back; the travel of the day's images first.

    One draw from the posterior serves the rebuilding and the translation, as in eq. 3 and 5 of the paper.
    """
    return _travel(day, night), _travel(night, day)


def generator_losses(
    day: Domain, night: Domain, travels: tuple[Travel, Travel], weights: Weights, trunk: Trunk | None = None
) -> dict[str, Loss]:
    """The terms of the VAEs' loss by name, `gan_day` to `perceptual_night`, unweighted, and their weighted `total`.

    `travels` are what `exchange` gives. The domain in a name is that of the images the term starts from. Perceptual
    terms are there if their weight is not 0, and then need a `trunk`. Gradients reach the discriminators too, whose
    optimiser must not step on them.
    """
    by_domain = {"day": _terms(day, travels[0], night), "night": _terms(night, travels[1], day)}
    if weights.perceptual:
        assert trunk is not None, "the perceptual loss needs a trunk"
        for terms, domain, travel in zip(by_domain.values(), (day, night), travels, strict=True):
            terms["perceptual"] = perceptual(travel.translated, domain.images, trunk)
    total = _sum(getattr(weights, name) * term for terms in by_domain.values() for name, term in terms.items())
    named = {f"{name}_{domain}": term for domain, terms in by_domain.items() for name, term in terms.items()}
    return {**named, "total": total}


def discriminator_losses(
    day: Domain, night: Domain, travels: tuple[Travel, Travel], weights: Weights
) -> dict[str, Loss]:
    """The losses of both discriminators, `judge_day` and `judge_night` by the domain whose images are real to it,
    unweighted, and their weighted `total`. Gradients stop at the translations.
    """
    from_day, from_night = (travel.translated.detach() for travel in travels)
    terms = {
        "judge_day": gan_discriminator(day.discriminator(day.images), day.discriminator(from_night)),
        "judge_night": gan_discriminator(night.discriminator(night.images), night.discriminator(from_day)),
    }
    return {**terms, "total": weights.gan * _sum(terms.values())}


def _travel(home: Domain, away: Domain) -> Travel:
    latent = home.vae.encode(home.images)
    drawn = home.vae.sample(latent)
    translated = away.vae.decode(drawn)
    latent_there = away.vae.encode(translated)
    returned = home.vae.decode(away.vae.sample(latent_there))
    return Travel(latent, home.vae.decode(drawn), translated, latent_there, returned)


def _terms(home: Domain, travel: Travel, away: Domain) -> dict[str, Loss]:
    """The terms of images that start at home, by the names of their weights."""
    return {
        "gan": gan_generator(away.discriminator(travel.translated)),
        "recon": reconstruction(travel.rebuilt, home.images),
        "kl": kl(travel.latent),
        "cycle": reconstruction(travel.returned, home.images),
        "kl_cycle": kl(travel.latent_there),
    }


def _sum(terms: Iterable[Tensor]) -> Loss:
    first, *others = terms
    return sum(others, start=first)
