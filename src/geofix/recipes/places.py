"""Recipe: every choice of one run for places, in one frozen value that is saved beside the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from geofix.recipes.checking import as_yaml, nearest, read_size, reason

PoolingName = Literal["gem", "netvlad", "mac", "spoc", "rmac"]
L2Where = Literal["before_pool", "after_pool", "none"]
Precision = Literal["fp32", "bf16"]
LossName = Literal["triplet", "sare_ind", "sare_joint", "multi_similarity"]
Mining = Literal["partial", "full", "random"]
# The papers' changes to queries; what each does is in `augment.papers`.
AugmentName = Literal[
    "night", "simple-night",
    "martin-colour-1", "martin-colour-2", "martin-colour-3", "martin-colour-3-inside", "martin-colour-4",
    "martin-colour-5", "martin-colour-6", "perspective-fill", "perspective-crop", "martin-perspective-1",
    "martin-perspective-2", "martin-perspective-3", "martin-perspective-4", "martin-perspective-5",
    "martin-perspective-6", "occlusion",
]  # fmt: skip
AugmentAs = Literal["described", "coded"]
Stepping = Literal["skip", "resize"]
Joining = Literal["concat", "tile", "average"]
Combining = Literal["add", "divide", "concat"]

# What an ensemble says of itself alone, and what all its members must share: they look at the same pixels.
_OF_ENSEMBLE = ("members", "combine", "member_weights", "equal_norms", "pca")
_SHARED = ("image_size", "mean", "std")
_FIRST_OF_TRAINING = "learn"  # from this key on they say how is learned
_LEAST_STEPPED = 32  # pixels of the shorter side that a trunk can still make a map of


class Recipe(BaseModel):
    """What an encoder is made of and how it is run. Frozen; an unknown key or an impossible value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "unnamed"  # the recipe's own name, for tables
    task: Literal["places"] = "places"

    backbone: str = "resnet18"  # any timm model, or torchvision's alexnet
    cut: str = "layer3"  # the stage whose output is pooled: a name of the backbone, "conv4", "conv5" or "last"
    pretrained: Literal["imagenet", "file", "none"] = "imagenet"  # where the trunk starts; "none": seeded random
    weights: str | None = None  # the file it started from and what that covered, written by train
    random_tensors: int = Field(default=0, ge=0)  # of the trunk, which that file did not cover; written by train
    epochs_before: int = Field(default=0, ge=0)  # which the run had learned that it started from; written by train
    pooling: PoolingName = "gem"
    gem_p: float = Field(default=3.0, gt=0)  # GeM's exponent at the start
    gem_p_learnable: bool = True
    netvlad_clusters: int = Field(default=64, ge=2)
    netvlad_photos: int = Field(default=500, ge=1)  # photos sampled to place the clusters
    netvlad_locations: int = Field(default=100, ge=1)  # local descriptors sampled from each
    rmac_levels: int = Field(default=3, ge=1)
    l2: L2Where = "before_pool"  # L2 over channels before pooling (the papers), or over the descriptor after
    scales: tuple[float, ...] = (1.0,)  # of the image; the maps of all are pooled together
    steps: tuple[int, ...] = ()  # smaller images beside it, of every step-th row and column
    steps_by: Stepping = "skip"  # leave pixels out (the papers' code), or filter and resize
    join: Joining = "concat"  # the maps of all sizes: side by side, the papers' naive average, or place by place
    whiten_directions: int = Field(default=0, ge=0)  # which learned whitening may shrink; 0 leaves it out
    whiten_floor: float = Field(default=0.3, gt=0)  # the larger, the gentler
    projection: int | None = Field(default=None, ge=1)  # length after a linear layer and L2; none leaves it out
    pca: int | None = Field(default=None, ge=1)  # principal components of the finished descriptor; none leaves it whole

    members: tuple[dict[str, Any], ...] = ()  # of an ensemble: for each, its settings over the rest of the recipe
    combine: Combining | None = None  # members' descriptors: side by side, their sum, or their sum by their number
    member_weights: tuple[float, ...] = ()  # factors of the members' descriptors; none: 1 each
    equal_norms: bool = False  # bring each member's descriptor to unit length first

    image_size: tuple[int, int] = (480, 640)  # rows x columns, written HxW
    mean: tuple[float, float, float] | None = None  # of RGB in 0..1; none: what the backbone was pretrained with
    std: tuple[float, float, float] | None = None

    seed: int = Field(default=0, ge=0)
    precision: Precision = "fp32"  # of the trunk's arithmetic when photos are encoded

    # a query and its mined photos; photos grouped into places; or pairs that show one place, for the whitening alone
    learn: Literal["triplets", "classes", "pairs"] = "triplets"
    loss: LossName = "triplet"
    margin: float = Field(default=0.1, ge=0)  # of the triplet loss
    positive_within_m: float = Field(default=10.0, gt=0)  # how near a photo must be to be learned as the same place
    positive_heading_deg: float | None = Field(default=None, gt=0, le=180)  # and how alike in heading; none: any
    negative_beyond_m: float = Field(default=25.0, gt=0)  # how far a photo must be to be learned as another place
    mining: Mining = "partial"  # negatives from one shared sample, from a sample a query, or by chance
    negatives: int = Field(default=10, ge=1)  # a query
    negative_candidates: int = Field(default=1000, ge=1)  # gallery photos among which negatives are mined
    queries_per_epoch: int = Field(default=5000, ge=1)
    cache_refresh: int = Field(default=1000, ge=1)  # queries between two minings
    pairs: int = Field(default=4000, ge=1)  # from which the whitening is learned, at most
    night_pairs: float = Field(default=0.0, ge=0, le=1)  # of a photo and its simple night, for each of these
    photos_per_place: int = Field(default=4, ge=2)  # of the classes
    batch_size: int = Field(default=4, ge=1)  # triplets a step in the papers; places a step of the classes

    frozen_through: str | None = None  # the last part of the backbone that is not trained; none trains all
    batch_norm: Literal["train", "frozen"] = "train"  # statistics from each batch (the papers), or as they came
    optimizer: Literal["adam", "adamw", "sgd", "asgd"] = "adam"
    learning_rate: float = Field(default=1e-5, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    # the last two change it between minings, as the papers: plateau to a tenth where the loss stands still for two
    schedule: Literal["constant", "cosine", "cosine_rounds", "plateau"] = "constant"  # of the learning rate
    warmup_steps: int = Field(default=0, ge=0)
    epochs: int = Field(default=0, ge=0)  # 0 writes the untrained run
    patience: int = Field(default=3, ge=1)  # epochs without a better R@5 where weights are chosen before it stops
    choose_on: Literal["block", "val"] = "block"  # where weights are chosen: a block cut from train, or val itself
    block_share: float = Field(default=0.2, gt=0, lt=1)  # of train's photos
    accumulate: int = Field(default=1, ge=1)  # steps whose gradients are added up
    train_precision: Precision = "fp32"
    channels_last: bool = True  # memory format while training; the results are the same up to rounding

    augment_colour: float = Field(default=0.0, ge=0, le=1)  # jitter of brightness, contrast, saturation
    augment_crop: float = Field(default=1.0, gt=0, le=1)  # the smallest share of a photo that a random crop keeps
    augment_perspective: float = Field(default=0.0, ge=0, le=1)  # distortion
    augment_erase: float = Field(default=0.0, ge=0, le=1)  # probability that a rectangle is blotted out
    augment_flip: bool = False  # mirror all photos of a place, or none
    augment: tuple[AugmentName, ...] = ()  # the papers' changes to queries alone, by name, in the papers' order
    augment_as: AugmentAs = "described"  # as the paper describes them, or as its program did them

    _size = field_validator("image_size", mode="before")(read_size)

    @field_validator("augment", mode="before")
    @classmethod
    def _augmentations(cls, value: object) -> object:
        """Accept one name as well as a list, and tell the nearest of an unknown one."""
        names, known = [value] if isinstance(value, str) else value, get_args(AugmentName)
        if not isinstance(names, list | tuple):
            raise ValueError("names of augmentations are written in a list, for example [night, occlusion]")
        for name in names:
            if name not in known:
                close = nearest(str(name), known)
                raise ValueError(f"there is no augmentation {name!r}{close}; known are: {', '.join(known)}")
        if len(set(names)) < len(names):
            raise ValueError("an augmentation is named once or not at all")
        return tuple(names)

    @field_validator("members", mode="before")
    @classmethod
    def _members(cls, value: object) -> object:
        """Each member is a map of known keys; what all members must share stands in the ensemble."""
        if not isinstance(value, list | tuple) or not all(isinstance(member, dict) for member in value):
            raise ValueError("members are a list of maps, for example [{}, {pooling: gem}]")
        for number, member in enumerate(value, start=1):
            for key in member:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"member {number} sets {key!r}, which is no key{nearest(str(key), cls.model_fields)}"
                    )
                if key in _SHARED:
                    raise ValueError(
                        f"member {number} sets {key}, but the members of an ensemble look at the same pixels; set it "
                        "for the ensemble as a whole"
                    )
        return json.loads(json.dumps(value, default=str))  # tuples as lists, as they come back from a file

    @model_validator(mode="after")
    def _ensemble(self) -> Recipe:
        """Refuse members that cannot be combined."""
        if len(self.members) == 1:
            raise ValueError("an ensemble has two or more members; one is no ensemble")
        if self.members and self.member_weights and len(self.member_weights) != len(self.members):
            raise ValueError(f"there are {len(self.member_weights)} weights for {len(self.members)} members")
        if any(not math.isfinite(weight) or weight == 0 for weight in self.member_weights):
            raise ValueError("the weight of a member is a number other than 0; leave out a member that counts nothing")
        if self.members and self.learn == "pairs":
            raise ValueError("an ensemble does not learn from pairs; train its members so, each for itself")
        for number, settings in enumerate(self.members, start=1):
            try:
                self._member(settings)
            except ValidationError as error:
                raise ValueError(f"member {number}: {reason(error)}") from error
        if self.pca is not None and self.epochs:
            raise ValueError(
                "a PCA is fitted to an encoder that is trained already; train without it, then write another run from "
                "that one with --weights RUN --epochs 0 --set pca=N"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        """Refuse what cannot work before hours are spent on it."""
        if not self.scales or any(not 0.25 <= scale <= 4 for scale in self.scales):
            raise ValueError("scales are one or more factors of 0.25..4")
        if self.warmup_steps and self.schedule in ("cosine_rounds", "plateau"):
            raise ValueError(f"{self.schedule} changes the rate between rounds and has no warm-up; leave it out")
        if any(step < 2 for step in self.steps):
            raise ValueError("steps are whole numbers from 2; a step of 1 is the image itself")
        if self.steps and max(self.steps) * _LEAST_STEPPED > min(self.image_size):
            raise ValueError(
                f"a step of {max(self.steps)} leaves {min(self.image_size) // max(self.steps)} of "
                f"{min(self.image_size)} pixels; {_LEAST_STEPPED} are needed, choose smaller steps or larger images"
            )
        if self.join != "concat" and max(self.scales) > self.scales[0]:
            raise ValueError(f"{self.join} joins smaller maps with the first; name the largest of the scales first")
        if self.pooling == "rmac" and self.join == "concat" and len(self.scales) + len(self.steps) > 1:
            raise ValueError(
                "rmac pools squares of one map and cannot pool several scales side by side; choose one, or join=average"
            )
        if self.night_pairs and self.learn != "pairs":
            raise ValueError(
                "night_pairs belong to learn=pairs; queries are learned at night by augment=[simple-night]"
            )
        if self.learn == "pairs" and not self.whiten_directions:
            raise ValueError("learning from pairs learns the whitening and nothing else; set whiten_directions too")
        return self

    def member_recipes(self) -> tuple[Recipe, ...]:
        """The whole recipe of each member of an ensemble, in order; nothing where the recipe is of no ensemble."""
        return tuple(self._member(settings) for settings in self.members)

    def of_members(self, members: Sequence[Recipe], **shared: Any) -> Recipe:
        """The recipe as that of an ensemble of those members; `shared` is what they have in common."""
        alone = self.model_copy(update={"members": (), **shared})
        inherited = alone.model_copy(update={key: Recipe.model_fields[key].default for key in _OF_ENSEMBLE})
        settings = []
        for member in members:
            dumped, own = member.model_dump(mode="json"), inherited.model_dump(mode="json")
            settings.append({key: dumped[key] for key in dumped if key not in _SHARED and dumped[key] != own[key]})
        return alone.model_copy(update={"members": tuple(settings)})

    def without_origin(self, pretrained: Literal["imagenet", "file", "none"] | None = None) -> Recipe:
        """The recipe without what training wrote into it; with `pretrained` in the place of its own, if that is given.

        Members say no more than in what they differ, so that equal recipes are equal.
        """
        blank: dict[str, Any] = {"weights": None, "random_tensors": 0, "epochs_before": 0}
        alone = self.model_copy(update=blank if pretrained is None else {**blank, "pretrained": pretrained})
        if not self.members:
            return alone
        return alone.of_members([member.without_origin(pretrained) for member in self.member_recipes()])

    def training_of_members(self) -> list[str]:
        """Keys of training that members set for themselves, which an ensemble that is trained as one cannot heed."""
        keys = list(Recipe.model_fields)
        training = set(keys[keys.index(_FIRST_OF_TRAINING) :]) - {"frozen_through"}
        return sorted({key for settings in self.members for key in settings if key in training})

    def _member(self, settings: dict[str, Any]) -> Recipe:
        own = {key: value for key, value in self if key not in _OF_ENSEMBLE}
        return Recipe.model_validate({**own, **settings})

    def to_yaml(self) -> str:
        """The recipe as YAML that `parse` reads back to an equal recipe."""
        return as_yaml(self.model_dump(mode="json"), self.image_size)
