"""geofix data country: the rows of a table with the country of each point."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geofix.data.geotag_csv import Record, Sheet
    from geofix.geography.countries import CountriesAt
    from geofix.shapes import LatLons

COLUMN = "country"


def country(
    points: Annotated[
        Path, typer.Argument(metavar="POINTS.csv", help="A table with latitude and longitude, under usual names.")
    ],
    level: Annotated[
        str, typer.Option(metavar="territory|sovereign", help="Whether French Guiana is GF or FR, Hong Kong HK or CN.")
    ] = "territory",
    nearest: Annotated[
        float,
        typer.Option(metavar="KM", help="Points in no country take the nearest one within so many km; 0: they do not."),
    ] = 25.0,
) -> None:
    """The same rows with a column `country`: the ISO 3166-1 code, empty where there is none."""
    from geofix.data.geotag_csv import find_columns, read_sheet, to_record
    from geofix.geography.countries import are_points, countries_at
    from geofix.geography.swapped import seems_swapped

    sheet = read_sheet(points)
    columns = find_columns(points, sheet.header, ("lat", "lon"))
    if COLUMN in (name.lower() for name in sheet.header):
        raise DataError(f"{points} has a column {COLUMN!r} already; rename it or take it out, then ask again.")
    records = [to_record(line, cells, columns) for line, cells in sheet.lines]
    latlons = _latlons(records)
    usable = are_points(latlons)
    swapped = seems_swapped(latlons)
    errors = [_problem(points, record) for record, good in zip(records, usable, strict=True) if not good]
    if swapped and not usable.any():
        raise DataError(f"{points}: {swapped}")
    if not usable.any():
        first = f" (the first: {errors[0]})" if errors else ""
        raise DataError(f"{points} has no usable row of {len(records)}{first}; lat and lon in degrees are needed.")
    found = countries_at(latlons[usable], level, nearest)
    codes = iter(found.codes.tolist())
    output.result(_with_countries(sheet, [next(codes) if good else "" for good in usable]))
    if swapped:
        output.remark(f"warning: {points}: {swapped}")
    _remark(found, level, nearest)
    output.finish(errors)


def _latlons(records: Sequence[Record]) -> LatLons:
    """(lat, lon) of each row; NaN for what is no number."""
    import numpy as np

    numbers = [(record.number("lat"), record.number("lon")) for record in records]
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def _problem(points: Path, record: Record) -> DataError:
    """Why a row is no point."""
    where = f"{points.name} line {record.line}"
    for kind in ("lat", "lon"):
        if math.isnan(record.number(kind)):
            text = record.texts.get(kind, "")
            return DataError(f"{where} has {text!r} as {kind}; a decimal number of degrees is expected.")
    return DataError(
        f"{where}: ({record.number('lat')}, {record.number('lon')}) is not on Earth: latitude -90..90 and longitude "
        "-360..360 are expected."
    )


def _with_countries(sheet: Sheet, codes: Sequence[str]) -> str:
    """The table with one more column; short rows are filled up, so that all countries stand under the name."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=sheet.delimiter, lineterminator="\n")
    width = len(sheet.header)
    writer.writerow([*sheet.header, COLUMN])
    for (_, cells), code in zip(sheet.lines, codes, strict=True):
        filled = [*cells, *[""] * (width - len(cells))]
        writer.writerow([*filled[:width], code, *filled[width:]])
    return out.getvalue()


def _remark(found: CountriesAt, level: str, nearest_km: float) -> None:
    total, named, inferred = len(found.codes), int((found.codes != "").sum()), int(found.inferred.sum())
    output.remark(
        f"countries by {level}: {named} of {total} points, {inferred} of them inferred from the nearest within "
        f"{nearest_km:g} km; no country: {total - named}"
    )
