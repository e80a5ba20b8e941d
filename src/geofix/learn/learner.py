"""Learner: an encoder and a lesson, as Lightning wants them; what is the same however is learned."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import nn
from torch.utils.data import DataLoader

from geofix.data.batches import Batch
from geofix.encode import Inference, encode_chunk
from geofix.errors import PhotoError, TrainingError
from geofix.learn.lesson import Lesson
from geofix.models.encoder import Encoder
from geofix.recipes import EncoderRecipe
from geofix.tensors import Images, Loss

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, done, total) now and then."""

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


class Learner(lightning.LightningModule, ABC):
    """One Lightning epoch is one round of the lesson: mine, then a step for each batch.

    Randomness hangs on the recipe's seed, the round and the batch alone, so that a resumed training draws what
    the uninterrupted one would have drawn.
    """

    least_photos = 1  # of a batch that can be learned from

    def __init__(self, encoder: Encoder, lesson: Lesson, progress: Progress | None = None) -> None:
        super().__init__()
        self.progress = progress
        self.encoder = encoder
        self.lesson = lesson
        self.false_negatives = 0  # in this epoch, by the audit
        self.loss_sum, self.loss_steps = 0.0, 0  # of this epoch
        self.unreadable: list[PhotoError] = []

    @property
    def recipe(self) -> EncoderRecipe:
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
            for module in (module for one in self.encoder.with_trunks() for module in one.trunk.modules()):
                if isinstance(module, _BATCH_NORMS):
                    module.eval()

    def training_step(self, batch: Batch, _: int) -> Loss | None:
        """The loss of a batch; raises TrainingError when it is no number."""
        self.unreadable += [error for error in batch.errors if str(error) not in {str(e) for e in self.unreadable}]
        if len(batch.pixels) < self.least_photos:
            return self._nothing()
        seed = (self.recipe.seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch.number
        loss = self.lowered(batch, seed % 2**63)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"The loss became {value} in step {self.loss_steps + 1} of the epoch")
        self.loss_sum += value
        self.loss_steps += 1
        return loss

    @abstractmethod
    def lowered(self, batch: Batch, seed: int) -> Loss:
        """What is lowered on a batch; what chance does to its photos hangs on the seed."""

    def _nothing(self) -> Loss | None:
        """No step at all; or, beside other processes that wait for this one's gradients, gradients of zero."""
        if self.trainer.world_size == 1:
            return None
        return torch.stack([p.sum() * 0.0 for p in self.parameters() if p.requires_grad]).sum()

    def in_layout(self, images: Images) -> Images:
        """The images in the memory format of training."""
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        return images.contiguous(memory_format=layout)

    def end_round(self) -> None:
        """What changes between two rounds, before the checkpoint is written."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The lesson's state goes along."""
        checkpoint["lesson"] = self.lesson.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The lesson goes on from there."""
        self.lesson.restore(checkpoint["lesson"])
