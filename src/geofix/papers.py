"""Papers: the published tables as data, and for every row the settings that run it (papers/*.toml)."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, field, replace
from typing import Any

from geofix.errors import unknown_name
from geofix.files import shipped_files

CLAIMS = "claims"
UNIVERSITY = "university_1652"
DATASETS = (
    *("pitts30k", "sf_xs", "tokyo_xs", "tokyo_night"),
    *(f"{UNIVERSITY} drone-satellite", f"{UNIVERSITY} satellite-drone"),
    *("imagenet", "im2gps3k"),
)
"""Those of the published numbers."""
BY_DAY, AT_NIGHT, DAY_AND_NIGHT = "day", "night", "day and night"
"""What rows learn from."""
ALL_SCENES = "all"
_TAKEN_OVER = ("label", "recipe", "weights_of", "learns", "counts_of", "scene")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a published table: what it says and how it is run.

    `settings` are over the recipe of that name, or over the row `weights_of` whose trained weights are tested once
    more in another way, or over the ensemble of the rows `members`. `form` is "described" where the program did
    something else than the paper says, "coded" for what the program did, and "ours" for what is in no paper.
    `published` has percent by data set, one number for each of the table's recalls (NaN: not printed). `note` says
    why the published row is known to be wrong; `learns` what it learns from: photos by day, their nights, or both.
    `counts_of` is, in a table that counts photos and places, what it counts: SPLIT or SPLIT/VIEW. `scene` is which of
    the scenes of geofix.scenes the numbers are of, or ALL_SCENES, in a table that has them by scene.
    """

    name: str
    label: str
    form: str = ""
    recipe: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    weights_of: str = ""
    members: tuple[str, ...] = ()
    published: dict[str, tuple[float, ...]] = field(default_factory=dict)
    note: str = ""
    learns: str = BY_DAY
    counts_of: str = ""
    scene: str = ""

    @property
    def runs(self) -> bool:
        """Whether geofix can run it; rows that count photos, or that nothing is made for yet, are only shown."""
        return bool(self.recipe or self.sources)

    @property
    def sources(self) -> tuple[str, ...]:
        """The rows whose trained weights it tests."""
        return (self.weights_of,) if self.weights_of else self.members


@dataclass(frozen=True, slots=True)
class Table:
    """A published table: its rows, the N of the recalls that each published list holds, and how it was measured.

    With `ap` each list ends with the average precision. With `accuracy` it has the share of photos whose label is among
    the first N guesses instead of recalls. With `counts` the table has photos and places of the data instead, and
    nothing is run for it.
    """

    name: str
    where: str
    title: str
    protocol: str
    recalls: tuple[int, ...]
    rows: tuple[Row, ...]
    note: str = ""
    ap: bool = False
    counts: bool = False
    accuracy: bool = False

    @property
    def measures(self) -> tuple[str, ...]:
        """What each published list holds, in words: R@1, ..., AP; or top-1, ..."""
        first = "top-" if self.accuracy else "R@"
        return (*(f"{first}{n}" for n in self.recalls), *(["AP"] if self.ap else []))

    @property
    def runs(self) -> bool:
        """Whether geofix can run any of its rows."""
        return any(row.runs for row in self.rows)

    def by_scene(self, data: str) -> dict[str, tuple[float, ...]]:
        """The published numbers of a data set by single scene, one for each of `measures`; NaN: not printed."""
        scenes = (row for row in self.rows if row.scene not in ("", ALL_SCENES))
        return {row.scene: row.published[data] for row in scenes if data in row.published}

    def of_all_scenes(self, data: str) -> tuple[float, ...] | None:
        """The published numbers of a data set as a whole; None where the table has none."""
        wholes = (row.published.get(data) for row in self.rows if row.scene == ALL_SCENES)
        return next(wholes, None)


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper, the data sets of its tables, and the tables; `note` says what is wrong or missing in all of it."""

    name: str
    title: str
    authors: str
    code: str
    datasets: tuple[str, ...]
    tables: tuple[Table, ...]
    note: str = ""

    @property
    def runs(self) -> bool:
        """Whether geofix can run any of its rows."""
        return any(table.runs for table in self.tables)

    @property
    def rows(self) -> dict[str, Row]:
        """Every row by its name, PAPER/TABLE/ROW."""
        return {row.name: row for table in self.tables for row in table.rows}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a paper claims of its rows: each of `more` has a higher recall at `at` than its partner in `less`, on the
    mean over the pairs, or, with `every`, in each of them.

    `asked` are the queries it is about: all, day or night. With `overfits`, rows trained over epochs, the claim is
    that no epoch after `overfits_after` is the best one where weights are chosen. With `across_views` its rows are of
    views that ask each other, else of places.
    """

    name: str
    text: str
    source: str
    at: int = 1
    asked: str = "all"
    every: bool = False
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    overfits: tuple[str, ...] = ()
    overfits_after: int = 0
    across_views: bool = False
    note: str = ""

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows it speaks of, each once."""
        return tuple(dict.fromkeys((*self.more, *self.less, *self.overfits)))


def paper_names() -> list[str]:
    """The papers there are."""
    return sorted(name for name in shipped_files("papers", ".toml") if name != CLAIMS)


@functools.cache
def open_paper(name: str) -> Paper:
    """A paper by name. Raises UsageError that names the nearest."""
    if name not in paper_names():
        raise unknown_name("paper", name, paper_names())
    read = _read(name)
    tables = tuple(_table(name, table) for table in read["tables"])
    note = read.get("note", "")
    return Paper(name, read["title"], read["authors"], read["code"], tuple(read["datasets"]), tables, note)


def open_row(name: str) -> Row:
    """A row by its name, PAPER/TABLE/ROW. Raises UsageError that names the nearest."""
    rows = open_paper(name.split("/")[0]).rows
    if name not in rows:
        raise unknown_name("row", name, rows)
    return rows[name]


def is_row(name: str) -> bool:
    """Whether a name is that of a row, known or not, of a table that can be run; a recipe's file is none."""
    parts = name.split("/")
    if len(parts) != 3 or parts[0] not in paper_names() or parts[2].endswith((".yaml", ".yml")):
        return False
    return "/".join(parts[:2]) in {table.name for table in open_paper(parts[0]).tables if table.runs}


