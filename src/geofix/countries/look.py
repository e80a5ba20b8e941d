"""look: photos -> what a run's router and heads say of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from geofix.countries.routing import HeadSays, hard, scene_weights, soft, softmax
from geofix.encode import Progress, encode_views, fused, photos_at_once
from geofix.errors import PhotoError
from geofix.models.classifier import Classifier
from geofix.models.countries import CountryRun, Head, Knowledge
from geofix.photos import Photo, read_pixels
from geofix.recipes import Precision
from geofix.shapes import DescriptorRows, Pixels, Probabilities, SceneProbabilities
from geofix.tensors import ClassLogits, PixelBatch, Pooled
from geofix.transforms import Preprocess, five_windows, normalised, views


@dataclass(frozen=True, eq=False)
class Seen:
    """Of the m photos that could be read: their rows among the photos asked for, the logits of every network by name
    (m, k), and one error for each photo that could not.
    """

    knows: Knowledge
    rows: np.ndarray
    logits: dict[str, np.ndarray]
    errors: tuple[PhotoError, ...] = ()

    def probabilities(self, head: Head) -> Probabilities:
        """What a head says, by its temperature."""
        return softmax(self.logits[head.name], head.temperature)

    @cached_property
    def scenes(self) -> SceneProbabilities | None:
        """The router's (m, s), if there is one."""
        return None if self.knows.router is None else self.probabilities(self.knows.router)

    @cached_property
    def says(self) -> HeadSays:
        """Every head's classes and probabilities."""
        return {head.name: (head.classes, self.probabilities(head)) for head in self.knows.heads}

    @cached_property
    def weights(self) -> np.ndarray:
        """What every head counts for every photo (m, h); all for a single one."""
        if self.knows.router is None or self.scenes is None:
            return np.ones((len(self.rows), 1))
        return scene_weights(self.knows.router.classes, self.scenes, [head.name for head in self.knows.heads])

    def countries(self, routing: str = "soft") -> Probabilities:
        """Probabilities (m, c) over `knows.countries`, by soft or hard routing; a single network's are both."""
        return (hard if routing == "hard" else soft)(self.knows.countries, self.says, self.weights)


