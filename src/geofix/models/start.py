"""Where an encoder begins: the hub, a file of weights, a run trained before, several runs, or random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofix import recipes
from geofix.errors import RecipeError, UsageError
from geofix.files import is_folder
from geofix.models.backbones import load_trunk_weights, read_state
from geofix.models.build import build
from geofix.models.encoder import Encoder, SingleEncoder, TrunkEncoder
from geofix.models.ensemble import Ensemble
from geofix.models.pooling import NetVLAD
from geofix.models.runs import Run, load_run, shipped_runs
from geofix.recipes import CrossviewRecipe, EncoderRecipe, Recipe


@dataclass(frozen=True, slots=True)
class Start:
    """An encoder before anything is learned, and those of its parts whose NetVLAD has no clusters yet."""

    encoder: Encoder
    unplaced: tuple[SingleEncoder, ...]


def start(recipe: EncoderRecipe, weights: Path | None, members: Sequence[Path], say: list[str]) -> Start:
    """The encoder of a recipe, filled from `weights` (a file for its trunk, or a run) or from `members` (runs).

    Where neither is named the trunk comes by name through the hub's cache, or from seeded random numbers, as the
    recipe says. The encoder's recipe says where it came from. What the weights covered is appended to `say`.
    Raises RecipeError, WeightsError, UsageError.
    """
    recipe = recipe.without_origin()  # it may be that of a run, which says where that one came from
    if isinstance(recipe, CrossviewRecipe):
        if members:
            raise UsageError("Runs are combined by the recipe ensemble; leave --member out of a recipe across views.")
        return _alone(recipe, weights, say)
    if members:
        return _of_runs(recipe, weights, members, say)
    if recipe.combine is not None and not recipe.members:
        raise UsageError(
            "The recipe is that of an ensemble and names no members; name trained runs with --member RUN --member RUN, "
            "or write members into the recipe."
        )
    if recipe.members and recipe.epochs and (own := recipe.training_of_members()):
        raise RecipeError(
            f"Members set {', '.join(own)}, but an ensemble that is trained as one is trained in one way; set that for "
            "the ensemble as a whole."
        )
    return _alone(recipe, weights, say)


def _alone(recipe: EncoderRecipe, weights: Path | None, say: list[str]) -> Start:
    if weights is not None and (is_folder(weights) or str(weights) in shipped_runs()):
        return _from_run(recipe, load_run(weights), say)
    if weights is not None:
        return _from_file(recipe, weights, say)
    encoder = build(recipe, pretrained=True)
    if any(single.recipe.pretrained == "file" for single in encoder.with_trunks()):
        raise UsageError(
            "The recipe says that its trunk starts from a file of weights and none was named; add --weights FILE, "
            "or start from random weights with --set pretrained=none."
        )
    for single in encoder.with_trunks():
        if single.recipe.pretrained == "none":
            say.append(_random(single, encoder))
    return Start(encoder, _netvlads(encoder))


def _from_file(recipe: EncoderRecipe, path: Path, say: list[str]) -> Start:
    """Every trunk that is to be pretrained takes the file; where several are, each takes what fits it."""
    encoder = build(recipe, pretrained=False)
    singles = encoder.with_trunks()
    wanting = singles if len(singles) == 1 else [one for one in singles if one.recipe.pretrained != "none"]
    read_state(path)
    short = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    if not wanting:
        say.append(f"{path.name} is used by none of the members, which all start from random weights.")
    for single in singles:
        if single not in wanting:
            say.append(_random(single, encoder))
            continue
        coverage = load_trunk_weights(single.trunk, path)
        say.append(f"{path.name}: {coverage}.")
        if coverage.missing:
            say.append(f"The other {len(coverage.missing)} tensors of the trunk start from random weights.")
        noted = f"{path.name} (sha256 {short}): {coverage.covered} of {coverage.expected} tensors"
        origin = {"pretrained": "file", "weights": noted, "random_tensors": len(coverage.missing)}
        single.recipe = single.recipe.model_copy(update=origin)
    _note_members(encoder)
    return Start(encoder, _netvlads(encoder))


def _from_run(recipe: EncoderRecipe, run: Run, say: list[str]) -> Start:
    """The run's trunk, and of what comes after it everything that the recipe has in the same shape."""
    source = run.encoder
    if not isinstance(source, TrunkEncoder):
        raise UsageError(
            f"{run.folder} is an ensemble, which nothing can be started from; combine it with another run as it is, "
            "with --member."
        )
    if isinstance(recipe, Recipe) and recipe.members:
        raise UsageError(
            "An ensemble that is trained as one does not start from a run; name a file of trunk weights, or combine "
            "trained runs with --member RUN --member RUN."
        )
    encoder = build(recipe, pretrained=False)
    own, given = encoder.state_dict(), source.state_dict()
    foreign = [
        key for key in own if key.startswith("trunk.") and (key not in given or given[key].shape != own[key].shape)
    ]
    if foreign:
        raise RecipeError(
            f"{run.folder} has another trunk ({source.recipe.backbone} cut at {source.recipe.cut}) than the recipe "
            f"({recipe.backbone} cut at {recipe.cut}); set backbone and cut to the run's."
        )
    taken = {key: value for key, value in given.items() if key in own and value.shape == own[key].shape}
    if recipe.gem_p != source.recipe.gem_p:  # the run's exponent was learned from another one
        taken = {key: value for key, value in taken.items() if not (key.startswith("pooling.") and key.endswith(".p"))}
    encoder.load_state_dict(taken, strict=False)
    fresh = sorted({key.split(".")[0] for key in own if key not in taken})
    say.append(_taken(run))
    if fresh:
        say.append(f"The run has no {' and no '.join(fresh)} of that kind; it starts anew.")
    encoder.recipe = recipe.model_copy(update={**_origin(run), "epochs": recipe.epochs})
    placed = isinstance(source, SingleEncoder) and isinstance(source.pooling, NetVLAD) and "pooling" not in fresh
    return Start(encoder, () if placed else _netvlads(encoder))


