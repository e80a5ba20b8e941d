"""Predicted coordinates made fit to be scored: units and columns told, rows that are no points named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geofix.coordinates import great_circle_km
from geofix.data.coordinate_csv import CoordinateTable, Joined, join, read_predictions, read_truth
from geofix.errors import DataError, GeofixError
from geofix.geography.countries import are_points
from geofix.geography.radians import as_degrees, fits_radians, seems_radians
from geofix.geography.swapped import seems_swapped
from geofix.shapes import GalleryLatLons, LatLons, RowHits

_FEWEST = 3  # rows, before errors that shrink say anything
_LEAST_SHARE = 0.9  # of predictions that are on Earth when exchanged
_SHRINKS = 3.0  # how many times smaller the median error must become


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What can be scored: rows (n, 2) in degrees with a usable truth; `predicted` is NaN for no answer.

    `countries` are the true ones as a column of the table names them, "" for none.
    `left_out` counts rows without a usable truth, `unusable` those whose prediction is no point: they have no answer.
    `without_truth` and `without_prediction` are the photos that only one of two tables has, `problems` a sentence for
    every input that could not be used.
    """

    names: tuple[str, ...]
    truth: LatLons
    predicted: LatLons
    clusters: tuple[str, ...]
    cluster_column: str | None
    countries: tuple[str, ...]
    country_column: str | None
    left_out: int
    unusable: int
    without_truth: tuple[str, ...]
    without_prediction: tuple[str, ...]
    summary_lines: int
    problems: tuple[GeofixError, ...]


def read_answers(predictions: Path, truth: Path | None = None, *, radians: bool = False) -> Answers:
    """Predictions with their truth, from one table or from two.

    With `radians` the predictions are in radians, and so is a truth that can be nothing else. Raises DataError where
    a file is no such table, where nothing can be scored, and where coordinates are surely in radians, or latitude and
    longitude exchanged: scores of these would mean nothing.
    """
    joined, files = _joined(predictions, truth)
    table = joined.table
    assert table.truth is not None and table.predicted is not None
    true_path = truth or predictions
    true, said = _in_degrees(table.truth.points, table.predicted.points, predictions, true_path, radians)
    _refuse_swapped(predictions, true_path, true, said)
    usable = are_points(true)
    good = are_points(said)
    problems = [problem for one in files for problem in one.problems]
    unusable = ~good & ~table.predicted.empty()
    problems += _misfits(table, true_path, ~usable, usable & unusable)
    if not usable.any():
        first = f" (the first: {problems[0]})" if problems else ""
        raise DataError(f"{true_path} has no usable truth for {len(usable)} rows{first}; lat and lon are needed.")
    if not (good & usable).any():
        first = f" (the first: {problems[0]})" if problems else ""
        raise DataError(f"{predictions} has no usable prediction in {len(usable)} rows{first}.")
    return Answers(
        tuple(name for name, kept in zip(table.names, usable, strict=True) if kept),
        true[usable],
        np.where(good[:, None], said, np.nan)[usable],
        _clusters(table, usable),
        table.cluster_column,
        tuple(code for code, kept in zip(table.countries, usable, strict=True) if kept),
        table.country_column,
        left_out=int((~usable).sum()),
        unusable=int((usable & unusable).sum()),
        without_truth=joined.without_truth,
        without_prediction=joined.without_prediction,
        summary_lines=sum(len(one.summary_lines) for one in files),
        problems=tuple(problems),
    )


def _joined(predictions: Path, truth: Path | None) -> tuple[Joined, list[CoordinateTable]]:
    table = read_predictions(predictions)
    if truth is not None:
        known = read_truth(truth)
        return join(table, known), [table, known]
    if table.truth is None:
        raise DataError(
            f"{predictions} has predicted coordinates but no true ones; name a table that has them with --truth FILE, "
            "or add columns gt_lat and gt_lon."
        )
    return Joined(table), [table]


