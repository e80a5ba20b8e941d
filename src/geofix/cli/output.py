"""What the commands say: results on stdout, everything else on stderr, progress only to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from geofix.errors import GeofixError
from geofix.files import write_atomically

SHOWN_ERRORS = 20
_SHOWN_BARS = 6


def result(text: str) -> None:
    """A result, on stdout."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def remark(text: str) -> None:
    """A remark, on stderr."""
    sys.stderr.write(f"geofix: {text}\n")


def finish(errors: Sequence[GeofixError]) -> None:
    """Name every input that could not be used and exit with 1, or return when there is none."""
    for error in errors[:SHOWN_ERRORS]:
        remark(str(error))
    if len(errors) > SHOWN_ERRORS:
        remark(f"... and {len(errors) - SHOWN_ERRORS} more inputs that could not be used.")
    if errors:
        raise typer.Exit(1)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain columns, the first flush left and the others flush right, readable by people and by awk."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def percent(share: float, ends: Sequence[float]) -> str:
    """A fraction with the ends of its interval, in percent."""
    low, high = (100 * end for end in ends)
    return f"{100 * share:.1f} [{low:.0f}, {high:.0f}]"


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions with the ends of its interval, in percentage points."""
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def save(path: Path | None, content: Callable[[], str]) -> None:
    """Write a result file whole, or do nothing when no path was given; - is stdout."""
    if path is None:
        return
    if str(path) == "-":
        result(content())
    else:
        write_atomically(path, content())


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with time left on stderr; a function of (done, total) that does nothing off a terminal."""
    with steps() as report:
        yield lambda done, total: report(what, done, total)


@contextmanager
def steps() -> Iterator[Callable[[str, int, int], None]]:
    """As `progress`, with one bar for each named step; a function of (step, done, total)."""
    if not sys.stderr.isatty():
        yield lambda _step, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bars: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in bars:
                if len(bars) == _SHOWN_BARS:  # a long work has hundreds of steps
                    bar.remove_task(bars.pop(next(iter(bars))))
                bars[step] = bar.add_task(step, total=total)
            bar.update(bars[step], completed=done, total=total)

        yield report
