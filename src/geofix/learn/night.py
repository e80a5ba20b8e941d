"""UNIT learned: photos by day and at night -> the networks that turn one into the other."""

from __future__ import annotations

import csv
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from geofix.data.domains import Domains, large_enough
from geofix.errors import DataError, PhotoError, TrainingError, UsageError
from geofix.files import is_file, write_atomically
from geofix.learn.checkpoints import CHECKPOINT, LOGS, check_out, fit, is_helper, quietly, trainer_for, watch_state
from geofix.learn.learner import Progress
from geofix.models.backbones import IMAGENET_MEAN, IMAGENET_STD, load_trunk_weights, open_trunk
from geofix.night.objectives import Domain, Travel, Weights, discriminator_losses, exchange, generator_losses
from geofix.night.run import RECIPE, WEIGHTS, NightRun, build_unit, load_night_run, save_night_run
from geofix.night.samples import as_images
from geofix.photos import Photo, read_pixels, resized
from geofix.recipes import NightRecipe
from geofix.shapes import Pixels, ResizedPixels

METRICS, CURVES, SHEETS = "metrics.csv", "curves.png", "sheets"
_BETAS = (0.5, 0.999)
_LEFT = frozenset({RECIPE, WEIGHTS, CHECKPOINT, METRICS, CURVES, SHEETS, LOGS})


