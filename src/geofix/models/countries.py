"""A run that names scenes and countries: a router, a specialist for each scene (or one network for all), on disk.

recipe.yaml, preprocess.json, classes.json and weights.safetensors are all it takes to look at photos.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from geofix import recipes
from geofix.errors import WeightsError
from geofix.files import AnyPath, is_file, is_folder, write_atomically, write_json
from geofix.models.backbones import read_state
from geofix.models.classifier import Classifier, Design, open_classifier
from geofix.models.runs import fill
from geofix.recipes import CountryRecipe
from geofix.transforms import Preprocess

RECIPE, PREPROCESS, CLASSES, WEIGHTS = "recipe.yaml", "preprocess.json", "classes.json", "weights.safetensors"
FILES = (RECIPE, PREPROCESS, CLASSES, WEIGHTS)
ROUTER = "router"
ALL = "all"
"""The name of a single network's head."""


@dataclass(frozen=True, slots=True)
class Head:
    """What one network can say: its classes in order, how many photos of each it learned from, the temperature that its
    logits are divided by (from photos held out), and what it is made of.
    """

    name: str
    classes: tuple[str, ...]
    photos: tuple[int, ...]
    design: Design
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.photos) or len(set(self.classes)) != len(self.classes):
            raise ValueError("a head has different classes, and a number of photos for each")
        if not self.temperature > 0:
            raise ValueError(f"a temperature is above 0, not {self.temperature}")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Head:
        """From classes.json."""
        design = dict(fields["design"])
        size, mean, std = (design[key] for key in ("image_size", "mean", "std"))
        looks = {
            "image_size": tuple(size),
            "mean": None if mean is None else tuple(mean),
            "std": None if std is None else tuple(std),
            "stages": tuple(design.get("stages", ())),
        }
        return cls(
            str(fields["name"]),
            tuple(str(name) for name in fields["classes"]),
            tuple(int(count) for count in fields["photos"]),
            Design(**{**design, **looks}),
            float(fields["temperature"]),
        )


@dataclass(frozen=True, slots=True)
class Sureness:
    """From which probability on an answer is given, so that `error_rate` of the answers are wrong: for countries by
    soft and by hard routing, and for continents. None: nothing was held out to learn it on, or no limit reaches it.
    """

    error_rate: float
    soft: float | None = None
    hard: float | None = None
    continent: float | None = None
    photos: int = 0
    groups: int = 0


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a run knows: the level of its countries, its router and heads, and from when on it answers; of every country
    whose photos had positions the middle of those (lat, lon in degrees), and the run that the router was taken from.
    """

    level: str
    router: Head | None
    heads: tuple[Head, ...]
    sureness: Sureness
    router_from: str | None = None
    centres: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def countries(self) -> tuple[str, ...]:
        """Every country that any head can say, sorted: the closed set."""
        return tuple(sorted({country for head in self.heads for country in head.classes}))

    @property
    def every(self) -> tuple[Head, ...]:
        """The router, if there is one, and the heads."""
        return self.heads if self.router is None else (self.router, *self.heads)

    def to_dict(self) -> dict[str, Any]:
        """As stored in classes.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Knowledge:
        """From classes.json. Raises WeightsError when it is damaged."""
        try:
            router = None if fields["router"] is None else Head.from_dict(fields["router"])
            heads = tuple(Head.from_dict(head) for head in fields["heads"])
            centres = {str(code): (float(at[0]), float(at[1])) for code, at in fields.get("centres", {}).items()}
            sure = Sureness(**fields["sureness"])
            return cls(str(fields["level"]), router, heads, sure, fields["router_from"], centres)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{CLASSES} is damaged ({error}); copy the run again or train it anew.") from error


