"""How long does it take to score University-1652, and in how much memory?

Descriptors made by chance, of the release's sizes: 37,855 drone photos ask 951 satellite pictures, 701 satellite
pictures ask 51,355 drone photos (54 of their own each).

ours      whole_ranking: blocks of similarities, ranks by counting what is above, both average precision and recall
loop      a query at a time: its similarities, sorted whole, its own looked for among them (the field's way)
floor     the products of the descriptors alone, all that no way can do without

python benchmarks/crossview.py [--length 512] [--share 1.0]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from geofix.crossview import whole_ranking
from geofix.data.places import Benchmark
from geofix.metrics import average_precision
from geofix.photos import Photo

DRONES_EACH = 54


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=512, help="numbers of a descriptor")
    parser.add_argument("--share", type=float, default=1.0, help="of the queries, for a quick look")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    sizes = {"drone-satellite": (37_855, 951), "satellite-drone": (701, 51_355)}
    print("| direction | way | seconds | of ours | memory beyond the descriptors, MB |\n|---|---|---|---|---|")
    for direction, (asked, searched) in sizes.items():
        queries = rng.standard_normal((max(1, round(chosen.share * asked)), chosen.length), dtype=np.float32)
        gallery = rng.standard_normal((searched, chosen.length), dtype=np.float32)
        mark = labelled(direction, len(queries), searched)
        ours, memory = timed(lambda q=queries, g=gallery, m=mark: score(m, q, g))
        loop, loop_mb = timed(lambda q=queries, g=gallery, m=mark: one_by_one(m, q, g))
        floor, floor_mb = timed(lambda q=queries, g=gallery: products(q, g))
        if not np.allclose(score(mark, queries, gallery), one_by_one(mark, queries, gallery), atol=1e-4):
            raise SystemExit("The two ways disagree.")
        for name, seconds, used in (("ours", ours, memory), ("loop", loop, loop_mb), ("floor", floor, floor_mb)):
            print(f"| {direction} | {name} | {seconds:.2f} | {seconds / ours:.2f} | {used:.0f} |", flush=True)


def labelled(direction: str, asked: int, searched: int) -> Benchmark:
    """Who shows what, as in the release: query drone photos are 54 a building, satellite pictures one."""
    drones = direction == "drone-satellite"
    query_places = np.arange(asked) // DRONES_EACH if drones else np.arange(asked)
    gallery_places = np.arange(searched) if drones else np.minimum(np.arange(searched) // DRONES_EACH, 950)
    order = np.argsort(gallery_places, kind="stable")
    starts = np.searchsorted(gallery_places[order], np.arange(952))
    relevant = tuple(order[starts[place] : starts[place + 1]] for place in query_places)
    photo = Photo("one", Path("one"))
    nothing = np.empty(0, dtype=np.int64)
    names = tuple(str(place) for place in query_places.tolist())
    return Benchmark("test", (photo,) * asked, (photo,) * searched, relevant, (nothing,) * asked, names, split_hash="-")


def score(mark: Benchmark, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Ours: the average precision of each query."""
    return whole_ranking(mark, np.arange(len(queries)), queries, gallery, "trapezoid", len(gallery)).precisions


def one_by_one(mark: Benchmark, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Every query's whole ranking, sorted; then where its own are in it."""
    half = (gallery**2).sum(axis=1) / 2
    found = []
    for query, right in zip(queries, mark.relevant, strict=True):
        order = np.argsort(gallery @ query - half)[::-1]
        found.append(np.flatnonzero(np.isin(order, right)))
    return average_precision(found)


def products(queries: np.ndarray, gallery: np.ndarray) -> None:
    """Nothing but the similarities, a block at a time."""
    step = max(1, 8_000_000 // len(gallery))
    for start in range(0, len(queries), step):
        queries[start : start + step] @ gallery.T


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one go, and by how many MB the process grew at its largest: one of its own, as that never falls."""
    ours, theirs = multiprocessing.Pipe()

    def go() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        theirs.send((seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))

    child = multiprocessing.get_context("fork").Process(target=go)
    child.start()
    found: tuple[float, float] = ours.recv()
    child.join()
    return found


if __name__ == "__main__":
    main()
