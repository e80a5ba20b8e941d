"""Parts learned in closed form from places that two views show: no gradients, a look at every photo, seconds.

The layer of each part becomes a linear discriminant analysis with places as its classes (Fisher 1936; Rao 1948): the
directions in which the photos of a place, from whichever view, differ least and places differ most. Few photos leave
the scatter uncertain, so scatter within places and in all are drawn towards a multiple of the identity by `shrinkage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from geofix.data.pairs import left_out, view_pairs
from geofix.data.places import Benchmark, Split
from geofix.encode import Inference, encode_views
from geofix.errors import DataError, PhotoError
from geofix.evaluate import recall_now
from geofix.files import is_file, write_atomically
from geofix.learn.course import METRICS, Course, as_csv, log_row
from geofix.learn.learner import Progress
from geofix.models.backbones import read_state
from geofix.models.crossview import BlockEncoder, Part
from geofix.photos import Photo, read_pixels
from geofix.shapes import DescriptorRows, Pixels
from geofix.tensors import PixelBatch
from geofix.transforms import normalised, views

JOURNAL = "journal"


def learn_view_pairs(
    encoder: BlockEncoder,
    split: Split,
    mark: Benchmark | None,
    out: Path,
    *,
    key: str,
    say: list[str],
    progress: Progress | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> Course:
    """Fit the encoder's parts in place, and measure before and after on `mark`, if there is one.

    What was pooled is kept in `out` while it lasts, for a training that is stopped; `key` names the recipe and data it
    is of. Raises DataError where there are too few places for the parts' length.
    """
    began, recipe = time.monotonic(), encoder.recipe
    pairs = view_pairs(split, recipe.views)
    if told := left_out(pairs, recipe.views):
        say.append(told)
    by_place = [(*asking, *searched) for asking, searched in zip(pairs.queries, pairs.gallery, strict=True)]
    photos = [photo for place in by_place for photo in place]
    places = [number for number, place in enumerate(by_place) for _ in place]
    recall = recall_now(Inference(encoder), mark, (1, 5)) if mark else None
    history = [log_row(0, recall, time.monotonic() - began, steps=0, loss=None)]
    pooled, rows, errors = _pooled(encoder, photos, out / JOURNAL / f"pooled-{key[:16]}.safetensors", progress)
    targets = np.array(places)[rows]
    counted = np.bincount(targets, minlength=len(pairs.places))
    usable = int((counted > 1).sum())
    if usable <= recipe.part_length:
        raise DataError(
            f"{usable} places can be learned from, which give fewer than {usable} directions; set part_length, now "
            f"{recipe.part_length}, below that."
        )
    kept = counted[targets] > 1  # one photo alone says nothing of what changes within a place
    apart, at = [], 0
    for number, part in enumerate(encoder.parts):
        assert isinstance(part, Part)
        width = part.linear.in_features
        apart.append(fit_part(part, pooled[kept, at : at + width], targets[kept], recipe.shrinkage))
        at += width
        if progress:
            progress("fitting parts", number + 1, len(encoder.parts))
    recall = recall_now(Inference(encoder), mark, (1, 5)) if mark else None
    seconds = time.monotonic() - began
    history.append(log_row(1, recall, seconds, steps=int(kept.sum()), loss=float(np.mean(apart))))
    write_atomically(out / METRICS, as_csv(history))
    if after_epoch:
        after_epoch()
    return Course(tuple(history), 1, "", errors)


def fit_part(part: Part, pooled: DescriptorRows, places: np.ndarray, shrinkage: float) -> float:
    """Make a part's layer the discriminant analysis of pooled vectors (n, c) of `places` (n,), about their mean, and
    let its batch norm pass what it gets. Returns the scatter within places along its directions as a share of all.
    """
    length = part.linear.out_features
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage, n_components=length)
    analysis.fit(pooled.astype(np.float64), places)
    directions = analysis.scalings_[:, :length]
    middle = pooled.mean(axis=0, dtype=np.float64)
    with torch.no_grad():
        part.linear.weight.copy_(torch.from_numpy(directions.T.copy()))
        part.linear.bias.copy_(torch.from_numpy(-(middle @ directions)))
        part.norm.weight.fill_(1.0)
        part.norm.bias.zero_()
        assert part.norm.running_mean is not None and part.norm.running_var is not None
        part.norm.running_mean.zero_()
        part.norm.running_var.fill_(1.0 - part.norm.eps)
    along = (pooled - middle) @ directions
    centres = np.stack([along[places == place].mean(axis=0) for place in np.unique(places)])
    within = along - centres[np.unique(places, return_inverse=True)[1]]
    return float((within**2).sum() / (along**2).sum())


class _Pooling:
    """A BlockEncoder up to its parts' layers, made ready to run fast: pixels -> the vectors of all parts side by side,
    the mean of a photo's and its mirror image's where the recipe has both described.
    """

    def __init__(self, encoder: BlockEncoder) -> None:
        self._ready = Inference(encoder, encoder.recipe.precision)
        self.preprocess = encoder.preprocess
        self.descriptor_length = sum(part.linear.in_features for part in encoder.parts if isinstance(part, Part))

    @torch.inference_mode()
    def __call__(self, batch: PixelBatch) -> DescriptorRows:
        """(n, numbers of all parts), float32."""
        encoder = self._ready.encoder
        assert isinstance(encoder, BlockEncoder)
        images = normalised(batch.to(self._ready.device), self.preprocess).to(self._ready.dtype)
        looks = [images, images.flip(3)] if encoder.recipe.flip_test else [images]
        seen = [torch.cat(encoder.pooled(look), dim=1) for look in looks]
        return np.asarray(torch.stack(seen).mean(dim=0).float().cpu().numpy())

    @property
    def batch_size(self) -> int:
        """Photos a batch that suit the device."""
        return self._ready.batch_size


def _pooled(
    encoder: BlockEncoder, photos: list[Photo], file: Path, progress: Progress | None
) -> tuple[DescriptorRows, np.ndarray, tuple[PhotoError, ...]]:
    """The pooled vectors (m, c of all parts) of photos that could be read, their rows (m,), and the others' errors."""
    if is_file(file):
        kept = read_state(file)
        return kept["pooled"].numpy(), kept["rows"].numpy(), ()
    ready = _Pooling(encoder)

    def prepared(photo: Photo) -> list[Pixels]:
        size = ready.preprocess.size
        return views(read_pixels(photo.path, target=size, exactly=True), size)

    tell = (lambda done, total: progress("looking at photos", done, total)) if progress else None
    found = encode_views(ready, photos, prepared, [str(photo.path) for photo in photos], progress=tell)
    write_atomically(file, save({"pooled": torch.from_numpy(found.single), "rows": torch.from_numpy(found.rows)}))
    return found.single, found.rows, found.errors
