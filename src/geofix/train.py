"""train: a recipe and places -> a run folder. For now the untrained run, which every training starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from geofix.data.places import Dataset
from geofix.errors import DataError, PhotoError, RecipeError, UsageError
from geofix.models.backbones import load_trunk_weights
from geofix.models.encoder import Encoder, build
from geofix.models.pooling import NetVLAD
from geofix.models.runs import PREPROCESS, RECIPE, Run, save_run
from geofix.photos import Photo, read_pixels
from geofix.recipes import Recipe
from geofix.search import kmeans
from geofix.transforms import normalised, stacked, views


def train(
    recipe: Recipe,
    dataset: Dataset | None,
    out: Path,
    *,
    weights: Path | None = None,
    say: list[str] | None = None,
) -> Run:
    """Write the untrained run of a recipe (epochs 0) to the folder `out`.

    The trunk starts from `weights`, or by name through the hub's cache, or from seeded random numbers
    (pretrained: none). NetVLAD's clusters are placed on photos of `dataset`. Sentences worth telling the user
    (what the weights covered, what was clamped) are appended to `say`. Raises RecipeError, WeightsError,
    DataError, StorageError.
    """
    told = [] if say is None else say
    if recipe.epochs:
        raise UsageError(
            f"This version of geofix writes untrained runs only and the recipe asks for {recipe.epochs} epochs; "
            "use --epochs 0."
        )
    _check_out(out)
    encoder = _started(recipe, weights, told)
    _check_size(encoder)
    if isinstance(encoder.pooling, NetVLAD):
        if dataset is None:
            raise UsageError("NetVLAD places its clusters on photos; name a dataset with --data DIR.")
        place_clusters(encoder, _training_photos(dataset), told)
    return save_run(encoder, out)


def place_clusters(encoder: Encoder, photos: Sequence[Photo], say: list[str]) -> float:
    """K-means centroids of local descriptors of random photos become NetVLAD's clusters; returns alpha.

    The benchmark's way: 500 photos of gallery and queries, 100 random places in the maps of each. With fewer
    photos or smaller maps the numbers shrink and `say` says so. Raises DataError when too few descriptors are
    left for the clusters.
    """
    recipe = encoder.recipe
    rng = np.random.default_rng(recipe.seed)
    wanted = min(recipe.netvlad_photos, len(photos))
    if wanted < recipe.netvlad_photos:
        say.append(
            f"NetVLAD's clusters are placed on {wanted} photos: that is all there are of {recipe.netvlad_photos}."
        )
    order = rng.permutation(len(photos))
    parts: list[np.ndarray] = []
    for row in order:
        if len(parts) == wanted:
            break
        try:
            parts.append(_local_descriptors(encoder, photos[row], rng))
        except PhotoError as error:
            say.append(str(error))
    rows = np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)
    if len(rows) < recipe.netvlad_clusters:
        raise DataError(
            f"{len(parts)} photos gave {len(rows)} local descriptors, fewer than the {recipe.netvlad_clusters} "
            "clusters; use more photos or --set netvlad_clusters=N."
        )
    if len(parts) and len(parts[0]) < recipe.netvlad_locations:
        say.append(
            f"A photo's map has only {len(parts[0])} places, fewer than the {recipe.netvlad_locations} asked for."
        )
    assert isinstance(encoder.pooling, NetVLAD)
    centroids = torch.from_numpy(kmeans(rows, recipe.netvlad_clusters))
    alpha = encoder.pooling.place_clusters(centroids, torch.from_numpy(rows))
    if not np.isfinite(alpha):
        raise DataError(
            f"The local descriptors of {len(parts)} photos are all alike and NetVLAD's clusters cannot be told "
            "apart; name a dataset with other photos."
        )
    return alpha


def _started(recipe: Recipe, weights: Path | None, say: list[str]) -> Encoder:
    if weights is None:
        if recipe.pretrained == "file":
            raise UsageError(
                "The recipe says that its trunk starts from a file of weights and none was named; add --weights FILE, "
                "or start from random weights with --set pretrained=none."
            )
        encoder = build(recipe, pretrained=recipe.pretrained == "imagenet")
        if recipe.pretrained == "none":
            say.append(f"The trunk starts from random weights (seed {recipe.seed}); nothing was learned.")
        return encoder
    encoder = build(recipe, pretrained=False)
    coverage = load_trunk_weights(encoder.trunk, weights)
    short = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    noted = f"{weights.name} (sha256 {short}): {coverage.covered} of {coverage.expected} tensors"
    say.append(f"{weights.name}: {coverage}.")
    if coverage.missing:
        say.append(f"The other {len(coverage.missing)} tensors of the trunk start from random weights.")
    start = {"pretrained": "file", "weights": noted, "random_tensors": len(coverage.missing)}
    encoder.recipe = recipe.model_copy(update=start)
    return encoder


@torch.inference_mode()
def _check_size(encoder: Encoder) -> None:
    """Some networks take images of one size only; better told now than when the first photo comes."""
    rows, columns = encoder.preprocess.size
    try:
        encoder.trunk(torch.zeros(1, 3, rows, columns))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"{encoder.recipe.backbone} cannot look at images of {rows}x{columns} ({' '.join(str(error).split())}); "
            "choose another size with --set image_size=HxW, or another backbone."
        ) from error


@torch.inference_mode()
def _local_descriptors(encoder: Encoder, photo: Photo, rng: np.random.Generator) -> np.ndarray:
    """Unit local descriptors (locations, c) at random places of a photo's map."""
    size = encoder.preprocess.size
    pixels = views(read_pixels(photo.path, target=size, exactly=True), size)
    maps = encoder.trunk(normalised(stacked(pixels), encoder.preprocess))
    local = functional.normalize(maps, dim=1).flatten(2)[0].T
    count = min(encoder.recipe.netvlad_locations, len(local))
    chosen = np.sort(rng.choice(len(local), count, replace=False))
    return np.ascontiguousarray(local[torch.from_numpy(chosen)].numpy(), dtype=np.float32)


def _training_photos(dataset: Dataset) -> tuple[Photo, ...]:
    """The train split's photos, or all there are where the dataset has no such split."""
    return dataset.splits["train"].photos if "train" in dataset.splits else dataset.photos


def _check_out(out: Path) -> None:
    """Refuse a folder with anything in it but what a killed run of this command may have left."""
    left = {RECIPE, PREPROCESS}
    if out.exists() and (not out.is_dir() or any(e.name not in left and e.suffix != ".part" for e in out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; choose a new folder with --out, or remove it first.")
