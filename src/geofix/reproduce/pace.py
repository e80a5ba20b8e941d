"""How much shorter than the papers trainings must be to fit into a budget of minutes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from geofix.encode import Inference
from geofix.errors import UsageError
from geofix.learn.place_learner import freeze
from geofix.models.build import build
from geofix.recipes import Recipe

ROUNDS = 5  # minings an epoch, as in the papers: the schedules are stepped after each
_FEWEST = 4 * ROUNDS  # queries an epoch: one step a round
_FEWEST_CANDIDATES = 200  # for negatives; fewer would make them easy
_PHOTOS = 48  # in a step of the papers


@dataclass(frozen=True, slots=True)
class Pace:
    """Queries an epoch, queries between two minings, and candidates for negatives, of every training."""

    queries_per_epoch: int
    cache_refresh: int
    negative_candidates: int

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """What it changes in a recipe: nothing is ever made longer."""
        return {key: min(value, getattr(recipe, key)) for key, value in asdict(self).items()}

    def shortens(self, recipe: Recipe) -> bool:
        """Whether it changes anything in a recipe."""
        return any(value < getattr(recipe, key) for key, value in asdict(self).items())

    def __str__(self) -> str:
        return f"{self.queries_per_epoch} queries an epoch, mined from {self.negative_candidates} gallery photos"


def pace_for(trainings: Sequence[Recipe], minutes: float, photos_measured: int, tests: int) -> Pace | None:
    """The longest pace at which all `trainings` are done in `minutes`, by the speed measured here and now; None where
    they need not be shorter than they are.

    `photos_measured` are looked at after every epoch, twice at the end, and in each of `tests`. Raises UsageError where
    not even the shortest training would be done.
    """
    if not trainings:
        return None
    speeds = {_kind(recipe): _seconds_a_photo(recipe) for recipe in {_kind(one): one for one in trainings}.values()}
    epochs = sum(recipe.epochs for recipe in trainings)
    step = sum(recipe.epochs * speeds[_kind(recipe)][0] for recipe in trainings) / epochs
    look = sum(recipe.epochs * speeds[_kind(recipe)][1] for recipe in trainings) / epochs
    measuring = look * photos_measured * (epochs + 3 * len(trainings) + tests)
    left = 60 * minutes - measuring
    # An epoch costs a step of twelve photos and one look a query, and ROUNDS looks at the candidates.
    for candidates in (1000, 500, _FEWEST_CANDIDATES):
        queries = int((left / epochs - ROUNDS * candidates * look) / (12 * step + 2 * look))
        if queries >= 2 * candidates or (candidates == _FEWEST_CANDIDATES and queries >= _FEWEST):
            queries = min(queries, max(recipe.queries_per_epoch for recipe in trainings))
            pace = Pace(queries, -(-queries // ROUNDS), candidates)
            return pace if any(pace.shortens(recipe) for recipe in trainings) else None
    raise UsageError(
        f"{minutes:g} minutes are too few for {len(trainings)} trainings of {epochs} epochs together: measuring alone "
        f"takes about {measuring / 60:.0f}; give a larger --budget, fewer rows, or smaller photos (--set image_size)."
    )


def _kind(recipe: Recipe) -> tuple[str, str, int]:
    """Recipes of one kind are about equally fast."""
    return recipe.backbone, recipe.pooling, len(recipe.members)


def distinct(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Those that are trained, each once."""
    unlike = {recipe.model_copy(update={"name": ""}).to_yaml(): recipe for recipe in recipes if recipe.epochs}
    return list(unlike.values())


def _seconds_a_photo(recipe: Recipe) -> tuple[float, float]:
    """Of a training step, and of a look without gradients."""
    encoder = build(recipe.model_copy(update={"pretrained": "none"}), pretrained=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows, columns = recipe.image_size
    images = torch.randn(_PHOTOS, 3, rows, columns, device=device).contiguous(memory_format=torch.channels_last)
    freeze(encoder)
    learning = encoder.to(device).train()

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=recipe.train_precision == "bf16"):
            descriptors = learning(images)
        torch.autograd.backward(descriptors.square().sum())

    inference = Inference(encoder, recipe.precision)
    pixels = torch.zeros(inference.batch_size, 3, rows, columns, dtype=torch.uint8)
    return _timed(step) / _PHOTOS, _timed(lambda: inference(pixels)) / len(pixels)


def _timed(work: Any) -> float:
    work()
    began = time.perf_counter()
    for _ in range(3):
        work()
    return (time.perf_counter() - began) / 3
