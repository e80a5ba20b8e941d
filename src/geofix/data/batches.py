"""Batches for training: photos are decoded when their batch is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from geofix.errors import PhotoError
from geofix.photos import Photo, read_pixels
from geofix.shapes import Triplets
from geofix.tensors import PixelBatch, PlaceNumbers
from geofix.transforms import stacked, views

Group = tuple[Photo, ...]
"""Photos that are learned together: a triplet's query, positive and negatives, or those of one place."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pixels (n, 3, h, w), which group each belongs to, the batch's number in its round, and what was unreadable."""

    pixels: PixelBatch
    places: PlaceNumbers
    number: int
    errors: tuple[PhotoError, ...] = ()

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on a device."""
        pixels = self.pixels.to(device, non_blocking=non_blocking)
        return Batch(pixels, self.places.to(device, non_blocking=non_blocking), self.number, self.errors)


class Batches(Dataset[Batch]):
    """Batch number -> pixels. A group with a photo that cannot be read is left out, and the photo is named.

    The places of a batch are numbered as its groups are, or as `labels` number them through the whole training.
    """

    def __init__(
        self,
        batches: Sequence[Sequence[Group]],
        size: tuple[int, int],
        labels: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.batches = batches
        self.size = size
        self.labels = labels

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        groups = self.batches[number]
        photos = [photo for group in groups for photo in group]
        with ThreadPoolExecutor(4, thread_name_prefix="decode") as pool:
            read = iter(list(pool.map(self._read, photos)))
        pixels: list[np.ndarray] = []
        errors: list[PhotoError] = []
        sizes: list[int] = []
        kept: list[int] = []
        for place, group in enumerate(groups):
            found = [next(read) for _ in group]
            wrong = [one for one in found if isinstance(one, PhotoError)]
            errors += wrong
            if not wrong:
                pixels += [one for one in found if not isinstance(one, PhotoError)]
                sizes.append(len(group))
                kept.append(place)
        numbers = np.arange(len(sizes)) if self.labels is None else np.asarray(self.labels[number])[kept]
        places = torch.from_numpy(np.repeat(numbers, sizes))
        batch = stacked(pixels) if pixels else torch.empty(0, 3, *self.size, dtype=torch.uint8)
        return Batch(batch, places, number, tuple(errors))

    def _read(self, photo: Photo) -> np.ndarray | PhotoError:
        try:
            return views(read_pixels(photo.path, target=self.size, exactly=True), self.size)[0]
        except PhotoError as error:
            return error


def triplet_batches(
    triplets: Triplets, queries: Sequence[Photo], gallery: Sequence[Photo], batch_size: int
) -> list[list[Group]]:
    """Batches of `batch_size` triplets, each a query, its positive and its negatives; a smaller rest is left out."""
    whole = max(1, len(triplets) // batch_size) * batch_size
    groups = [(queries[row[0]], *(gallery[other] for other in row[1:])) for row in triplets[:whole].tolist()]
    return [groups[start : start + batch_size] for start in range(0, len(groups), batch_size)]
