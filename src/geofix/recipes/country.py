"""CountryRecipe: every choice of one run that names the scene of a photo, its country, or both."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from geofix.recipes.checking import as_yaml, read_size
from geofix.recipes.places import Precision

Level = Literal["territory", "sovereign"]
Balance = Literal["none", "loss", "draw"]


class CountryRecipe(BaseModel):
    """Classifiers of scenes and countries, and how they learn. Frozen; an unknown key is an error.

    The defaults are those of Lavinskyi and Skurat, "Algorithmic and software image recognition method for tracking
    object geolocation" (2025); what the paper leaves open, and what was chosen for it, is listed in docs/country.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "unnamed"  # the recipe's own name, for tables
    task: Literal["country"] = "country"

    learn: Literal["country", "scene"] = "country"  # countries (with a router of scenes before them), or scenes alone
    routing: Literal["scene", "none"] = "scene"  # one specialist a scene, or a single network for all
    router: str | None = None  # a run that names scenes, used as it is; none: one is learned where the data name scenes
    level: Level = "territory"  # which country a dependent territory counts as: itself, or its sovereign

    backbone: str = "resnet50"  # any timm model; of the specialists, or of the scenes' network where that is learned
    frozen_through: str | None = "layer3.3"  # the last part of it that never learns; null: all of it learns in phase 2
    router_backbone: str = "efficientnet_b0"  # the same of the router that is learned beside specialists
    router_frozen_through: str | None = "blocks.4"  # of the router that is learned beside specialists
    method: Literal["gradient", "logistic"] = "gradient"  # two phases of steps; or logistic regression on what trunks
    # see that stay as they are, calibrated by cross-fitting: minutes, for some ten thousand photos
    stages: tuple[str, ...] = ()  # of logistic: modules whose maps are pooled beside the last ones
    penalty: float = Field(default=1e-4, gt=0)  # of logistic: on squared weights, of vectors of length 1
    shrinkage: float = Field(default=1.0, gt=0, le=1)  # of logistic: how far scatter within groups is drawn to a sphere
    specialist_penalty: float | None = Field(default=None, gt=0)  # the same of specialists; none: `penalty`
    backbone_options: dict[str, str | int | float | bool] = Field(default_factory=dict)  # given to timm for both
    pretrained: Literal["imagenet", "file", "none"] = "imagenet"  # where trunks start; "none": seeded random
    weights: str | None = None  # the file they started from and what that covered, written by train
    random_tensors: int = Field(default=0, ge=0)  # of the trunks, which that file did not cover; written by train
    specialists_from: Literal["trunk", "single"] = "trunk"  # where specialists start: as the paper, or a network
    # learned on the photos of all scenes before

    dropout: float = Field(default=0.5, ge=0, lt=1)  # between the pooled maps and the classes
    flip_test: bool = False  # average the logits of a photo and its mirror image

    image_size: tuple[int, int] = (224, 224)  # rows x columns, written HxW
    mean: tuple[float, float, float] | None = None  # of RGB in 0..1; none: what the backbone was pretrained with
    std: tuple[float, float, float] | None = None

    seed: int = Field(default=0, ge=0)
    precision: Precision = "fp32"  # of the trunks' arithmetic when photos are looked at

    epochs: int = Field(default=40, ge=0)  # of each network of countries, or of the scenes' where that is learned
    frozen_epochs: int = Field(default=10, ge=0)  # of these the first, in which trunks stand still (phase 1)
    router_epochs: int = Field(default=50, ge=0)  # of the router that is learned beside specialists
    batch_size: int = Field(default=32, ge=2)  # photos a step
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)  # of the classes' layer, in both phases
    trunk_rate: float = Field(default=1.0, ge=0)  # of the trunk in phase 2, as a factor on that; 0: never learned
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"  # of both rates, over all steps of both phases
    batch_norm: Literal["train", "frozen"] = "frozen"  # of the open part: statistics from each batch, or as they came
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the classes
    balance: Balance = "none"  # rare classes count more in the loss, or are drawn more often
    mixup: float = Field(default=0.0, ge=0)  # photos of a batch are mixed two by two, by Beta(a, a); 0: not
    train_precision: Precision = "fp32"
    channels_last: bool = True  # memory format while training; the results are the same up to rounding
    choose_on: Literal["last", "block"] = "last"  # weights of the last epoch, or of the best on the block
    block_share: float = Field(default=0.15, gt=0, lt=1)  # of the groups of train, held out to calibrate on
    error_rate: float = Field(default=0.2, gt=0, lt=1)  # that answers may have; less sure ones are "can't tell"

    augment_flip: bool = True  # mirror half of the photos
    augment_rotate_deg: float = Field(default=15.0, ge=0, le=180)  # turn by up to this, either way
    augment_zoom: float = Field(default=0.2, ge=0, lt=1)  # zoom in or out by up to this share
    augment_area: float = Field(default=0.6, gt=0, le=1)  # the least share of the photo that a crop keeps
    augment_aspect: tuple[float, float] = (3 / 4, 16 / 9)  # width by height of the crop, from and to
    augment_colour: float = Field(default=0.0, ge=0, le=1)  # jitter of brightness, contrast, saturation
    augment_grey: float = Field(default=0.0, ge=0, le=1)  # share of the photos that lose their colours

    _size = field_validator("image_size", mode="before")(read_size)

    @model_validator(mode="after")
    def _fits_together(self) -> CountryRecipe:
        """Refuse what cannot work before hours are spent on it."""
        if self.learn == "scene" and (self.router is not None or self.routing == "none"):
            raise ValueError("a network of scenes is itself the router; leave router and routing out")
        if self.router is not None and self.routing == "none":
            raise ValueError("a single network needs no router; leave router out, or set routing to scene")
        if self.routing == "none" and self.specialists_from == "single":
            raise ValueError("a single network has no specialists; leave specialists_from out")
        if (self.method == "logistic") != bool(self.stages):
            raise ValueError("method logistic needs stages, names of the backbone's modules, and nothing else has them")
        if self.method == "logistic" and self.balance == "draw":
            raise ValueError("logistic regression draws no photos; set balance to loss or none")
        low, high = self.augment_aspect
        if not 0 < low <= high:
            raise ValueError("augment_aspect is two numbers above 0, the smaller first")
        if self.frozen_epochs > max(self.epochs, self.router_epochs) > 0:
            raise ValueError(f"frozen_epochs are among the epochs, and {self.frozen_epochs} are more than all of them")
        return self

    def without_origin(self) -> CountryRecipe:
        """The recipe without what training wrote into it."""
        return self.model_copy(update={"weights": None, "random_tensors": 0})

    def to_yaml(self) -> str:
        """The recipe as YAML that `parse_any` reads back to an equal recipe."""
        fields: dict[str, Any] = self.model_dump(mode="json")
        return as_yaml(fields, self.image_size)
