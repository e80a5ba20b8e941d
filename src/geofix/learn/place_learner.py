"""PlaceLearner: descriptors of photos of places, and the recipe's optimizer and schedule."""

from __future__ import annotations

from typing import Any

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

from geofix.augment.prepare import prepared
from geofix.data.batches import Batch
from geofix.errors import RecipeError
from geofix.learn.learner import Learner, Progress
from geofix.learn.lesson import DescriptorLesson
from geofix.models.backbones import parts_through
from geofix.models.encoder import Encoder, SingleEncoder
from geofix.recipes import Recipe
from geofix.tensors import Descriptors, Images, Loss


class PlaceLearner(Learner):
    """Lowers what the lesson says of the descriptors of a batch. Its parts up to `frozen_through` stand still.

    Raises RecipeError where nothing is left to train.
    """

    lesson: DescriptorLesson

    def __init__(self, encoder: Encoder, lesson: DescriptorLesson, progress: Progress | None = None) -> None:
        super().__init__(encoder, lesson, progress)
        freeze(encoder)
        self.between_rounds: CosineAnnealingLR | ReduceLROnPlateau | None = None
        self._schedule_state: dict[str, Any] | None = None

    @property
    def recipe(self) -> Recipe:
        """The encoder's."""
        recipe = self.encoder.recipe
        assert isinstance(recipe, Recipe)
        return recipe

    def lowered(self, batch: Batch, seed: int) -> Loss:
        """The lesson's loss of the descriptors of the photos, augmented as the recipe says."""
        images = prepared(batch.pixels, batch.places, self.recipe, self.encoder.preprocess, seed)
        return self.lesson.loss(self(images), batch.places)

    def forward(self, images: Images) -> Descriptors:
        """Descriptors, the trunk in the precision of training and everything after it in float32."""
        descriptors: Descriptors = self.encoder(self.in_layout(images))
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
        """The schedule's state goes along."""
        super().on_save_checkpoint(checkpoint)
        if self.between_rounds is not None:
            checkpoint["between_rounds"] = self.between_rounds.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The schedule goes on from there."""
        super().on_load_checkpoint(checkpoint)
        self._schedule_state = checkpoint.get("between_rounds")  # there is no optimizer yet to make the schedule for


def freeze(encoder: Encoder) -> None:
    """Stop the gradients of the backbone's parts up to the recipe's `frozen_through`. Raises RecipeError."""
    through = None
    for single in (one for one in encoder.with_trunks() if isinstance(one, SingleEncoder)):
        through = single.recipe.frozen_through
        for parameter in parts_through(single.trunk, through):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise RecipeError(
            f"Nothing is left to train: the backbone is frozen through {through} and what follows it has no weights; "
            "freeze less with --set frozen_through=PART."
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
