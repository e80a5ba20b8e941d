"""CrossviewRecipe: every choice of one run that finds places across views (drone, satellite, street)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from geofix.recipes.checking import as_yaml, read_size
from geofix.recipes.places import Precision

Partition = Literal["nested", "ring", "ring_lpn", "grid"]
PartPooling = Literal["gem", "average", "max"]
KLDirection = Literal["gallery_learns", "query_learns", "both"]


class CrossviewRecipe(BaseModel):
    """A trunk whose maps are cut into blocks, and how it learns from two views. Frozen; an unknown key is an error.

    The defaults are those of Bui, Kubo, Sato, "Cross-view image geo-localization using multi-scale generalized pooling
    with attention mechanism" (2022); what the paper leaves open follows the public code it grew from (docs/crossview.md
    says which is which).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "unnamed"  # the recipe's own name, for tables
    task: Literal["crossview"] = "crossview"

    backbone: str = "seresnet50"  # any timm model that can be cut after a stage
    cut: str = "layer4"  # the stage whose maps are cut into blocks: a name of the backbone, "conv5" or "last"
    global_stages: tuple[str, ...] = ("layer3", "layer4")  # whose maxima, together, are one more part; () leaves it out
    last_stride: Literal[1, 2] = 1  # of the stage of `cut`; 1 gives maps twice as fine
    pretrained: Literal["imagenet", "file", "none"] = "imagenet"  # where the trunk starts; "none": seeded random
    weights: str | None = None  # the file it started from and what that covered, written by train
    random_tensors: int = Field(default=0, ge=0)  # of the trunk, which that file did not cover; written by train
    epochs_before: int = Field(default=0, ge=0)  # which the run had learned that it started from; written by train

    blocks: int = Field(default=4, ge=0, le=8)  # centred squares of the maps, the last of them the whole; 0: none
    block_stages: tuple[str, ...] = ()  # earlier stages whose maps are cut into blocks, too
    partition: Partition = "nested"  # squares, rings, rings filled up with zeros (LPN), or a grid of blocks x blocks
    pooling: PartPooling = "gem"  # of each block
    gem_p: float = Field(default=3.0, gt=0)  # GeM's exponents at the start
    gem_p_learnable: bool = True  # one for each channel of each block
    part_length: int = Field(default=512, ge=1)  # numbers of the descriptor that each part gives
    flip_test: bool = True  # add what the mirrored photo gives, when photos are described

    image_size: tuple[int, int] = (256, 256)  # rows x columns, written HxW
    mean: tuple[float, float, float] | None = None  # of RGB in 0..1; none: what the backbone was pretrained with
    std: tuple[float, float, float] | None = None

    seed: int = Field(default=0, ge=0)
    precision: Precision = "fp32"  # of the trunk's arithmetic when photos are encoded

    views: tuple[str, str] = ("drone", "satellite")  # learned from together: the one that asks, the one searched
    learn: Literal["steps", "pairs"] = "steps"  # by gradients; or the parts' layers in closed form, all else as it is
    shrinkage: float = Field(default=0.5, ge=0, le=1)  # of pairs: how far scatter within places is drawn to a sphere
    loss: Literal["instance", "infonce"] = "instance"  # places as classes for each part, or pairs against the batch
    head_reduction: Literal["sum", "mean"] = "sum"  # of the parts' losses; the mean learns as many times slower
    kl: float = Field(default=1.0, ge=0)  # what the divergence between the two views' class probabilities counts
    kl_direction: KLDirection = "gallery_learns"  # which view is drawn to the other
    kl_detach: bool = True  # the view that is not drawn gets no gradient from it (as the code had it)
    temperature: float = Field(default=0.1, gt=0)  # of InfoNCE
    dropout: float = Field(default=0.75, ge=0, lt=1)  # before the classifiers
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the classes
    photos_per_place: int = Field(default=1, ge=1)  # of each view, how often a place comes in an epoch
    batch_size: int = Field(default=8, ge=2)  # places a step, a photo of each view of each

    batch_norm: Literal["train", "frozen"] = "train"  # of the trunk: statistics from each batch, or as they came
    optimizer: Literal["sgd", "adamw"] = "sgd"  # sgd with Nesterov momentum 0.9
    learning_rate: float = Field(default=1e-3, gt=0)  # of the parts and classifiers
    trunk_rate: float = Field(default=0.1, ge=0)  # of the trunk and of GeM's exponents, as a factor on that; 0: frozen
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["step", "cosine", "constant"] = "step"  # a tenth after every `step_epochs`, or down a cosine
    step_epochs: int = Field(default=80, ge=1)  # of the schedule by steps
    warmup_epochs: int = Field(default=0, ge=0)  # in which the loss counts a tenth first, and all of it at the end
    epochs: int = Field(default=0, ge=0)  # 0 writes the untrained run
    choose_on: Literal["last", "block", "val"] = "last"  # weights of the last epoch, or of the best on one of these
    measure_every: int = Field(default=1, ge=1)  # epochs between two looks at val (or where weights are chosen)
    patience: int = Field(default=1000, ge=1)  # looks without a better R@5 before it stops, where weights are chosen
    block_share: float = Field(default=0.2, gt=0, lt=1)  # of train's places, where weights are chosen on them
    accumulate: int = Field(default=1, ge=1)  # steps whose gradients are added up
    train_precision: Precision = "fp32"
    channels_last: bool = True  # memory format while training; the results are the same up to rounding

    pad: int = Field(default=10, ge=0)  # pixels by which edges are drawn out before a crop of the old size is cut
    augment_flip: bool = True  # mirror half of the photos, each by its own chance
    rotate_deg: float = Field(default=0.0, ge=0, le=180)  # turn photos of both views by up to this, either way
    rotate_gallery_deg: float = Field(default=0.0, ge=0, le=180)  # and those of the searched view by up to this
    augment_scale: float = Field(default=1.0, gt=0, le=1)  # the smallest part of the side that a photo is zoomed to
    augment_colour: float = Field(default=0.0, ge=0, le=1)  # jitter of brightness, contrast, saturation
    augment_erase: float = Field(default=0.0, ge=0, le=1)  # probability that a rectangle is blotted out

    _size = field_validator("image_size", mode="before")(read_size)

    @model_validator(mode="after")
    def _fits_together(self) -> CrossviewRecipe:
        """Refuse what cannot work before hours are spent on it."""
        if not self.blocks and not self.global_stages:
            raise ValueError("a descriptor needs parts: blocks from 1, or global_stages")
        if self.block_stages and not self.blocks:
            raise ValueError("block_stages are cut into blocks, of which there are 0; set blocks from 1")
        if self.learn == "pairs" and self.epochs > 1:
            raise ValueError("pairs are learned from at once; set epochs to 1, or to 0 for the untrained run")
        if self.views[0] == self.views[1]:
            raise ValueError("views are two different ones, for example [drone, satellite]")
        if self.loss == "infonce" and self.kl:
            raise ValueError("kl compares class probabilities, which infonce has none of; set kl to 0")
        return self

    @property
    def block_count(self) -> int:
        """How many blocks the maps are cut into."""
        return self.blocks**2 if self.partition == "grid" else self.blocks

    def without_origin(self, pretrained: Literal["imagenet", "file", "none"] | None = None) -> CrossviewRecipe:
        """The recipe without what training wrote into it; with `pretrained` in the place of its own, if given."""
        blank = {"weights": None, "random_tensors": 0, "epochs_before": 0}
        return self.model_copy(update=blank if pretrained is None else {**blank, "pretrained": pretrained})

    def to_yaml(self) -> str:
        """The recipe as YAML that `parse_any` reads back to an equal recipe."""
        return as_yaml(self.model_dump(mode="json"), self.image_size)
