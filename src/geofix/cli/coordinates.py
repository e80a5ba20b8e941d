"""geofix evaluate PREDICTIONS.csv: scores of anyone's predicted coordinates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofix.cli import output
from geofix.errors import DataError, UsageError, first_few

if TYPE_CHECKING:
    from geofix.coordinate_scores import CoordinateScores, CountryScores, Mean, Means
    from geofix.data.answers import Answers

_ENDINGS = (".csv", ".tsv")


def is_table(name: str) -> bool:
    """Whether what is to be evaluated is a table of predictions, and no run."""
    return Path(name).suffix.lower() in _ENDINGS and not Path(name).is_dir()


def evaluate_coordinates(
    tables: Sequence[str],
    truth: Path | None,
    level: str | None,
    distance: str,
    radians: bool,
    osv5m: bool,
    json_file: Path | None,
) -> None:
    """Score a table and say what came out. Raises UsageError for more than one."""
    from geofix.coordinate_scores import score_coordinates
    from geofix.coordinates import check_earth
    from geofix.data.answers import read_answers
    from geofix.geography.codes import TERRITORY, check_level

    if len(tables) > 1:
        raise UsageError("A table of predicted coordinates is evaluated by itself; name nothing else beside it.")
    predictions = Path(tables[0])
    earth, asked = check_earth(distance), level or TERRITORY
    check_level(asked)
    answers = read_answers(predictions, truth, radians=radians)
    if osv5m and answers.country_column is None:
        raise DataError(
            f"{truth or predictions} has no column of true countries; --osv5m takes them from unique_country or "
            "country."
        )
    scores = score_coordinates(
        answers.truth,
        answers.predicted,
        answers.clusters,
        level=asked,
        earth=earth,
        true_countries=answers.countries if osv5m else None,
        inclusive=not osv5m,
        protocol=_protocol(predictions, truth, answers, radians),
    )
    if str(json_file) != "-":
        output.result(shown(scores, answers))
    output.save(json_file, lambda: json.dumps(scores.to_dict(), indent=1) + "\n")
    output.finish([*answers.problems, *_unmatched(answers, predictions, truth)])


def refuse_other_flags(flags: Mapping[str, object], what: str) -> None:
    """Raises UsageError for a flag that was given and is not for `what`."""
    for flag, given in flags.items():
        if given is not None and given is not False:
            raise UsageError(f"{flag} is not for {what}; leave it out.")


def shown(scores: CoordinateScores, answers: Answers) -> str:
    """A table of shares with intervals, then countries, the prior, and what was left out."""
    at = list(scores.within)
    header = ["percent [95 %]", "photos", *(f"{radius:g} km" for radius in at), "GeoScore", "median km"]
    every = [scores.within[radius].all_rows for radius in at]
    rows = [_row("all", scores.queries, every, scores.geoscore.all_rows, scores.median_km)]
    if scores.answered < scores.queries:
        said = [scores.within[radius].answered for radius in at]
        rows.append(_row("answered", scores.answered, said, scores.geoscore.answered, scores.answered_median_km))
    parts = [output.table(header, rows), ""]
    if scores.country is None:
        parts.append("no true position lies in a country")
    else:
        column = answers.country_column if scores.country.source == "table" else None
        parts += _country_lines(scores.country, scores.answered < scores.queries, column)
    return "\n".join([*parts, *_notes(scores, answers)])


def _row(name: str, photos: int, shares: list[Mean], geoscore: Mean, median_km: float) -> list[str]:
    low, high = geoscore.ci95
    score = f"{geoscore.value:.0f} [{low:.0f}, {high:.0f}]"
    return [name, str(photos), *(output.percent(share.value, share.ci95) for share in shares), score, _km(median_km)]


def _km(distance_km: float) -> str:
    return f"{distance_km:.1f}" if distance_km < 100 else f"{distance_km:.0f}"


def _country_lines(country: CountryScores, abstains: bool, column: str | None) -> list[str]:
    prior, lift = country.prior, country.lift
    level = f"{country.level}, truth by the column {column}" if column else country.level
    first = ", ".join(prior.classes)
    return [
        f"country ({level}): {_means(country.right, abstains)} of {country.rows} photos in {country.countries} "
        "countries",
        f"prior of this set: always {prior.classes[0]} {100 * lift.prior:.1f}; the {len(prior.classes)} most frequent "
        f"({first}) {100 * country.prior_top5:.1f}; lift over the first {output.points(lift.lift, *lift.lift_ci95)} "
        "points",
        f"right country but beyond 750 km: {country.right_but_far}; within 750 km but another country: "
        f"{country.near_but_wrong}",
    ]


def _means(means: Means, abstains: bool) -> str:
    every = output.percent(means.all_rows.value, means.all_rows.ci95)
    return f"{every} ({output.percent(means.answered.value, means.answered.ci95)} of answered)" if abstains else every


def _notes(scores: CoordinateScores, answers: Answers) -> list[str]:
    """What was left out, and what the intervals resample."""
    earth = "sphere of 6371 km" if scores.earth == "sphere" else "WGS84 ellipsoid"
    notes = [f"distances: {earth}, radii {'' if scores.protocol.get('radii_included', True) else 'not '}included"]
    if scores.answered < scores.queries:
        bad = f", {answers.unusable} of them with a prediction that is no point" if answers.unusable else ""
        notes.append(f"not answered: {scores.queries - scores.answered} of {scores.queries} photos{bad}")
    if answers.left_out:
        notes.append(f"left out: {answers.left_out} rows without a usable truth")
    if answers.summary_lines:
        notes.append(f"ignored: {answers.summary_lines} lines of a summary at the end")
    if answers.without_truth:
        notes.append(f"not in the truth, left out: {_named(answers.without_truth)}")
    if answers.without_prediction:
        notes.append(f"in the truth but not predicted, not counted: {_named(answers.without_prediction)}")
    if answers.cluster_column:
        notes.append(f"intervals resample {scores.clusters} groups by {answers.cluster_column}")
    else:
        notes.append(
            "intervals resample single photos, as no column names a photographer or a sequence: they are too narrow "
            "where photos belong together"
        )
    return notes


def _named(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({first_few(names)})"


def _protocol(predictions: Path, truth: Path | None, answers: Answers, radians: bool) -> dict[str, Any]:
    return {
        "predictions": predictions.name,
        "truth": None if truth is None else truth.name,
        "radians": radians,
        "cluster_column": answers.cluster_column,
        "left_out": answers.left_out,
        "unusable": answers.unusable,
        "summary_lines": answers.summary_lines,
        "without_truth": list(answers.without_truth),
        "without_prediction": list(answers.without_prediction),
    }


def _unmatched(answers: Answers, predictions: Path, truth: Path | None) -> list[DataError]:
    if not answers.without_truth or truth is None:
        return []
    left = _named(answers.without_truth)
    return [DataError(f"Not in {truth}, and left out, of the photos of {predictions}: {left}.")]
