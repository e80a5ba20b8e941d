"""Learner: an encoder, a lesson and an optimizer, as Lightning wants them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.utils.data import DataLoader

from geofix.augment.prepare import prepared
from geofix.data.batches import Batch
from geofix.encode import Inference, encode_chunk
from geofix.errors import PhotoError, RecipeError, TrainingError
from geofix.learn.lesson import Lesson
from geofix.models.backbones import parts_through
from geofix.models.encoder import Encoder
from geofix.recipes import Recipe
from geofix.tensors import Descriptors, Images, Loss

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, done, total) now and then."""

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


class Learner(lightning.LightningModule):
    """One Lightning epoch is one round of the lesson: mine, then a step for each batch.

    Randomness hangs on the recipe's seed, the round and the batch alone, so that a resumed training draws what
    the uninterrupted one would have drawn.
    """

    def __init__(self, encoder: Encoder, lesson: Lesson, progress: Progress | None = None) -> None:
        super().__init__()
        self.progress = progress
        self.encoder = encoder
        self.lesson = lesson
        self.false_negatives = 0  # in this epoch, by the audit
        self.loss_sum, self.loss_steps = 0.0, 0  # of this epoch
        self.unreadable: list[PhotoError] = []
        self.between_rounds: CosineAnnealingLR | ReduceLROnPlateau | None = None
        self._schedule_state: dict[str, Any] | None = None

    @property
    def recipe(self) -> Recipe:
        """The encoder's."""
        return self.encoder.recipe

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches of the round that comes now."""
        inference = Inference(self.encoder, self.recipe.precision, str(self.device))
        report = self.progress
        tell = (lambda done, total: report("mining", done, total)) if report else None
        now = self.lesson.round(self.current_epoch, lambda photos: encode_chunk(inference, photos, progress=tell))
        self.false_negatives += now.false_negatives
        workers = 0 if self.device.type == "cpu" else 8
        return DataLoader(now.batches, batch_size=None, shuffle=False, num_workers=workers)

    def on_train_epoch_start(self) -> None:
        """Batch norms stand still where the recipe wants them as they came."""
        self.encoder.train()
        if self.recipe.batch_norm == "frozen":
            for module in self.encoder.modules():
                if isinstance(module, _BATCH_NORMS):
                    module.eval()

    def training_step(self, batch: Batch, _: int) -> Loss | None:
        """The loss of a batch; raises TrainingError when it is no number."""
        self.unreadable += [error for error in batch.errors if str(error) not in {str(e) for e in self.unreadable}]
        if not len(batch.pixels):
            return self._nothing()
        seed = (self.recipe.seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch.number
        images = prepared(batch.pixels, batch.places, self.recipe, self.encoder.preprocess, seed % 2**63)
        loss = self.lesson.loss(self(images), batch.places)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"The loss became {value} in step {self.loss_steps + 1} of the epoch")
        self.loss_sum += value
        self.loss_steps += 1
        return loss

    def _nothing(self) -> Loss | None:
        """No step at all; or, beside other processes that wait for this one's gradients, gradients of zero."""
        if self.trainer.world_size == 1:
            return None
        return torch.stack([p.sum() * 0.0 for p in self.encoder.parameters() if p.requires_grad]).sum()

    def forward(self, images: Images) -> Descriptors:
        """Descriptors, the trunk in the precision of training and everything after it in float32."""
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        descriptors: Descriptors = self.encoder(images.contiguous(memory_format=layout))
        return descriptors

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer over what is trained, and its schedule, step by step."""
        optimizer = _optimizer(self.recipe, [p for p in self.encoder.parameters() if p.requires_grad])
        steps = -(-self.lesson.steps * self.lesson.rounds // self.recipe.accumulate) * self.recipe.epochs
        self.between_rounds = _between_rounds(self.recipe, optimizer, self.lesson.rounds * self.recipe.epochs)
        if self.between_rounds is not None:
            if self._schedule_state is not None:
                self.between_rounds.load_state_dict(self._schedule_state)
            return optimizer
        schedule = _schedule(self.recipe, optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def end_round(self) -> None:
        """The learning rate's change between two rounds, before the checkpoint is written."""
        if isinstance(self.between_rounds, ReduceLROnPlateau):
            # Every process must see the same loss, or their rates drift apart.
            own = torch.tensor([self.loss_sum, self.loss_steps], dtype=torch.float64, device=self.device)
            every: Any = self.all_gather(own)
            total, steps = every.reshape(-1, 2).sum(dim=0).tolist()
            if steps:
                self.between_rounds.step(total / steps)
        elif self.between_rounds is not None:
            self.between_rounds.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The lesson's state goes along, and the schedule's."""
        checkpoint["lesson"] = self.lesson.state()
        if self.between_rounds is not None:
            checkpoint["between_rounds"] = self.between_rounds.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The lesson goes on from there."""
        self.lesson.restore(checkpoint["lesson"])
        self._schedule_state = checkpoint.get("between_rounds")  # there is no optimizer yet to make the schedule for


def freeze(encoder: Encoder) -> None:
    """Stop the gradients of the backbone's parts up to the recipe's `frozen_through`. Raises RecipeError."""
    for single in encoder.singles():
        for parameter in parts_through(single.trunk, single.recipe.frozen_through):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise RecipeError(
            f"Nothing is left to train: the backbone is frozen through {encoder.recipe.frozen_through} and "
            f"{encoder.recipe.pooling} has no weights; freeze less with --set frozen_through=PART."
        )


def _optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
    if recipe.optimizer == "asgd":
        return torch.optim.ASGD(parameters, lr=rate, weight_decay=decay)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay)


def _between_rounds(recipe: Recipe, optimizer: Optimizer, rounds: int) -> CosineAnnealingLR | ReduceLROnPlateau | None:
    """The papers' schedules (Martin Garre et al., section IV-C): stepped after each of the rounds of an epoch, the
    plateau on the running mean of the epoch's loss."""
    if recipe.schedule == "cosine_rounds":
        return CosineAnnealingLR(optimizer, rounds)
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=1, threshold=0.005)
    return None


def _schedule(recipe: Recipe, optimizer: Optimizer, steps: int) -> LRScheduler:
    """Constant or down a cosine to nothing, after a linear warm-up."""
    after = max(1, steps - recipe.warmup_steps)
    main: LRScheduler = (
        CosineAnnealingLR(optimizer, after) if recipe.schedule == "cosine" else ConstantLR(optimizer, 1.0, 1)
    )
    if not recipe.warmup_steps:
        return main
    warmup = LinearLR(optimizer, 1 / (recipe.warmup_steps + 1), 1.0, recipe.warmup_steps)
    return SequentialLR(optimizer, [warmup, main], [recipe.warmup_steps])
