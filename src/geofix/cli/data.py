"""geofix data check and geofix data world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from geofix.cli import output
from geofix.errors import PhotoError, UsageError

app = typer.Typer(help="Look at data, and make some.", no_args_is_help=True, rich_markup_mode=None)


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


@app.command()
def world(
    out: Annotated[Path, typer.Argument(help="A new folder for the rendered dataset.")],
    kind: Annotated[str, typer.Option(help="places: street views in the deep-VG layout.")] = "places",
    places: Annotated[int, typer.Option(help="How many spots photos are taken at.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed is another town.")] = 0,
    condition: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the query photos: night, fog, noise, occlusion, ...")
    ] = None,
) -> None:
    """Render a town with known coordinates: the same seed gives the same bytes."""
    from geofix.world.conditions import DAY, NIGHT, Conditions
    from geofix.world.writers import write_places

    if kind != "places":
        raise UsageError(f"There is no kind of world {kind!r} yet; this version renders: places.")
    chosen = [Conditions.from_settings(condition)] if condition else [DAY, NIGHT]
    with output.progress("rendering") as progress:
        summary = write_places(out, places=places, seed=seed, conditions=chosen, progress=progress)
    splits = [f"{name} {summary.gallery[name]} + {summary.queries[name]}" for name in summary.gallery]
    output.result(
        f"{out}: a town of {summary.places} spots; gallery + query photos: {', '.join(splits)}; "
        f"{summary.night_queries} of the queries are by night"
    )
