"""NetVLAD's clusters placed on photos before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from geofix.errors import DataError, PhotoError
from geofix.models.encoder import SingleEncoder
from geofix.models.pooling import NetVLAD
from geofix.photos import Photo, read_pixels
from geofix.search import kmeans
from geofix.transforms import normalised, stacked, views


def place_clusters(encoder: SingleEncoder, photos: Sequence[Photo], say: list[str]) -> float:
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


@torch.inference_mode()
def _local_descriptors(encoder: SingleEncoder, photo: Photo, rng: np.random.Generator) -> np.ndarray:
    """Unit local descriptors (locations, c) at random places of a photo's map."""
    size = encoder.preprocess.size
    pixels = views(read_pixels(photo.path, target=size, exactly=True), size)
    maps = encoder.maps(normalised(stacked(pixels), encoder.preprocess))
    local = functional.normalize(maps, dim=1).flatten(2)[0].T
    count = min(encoder.recipe.netvlad_locations, len(local))
    chosen = np.sort(rng.choice(len(local), count, replace=False))
    return np.ascontiguousarray(local[torch.from_numpy(chosen)].numpy(), dtype=np.float32)
