"""NightRun: UNIT's networks on disk. recipe.yaml and weights.safetensors are all it takes to translate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from geofix import recipes
from geofix.errors import WeightsError
from geofix.files import is_file, is_folder, write_atomically
from geofix.night.networks import VAE, Discriminator
from geofix.recipes import NightRecipe

RECIPE, WEIGHTS = "recipe.yaml", "weights.safetensors"


class Unit(nn.Module):
    """The VAEs of both domains. What one encodes the other can decode."""

    def __init__(self, recipe: NightRecipe) -> None:
        super().__init__()
        sizes = (recipe.channels, recipe.residual_blocks, recipe.downsamplings)
        self.day, self.night = VAE(*sizes), VAE(*sizes)


class Judges(nn.Module):
    """The discriminators of both domains."""

    def __init__(self, recipe: NightRecipe) -> None:
        super().__init__()
        channels, scales = recipe.discriminator_channels, recipe.discriminator_scales
        layers, norm = recipe.discriminator_layers, recipe.discriminator_norm
        self.day = Discriminator(channels, scales, layers, norm)
        self.night = Discriminator(channels, scales, layers, norm)


@dataclass(frozen=True, slots=True)
class NightRun:
    """Trained networks, the recipe they were trained by, and a hash of both."""

    folder: Path
    recipe: NightRecipe
    unit: Unit = field(repr=False)
    fingerprint: str

    @property
    def name(self) -> str:
        """The recipe's name and the fingerprint's start, for people."""
        return f"{self.recipe.name} ({self.fingerprint[:8]})"


def build_unit(recipe: NightRecipe) -> tuple[Unit, Judges]:
    """Networks that start from the recipe's seed; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return Unit(recipe), Judges(recipe)


def save_night_run(unit: Unit, recipe: NightRecipe, folder: Path) -> NightRun:
    """Write the recipe, then the weights, so that a folder with weights is whole. Raises StorageError."""
    write_atomically(folder / RECIPE, recipe.to_yaml())
    state = {key: value.detach().contiguous().cpu() for key, value in unit.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(state))
    return NightRun(folder, recipe, unit, _fingerprint(folder))


def load_night_run(folder: Path) -> NightRun:
    """The run in a folder, ready to translate. Raises WeightsError that names what is missing, foreign or damaged."""
    if not is_folder(folder):
        raise WeightsError(
            f"There is no run folder at {folder}; make one with `geofix train unit-small --data DIR --out {folder}`."
        )
    missing = [name for name in (RECIPE, WEIGHTS) if not is_file(folder / name)]
    if missing:
        raise WeightsError(
            f"{folder} is no whole run folder: {', '.join(missing)} is missing; it may come from a training that was "
            "stopped: run the same command again with --resume."
        )
    recipe = recipes.load_any(str(folder / RECIPE))
    if not isinstance(recipe, NightRecipe):
        raise WeightsError(
            f"{folder} is a run for {recipe.task}, which translates nothing; name one trained by a recipe such "
            "as unit-small."
        )
    unit = Unit(recipe)
    try:
        state = load((folder / WEIGHTS).read_bytes())
        unit.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"{folder / WEIGHTS} does not fit the recipe beside it ({' '.join(str(error).split())[:200]}); copy the "
            "whole run folder again."
        ) from error
    return NightRun(folder, recipe, unit.eval(), _fingerprint(folder))


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (RECIPE, WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:32]