def train_night(
    recipe: NightRecipe,
    domains: Domains,
    out: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    devices: int = 1,
    progress: Progress | None = None,
    after_round: Callable[[NightRun, int], None] | None = None,
    say: list[str] | None = None,
    errors: list[PhotoError] | None = None,
) -> NightRun:
    """Train UNIT by a recipe on photos of both domains and write its run folder `out`.

    `weights` is the file for the trunk of the perceptual loss. Every `save_every` steps the state goes to
    `out`/last.ckpt, the mean losses to metrics.csv, and `after_round` is called with the networks as they are and the
    steps done. `resume` goes on from there. Each step's photos, crops and noise hang on the seed and the step alone,
    so that a resumed training draws what the uninterrupted one would have drawn. Photos that cannot be opened, or are
    smaller than the crops, are left out and go to `errors`. Raises DataError, TrainingError, StorageError, UsageError,
    WeightsError.
    """
    told = [] if say is None else say
    if resume and is_file(out / WEIGHTS):
        told.append(f"{out} is a finished run; nothing is left to do.")
        return load_night_run(out)
    if not is_helper():
        begun = is_file(out / CHECKPOINT) and not is_file(out / WEIGHTS)
        check_out(out, resume, begun=begun, left=_LEFT if resume else {RECIPE})
    domains = large_enough(domains, recipe.image_size, [] if errors is None else errors)
    steps = _steps(recipe, domains)
    unit, judges = build_unit(recipe)
    if not steps:
        return save_night_run(unit.eval(), recipe, out)
    if not is_helper():
        write_atomically(out / RECIPE, recipe.to_yaml())
    learner = _UnitLearner(recipe, domains, steps, _trunk(recipe, weights, told), unit, judges, progress)
    watch = _Watch(out, _key(recipe, domains), after_round)
    path: Path | None = out / CHECKPOINT
    if path is not None and is_file(path):
        watch.load_state_dict(watch_state(path, watch.key))
    else:
        path = None
    with quietly():
        rounds = -(-steps // recipe.save_every)
        trainer = trainer_for(out, rounds, watch, precision=recipe.train_precision, devices=devices)
        fit(trainer, learner, path, out)
    if is_helper():
        return NightRun(out, recipe, unit, "of the first process")
    return save_night_run(unit.to("cpu").eval(), recipe, out)


class _UnitLearner(lightning.LightningModule):
    """Both optimisers by hand: in each step the judges on what the generators make now, then the generators."""

    def __init__(
        self,
        recipe: NightRecipe,
        domains: Domains,
        steps: int,
        trunk: torch.nn.Module | None,
        unit: Any,
        judges: Any,
        progress: Progress | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.domains, self.steps, self.progress = recipe, domains, steps, progress
        self.unit, self.judges = unit, judges
        self.trunk = None if trunk is None else trunk.eval().requires_grad_(False)
        self.losses = Weights(recipe.gan, recipe.recon, recipe.kl, recipe.cycle, recipe.kl_cycle, recipe.perceptual)
        self.sums: dict[str, float] = {}  # of this round, by term
        self.done = 0  # steps of this round

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """The photos of the round that comes now."""
        first = self.current_epoch * self.recipe.save_every
        crops = _Crops(self.recipe, self.domains, range(first, min(first + self.recipe.save_every, self.steps)))
        workers = 0 if self.device.type == "cpu" else 8
        return DataLoader(crops, batch_size=None, shuffle=False, num_workers=workers)

    def training_step(self, batch: Sequence[Tensor], number: int) -> None:
        """One step of both; raises TrainingError when a loss is no number."""
        step = self.current_epoch * self.recipe.save_every + number
        day, night = (
            Domain(images, vae, judge)
            for images, vae, judge in zip(
                (as_images(pixels) for pixels in batch),
                (self.unit.day, self.unit.night),
                (self.judges.day, self.judges.night),
                strict=True,
            )
        )
        judging, generating = self.optimizers()  # type: ignore[attr-defined]
        for optimizer in (judging, generating):
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * 0.5 ** (step // self.recipe.halve_every)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.recipe.seed * 1_000_003 + step)
            travels = exchange(day, night)
        found = {**self._judged(judging, day, night, travels), **self._generated(generating, day, night, travels)}
        for name, value in found.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"The loss {name} became {value} in step {step + 1}; the last good state is in {CHECKPOINT}: start "
                    "again with a lower learning_rate."
                )
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.done += 1
        if self.progress:
            self.progress("training", step + 1, self.steps)

    def _judged(self, optimizer: Any, day: Domain, night: Domain, travels: tuple[Travel, Travel]) -> dict[str, float]:
        terms = discriminator_losses(day, night, travels, self.losses)
        optimizer.zero_grad()
        self.manual_backward(terms.pop("total"))
        optimizer.step()
        return {name: float(term.detach()) for name, term in terms.items()}

    def _generated(
        self, optimizer: Any, day: Domain, night: Domain, travels: tuple[Travel, Travel]
    ) -> dict[str, float]:
        self.judges.requires_grad_(False)
        terms = generator_losses(day, night, travels, self.losses, self._features if self.trunk else None)
        optimizer.zero_grad()
        self.manual_backward(terms["total"])
        optimizer.step()
        self.judges.requires_grad_(True)
        return {name: float(term.detach()) for name, term in terms.items()}

    def _features(self, images: Tensor) -> Tensor:
        """The trunk's maps of images in -1..1."""
        assert self.trunk is not None
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        maps: Tensor = self.trunk(((images + 1) / 2 - mean) / std)
        return maps

    def configure_optimizers(self) -> Any:
        """Adam for the judges, Adam for the generators."""
        rate, decay = self.recipe.learning_rate, self.recipe.weight_decay
        return [
            torch.optim.Adam(part.parameters(), lr=rate, betas=_BETAS, weight_decay=decay)
            for part in (self.judges, self.unit)
        ]


class _Crops(TorchDataset[tuple[Tensor, Tensor]]):
    """Step by step a batch of crops of each domain, uint8 (n, 3, h, w); a photo that cannot be read is passed over."""

    def __init__(self, recipe: NightRecipe, domains: Domains, steps: Sequence[int]) -> None:
        self.recipe, self.domains, self.steps = recipe, domains, steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.recipe.seed, self.steps[number]])
        return self._batch(self.domains.day, rng), self._batch(self.domains.night, rng)

    def _batch(self, photos: Sequence[Photo], rng: np.random.Generator) -> Tensor:
        return torch.stack([self._crop(photos, rng) for _ in range(self.recipe.batch_size)])

    def _crop(self, photos: Sequence[Photo], rng: np.random.Generator) -> Tensor:
        last: PhotoError | None = None
        for row in rng.permutation(len(photos)):
            try:
                pixels = read_pixels(photos[row].path)
                return _random_crop(pixels, self.recipe, rng)
            except PhotoError as error:
                last = error
        raise DataError(f"None of the {len(photos)} photos of a domain can be read. The last: {last}")


