"""Learning across views: each step sees a photo of either view of a few places.

Bui, Kubo, Sato, "Cross-view image geo-localization using multi-scale generalized pooling with attention mechanism"
(2022), sections 3.2.3 and 4.1.1; what the paper leaves open is as in the code of Dai et al. (FSRA) and Wang et al.
(LPN), and docs/crossview.md lists it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, StepLR

from geofix import losses
from geofix.augment.views import prepared_views
from geofix.data.batches import Batch, Batches
from geofix.data.pairs import left_out, view_pairs
from geofix.data.places import Split
from geofix.errors import PhotoError
from geofix.learn.learner import Learner, Progress
from geofix.learn.lesson import Describe, Round
from geofix.models.crossview import BlockEncoder, Classifier, joined_parts
from geofix.recipes import CrossviewRecipe
from geofix.tensors import Loss, PartRows, PlaceNumbers


class ViewLesson:
    """An epoch is one pass over the places that both views show, `photos_per_place` times, in batches of `batch_size`
    places; a rest is left out. Both views of a batch show the same places, which the divergence between them needs.
    """

    def __init__(self, recipe: CrossviewRecipe, split: Split, say: list[str]) -> None:
        self.recipe = recipe
        self.pairs = view_pairs(split, recipe.views)
        if told := left_out(self.pairs, recipe.views):
            say.append(told)
        self.places = len(self.pairs.places)
        self.size = min(recipe.batch_size, self.places)
        if self.size < recipe.batch_size:
            say.append(f"There are {self.places} places, fewer than a batch of {recipe.batch_size}: all are in each.")
        self.unreadable: list[PhotoError] = []
        self.rounds = 1
        self.steps = self.places * recipe.photos_per_place // self.size

    def round(self, number: int, describe: Describe) -> Round:
        """Photos drawn by chance; nothing is mined."""
        del describe
        rng = np.random.default_rng([self.recipe.seed, number])
        drawn = self.pairs.drawn(rng, self.recipe.photos_per_place)
        parts = [drawn[start : start + self.size] for start in range(0, self.steps * self.size, self.size)]
        labels = [[place for place, _ in part] for part in parts]
        return Round(Batches([[pair for _, pair in part] for part in parts], self.recipe.image_size, labels), 0)

    def state(self) -> dict[str, Any]:
        """Every round is drawn from its number alone."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to remember."""


class ViewLearner(Learner):
    """The encoder with a classifier for each of its parts, which both views share and which no run keeps."""

    least_photos = 4  # two places: batch norms cannot learn from one

    def __init__(self, encoder: BlockEncoder, lesson: ViewLesson, progress: Progress | None = None) -> None:
        super().__init__(encoder, lesson, progress)
        recipe = encoder.recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 1)
            wanted = len(encoder.parts) if recipe.loss == "instance" else 0
            self.classifiers = nn.ModuleList(
                Classifier(recipe.part_length, lesson.places, recipe.dropout) for _ in range(wanted)
            )
        if not recipe.trunk_rate:
            encoder.trunk.requires_grad_(False)

    @property
    def recipe(self) -> CrossviewRecipe:
        """The encoder's."""
        recipe = self.encoder.recipe
        assert isinstance(recipe, CrossviewRecipe)
        return recipe

    def lowered(self, batch: Batch, seed: int) -> Loss:
        """The loss of a batch whose photos are by turns of the asking and of the searched view."""
        assert isinstance(self.encoder, BlockEncoder)
        searched = torch.arange(len(batch.pixels)) % 2
        images = self.in_layout(prepared_views(batch.pixels, searched, self.recipe, self.encoder.preprocess, seed))
        # One view after the other, each with batch statistics of its own, as two branches with shared weights have.
        queries, gallery = (self.encoder.part_rows(images[view::2]) for view in (0, 1))
        return self._warmth() * self.loss(queries, gallery, batch.places[::2], seed)

    def loss(self, queries: PartRows, gallery: PartRows, places: PlaceNumbers, seed: int) -> Loss:
        """Row i of both shows place i: cross-entropy of both views for each part, and how far their classes differ.

        The parts' cross-entropies are added or averaged as `head_reduction` says, the divergences averaged.
        """
        recipe = self.recipe
        if recipe.loss == "infonce":
            return losses.info_nce(joined_parts(queries), joined_parts(gallery), recipe.temperature)
        instance, apart = [], []
        with torch.random.fork_rng(devices=[queries.device] if queries.is_cuda else []):
            torch.manual_seed(seed)  # of dropout
            for part, classifier in enumerate(self.classifiers):
                asked, found = classifier(queries[:, part]), classifier(gallery[:, part])
                instance.append(
                    functional.cross_entropy(asked, places, label_smoothing=recipe.label_smoothing)
                    + functional.cross_entropy(found, places, label_smoothing=recipe.label_smoothing)
                )
                if recipe.kl:
                    apart.append(losses.between_views(found, asked, recipe.kl_direction, detach=recipe.kl_detach))
        total = torch.stack(instance).sum() if recipe.head_reduction == "sum" else torch.stack(instance).mean()
        return total + recipe.kl * torch.stack(apart).mean() if apart else total

    def _warmth(self) -> float:
        """What the loss counts now: a tenth at the start, all of it after the warm-up."""
        steps = self.recipe.warmup_epochs * self.lesson.steps
        done = self.current_epoch * self.lesson.steps + self.loss_steps
        return 1.0 if done >= steps else 0.1 + 0.9 * done / steps

    def configure_optimizers(self) -> Any:
        """Parts and classifiers learn at the recipe's rate, the trunk and GeM's exponents at a share of it."""
        recipe = self.recipe
        encoder = self.encoder
        assert isinstance(encoder, BlockEncoder)
        heads = [*encoder.parts.parameters(), *self.classifiers.parameters()]
        pooled = (encoder.trunk, encoder.pooling, encoder.earlier)
        slow = [p for part in pooled for p in part.parameters() if p.requires_grad]
        groups = [{"params": heads, "lr": recipe.learning_rate}]
        if slow and recipe.trunk_rate:
            groups.append({"params": slow, "lr": recipe.trunk_rate * recipe.learning_rate})
        optimizer: Optimizer = (
            SGD(groups, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay)
            if recipe.optimizer == "sgd"
            else AdamW(groups, weight_decay=recipe.weight_decay)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": _schedule(recipe, optimizer), "interval": "epoch"},
        }


def _schedule(recipe: CrossviewRecipe, optimizer: Optimizer) -> LRScheduler:
    """Stepped after each epoch."""
    if recipe.schedule == "step":
        return StepLR(optimizer, recipe.step_epochs, 0.1)
    return CosineAnnealingLR(optimizer, recipe.epochs) if recipe.schedule == "cosine" else ConstantLR(optimizer, 1.0, 1)