def _in_degrees(true: LatLons, said: LatLons, path: Path, true_path: Path, radians: bool) -> tuple[LatLons, LatLons]:
    """Truth and predictions in degrees; NaN and values that are on no Earth stay."""
    in_radians = seems_radians(_complete(true))
    if in_radians and not radians:
        raise DataError(f"{true_path}: {in_radians} Multiply them by 180/pi, or add --radians.")
    if in_radians:
        true = as_degrees(true)
    if not radians:
        _refuse_radians(path, true, said)
        return true, said
    if not fits_radians(_complete(said)):
        reach = np.nanmax(np.abs(said[:, 0]), initial=0.0)
        raise DataError(f"{path}: latitudes up to {reach:g} are no radians; leave --radians out.")
    return true, as_degrees(said)


def _refuse_radians(path: Path, true: LatLons, said: LatLons) -> None:
    """Predictions that fit into radians, as the truth does not, and that lie nearer to it as such."""
    rows = are_points(true) & ~np.isnan(said).any(axis=1)
    if not fits_radians(said[rows]) or fits_radians(true[rows]):
        return
    if rows.sum() > 1 and len(np.unique(said[rows], axis=0)) == 1:  # the same answer for all, near 0, 0
        return
    given, turned = _medians(true[rows], said[rows], as_degrees(said[rows]))
    if turned < given:
        raise DataError(
            f"{path}: the predictions seem to be radians: all {int(rows.sum())} latitudes are within 1.58 and all "
            f"longitudes within 3.15, and their median error is {turned:.0f} km as radians and {given:.0f} km as "
            "degrees; multiply them by 180/pi, or add --radians."
        )


def _refuse_swapped(path: Path, true_path: Path, true: LatLons, said: LatLons) -> None:
    """Latitude and longitude exchanged: in the truth by where it falls, in the predictions by the truth."""
    swapped = seems_swapped(_complete(true))
    if swapped:
        raise DataError(f"{true_path}: {swapped}")
    rows = are_points(true) & ~np.isnan(said).any(axis=1)
    rows &= (np.abs(said) <= 360).all(axis=1)
    turned = said[:, ::-1]
    both = rows & are_points(said) & are_points(turned)
    if rows.sum() < _FEWEST or are_points(turned[rows]).mean() < _LEAST_SHARE:
        return
    beyond = 100 * float((~are_points(said[rows])).mean())
    found = f"{beyond:.1f} % of {int(rows.sum())} are not on Earth as they are"
    if both.any():
        given, exchanged = _medians(true[both], said[both], turned[both])
        if exchanged * _SHRINKS >= given:
            return
        found += f"; the median error is {given:.0f} km, and {exchanged:.0f} km with the two exchanged"
    raise DataError(
        f"{path}: latitude and longitude of the predictions seem to be swapped ({found}); exchange the columns, or "
        "those of the truth if it is that."
    )


def _medians(true: LatLons, given: LatLons, turned: LatLons) -> tuple[float, float]:
    first, second = (float(np.median(great_circle_km(true, points))) for points in (given, turned))
    return first, second


def _misfits(table: CoordinateTable, true_path: Path, left_out: RowHits, unusable: RowHits) -> list[GeofixError]:
    """A sentence for each row whose truth is no point, and for each whose prediction is none."""
    assert table.truth is not None and table.predicted is not None
    problems: list[GeofixError] = []
    whose = "the truth" if true_path == table.path else f"the truth in {true_path.name}"
    for row in np.flatnonzero(left_out).tolist():
        problems.append(_misfit(table.where(row), whose, table.truth.cells[row], "the row was left out"))
    for row in np.flatnonzero(unusable).tolist():
        cells = table.predicted.cells[row]
        problems.append(_misfit(table.where(row), "the prediction", cells, "it counts as not answered"))
    return problems


def _misfit(where: str, what: str, cells: tuple[str, str], then: str) -> DataError:
    return DataError(
        f"{where}: {what} is {cells[0]!r}, {cells[1]!r}, no point on Earth (latitude -90..90 and longitude -360..360 "
        f"in degrees are expected); {then}."
    )


def _complete(points: LatLons) -> GalleryLatLons:
    """The rows that have both numbers."""
    return np.asarray(points[~np.isnan(points).any(axis=1)])


def _clusters(table: CoordinateTable, usable: RowHits) -> tuple[str, ...]:
    """The cluster of each usable row; a row that names none is one of its own."""
    return tuple(
        f"of {table.clusters[row]}" if table.clusters[row] else f"row {table.lines[row]}"
        for row in np.flatnonzero(usable)
    )
