"""geofix data check; data world, data preview, data night and data country are in files of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.cli.country import country
from geofix.cli.nights import night
from geofix.cli.preview import preview
from geofix.cli.world import world
from geofix.errors import PhotoError, UsageError

if TYPE_CHECKING:
    from geofix.data.assemble import Assembled

app = typer.Typer(help="Look at data, and make some.", no_args_is_help=True, rich_markup_mode=None)
app.command()(world)
app.command()(preview)
app.command()(night)
app.command()(country)


@app.command()
def subset(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A deep-VG dataset.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the subset.")],
    queries: Annotated[Path, typer.Option(help="A text file with the name of one query a line.")],
) -> None:
    """The queries of a list and the whole gallery of their splits, as hard links: Tokyo-night from Tokyo-XS."""
    from geofix.data.assemble import subset as run_subset

    try:
        names = queries.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list of queries {queries} cannot be read ({error}).") from error
    with output.progress("linking") as progress:
        made = run_subset(source, out, names, progress)
    output.result(_assembled(made))


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR", help="Two deep-VG datasets or more.")],
    out: Annotated[Path, typer.Option(help="A new folder for all of them.")],
) -> None:
    """The photos of several datasets in one, as hard links: day and night together."""
    from geofix.data.assemble import merged

    with output.progress("linking") as progress:
        made = merged(sources, out, progress)
    output.result(_assembled(made))


def _assembled(made: Assembled) -> str:
    splits = [f"{name} {made.gallery[name]} + {made.queries[name]}" for name in made.gallery]
    return f"{made.root}: gallery + query photos: {', '.join(splits)}"


@app.command()
def check(
    data: Annotated[Path, typer.Argument(metavar="DIR_OR_CSV", help="A dataset folder or a geotagged CSV.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file (- is stdout).")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Where the photos of a CSV lie.")] = None,
    day_night: Annotated[
        bool, typer.Option("--day-night", help="Plain places: day_ photos are the gallery, night_ the queries.")
    ] = False,
) -> None:
    """What is in this data: layout, splits, bad files, duplicates, positions, hopeless queries, leaks."""
    from geofix.cli.checked import shown
    from geofix.data.check import check as run_check
    from geofix.data.layouts import open_dataset

    dataset = open_dataset(data, image_root=images, split_by_time=day_night)
    with output.progress("checking") as progress:
        report = run_check(dataset, progress)
    if str(json_file) != "-":
        output.result(shown(report))
    output.save(json_file, lambda: json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n")
    problems = [*report.problems, *(bad.problem for bad in report.unreadable)]
    output.finish([PhotoError(text) for text in problems])