class CountryModel(nn.Module):
    """The networks, by the names of their heads."""

    def __init__(self, networks: Mapping[str, Classifier]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(dict(networks))

    def network(self, name: str) -> Classifier:
        """The network of a head, or the router."""
        found = self.networks[name]
        assert isinstance(found, Classifier)
        return found


@dataclass(frozen=True, slots=True)
class CountryRun:
    """Networks with the recipe they were trained by, what they know, and a hash of all."""

    folder: Path
    recipe: CountryRecipe
    model: CountryModel = field(repr=False)
    knows: Knowledge
    fingerprint: str

    @property
    def name(self) -> str:
        """The recipe's name and the fingerprint's start, for people."""
        return f"{self.recipe.name} ({self.fingerprint[:8]})"


def head_design(recipe: CountryRecipe) -> Design:
    """Of the recipe's networks of countries, or of its network of scenes where that is learned."""
    return Design(
        recipe.backbone,
        recipe.frozen_through,
        recipe.dropout,
        recipe.image_size,
        recipe.mean,
        recipe.std,
        dict(recipe.backbone_options),
        recipe.stages,
    )


def router_design(recipe: CountryRecipe) -> Design:
    """Of the router that is learned beside specialists. Another backbone takes photos as it was pretrained on them."""
    design = replace(head_design(recipe), backbone=recipe.router_backbone, frozen_through=recipe.router_frozen_through)
    return design if recipe.router_backbone == recipe.backbone else replace(design, mean=None, std=None, stages=())


def save_country_run(model: CountryModel, recipe: CountryRecipe, knows: Knowledge, folder: Path) -> CountryRun:
    """Write the four files (weights last, so that a folder with weights is whole). Raises StorageError."""
    write_atomically(folder / RECIPE, recipe.to_yaml())
    looks = {head.name: model.network(head.name).preprocess.to_dict() for head in knows.every}
    write_json(folder / PREPROCESS, looks)
    write_json(folder / CLASSES, knows.to_dict())
    state = {key: value.detach().contiguous().cpu() for key, value in model.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(state))
    return CountryRun(folder, recipe, model.eval(), knows, _fingerprint(folder))


def is_country_run(folder: Path) -> bool:
    """Whether a folder holds, or was to hold, such a run."""
    if not is_file(folder / RECIPE):
        return False
    return is_file(folder / CLASSES) or isinstance(recipes.load_any(str(folder / RECIPE)), CountryRecipe)


def load_country_run(folder: AnyPath) -> CountryRun:
    """The run in a folder, ready to look at photos. Raises WeightsError that names what is missing or damaged."""
    folder = Path(folder)
    if not is_folder(folder):
        raise WeightsError(
            f"There is no run folder at {folder}; make one with `geofix train lavinskyi-country --data DIR --out "
            f"{folder}`."
        )
    missing = [name for name in FILES if not is_file(folder / name)]
    if missing:
        raise WeightsError(
            f"{folder} is no whole run that names countries: {', '.join(missing)} is missing; it may come from a "
            "training that was stopped (run the same command again with --resume), or be a run of another kind."
        )
    recipe = recipes.load_any(str(folder / RECIPE))
    if not isinstance(recipe, CountryRecipe):
        raise WeightsError(
            f"{folder} is a run for {recipe.task}, which names no countries; name one trained by a recipe such as "
            "lavinskyi-country."
        )
    knows = Knowledge.from_dict(_json(folder / CLASSES))
    looks = _json(folder / PREPROCESS)
    model = CountryModel(
        {head.name: open_classifier(head.design, len(head.classes), pretrained=False, seed=0) for head in knows.every}
    )
    for head in knows.every:
        if head.name not in looks:
            raise WeightsError(f"{folder / PREPROCESS} says nothing of {head.name}; copy the whole run folder again.")
        model.network(head.name).preprocess = Preprocess.from_dict(looks[head.name])
    fill(model, read_state(folder / WEIGHTS), folder / WEIGHTS, CLASSES)
    return CountryRun(folder, recipe, model.eval(), knows, _fingerprint(folder))


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({error}); copy the run again.") from error


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in FILES:
        data = (folder / name).read_bytes()
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:32]
