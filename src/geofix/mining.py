"""Mining: which positive and which negatives each query learns from, chosen by the encoder as it is now.

One refresh is one draw (which photos take part) and one choice (which of them are the triplets). The choice is
matrix work over all queries at once; the field's code builds and asks a search index for every query.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from geofix.recipes import Mining
from geofix.shapes import DescriptorRows, GalleryRows, Mask, MinedQueries, Pairs, Triplets

Random = np.random.Generator | np.random.RandomState


@dataclass(frozen=True, eq=False)
class Draw:
    """What takes part in one refresh: query rows (t,), the gallery rows (c,) whose descriptors are needed,
    and for each query which of those rows are candidates.

    `ordered` holds for random mining the negatives in the order they were drawn, and is None otherwise.
    """

    queries: np.ndarray
    gallery: np.ndarray
    candidates: Mask
    ordered: tuple[np.ndarray, ...] | None = None


class Miner:
    """Draws and chooses triplets the way the papers' code does, without its false negatives.

    partial: one sample of `candidates` gallery photos, shared by all queries of a refresh. full: a fresh sample
    for each query, and its previous negatives. random: negatives by chance. In each, what lies near the query
    (`near`) is never a negative, and the positive is the most similar of `positives`. Atadjanov et al., section
    III; the reference is deep-visual-geo-localization-benchmark, datasets_ws.py.
    """

    def __init__(
        self,
        positives: Sequence[np.ndarray],
        near: Sequence[np.ndarray],
        gallery: int,
        *,
        mining: Mining,
        negatives: int,
        candidates: int,
    ) -> None:
        self.positives = positives
        self.near = near
        self.gallery = gallery
        self.mining = mining
        self.negatives = negatives
        self.candidates = min(candidates, gallery)
        self.previous: dict[int, np.ndarray] = {}  # full mining keeps a query's negatives for the next time

    def draw(self, rng: Random, queries: int) -> Draw:
        """Choose `queries` queries and the gallery photos that take part, all by chance."""
        chosen: list[int] = rng.choice(len(self.positives), queries, replace=False).tolist()
        ordered: list[np.ndarray] | None = None
        if self.mining == "partial":
            shared = rng.choice(self.gallery, self.candidates, replace=False)
            pools = [np.setdiff1d(shared, self.near[row]) for row in chosen]
        elif self.mining == "full":
            pools = [self._sample_of(rng, row) for row in chosen]
        else:
            pools = ordered = [self._by_chance(rng, row) for row in chosen]
        pools = [self._enough(rng, row, pool) for row, pool in zip(chosen, pools, strict=True)]
        if ordered is not None:
            ordered = pools
        # Chance asks nothing of the negatives' descriptors, so only the positives' are needed.
        described = [] if ordered is not None else pools
        gallery = np.unique(np.concatenate([*described, *(self.positives[row] for row in chosen)]))
        candidates = np.zeros((len(chosen), len(gallery)), dtype=bool)
        for number, pool in enumerate(described):
            candidates[number, np.searchsorted(gallery, pool)] = True
        return Draw(np.array(chosen), gallery, candidates, None if ordered is None else tuple(ordered))

    def choose(self, draw: Draw, queries: MinedQueries, gallery: GalleryRows) -> Triplets:
        """The triplets of a draw, given descriptors of its queries (t, d) and gallery rows (c, d).

        Negatives come hardest first. Distances are Euclidean; equal ones go by row.
        """
        positives = _nearest_positives(draw, queries, gallery, [self.positives[row] for row in draw.queries])
        if draw.ordered is not None:
            negatives = np.stack([rows[: self.negatives] for rows in draw.ordered])
        else:
            # Positives of other queries lie in `gallery` too; a column nobody may choose costs a product for nothing.
            columns = np.flatnonzero(draw.candidates.any(axis=0))
            best = _hardest(queries, gallery[columns], draw.candidates[:, columns], self.negatives)
            negatives = draw.gallery[columns[best]]
        if self.mining == "full":
            self.previous.update(zip(draw.queries.tolist(), negatives, strict=True))
        return np.column_stack([draw.queries, positives, negatives]).astype(np.int64)

    def _sample_of(self, rng: Random, query: int) -> np.ndarray:
        drawn = np.setdiff1d(rng.choice(self.gallery, self.candidates, replace=False), self.near[query])
        return np.union1d(self.previous.get(query, drawn[:0]), drawn)

    def _by_chance(self, rng: Random, query: int) -> np.ndarray:
        count = min(self.gallery, self.negatives + len(self.near[query]))
        drawn = rng.choice(self.gallery, count, replace=False)
        return np.setdiff1d(drawn, self.near[query], assume_unique=True)[: self.negatives]

    def _enough(self, rng: Random, query: int, pool: np.ndarray) -> np.ndarray:
        """The pool, filled up from the whole gallery where the sample left fewer than are asked for."""
        missing = self.negatives - len(pool)
        if missing <= 0:
            return pool
        others = np.setdiff1d(np.arange(self.gallery), np.concatenate([self.near[query], pool]))
        return np.concatenate([pool, rng.choice(others, missing, replace=False)])


def mutual_pairs(descriptors: DescriptorRows, same: Sequence[np.ndarray], spots: Sequence[Hashable]) -> Pairs:
    """Pairs (m, 2) of rows that surely show the same thing, as far as the descriptors can tell.

    `same[i]` are the rows taken near row i, in any direction, and `spots[i]` is where it was taken from: photos of
    one panorama share a spot and look in different directions. Of each other spot the row most similar to i is
    taken, and the pair counts if i is also the most similar one of its own spot to that row.
    """
    number = {spot: index for index, spot in enumerate(dict.fromkeys(spots))}
    spot = np.array([number[one] for one in spots], dtype=np.int64)
    owners = np.repeat(np.arange(len(same)), [len(rows) for rows in same])
    others = np.concatenate([*same, np.empty(0, dtype=np.int64)])
    elsewhere = spot[owners] != spot[others]
    owners, others = owners[elsewhere], others[elsewhere]
    order = np.lexsort((_squared_pairs(descriptors, descriptors, owners, others), spot[others], owners))
    owners, others = owners[order], others[order]
    groups = np.column_stack([owners, spot[others]])
    best = np.ones(len(groups), dtype=bool)
    best[1:] = (groups[1:] != groups[:-1]).any(axis=1)
    chosen = set(zip(owners[best].tolist(), others[best].tolist(), strict=True))
    pairs = sorted((one, other) for one, other in chosen if one < other and (other, one) in chosen)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _nearest_positives(
    draw: Draw, queries: MinedQueries, gallery: GalleryRows, positives: Sequence[np.ndarray]
) -> np.ndarray:
    """The gallery row of each query's most similar positive."""
    counts = np.array([len(rows) for rows in positives])
    flat = np.concatenate(positives)
    owners = np.repeat(np.arange(len(positives)), counts)
    squared = _squared_pairs(queries, gallery, owners, np.searchsorted(draw.gallery, flat))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    least = np.repeat(np.minimum.reduceat(squared, starts), counts)
    first = np.minimum.reduceat(np.where(squared == least, np.arange(len(flat)), len(flat)), starts)
    return flat[first]


def _squared_pairs(
    queries: MinedQueries, gallery: GalleryRows, owners: np.ndarray, rows: np.ndarray, block: int = 512
) -> np.ndarray:
    """Squared distances of the pairs (queries[owners[i]], gallery[rows[i]]), in blocks that stay in the cache."""
    squared = np.empty(len(owners), dtype=np.float32)
    for start in range(0, len(owners), block):
        some = slice(start, start + block)
        apart = queries[owners[some]] - gallery[rows[some]]
        squared[some] = np.einsum("nd,nd->n", apart, apart)
    return squared


def _hardest(queries: MinedQueries, gallery: GalleryRows, candidates: Mask, count: int) -> np.ndarray:
    """The `count` candidates nearest to each query, nearest first, as columns of `candidates`."""
    one, other = torch.from_numpy(queries), torch.from_numpy(gallery)
    # |q - g|^2 without |q|^2, which changes no query's order.
    squared = torch.addmm(other.square().sum(dim=1)[None], one, other.T, alpha=-2.0)
    squared.masked_fill_(torch.from_numpy(~candidates), float("inf"))
    return np.asarray(squared.topk(count, dim=1, largest=False).indices.numpy())