def chosen_rows(name: str) -> list[Row]:
    """The rows that PAPER, PAPER/TABLE or PAPER/TABLE/ROW names, but for those that count; some may not run.

    Raises UsageError that names the nearest.
    """
    return [row for row in _named_rows(name) if not row.counts_of]


def _named_rows(name: str) -> list[Row]:
    parts = name.strip("/").split("/")
    paper = open_paper(parts[0])
    if len(parts) == 1:
        return list(paper.rows.values())
    tables = {table.name: table for table in paper.tables}
    table = "/".join(parts[:2])
    if table not in tables:
        raise unknown_name("table", table, tables)
    return list(tables[table].rows) if len(parts) == 2 else [open_row("/".join(parts))]


@functools.cache
def claims() -> tuple[Claim, ...]:
    """What the papers claim of their rows."""
    return tuple(_claim(fields) for fields in _read(CLAIMS)["claims"])


@functools.cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(shipped_files("papers", ".toml")[name].read_text(encoding="utf-8"))


def _claim(fields: dict[str, Any]) -> Claim:
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return Claim(**{**fields, **lists})


def _table(paper: str, fields: dict[str, Any]) -> Table:
    name = f"{paper}/{fields['key']}"
    rows = tuple(_row(f"{name}/{row['key']}") for row in fields["rows"])
    recalls = tuple(fields["recalls"])
    more = {key: fields[key] for key in ("note", "ap", "counts", "accuracy") if key in fields}
    return Table(name, fields["where"], fields["title"], fields["protocol"], recalls, rows, **more)


@functools.cache
def _row(name: str) -> Row:
    fields = _row_fields(name)
    row = _row(fields["like"]) if "like" in fields else Row(name, "")
    given: dict[str, Any] = {key: fields[key] for key in _TAKEN_OVER if key in fields}
    if "members" in fields:
        given["members"] = tuple(fields["members"])
    if "published" in fields:
        given["published"] = {data: tuple(map(float, numbers)) for data, numbers in fields["published"].items()}
    settings = {**row.settings, **fields.get("set", {})}
    # Of the row it is like, it is neither the form nor what is wrong with the printed numbers.
    own = {"form": fields.get("form", ""), "note": fields.get("note", "")}
    return replace(row, name=name, settings=settings, **own, **given)


def _row_fields(name: str) -> dict[str, Any]:
    paper, table, key = name.split("/")
    return next(
        row for one in _read(paper)["tables"] if one["key"] == table for row in one["rows"] if row["key"] == key
    )
