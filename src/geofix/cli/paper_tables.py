"""The papers' tables as people read them: published beside ours, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from geofix import papers
from geofix.cli.output import percent, points
from geofix.data.places import Dataset
from geofix.errors import DataError
from geofix.files import write_atomically
from geofix.papers import Paper, Row, Table
from geofix.reproduce.claims import LEVEL, Look, Verdict
from geofix.reproduce.rows import NOT_RUN, Bench, RowResult, queries_of

CSV, CLAIMS = "rows.csv", "claims.md"
# What stands above the tables, and how a run got its encoder, which the rows say in their own way.
_SAID_OF_ALL = ("Trained shorter", "The recipe asks for", "A photo's map", "NetVLAD's clusters")
_LOADED = "tensors of the trunk were loaded."
_ASKED = ("all", "day", "night")
_COLUMNS = (
    *("row", "form", "data", "split", "queries", "recall_at", "recall", "low95", "high95", "seeds", "published"),
    *("pretrained", "weights", "random_tensors", "epochs", "image_size", "gallery", "split_hash", "problem"),
)


def write_tables(bench: Bench, rows: Sequence[Row], look: Look, verdicts: Sequence[Verdict]) -> list[Path]:
    """Write a Markdown page for each paper of `rows`, all rows as CSV, and the claims; returns what was written."""
    chosen = dict.fromkeys(row.name.split("/")[0] for row in rows)
    written = []
    for name in chosen:
        path = bench.out / f"{name}.md"
        write_atomically(path, paper_page(bench, papers.open_paper(name), look))
        written.append(path)
    every = [row for name in papers.paper_names() for row in papers.chosen_rows(name)]
    write_atomically(bench.out / CSV, rows_csv(bench, [look(row) for row in every]))
    write_atomically(bench.out / CLAIMS, claims_page(bench, verdicts))
    return [*written, bench.out / CSV, bench.out / CLAIMS]


def paper_page(bench: Bench, paper: Paper, look: Look) -> str:
    """Every table of a paper in Markdown."""
    parts = [*_head(paper), *_setting(bench, paper)]
    for table in paper.tables:
        parts += _table_parts(bench, table, look)
    return "\n\n".join(parts) + "\n"


def write_published(out: Path, names: Iterable[str]) -> list[Path]:
    """Write a page for each of some papers with the published numbers alone; returns what was written."""
    written = []
    for name in names:
        written.append(out / f"{name}.md")
        write_atomically(written[-1], published_page(papers.open_paper(name)))
    return written


def published_page(paper: Paper, problem: str | None = NOT_RUN) -> str:
    """Every table of a paper in Markdown as it was published, and at every row the `problem` that kept it from being
    run, if there is one."""
    parts = _head(paper)
    for table in paper.tables:
        parts += _published_parts(table, problem)
    return "\n\n".join(parts) + "\n"


def rows_csv(bench: Bench, results: Iterable[RowResult]) -> str:
    """A line for every row, data set, part of the queries and recall: ours with its interval, and what it rests on."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for result in results:
        if not result.scores:
            writer.writerow([result.row.name, result.row.form, *[""] * (len(_COLUMNS) - 3), result.problem])
        for data, scores in result.scores.items():
            for asked in _parts(bench, data):
                for at in scores[0].recall:
                    writer.writerow(_csv_row(bench, result, data, asked, at))
            if result.average_precision(data) is not None:
                writer.writerow(_csv_row(bench, result, data, "all", None))
    return out.getvalue()


def claims_page(bench: Bench, verdicts: Sequence[Verdict]) -> str:
    """What was claimed, what came out, and whether that can be told from chance."""
    tested = [verdict for verdict in verdicts if verdict.p is not None]
    lines = [
        "# What the papers claim, on our data",
        *_setting(bench, None),
        f"Differences are of recall in percentage points, with 95 % intervals over independent groups of queries and "
        f"over seeds, the queries paired. p is corrected for the {len(tested)} claims tested (Holm); a claim holds, or "
        f"does not, where that is below {LEVEL:g}, and cannot be told otherwise.",
        "| claim | on | seeds | difference | p | verdict |\n|---|---|---|---|---|---|\n"
        + "\n".join(_claim_line(verdict) for verdict in verdicts),
    ]
    lines += [_claim_pairs(verdict) for verdict in tested if verdict.pairs]
    return "\n\n".join(lines) + "\n"


def progress_line(result: RowResult) -> str:
    """A row that is done, in a line."""
    if result.problem:
        return f"{result.row.name}: {result.problem}"
    cells = [
        f"{data} R@1 {percent(mean, (low, high))}"
        for data in result.scores
        for mean, low, high in [result.recall(data, 1)]
    ]
    return f"{result.row.name}: {', '.join(cells)}"


