"""Choosing the triplets of one refresh: geofix and the plain way, which asks a FAISS index for every query.

plain  the field's code: descriptors in a list with a place for every photo of the dataset, so that only those described
       take memory; for each query an IndexFlatL2 of its positives and one of its candidates, built and asked

python benchmarks/mine.py [--threads 1] [--rounds 3]
"""

from __future__ import annotations

import argparse

import faiss
import numpy as np
from sides import added_mb, arguments, in_turn, table

from geofix.mining import Draw, Miner

QUERIES, GALLERY, CANDIDATES, NEGATIVES = 1000, 10_000, 1000, 10
LENGTHS = (256, 16_384)


class Job:
    """One refresh of partial mining over made-up descriptors; each query has 3 positives among 8 near photos."""

    def __init__(self, length: int) -> None:
        rng = np.random.default_rng(0)
        near = [np.sort(rng.choice(GALLERY, 8, replace=False)) for _ in range(QUERIES)]
        self.positives = [rows[:3] for rows in near]
        self.miner = Miner(self.positives, near, GALLERY, mining="partial", negatives=NEGATIVES, candidates=CANDIDATES)
        self.draw: Draw = self.miner.draw(rng, QUERIES)
        self.gallery = rng.standard_normal((len(self.draw.gallery), length), dtype=np.float32)
        self.queries = rng.standard_normal((QUERIES, length), dtype=np.float32)
        self.kept: list[np.ndarray | None] = [None] * GALLERY
        for row, described in zip(self.draw.gallery, self.gallery, strict=True):
            self.kept[row] = described

    def ours(self) -> np.ndarray:
        return self.miner.choose(self.draw, self.queries, self.gallery)

    def plain(self) -> np.ndarray:
        found = []
        for number, query in enumerate(self.draw.queries):
            row = self.queries[number : number + 1]
            positives = self.positives[query]
            candidates = self.draw.gallery[self.draw.candidates[number]]
            best = positives[_asked(row, self._rows(positives), 1)]
            hardest = candidates[_asked(row, self._rows(candidates), NEGATIVES)]
            found.append([query, *best, *hardest])
        return np.array(found)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return np.array([self.kept[row] for row in rows])


def _asked(query: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return index.search(query, count)[1][0]


def measured(length: int, chosen: argparse.Namespace) -> str:
    """The table of one descriptor length."""
    job = Job(length)
    # Memory is measured in forked children, and a process whose threads have run must not be forked any more.
    memory = {"geofix": added_mb(job.ours), "plain": added_mb(job.plain)} if length == LENGTHS[0] else {}
    figures = in_turn({"geofix": job.ours, "plain": job.plain}, chosen.rounds)
    same = (job.ours() == job.plain()).mean()
    title = f"heap {chosen.heap}, {chosen.threads} thread(s): {QUERIES} queries x {CANDIDATES} candidates, {length}-D"
    shown = table(title, figures, "queries", QUERIES, "geofix", "plain")
    added = ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in memory.items())
    return f"{shown}\nsame rows: {100 * same:.2f} %" + (f"; memory added: {added}" if added else "")


def main() -> None:
    chosen = arguments(__doc__)
    for length in LENGTHS:
        print(measured(length, chosen))


if __name__ == "__main__":
    main()
