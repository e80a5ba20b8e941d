"""One network of classes learned: phase 1 its new layer alone, phase 2 the open part of its trunk, too.

Lavinskyi and Skurat (2025): categorical cross-entropy, Adam, the whole trunk frozen in the first epochs.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR
from torch.utils.data import DataLoader

from geofix.augment.chance import seeded
from geofix.augment.crops import mixed, prepared_crops
from geofix.countries.look import Networks, described
from geofix.countries.routing import softmax
from geofix.data.batches import Batch, Batches
from geofix.data.labels import Labelled
from geofix.errors import PhotoError, TrainingError
from geofix.files import is_file, write_atomically
from geofix.learn.checkpoints import CHECKPOINT, fit, quietly, trainer_for, watch_state
from geofix.learn.learner import Progress
from geofix.models.classifier import Classifier
from geofix.recipes import CountryRecipe
from geofix.tensors import Loss

METRICS = "metrics.csv"
COLUMNS = ("network", "epoch", "phase", "loss", "held_top1", "held_nll", "learning_rate", "seconds")


@dataclass(frozen=True, slots=True)
class ClassTask:
    """What a network learns: its name, classes in order, epochs, photos to learn from, and photos held out."""

    name: str
    classes: tuple[str, ...]
    epochs: int
    learned: Labelled
    held: Labelled

    def targets(self) -> np.ndarray:
        """The number of each learned photo's class (n,)."""
        return np.array([self.classes.index(label) for label in self.learned.labels], dtype=np.int64)


def learn_classes(
    classifier: Classifier,
    task: ClassTask,
    recipe: CountryRecipe,
    out: Path,
    file: Path,
    *,
    key: str,
    progress: Progress | None = None,
    after_epoch: Callable[[], None] | None = None,
    errors: list[PhotoError] | None = None,
) -> None:
    """Train a classifier in place, write its weights to `file` and a row an epoch to metrics.csv in `out`.

    A checkpoint of the same `key` in `out` is gone on from. Each epoch's photos, crops and dropout hang on the seed and
    the epoch alone. The weights kept are the last epoch's, or those with the least negative log-likelihood on the
    photos held out, as the recipe says. Raises TrainingError and StorageError.
    """
    learner = ClassLearner(classifier, task, recipe, progress)
    watch = _Watch(out, file, key, after_epoch)
    path: Path | None = out / CHECKPOINT
    if path is not None and is_file(path):
        watch.load_state_dict(watch_state(path, key))
    else:
        path = None
    with quietly():
        trainer = trainer_for(out, task.epochs, watch, precision=recipe.train_precision)
        fit(trainer, learner, path, out)
    if recipe.choose_on == "block" and is_file(watch.best):
        classifier.load_state_dict(load_file(watch.best))
    classifier.eval().requires_grad_(True).to("cpu")
    write_atomically(file, _weights(classifier))
    watch.best.unlink(missing_ok=True)
    (out / CHECKPOINT).unlink(missing_ok=True)
    if errors is not None:
        errors += learner.unreadable.values()


def class_weights(targets: np.ndarray, classes: int) -> np.ndarray:
    """What a photo of each class counts (k,), so that all classes count alike and the mean over photos is 1."""
    counts = np.bincount(targets, minlength=classes).astype(np.float64)
    return len(targets) / (classes * np.maximum(counts, 1))