def _head(paper: Paper) -> list[str]:
    about = [f"# {paper.name}: {paper.title}", f"{paper.authors}. Their program: {paper.code}"]
    return [*about, paper.note] if paper.note else about


def _setting(bench: Bench, paper: Paper | None) -> list[str]:
    tested = dict.fromkeys(f"{dataset.root.name} ({split})" for dataset, split in bench.tested.values())
    learned = bench.datasets[0].root.name
    parts = [f"Learned from {learned} by day; tested on {', '.join(tested)}."]
    if bench.nights is not None:
        parts.append(
            f"Synthetic nights were made by {bench.nights.model}: of what Table II learns from, and of queries by day, "
            "to be asked of the photos by day."
        )
    if bench.weights is not None:
        parts.append(f"Trunks start from {bench.weights.name}.")
    if bench.settings:
        parts.append(f"Every row with {', '.join(bench.settings)}.")
    if bench.pace is not None:
        parts.append(f"To fit a budget, trainings are shorter than the papers': {bench.pace}.")
    if paper is not None and not set(bench.tested) & set(paper.datasets):
        parts.append(
            "The published numbers are of other data and cannot be compared with ours; how rows differ can be."
        )
    return [" ".join(parts)]


def _count_parts(bench: Bench, table: Table) -> list[str]:
    """A table that counts photos and places: as printed, and those of the data at hand."""
    lines = ["| row | published, photos / places | " + " | ".join(d.root.name for d in bench.datasets) + " | notes |"]
    lines.append("|" + " --- |" * (3 + len(bench.datasets)))
    for row in table.rows:
        printed = " / ".join(f"{number:,.0f}" for number in row.published[papers.UNIVERSITY])
        ours = [_counted(dataset, row.counts_of) for dataset in bench.datasets]
        lines.append("| " + " | ".join([f"{row.label} `{row.name.split('/')[2]}`", printed, *ours, row.note]) + " |")
    return [f"## {table.where}: {table.title}", f"Published: {table.protocol}.", "\n".join(lines), table.note]


def _counted(dataset: Dataset, what: str) -> str:
    """Photos / places of a split, or of one of its views; nothing where there are none."""
    split, _, view = what.partition("/")
    if split not in dataset.splits:
        return ""
    part = dataset.splits[split]
    photos = part.views.get(view, ()) if view else part.photos
    return f"{len(photos):,} / {len({photo.place for photo in photos}):,}" if photos else ""


def _table_parts(bench: Bench, table: Table, look: Look) -> list[str]:
    if table.counts:
        return _count_parts(bench, table)
    if not table.runs:
        return _published_parts(table)
    results = [look(row) for row in table.rows]
    published = _datasets(table)
    ours = [(data, asked) for data in bench.tested for asked in _parts(bench, data)]
    header = ["row", *(f"published {data}, {_measures(table, 'all')}" for data in published)]
    header += [f"{data}{'' if asked == 'all' else f' by {asked}'}, {_measures(table, asked)}" for data, asked in ours]
    header += ["seeds", "started from", "notes"]
    notes: list[str] = []
    lines = [header, ["---"] * len(header)]
    for result in results:
        cells = [_named(result.row)]
        cells += [_published(result.row, data) for data in published]
        cells += [_ours(bench, result, table, data, asked) for data, asked in ours]
        cells += [str(result.seeds or ""), _started(result), _numbered(notes, result)]
        lines.append(cells)
    return _with_notes(table, lines, notes)


def _published_parts(table: Table, problem: str | None = NOT_RUN) -> list[str]:
    """A table of which no row is run by itself: as printed, and why, if that is a problem."""
    published = _datasets(table)
    notes: list[str] = []
    lines = [["row", *(f"published {data}, {_measures(table, 'all')}" for data in published), "notes"]]
    lines.append(["---"] * len(lines[0]))
    for row in table.rows:
        numbers = [_published(row, data) for data in published]
        lines.append([_named(row), *numbers, _numbered(notes, RowResult(row, problem=problem))])
    return _with_notes(table, lines if table.rows else [], notes)


def _with_notes(table: Table, lines: Sequence[Sequence[str]], notes: Sequence[str]) -> list[str]:
    """A table's heading, its lines as Markdown if there are any, and the notes below."""
    parts = [f"## {table.where}: {table.title}", f"Published: {table.protocol}."]
    if lines:
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    if table.note:
        parts.append(table.note)
    if notes:
        parts.append("\n".join(f"{number}. {note}" for number, note in enumerate(notes, start=1)))
    return parts


def _datasets(table: Table) -> list[str]:
    """Those its rows have published numbers of."""
    return [data for data in papers.DATASETS if any(data in row.published for row in table.rows)]


