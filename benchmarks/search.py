"""Exact nearest neighbours: geofix and FAISS IndexFlatL2, time and copies of the gallery.

floor  the distances' multiplications at the speed of one large matrix product on this machine

python benchmarks/search.py [--threads 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import faiss
import numpy as np
import torch
from sides import added_mb, arguments, in_turn, table

from geofix.search import nearest

K = 20
JOBS = ((2000, 100_000, 512), (2000, 10_000, 16_384))


def flat(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """The field's way: an index is built (a copy of the gallery) and searched."""
    index = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery)
    return index.search(queries, K)[1]


def floor_seconds(queries: int, gallery: int, length: int) -> float:
    """Seconds for the multiplications at the rate of a linear layer, the fastest product here."""
    left, right = torch.rand(1024, 1024), torch.rand(1024, 1024)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - start)
    return 2 * queries * gallery * length / (2 * 1024**3 / best)


def main() -> None:
    chosen = arguments(__doc__)
    # Memory is measured in forked children, and a process whose threads have run must not be forked any more.
    memory = [added_memory(*job) for job in JOBS]
    for job, added in zip(JOBS, memory, strict=True):
        print(measured(*job, chosen))
        print(added)


def sides_of(queries: int, gallery: int, length: int) -> dict[str, Callable[[], np.ndarray]]:
    """Both ways to search random unit descriptors for slightly disturbed ones of them."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((gallery, length), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    asked = rows[:queries] + 0.02 * rng.standard_normal((queries, length), dtype=np.float32)
    return {"geofix": lambda: nearest(asked, rows, K)[1], "FAISS IndexFlatL2": lambda: flat(asked, rows)}


def added_memory(queries: int, gallery: int, length: int) -> str:
    """What each side adds to the gallery's own memory."""
    sides = sides_of(queries, gallery, length)
    added = ", ".join(f"{name} {added_mb(work):.0f} MB" for name, work in sides.items())
    return f"memory added to the gallery's own {4 * gallery * length / 2**20:.0f} MB: {added}"


def measured(queries: int, gallery: int, length: int, chosen: argparse.Namespace) -> str:
    """The table of one job."""
    sides = sides_of(queries, gallery, length)
    figures = in_turn(sides, chosen.rounds)
    same = (sides["geofix"]() == sides["FAISS IndexFlatL2"]()).mean()
    title = f"heap {chosen.heap}, {chosen.threads} thread(s): {queries} x {gallery}, {length}-D, {K} nearest"
    floor = floor_seconds(queries, gallery, length) * chosen.threads
    share = 100 * floor / figures["geofix"].cpu_seconds
    shown = table(title, figures, "queries", queries, "geofix", "FAISS IndexFlatL2")
    return f"{shown}\nfloor: {floor:.2f} CPU s; geofix reaches {share:.0f} %; same neighbours: {100 * same:.2f} %"


if __name__ == "__main__":
    main()