def _of_runs(recipe: Recipe, weights: Path | None, folders: Sequence[Path], say: list[str]) -> Start:
    """An ensemble of trained encoders as they are, but for what the recipe sets of its members (a PCA, say)."""
    if weights is not None:
        raise UsageError("An ensemble of trained runs needs no other weights; leave --weights or --member out.")
    if len(folders) < 2:
        raise UsageError("An ensemble has two or more members; name each with --member RUN.")
    if recipe.epochs:
        raise UsageError(
            "Trained runs are combined as they are and nothing is learned; add --epochs 0. To train an ensemble as "
            "one, write its members into the recipe."
        )
    if recipe.members and len(recipe.members) != len(folders):
        raise UsageError(f"The recipe has {len(recipe.members)} members and {len(folders)} runs were named.")
    settings = recipe.members or ({},) * len(folders)
    runs = [load_run(folder) for folder in folders]
    for run in runs:
        if not isinstance(run.encoder.recipe, Recipe):
            raise UsageError(
                f"{run.folder} is a run of the task {run.encoder.recipe.task}; the members of an ensemble are runs of "
                "the task places."
            )
    parts: list[Encoder] = []
    unplaced: tuple[SingleEncoder, ...] = ()
    for run, changes in zip(runs, settings, strict=True):
        if changes:
            one = _from_run(recipes.changed(run.encoder.recipe, {**changes, "epochs": 0}, "The ensemble"), run, say)
            parts.append(one.encoder)
            unplaced += one.unplaced
        else:
            say.append(_taken(run))
            run.encoder.recipe = run.encoder.recipe.model_copy(update=_origin(run))
            parts.append(run.encoder)
    ensemble = Ensemble(recipe.model_copy(update={"members": ()}), parts).eval()
    looks = ensemble.preprocess
    _note_members(ensemble, image_size=looks.size, mean=looks.mean, std=looks.std)
    return Start(ensemble, unplaced)


def _origin(run: Run) -> dict[str, Any]:
    """What the recipe of an encoder taken from a run says: nothing more is learned, and what had been."""
    recipe = run.encoder.recipe
    return {
        "epochs": 0,
        "epochs_before": recipe.epochs + recipe.epochs_before,
        "pretrained": recipe.pretrained,
        "weights": f"run {run.name}, which {_history(recipe)}",
        "random_tensors": recipe.random_tensors,
    }


def _taken(run: Run) -> str:
    return f"{run.folder} gives {run.name}, which {_history(run.encoder.recipe)}."


def _history(recipe: EncoderRecipe) -> str:
    if isinstance(recipe, Recipe) and recipe.members:
        learned = f" that learned {recipe.epochs} epochs" if recipe.epochs else ""
        return f"is an ensemble of {len(recipe.members)}{learned}"
    began = {"imagenet": "ImageNet's weights", "none": "random weights"}.get(recipe.pretrained, "a file of weights")
    began = recipe.weights or began
    return f"learned {recipe.epochs} epochs from {began}" if recipe.epochs else f"is untrained, from {began}"


def _note_members(encoder: Encoder, **shared: Any) -> None:
    """What was written into the members' recipes stands in the ensemble's, too, with what they share."""
    if isinstance(encoder, Ensemble):
        members: Any = encoder.members
        for member in members:
            _note_members(member, **shared)
        encoder.recipe = encoder.recipe.of_members([member.recipe for member in members], **shared)


def _netvlads(encoder: Encoder) -> tuple[SingleEncoder, ...]:
    singles = (one for one in encoder.with_trunks() if isinstance(one, SingleEncoder))
    return tuple(single for single in singles if isinstance(single.pooling, NetVLAD))


def _random(single: TrunkEncoder, encoder: Encoder) -> str:
    which = "" if single is encoder else f" of the member {single.recipe.backbone}"
    before = " before" if encoder.recipe.epochs else ""
    return f"The trunk{which} starts from random weights (seed {single.recipe.seed}); nothing was learned{before}."
