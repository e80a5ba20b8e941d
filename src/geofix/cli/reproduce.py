"""geofix reproduce."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.errors import GeofixError, UsageError

if TYPE_CHECKING:
    from geofix.papers import Row
    from geofix.reproduce.rows import RowResult


def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="PAPER[/TABLE[/ROW]]",
            help="A paper, a table or a row (atadjanov, martin/6, martin/6/m2), or several; or: claims.",
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(help="Data to learn from and to test on; more of them, to test on as well."),
    ],
    out: Annotated[Path, typer.Option(help="Where runs and tables are kept; gone on with if it is there.")] = Path(
        "geofix-reproduce"
    ),
    budget: Annotated[
        float | None, typer.Option(help="Minutes for everything asked for: trains shorter, and says so.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each row, with seeds 0, 1, ...")] = 1,
    weights: Annotated[Path | None, typer.Option(help="A file of weights that the trunks start from.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over every row, image_size=160x160 say.")
    ] = None,
    nights: Annotated[
        Path | None,
        typer.Option(
            help="The first data by night, made by `geofix data night`: Table II of atadjanov learns from it."
        ),
    ] = None,
    day_night: Annotated[
        bool, typer.Option("--day-night", help="Plain places: day_ photos are the gallery, night_ the queries.")
    ] = False,
) -> None:
    """Run a paper's table once more: published beside ours, with intervals, and what was done otherwise."""
    from geofix.cli.paper_countries import reproduce_paper
    from geofix.cli.paper_tables import progress_line, write_published, write_tables
    from geofix.data.layouts import open_dataset
    from geofix.files import is_file
    from geofix.heap import keep_freed_memory
    from geofix.reproduce.claims import judged
    from geofix.reproduce.countries import PAPER as COUNTRIES
    from geofix.reproduce.nights import Nights
    from geofix.reproduce.rows import NOT_RUN, PLAN, Bench, planned, read_row, run_rows

    if seeds < 1 or (budget is not None and not 0 < budget < math.inf):
        raise UsageError(f"{seeds} seeds and a budget of {budget} minutes were asked for; both are above 0.")
    keep_freed_memory()
    rows, begun = _asked(names, data[0]), is_file(out / PLAN)
    shown = _shown_only(names)
    if shown == [COUNTRIES] and not any(row.runs for row in rows):
        if len(data) > 1 or budget is not None or nights is not None or day_night:
            raise UsageError("--budget, --nights, --day-night and more than one --data are for papers on places.")
        reproduce_paper(open_dataset(data[0]), out, weights, settings or [], seeds)
        return
    if shown:
        output.remark(f"{', '.join(shown)}: {NOT_RUN}; its page has what was published.")
        rows = [row for row in rows if row.name.split("/")[0] not in shown]
        if not rows:
            output.result("\n".join(str(path) for path in write_published(out, shown)))
            return
    with output.steps() as progress:
        datasets = tuple(open_dataset(path, split_by_time=day_night and path != data[0]) for path in data)
        bench = Bench(
            datasets,
            out,
            weights,
            tuple(settings or ()),
            progress=progress,
            nights=None if nights is None else Nights.of(open_dataset(nights)),
        )
        bench = planned(bench, rows, seeds, budget)
        if budget is not None and begun:
            pace = "the papers' own pace" if bench.pace is None else bench.pace
            output.remark(f"{out} was begun with {pace}; that is kept, --budget is for new folders.")

        def told(result: RowResult) -> None:
            if not result.problem:  # problems are named at the end
                output.remark(progress_line(result))

        results = run_rows(bench, rows, seeds, told)
    known = {result.row.name: result for result in results}

    def look(row: Row) -> RowResult:
        if row.name not in known:
            known[row.name] = read_row(bench, row)
        return known[row.name]

    written = [*write_published(out, shown), *write_tables(bench, rows, look, judged(bench, look))]
    output.result("\n".join(str(path) for path in written))
    output.finish([GeofixError(f"{one.row.name}: {one.problem}") for one in results if one.problem])


def _asked(names: list[str], data: Path) -> list[Row]:
    """The rows that papers, tables, rows and the word claims name, each once; of claims those on data of this kind."""
    from geofix import papers
    from geofix.data.layouts import open_dataset
    from geofix.reproduce.rows import across_views

    rows: dict[str, Row] = {}
    for name in names:
        if name == papers.CLAIMS:
            views = across_views(open_dataset(data))
            fitting = [claim for claim in papers.claims() if claim.across_views == views]
            found = [papers.open_row(row) for claim in fitting for row in claim.rows]
        else:
            found = papers.chosen_rows(name)
        rows |= {row.name: row for row in found}
    return list(rows.values())


def _shown_only(names: list[str]) -> list[str]:
    """The papers asked for of which geofix can run nothing; their pages have the published numbers alone."""
    from geofix import papers

    asked = dict.fromkeys(name.strip("/").split("/")[0] for name in names if name != papers.CLAIMS)
    return [name for name in asked if not papers.open_paper(name).runs]
