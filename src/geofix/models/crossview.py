"""BlockEncoder: a photo's descriptor as parts side by side, one for each block of the maps and one for the whole.

Bui, Kubo, Sato, "Cross-view image geo-localization using multi-scale generalized pooling with attention mechanism"
(2022), section 3.2. The same network sees all views.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from geofix.models.blocks import BlockPooling
from geofix.models.encoder import TrunkEncoder
from geofix.recipes import CrossviewRecipe
from geofix.tensors import Descriptors, Images, Logits, PartRows, Pooled, Reduced, StageMaps


class Part(nn.Module):
    """What follows each pooled vector: a linear layer to the part's length and a batch norm (Zheng et al. 2020)."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(channels, length), nn.BatchNorm1d(length)
        nn.init.kaiming_normal_(self.linear.weight, mode="fan_out")
        nn.init.zeros_(self.linear.bias)
        nn.init.normal_(self.norm.weight, 1.0, 0.02)

    def forward(self, pooled: Pooled) -> Reduced:
        """(n, c) -> (n, length)."""
        rows: Reduced = self.norm(self.linear(pooled))
        return rows


class Classifier(nn.Module):
    """Dropout and a linear layer: a part -> how much it looks like each place that is learned. Left out of the run."""

    def __init__(self, length: int, places: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(length, places)
        nn.init.normal_(self.linear.weight, std=0.001)
        nn.init.zeros_(self.linear.bias)

    def forward(self, part: Reduced) -> Logits:
        """(n, length) -> (n, places)."""
        logits: Logits = self.linear(self.dropout(part))
        return logits


class BlockEncoder(TrunkEncoder):
    """Parts of a trunk's maps: pooled blocks of the last stage, and the maxima of the stages named in `global_stages`.

    As a descriptor each part has unit length, divided by the root of their number: all of it has unit length, and
    Euclidean and cosine distances rank alike. The maximum of stages side by side is the maxima of each side by side,
    so that they need not be equally fine.
    """

    recipe: CrossviewRecipe

    def __init__(self, recipe: CrossviewRecipe, trunk: nn.Module) -> None:
        super().__init__(recipe, trunk)
        channels: tuple[int, ...] = trunk.stage_channels  # type: ignore[assignment]
        self.pooling = BlockPooling(recipe, channels[-1])
        whole, blocked = channels[: len(recipe.global_stages)], channels[len(recipe.global_stages) : -1]
        self.earlier = nn.ModuleList(BlockPooling(recipe, width) for width in blocked)
        lengths = [width for width in (*blocked, channels[-1]) for _ in range(recipe.block_count)]
        lengths += [sum(whole)] if whole else []
        self.parts = nn.ModuleList(Part(length, recipe.part_length) for length in lengths)
        self.pca = None
        self.descriptor_length = len(lengths) * recipe.part_length

    def forward(self, images: Images) -> Descriptors:
        """Normalised photos -> descriptors of unit length; mirrored photos count as much, if the recipe wants that."""
        rows = self.part_rows(images)
        if self.recipe.flip_test and not self.training:
            rows = rows + self.part_rows(images.flip(3))
        return joined_parts(rows)

    def part_rows(self, images: Images) -> PartRows:
        """(n, parts, length), the innermost block first and the global part last; the trunk in the precision it is in
        and everything after it in float32."""
        with torch.autocast(images.device.type, enabled=False):
            found = [part(vector) for part, vector in zip(self.parts, self.pooled(images), strict=True)]
            return torch.stack(found, dim=1)

    def pooled(self, images: Images) -> list[Pooled]:
        """The vector (n, c) of each part, in the order of `part_rows`, before its layer: the blocks of `block_stages`
        come before those of the stage of `cut`.
        """
        stages: tuple[StageMaps, ...] = self.trunk(images)
        wide = len(self.recipe.global_stages)
        with torch.autocast(images.device.type, enabled=False):
            poolings = [*self.earlier, self.pooling]
            found = [
                vector for pool, maps in zip(poolings, stages[wide:], strict=True) for vector in pool(maps.float())
            ]
            if wide:
                found.append(torch.cat([maps.float().amax(dim=(2, 3)) for maps in stages[:wide]], dim=1))
        return found


def joined_parts(rows: PartRows) -> Descriptors:
    """(n, parts, length) -> (n, length * parts) of unit length, the parts of one number side by side."""
    unit: PartRows = functional.normalize(rows, dim=2) / rows.shape[1] ** 0.5
    return unit.transpose(1, 2).flatten(1)