def _parts(bench: Bench, data: str) -> list[str]:
    """All queries, and those by day and at night where the data say."""
    found = []
    for asked in _ASKED:
        try:
            queries_of(bench, data, asked)
        except DataError:
            continue
        found.append(asked)
    return found


def _shown(table: Table, asked: str) -> list[str]:
    """The N of the recalls that fit into a column."""
    return [str(n) for n in (table.recalls if asked == "all" else table.recalls[:1])]


def _measures(table: Table, asked: str) -> str:
    recalls = f"{'top-' if table.accuracy else 'R@'}{'/'.join(_shown(table, asked))}"
    return f"{recalls} / AP" if table.ap and asked == "all" else recalls


def _named(row: Row) -> str:
    label = f"{row.label} ({row.form})" if row.form else row.label
    return f"{label} `{row.name.split('/')[2]}`"


def _published(row: Row, data: str) -> str:
    numbers = row.published.get(data, ())
    places = 1 if all(math.isnan(number) or round(number, 1) == number for number in numbers) else 2
    return " / ".join("–" if math.isnan(number) else f"{number:.{places}f}" for number in numbers)


def _ours(bench: Bench, result: RowResult, table: Table, data: str, asked: str) -> str:
    if data not in result.scores:
        return ""
    chosen = queries_of(bench, data, asked)
    found = [result.recall(data, int(n), chosen) for n in _shown(table, asked)]
    precision = result.average_precision(data) if table.ap and asked == "all" else None
    found += [] if precision is None else [precision]
    return " / ".join(percent(mean, (low, high)) for mean, low, high in found)


def _started(result: RowResult) -> str:
    for scores in result.scores.values():
        protocol = scores[0].protocol
        missing = protocol["random_tensors"]
        return str(protocol["pretrained"]) + (f" ({missing} tensors random)" if missing else "")
    return ""


def _numbered(notes: list[str], result: RowResult) -> str:
    """The numbers of a row's notes, which stand below the table once each."""
    said = [line for line in result.said if not line.startswith(_SAID_OF_ALL) and not line.endswith(_LOADED)]
    own = [result.row.note, *(said if result.scores else []), result.problem or ""]
    found = []
    for note in filter(None, own):
        if note not in notes:
            notes.append(note)
        found.append(str(notes.index(note) + 1))
    return ", ".join(found)


def _csv_row(bench: Bench, result: RowResult, data: str, asked: str, at: int | None) -> list[object]:
    """A line of the CSV: recall at `at`, or average precision."""
    precision = result.average_precision(data) if at is None else None
    mean, low, high = precision or result.recall(data, at or 1, queries_of(bench, data, asked))
    measure = "AP" if at is None else f"R@{at}"
    scores = result.scores[data][0]
    protocol = scores.protocol
    published = ""
    if asked == "all" and data in result.row.published:
        measures = next(
            table.measures
            for table in papers.open_paper(result.row.name.split("/")[0]).tables
            if result.row in table.rows
        )
        if measure in measures:
            number = result.row.published[data][measures.index(measure)]
            published = "" if math.isnan(number) else f"{number:g}"
    size = "x".join(str(n) for n in protocol["image_size"])
    return [
        *(result.row.name, result.row.form, data, protocol["split"], asked, at or measure),
        *(f"{mean:.4f}", f"{low:.4f}", f"{high:.4f}", result.seeds, published),
        *(protocol["pretrained"], protocol["weights"] or "", protocol["random_tensors"], protocol["epochs"], size),
        *(scores.gallery, protocol["split_hash"], ""),
    ]


def _claim_line(verdict: Verdict) -> str:
    claim = verdict.claim
    about = f"{claim.text} ({claim.source})"
    on = f"{verdict.data}{'' if claim.asked == 'all' else f', by {claim.asked}'}"
    if verdict.missing:
        return f"| {about} | {on} | | | | {verdict.missing} |"
    if claim.overfits:
        shown = f"best by epoch {claim.overfits_after} in {verdict.early} of {verdict.trainings} trainings"
    elif verdict.whole is not None:
        whole = verdict.whole
        shown = f"R@{claim.at} {points(whole.value, whole.low, whole.high)}"
    return f"| {about} | {on} | {verdict.seeds} | {shown} | {verdict.corrected_p:.3f} | **{verdict.verdict}** |"


def _claim_pairs(verdict: Verdict) -> str:
    claim = verdict.claim
    lines = [
        f"| {pair.more} | {pair.less} | {points(pair.value, pair.low, pair.high)} | {pair.p:.3f} |"
        for pair in verdict.pairs
    ]
    head = f"| more | less | R@{claim.at} | p, not corrected |\n|---|---|---|---|\n"
    note = f"\n\n{claim.note}" if claim.note else ""
    return f"### {claim.text}, {verdict.data}\n\n{head}" + "\n".join(lines) + note