class Networks:
    """Classifiers that take photos of one size, made ready to run fast; pixels -> the logits of all side by side.

    Networks that see through the same trunk let it look once.
    """

    def __init__(
        self,
        networks: Sequence[Classifier],
        precision: Precision = "fp32",
        flip: bool = False,
        device: str | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.preprocess: Preprocess = networks[0].preprocess
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.flip = flip
        self.networks = [copy.deepcopy(one).eval().requires_grad_(False) for one in networks]
        self.trunk_of = [
            next(first for first in range(number + 1) if alike(networks[first], one))
            for number, one in enumerate(networks)
        ]
        for number, one in enumerate(self.networks):
            if self.trunk_of[number] == number:
                trunk = fused(one.trunk)
                assert isinstance(trunk, type(one.trunk))
                one.trunk = trunk.to(dtype=self.dtype)
            one.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.descriptor_length = sum(one.layer.out_features for one in self.networks)

    @torch.inference_mode()
    def __call__(self, batch: PixelBatch) -> DescriptorRows:
        """Logits (n, classes of all networks), float32, in the computer's main memory."""
        batch = batch.to(self.device)
        looks = [batch, batch.flip(3)] if self.flip else [batch]
        said = [self._said(look) for look in looks]
        found = [torch.stack(every).mean(dim=0) for every in zip(*said, strict=True)]
        return np.asarray(torch.cat(found, dim=1).cpu().numpy())

    def pooled(self, batch: PixelBatch, number: int = 0) -> Pooled:
        """What the trunk of a network sees of photos on the networks' device (n, d)."""
        one = self.networks[number]
        vectors: Pooled = one.trunk.pooled(one.trunk(normalised(batch, one.preprocess).to(self.dtype)))
        return vectors

    def _said(self, batch: PixelBatch) -> list[ClassLogits]:
        pooled = {number: self.pooled(batch, number) for number in dict.fromkeys(self.trunk_of)}
        return [one.named(pooled[trunk]).float() for one, trunk in zip(self.networks, self.trunk_of, strict=True)]

    @property
    def batch_size(self) -> int:
        """Photos a batch that suit the device."""
        return photos_at_once(self.preprocess.size, self.device)


class Vectors:
    """A classifier's trunk made ready to run fast: pixels -> the pooled vectors of a photo and of its mirror image."""

    def __init__(self, classifier: Classifier, precision: Precision = "fp32") -> None:
        self._networks = Networks([classifier], precision)
        self.preprocess = classifier.preprocess
        self.descriptor_length = 2 * classifier.trunk.channels

    @torch.inference_mode()
    def __call__(self, batch: PixelBatch) -> DescriptorRows:
        """(n, 2 d), float32."""
        batch = batch.to(self._networks.device)
        seen = [self._networks.pooled(look).float() for look in (batch, batch.flip(3))]
        return np.asarray(torch.cat(seen, dim=1).cpu().numpy())

    @property
    def batch_size(self) -> int:
        """Photos a batch that suit the device."""
        return self._networks.batch_size


def alike(first: Classifier, second: Classifier) -> bool:
    """Whether two classifiers see the same: one kind of trunk with equal weights, on photos prepared alike."""
    if first is second:
        return True
    if first.preprocess != second.preprocess or type(first.trunk) is not type(second.trunk):
        return False
    ours, others = first.trunk.state_dict(), second.trunk.state_dict()
    return (
        (first.design.backbone, first.design.options, first.design.stages)
        == (second.design.backbone, second.design.options, second.design.stages)
        and ours.keys() == others.keys()
        and all(torch.equal(ours[key], others[key]) for key in ours)
    )


class Lookers:
    """All networks of a run, made ready once to look at any number of photos."""

    def __init__(self, run: CountryRun, precision: Precision | None = None) -> None:
        self.knows = run.knows
        sizes = {head.name: run.model.network(head.name).preprocess.size for head in run.knows.every}
        self._groups = []  # by the size of photos that they take
        for size in dict.fromkeys(sizes.values()):
            names = [name for name, own in sizes.items() if own == size]
            networks = [run.model.network(name) for name in names]
            ready = Networks(networks, precision or run.recipe.precision, run.recipe.flip_test)
            self._groups.append((names, [network.layer.out_features for network in networks], ready))

    def look(self, photos: Sequence[Photo], progress: Progress | None = None, windows: bool = False) -> Seen:
        """What every network says of photos, or of five `windows` of each: then logits stand for the mean of their
        probabilities. Photos that cannot be read are reported, not fatal.
        """
        temperatures = {head.name: head.temperature for head in self.knows.every}
        rows = np.arange(len(photos))
        logits: dict[str, np.ndarray] = {}
        errors: dict[str, PhotoError] = {}
        for names, lengths, ready in self._groups:
            kept, said, failed = _described(ready, [photos[row] for row in rows.tolist()], progress, windows)
            errors.update({str(error): error for error in failed})
            logits = {name: values[kept] for name, values in logits.items()}
            rows = rows[kept]
            parts = np.split(said, np.cumsum(lengths)[:-1], axis=2)
            logits.update({name: _averaged(part, temperatures[name]) for name, part in zip(names, parts, strict=True)})
        return Seen(self.knows, rows, logits, tuple(errors.values()))


def look(
    run: CountryRun,
    photos: Sequence[Photo],
    *,
    precision: Precision | None = None,
    windows: bool = False,
    progress: Progress | None = None,
) -> Seen:
    """What every network of a run says of photos, see `Lookers`."""
    return Lookers(run, precision).look(photos, progress, windows)


def described(
    networks: Networks | Vectors, photos: Sequence[Photo], progress: Progress | None = None
) -> tuple[np.ndarray, DescriptorRows, tuple[PhotoError, ...]]:
    """Rows of the photos that could be read (m,), what all networks say of them (m, k), and the others' errors."""
    rows, said, errors = _described(networks, photos, progress, windows=False)
    return rows, said[:, 0], errors


def _described(
    networks: Networks | Vectors, photos: Sequence[Photo], progress: Progress | None, windows: bool
) -> tuple[np.ndarray, np.ndarray, tuple[PhotoError, ...]]:
    """As `described`, of every view (m, views, k): the whole photo, or five `windows` of it."""
    size = networks.preprocess.size

    def prepared(photo: Photo) -> list[Pixels]:
        if windows:
            return list(five_windows(read_pixels(photo.path), size))
        return views(read_pixels(photo.path, target=size, exactly=True), size)

    names = [str(photo.path) for photo in photos]
    found = encode_views(networks, photos, prepared, names, crops=5 if windows else 1, progress=progress)
    return found.rows, found.descriptors, found.errors


def _averaged(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Logits (m, k) whose probabilities, by that temperature, are the mean of those of all views (m, views, k)."""
    if logits.shape[1] == 1:
        return np.asarray(logits[:, 0])
    each = softmax(logits.reshape(-1, logits.shape[2]), temperature).reshape(logits.shape)
    return np.asarray(temperature * np.log(np.maximum(each.mean(axis=1), np.finfo(np.float32).tiny)))
