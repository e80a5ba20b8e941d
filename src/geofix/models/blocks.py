"""Blocks: centred squares of maps, each pooled to a vector of its own.

Bui, Kubo, Sato (2022), section 3.2.2 and figure 5, after the square rings of Wang et al., "Each part matters" (LPN,
2021). Block i of N is a box whose half sides are i * floor(rows / 2N) and i * floor(columns / 2N); the last is the
whole map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofix.models.pooling import GeM
from geofix.recipes import CrossviewRecipe
from geofix.tensors import Locals, Maps, Pooled


class BlockPooling(nn.Module):
    """Maps (n, c, h, w) -> one vector (n, c) a block, the innermost first.

    `partition` says what is left of a box: "nested" all of it; "ring" only what the next smaller one does not have;
    "ring_lpn" the whole box with zeros in place of the smaller one, as LPN's program has it, where an average counts
    the zeros. Maps of fewer than 2N rows or columns are enlarged to that first, as there. "grid" is not of these
    papers: N x N cells side by side, which tell where in the picture things lie; for maps and frames that are turned
    to them.
    """

    def __init__(self, recipe: CrossviewRecipe, channels: int) -> None:
        super().__init__()
        self.blocks, self.partition, self.kind = recipe.blocks, recipe.partition, recipe.pooling
        # Bui et al., eq. 1: an exponent p_k for each channel k; one set for each block.
        gems = [GeM(recipe.gem_p, recipe.gem_p_learnable, channels) for _ in range(recipe.block_count)]
        self.gems = nn.ModuleList(gems if recipe.pooling == "gem" else [])

    def forward(self, maps: Maps) -> list[Pooled]:
        """One vector a block."""
        return [self._pooled(number, block) for number, block in enumerate(cut(maps, self.blocks, self.partition))]

    def _pooled(self, number: int, block: Locals) -> Pooled:
        if self.kind == "gem":
            pooled: Pooled = self.gems[number](block.unsqueeze(-1))
            return pooled
        return block.mean(dim=2) if self.kind == "average" else block.amax(dim=2)


def cut(maps: Maps, blocks: int, partition: str) -> list[Locals]:
    """The blocks of maps (n, c, h, w), each with its places in a row: (n, c, places of that block)."""
    if not blocks:
        return []
    if partition == "grid":
        return [maps[:, :, rows, columns].flatten(2) for rows, columns in cells(maps.shape[-2], maps.shape[-1], blocks)]
    least = 2 * blocks
    if min(maps.shape[-2:]) < least:
        size = [max(side, least) for side in maps.shape[-2:]]
        maps = functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)
    found, inner = [], None
    for box in boxes(maps.shape[-2], maps.shape[-1], blocks):
        found.append(_block(maps, box, None if partition == "nested" else inner, partition == "ring_lpn"))
        inner = box
    return found


def boxes(rows: int, columns: int, blocks: int) -> list[tuple[slice, slice]]:
    """Rows and columns of each box, the innermost first; `rows` and `columns` are at least 2 * blocks."""
    halves = [(i * (rows // (2 * blocks)), i * (columns // (2 * blocks))) for i in range(1, blocks)]
    middle = rows // 2, columns // 2
    inner = [(slice(middle[0] - h, middle[0] + h), slice(middle[1] - w, middle[1] + w)) for h, w in halves]
    return [*inner, (slice(0, rows), slice(0, columns))]


def cells(rows: int, columns: int, blocks: int) -> list[tuple[slice, slice]]:
    """Rows and columns of each of blocks x blocks cells, row by row; where maps have fewer places, cells share them."""
    across, down = (_parts(side, blocks) for side in (columns, rows))
    return [(row, column) for row in down for column in across]


def _parts(side: int, count: int) -> list[slice]:
    return [slice(number * side // count, -(-(number + 1) * side // count)) for number in range(count)]


def _block(maps: Maps, box: tuple[slice, slice], hole: tuple[slice, slice] | None, zeros: bool) -> Locals:
    """What a box of maps holds; without the hole, or with zeros there."""
    if hole is None:
        return maps[:, :, box[0], box[1]].flatten(2)
    if zeros:
        filled = maps.clone()
        filled[:, :, hole[0], hole[1]] = 0
        return filled[:, :, box[0], box[1]].flatten(2)
    kept = torch.zeros(maps.shape[-2:], dtype=torch.bool, device=maps.device)
    kept[box] = True
    kept[hole] = False
    ring: Tensor = maps[:, :, kept]
    return ring