def middle_crop(pixels: Pixels, recipe: NightRecipe) -> ResizedPixels:
    """Scaled as in training, and the middle of it, to look at."""
    scaled = _scaled(pixels, recipe)
    top, left = ((have - want) // 2 for have, want in zip(scaled.shape[:2], recipe.image_size, strict=True))
    return scaled[top : top + recipe.image_size[0], left : left + recipe.image_size[1]]


def _scaled(pixels: Pixels, recipe: NightRecipe) -> ResizedPixels:
    """To the shorter side, or larger where the crop would not fit."""
    rows, columns = recipe.image_size
    scale = max(recipe.shorter_side / min(pixels.shape[:2]), rows / pixels.shape[0], columns / pixels.shape[1])
    return resized(pixels, (max(rows, round(pixels.shape[0] * scale)), max(columns, round(pixels.shape[1] * scale))))


def _random_crop(pixels: Pixels, recipe: NightRecipe, rng: np.random.Generator) -> Tensor:
    """Scaled, cut at random, mirrored now and then; (3, rows, columns)."""
    scaled = _scaled(pixels, recipe)
    rows, columns = recipe.image_size
    top, left = (
        int(rng.integers(have - want + 1)) for have, want in zip(scaled.shape[:2], (rows, columns), strict=True)
    )
    crop = scaled[top : top + rows, left : left + columns]
    if recipe.flip and rng.random() < 0.5:
        crop = crop[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


class _Watch(Callback):
    """After each round: the mean losses, the checkpoint, and whoever wants to look at the networks."""

    def __init__(self, out: Path, key: str, after_round: Callable[[NightRun, int], None] | None) -> None:
        self.out, self.key, self.after_round = out, key, after_round
        self.history: list[dict[str, int | float]] = []
        self.seconds_before, self.began = 0.0, time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"key": self.key, "history": self.history, "seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.history = list(state_dict["history"])
        self.seconds_before = float(state_dict["seconds"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write down how it went, and save."""
        learner = pl_module
        assert isinstance(learner, _UnitLearner)
        steps = min((trainer.current_epoch + 1) * learner.recipe.save_every, learner.steps)
        means = {name: value / learner.done for name, value in learner.sums.items()}
        self.history.append({"step": steps, **means, "seconds": round(self._seconds(), 1)})
        learner.sums, learner.done = {}, 0
        trainer.save_checkpoint(self.out / CHECKPOINT)
        if not trainer.is_global_zero:
            return
        write_atomically(self.out / METRICS, _as_csv(self.history))
        if self.after_round:
            learner.unit.eval()
            self.after_round(NightRun(self.out, learner.recipe, learner.unit, "in training"), steps)
            learner.unit.train()

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began


def _as_csv(history: Sequence[dict[str, int | float]]) -> str:
    buffer = StringIO()
    writer = csv.DictWriter(buffer, list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({key: value if isinstance(value, int) else f"{value:.6g}" for key, value in row.items()})
    return buffer.getvalue()


def _steps(recipe: NightRecipe, domains: Domains) -> int:
    if recipe.epochs is None:
        return recipe.steps
    return recipe.epochs * -(-max(len(domains.day), len(domains.night)) // recipe.batch_size)


def _trunk(recipe: NightRecipe, weights: Path | None, say: list[str]) -> torch.nn.Module | None:
    """The trunk of the perceptual loss, where that counts anything."""
    if not recipe.perceptual:
        if weights is not None:
            raise UsageError(
                "--weights is for the trunk of the perceptual loss, which counts nothing in this recipe; leave it out, "
                "or set perceptual."
            )
        return None
    trunk = open_trunk(recipe.perceptual_backbone, recipe.perceptual_cut, pretrained=weights is None)
    if weights is not None:
        say.append(f"{weights.name}: {load_trunk_weights(trunk, weights)}.")
    return trunk


def _key(recipe: NightRecipe, domains: Domains) -> str:
    names = "\n".join(photo.name for photo in (*domains.day, *domains.night))
    return hashlib.sha256(f"{recipe.to_yaml()}\n{names}".encode(errors="surrogateescape")).hexdigest()[:32]