class ClassLearner(lightning.LightningModule):
    """One Lightning epoch is one pass over the photos (with `balance: draw`, as many draws of a class at a time)."""

    def __init__(
        self, classifier: Classifier, task: ClassTask, recipe: CountryRecipe, progress: Progress | None = None
    ) -> None:
        super().__init__()
        self.classifier, self.task, self.recipe, self.progress = classifier, task, recipe, progress
        self.targets = task.targets()
        weights = class_weights(self.targets, len(task.classes))
        self.counts_for = torch.tensor(weights if recipe.balance == "loss" else np.ones(len(task.classes))).float()
        self.drawn_by = weights[self.targets] / weights[self.targets].sum() if recipe.balance == "draw" else None
        self.steps = -(-len(self.targets) // recipe.batch_size)
        self.loss_sum, self.loss_steps = 0.0, 0  # of this epoch
        self.unreadable: dict[str, PhotoError] = {}

    @property
    def second_phase(self) -> bool:
        """Whether the trunk's open part learns in the epoch that is on."""
        return self.current_epoch >= self.recipe.frozen_epochs and self.recipe.trunk_rate > 0

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches of the epoch that comes now."""
        rng = np.random.default_rng([self.recipe.seed, 62, self.current_epoch])
        count, size = len(self.targets), self.recipe.batch_size
        order = rng.permutation(count) if self.drawn_by is None else rng.choice(count, count, p=self.drawn_by)
        parts = [order[start : start + size] for start in range(0, count, size)]
        photos = self.task.learned.photos
        batches = Batches(
            [[(photos[row],) for row in part] for part in parts],
            self.classifier.preprocess.size,
            [self.targets[part].tolist() for part in parts],
        )
        workers = 0 if self.device.type == "cpu" else 8
        return DataLoader(batches, batch_size=None, shuffle=False, num_workers=workers)

    def on_train_epoch_start(self) -> None:
        """What stands still and what moves."""
        self.classifier.ready(trunk_learns=self.second_phase, batch_norm_learns=self.recipe.batch_norm == "train")
        self.loss_sum, self.loss_steps = 0.0, 0

    def training_step(self, batch: Batch, _: int) -> Loss | None:
        """The loss of a batch; raises TrainingError when it is no number."""
        self.unreadable.update({str(error): error for error in batch.errors})
        if not len(batch.pixels):
            return None
        seed = ((self.recipe.seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch.number) % 2**63
        loss = self.lowered(batch, seed)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss of {self.task.name} became {value} in epoch {self.current_epoch + 1}; start again with a "
                "lower learning_rate."
            )
        self.loss_sum += value
        self.loss_steps += 1
        if self.progress:
            done = self.current_epoch * self.steps + batch.number + 1
            self.progress(f"training {self.task.name}", done, self.steps * self.task.epochs)
        return loss

    def lowered(self, batch: Batch, seed: int) -> Loss:
        """Cross-entropy of a batch after the recipe's augmentations."""
        recipe, classes = self.recipe, len(self.task.classes)
        images = prepared_crops(batch.pixels, recipe, self.classifier.preprocess, seed)
        targets = (
            functional.one_hot(batch.places, classes).float() * self.counts_for.to(images.device)[batch.places, None]
        )
        if recipe.mixup:
            images, targets = mixed(images, targets, recipe.mixup, seed)
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        with seeded(seed + 1, images.device):  # of dropout
            logits = self.classifier(images.contiguous(memory_format=layout))
        return cross_entropy(logits, targets, recipe.label_smoothing)

    def configure_optimizers(self) -> Any:
        """The layer of classes at the recipe's rate, the trunk's open part at a share of it."""
        recipe = self.recipe
        groups = [{"params": list(self.classifier.layer.parameters()), "lr": recipe.learning_rate}]
        trunk = self.classifier.open_parameters()
        if trunk and recipe.trunk_rate:
            groups.append({"params": trunk, "lr": recipe.trunk_rate * recipe.learning_rate})
        kind = AdamW if recipe.optimizer == "adamw" else Adam
        optimizer = kind(groups, weight_decay=recipe.weight_decay)
        schedule = (
            CosineAnnealingLR(optimizer, self.steps * self.task.epochs)
            if recipe.schedule == "cosine"
            else ConstantLR(optimizer, 1.0, 1)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Loss:
    """Mean over the batch of the cross-entropy to weighed targets (n, k), each of which keeps its weight's sum and is
    spread over all classes by `smoothing`.
    """
    weight = targets.sum(dim=1, keepdim=True)
    spread = (1 - smoothing) * targets + smoothing * weight / targets.shape[1]
    return -(spread * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


class _Watch(Callback):
    """After each epoch: how the photos held out fare, the log, the best weights so far, the checkpoint."""

    def __init__(self, out: Path, file: Path, key: str, after_epoch: Callable[[], None] | None) -> None:
        self.out, self.key, self.after_epoch = out, key, after_epoch
        self.best = file.with_name(f"{file.stem}.best")
        self.least = math.inf
        self.history: list[dict[str, str | int | float]] = []
        self.seconds_before, self.began = 0.0, time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"key": self.key, "history": self.history, "least": self.least, "seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.history = list(state_dict["history"])
        self.least = float(state_dict["least"])
        self.seconds_before = float(state_dict["seconds"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write down how it went, and save."""
        learner = pl_module
        assert isinstance(learner, ClassLearner)
        epoch = trainer.current_epoch + 1
        top1, nll = held_scores(learner.classifier, learner.task, learner.recipe)
        row: dict[str, str | int | float] = {
            "network": learner.task.name,
            "epoch": epoch,
            "phase": 2 if learner.second_phase else 1,
            "loss": learner.loss_sum / max(1, learner.loss_steps),
            "held_top1": top1,
            "held_nll": nll,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(self._seconds(), 1),
        }
        self.history.append(row)
        if learner.recipe.choose_on == "block" and nll < self.least:
            self.least = nll
            write_atomically(self.best, _weights(learner.classifier))
        trainer.save_checkpoint(self.out / CHECKPOINT)
        write_atomically(self.out / METRICS, log_text(self.out / METRICS, learner.task.name, self.history))
        if self.after_epoch:
            self.after_epoch()

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began


def held_scores(classifier: Classifier, task: ClassTask, recipe: CountryRecipe) -> tuple[float, float]:
    """Share of the photos held out whose class is found first, and their mean negative log-likelihood; NaN for none.

    Photos of classes that are not learned count as not found, and not in the likelihood.
    """
    if not len(task.held):
        return math.nan, math.nan
    rows, logits, _ = described(Networks([classifier], recipe.precision), task.held.photos)
    number = {name: column for column, name in enumerate(task.classes)}
    truth = np.array([number.get(task.held.labels[row], -1) for row in rows])
    known = np.flatnonzero(truth >= 0)
    if not len(known):
        return 0.0 if len(rows) else math.nan, math.nan
    found = softmax(logits)
    top1 = float((found.argmax(axis=1) == truth).mean())
    return top1, float(-np.log(np.maximum(found[known, truth[known]], 1e-12)).mean())


def _weights(classifier: Classifier) -> bytes:
    return save({key: value.detach().contiguous().cpu() for key, value in classifier.state_dict().items()})


def log_text(path: Path, name: str, history: list[dict[str, str | int | float]]) -> str:
    """metrics.csv with a network's rows at its end, and the others' as they are."""
    kept: list[dict[str, Any]] = []
    if is_file(path):
        with path.open(encoding="utf-8", newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["network"] != name]
    buffer = StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    for row in history:
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    return buffer.getvalue()
