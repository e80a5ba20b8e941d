"""Measuring several ways of doing one thing in one process, in turn, so that a drifting machine treats all alike."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Median CPU and wall seconds of one side."""

    cpu_seconds: float
    wall_seconds: float


def in_turn(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Figures]:
    """Each side once to warm up, then `rounds` times A B C A B C ...; medians."""
    for work in sides.values():
        work()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            cpu, wall = _cpu(), time.perf_counter()
            work()
            seen[name].append((_cpu() - cpu, time.perf_counter() - wall))
    return {
        name: Figures(statistics.median(c for c, _ in runs), statistics.median(w for _, w in runs))
        for name, runs in seen.items()
    }


def arguments(about: str | None) -> argparse.Namespace:
    """--threads, --rounds, --photos and the heap; without --heap the script runs itself once for each."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of every side")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--photos", type=int, default=32, help="photos, where photos are worked on")
    parser.add_argument("--heap", choices=["default", "kept"], help="only with this heap")
    chosen = parser.parse_args()
    if chosen.heap is None:
        for heap in ("default", "kept"):
            subprocess.run([sys.executable, *sys.argv, "--heap", heap], env=_environment(chosen.threads), check=True)
        sys.exit(0)
    prepare(chosen.heap, chosen.threads)
    return chosen


def prepare(heap: str, threads: int) -> None:
    """The same threads for torch and FAISS, and the heap as asked, for every side of this process."""
    import faiss
    import torch

    from geofix.heap import keep_freed_memory

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    if heap == "kept" and not keep_freed_memory():
        sys.exit("This system's heap cannot be kept.")


def table(title: str, sides: Mapping[str, Figures], unit: str, per_run: float, ours: str, plain: str) -> str:
    """Units a CPU second of each side, and each side's CPU time over ours."""
    lines = [f"\n{title}", f"{'':28}{unit + ' / CPU s':>20}{'wall s':>10}{'CPU / ours':>12}"]
    for name, figures in sides.items():
        ratio = figures.cpu_seconds / sides[ours].cpu_seconds
        rate = per_run / figures.cpu_seconds
        lines.append(f"{name:28}{rate:20.2f}{figures.wall_seconds:10.3f}{ratio:12.2f}")
    gain = sides[plain].cpu_seconds / sides[ours].cpu_seconds
    return "\n".join([*lines, f"{plain} / {ours}: {gain:.2f}x"])


def added_mb(work: Callable[[], object]) -> float:
    """Megabytes that doing `work` once adds to a process that holds its inputs already, in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = _resident_peak_mb()
        work()
        os.write(writer, str(_resident_peak_mb() - before).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return float(pipe.read())


def _resident_peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
