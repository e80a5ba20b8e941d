"""NightRecipe: every choice of one run that turns day into night and back."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from geofix.recipes.checking import as_yaml, read_size
from geofix.recipes.places import Precision

DiscriminatorNorm = Literal["none", "batch", "instance", "layer"]


class NightRecipe(BaseModel):
    """UNIT's networks, what they are trained to lower, and for how long. Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "unnamed"  # the recipe's own name, for tables
    task: Literal["night"] = "night"

    channels: int = Field(default=64, ge=1)  # of encoder and decoder at full size; doubled at every halving
    residual_blocks: int = Field(default=4, ge=0)  # of the encoder, and as many of the decoder
    downsamplings: int = Field(default=2, ge=0, le=5)  # halvings between a photo and its latent
    discriminator_channels: int = Field(default=64, ge=1)  # after its first layer; doubled with every other
    discriminator_layers: int = Field(default=4, ge=1)  # of each scale, each of which halves
    discriminator_scales: int = Field(default=3, ge=1)  # at which photos are judged
    discriminator_norm: DiscriminatorNorm = "none"  # after its convolutions: none, batch, instance or layer

    shorter_side: int = Field(default=512, ge=32, le=4096)  # to which photos are scaled, in training and translating
    image_size: tuple[int, int] = (288, 512)  # rows x columns of the random crops learned from, written HxW

    gan: float = Field(default=1.0, ge=0)  # what each term of the loss counts: translations pass for real
    recon: float = Field(default=10.0, ge=0)  # photos rebuilt in their own domain
    kl: float = Field(default=0.01, ge=0)  # their latents near the prior
    cycle: float = Field(default=10.0, ge=0)  # photos that went to the other domain and came back
    kl_cycle: float = Field(default=0.01, ge=0)  # the latents of translations near the prior
    perceptual: float = Field(default=0.0, ge=0)  # translations look to a trunk as the photos did
    perceptual_backbone: str = "vgg16.tv_in1k"  # that trunk
    perceptual_cut: str = "last"  # the stage whose maps are compared

    steps: int = Field(default=1_000_000, ge=0)  # each of batch_size photos of both domains; 0: the untrained run
    epochs: int | None = Field(default=None, ge=0)  # passes over the larger domain, instead of steps
    batch_size: int = Field(default=1, ge=1)  # photos of each domain a step
    learning_rate: float = Field(default=1e-4, gt=0)  # of both optimisers, Adam with betas 0.5 and 0.999
    weight_decay: float = Field(default=1e-4, ge=0)  # of both
    halve_every: int = Field(default=100_000, ge=1)  # steps after which the learning rate is halved
    flip: bool = True  # mirror half of the photos
    seed: int = Field(default=0, ge=0)  # of weights, crops and noise
    precision: Precision = "fp32"  # of translating: fp32 or bf16
    train_precision: Precision = "fp32"  # of training: fp32, or bf16 by autocast

    save_every: int = Field(default=1000, ge=1)  # steps between checkpoints, rows of metrics.csv and sample sheets
    sheet_photos: int = Field(default=4, ge=1)  # of each domain on a sample sheet

    _size = field_validator("image_size", mode="before")(read_size)

    @model_validator(mode="after")
    def _fits_together(self) -> NightRecipe:
        """Refuse what cannot work before hours are spent on it."""
        part = 2**self.downsamplings
        if any(side % part for side in self.image_size):
            raise ValueError(
                f"{self.downsamplings} downsamplings need an image_size of multiples of {part}, not "
                f"{self.image_size[0]}x{self.image_size[1]}"
            )
        if min(self.image_size) > self.shorter_side:
            raise ValueError(
                f"crops of {self.image_size[0]}x{self.image_size[1]} do not fit into photos whose shorter side is "
                f"{self.shorter_side}"
            )
        least = 2 ** (self.discriminator_layers + self.discriminator_scales - 1)
        if min(self.image_size) < least:
            raise ValueError(
                f"{self.discriminator_scales} scales of {self.discriminator_layers} layers need crops of at least "
                f"{least} pixels, not {self.image_size[0]}x{self.image_size[1]}"
            )
        return self

    def to_yaml(self) -> str:
        """The recipe as YAML that `parse` reads back to an equal recipe."""
        return as_yaml(self.model_dump(mode="json"), self.image_size)
