"""Scores of predicted coordinates, whoever predicted them: distances, countries, and what no answer costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geofix import metrics
from geofix.coordinates import RADII_KM, Earth, errors_km, geoscores, median_km, within_km
from geofix.errors import DataError
from geofix.geography.codes import TERRITORY, at_level
from geofix.geography.countries import NEAREST_KM, countries_at
from geofix.priors import Lift, Prior
from geofix.shapes import Kilometres, Labels, LatLons, RowHits

COUNTRY_KM = 750.0
"""What the field takes for "the same country" where it does not look at borders."""
_Ratio = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over rows with its clustered 95 % interval; both NaN where there is no row to take it of."""

    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Means:
    """A mean over all rows, no answer counting as a miss or 0, and over the answered ones."""

    all_rows: Mean
    answered: Mean


@dataclass(frozen=True, slots=True)
class CountryScores:
    """How often the country of the prediction is that of the truth, over the rows whose truth lies in one (`rows`).

    `source` says where the true country is from: the polygons, or the table. `prior` is the set's own: what always
    naming its most frequent country scores (`lift` is over that), and `prior_top5` what its five most frequent ones
    would as five answers. `countries` is how many there are in truth.
    """

    level: str
    source: str
    rows: int
    countries: int
    right: Means
    prior: Prior
    lift: Lift
    prior_top5: float
    right_but_far: int
    near_but_wrong: int


@dataclass(frozen=True, slots=True, eq=False)
class CoordinateScores:
    """What predicted coordinates reached: shares as fractions, with the protocol they were measured under.

    `within` is the share of errors at most so many km, by radius. `median_km` is inf where half of the rows or more
    have no answer. `country` is None where no truth lies in a country.
    """

    earth: Earth
    errors_km: Kilometres
    within: Mapping[float, Means]
    geoscore: Means
    median_km: float
    answered_median_km: float
    country: CountryScores | None
    answered: int
    clusters: int
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        """How many rows were scored."""
        return len(self.errors_km)

    def to_dict(self) -> dict[str, Any]:
        """As in scores.json; null for what there is none of, and for a median without an answer."""
        country = self.country
        return {
            "task": "country",
            **({} if country is None else _country_dict(country)),
            **_means_dict("within_km", {f"{radius:g}": means for radius, means in self.within.items()}),
            **_mean_dict("geoscore", self.geoscore),
            "median_km": _finite(self.median_km),
            "median_km_answered": _finite(self.answered_median_km),
            "queries": self.queries,
            "answered": self.answered,
            "answerable": 0 if country is None else country.rows,
            "gallery": 0,
            "clusters": self.clusters,
            "protocol": {"distance": self.earth, **self.protocol},
        }


def score_coordinates(
    truth: LatLons,
    predicted: LatLons,
    clusters: Sequence[str],
    *,
    level: str = TERRITORY,
    earth: Earth = "sphere",
    true_countries: Sequence[str] | None = None,
    inclusive: bool = True,
    protocol: Mapping[str, Any] | None = None,
) -> CoordinateScores:
    """Scores of n predictions, degrees; NaN rows are photos without an answer. Rows of one cluster are not independent.

    `true_countries` (n), codes or "" for none, are the true ones instead of those of the polygons, and without
    `inclusive` an error must be below a radius to be within it: OSV-5M's code has both. Raises DataError for no rows,
    for rows that are no points and for codes that are none, and UsageError for an unknown level.
    """
    if not len(truth) or len(predicted) != len(truth) or len(clusters) != len(truth):
        raise DataError(
            f"There are {len(truth)} true and {len(predicted)} predicted positions and {len(clusters)} clusters; one "
            "of each for every row and at least one row are expected."
        )
    said = ~np.isnan(predicted).any(axis=1)
    errors = errors_km(truth, predicted, earth)
    source = "polygons" if true_countries is None else "table"
    true_codes = countries_at(truth, level).codes if true_countries is None else _coded(true_countries, truth, level)
    codes = np.full(len(truth), "", dtype="<U2")
    codes[said] = countries_at(predicted[said], level).codes
    measures = _measures(errors, said, true_codes, codes, inclusive)
    values = _means(measures, clusters)
    return CoordinateScores(
        earth=earth,
        errors_km=errors,
        within={radius: Means(values[f"{radius:g} km"], values[f"{radius:g} km, answered"]) for radius in RADII_KM},
        geoscore=Means(values["score"], values["score, answered"]),
        median_km=median_km(errors),
        answered_median_km=median_km(errors[said]),
        country=_country(level, source, errors, true_codes, codes, values) if (true_codes != "").any() else None,
        answered=int(said.sum()),
        clusters=len(set(clusters)),
        protocol={**({} if inclusive else {"radii_included": False}), **(protocol or {})},
    )


def _coded(countries: Sequence[str], truth: LatLons, level: str) -> Labels:
    """Codes of a table at a level."""
    if len(countries) != len(truth):
        raise DataError(
            f"There are {len(truth)} true positions and {len(countries)} true countries; one a row is expected."
        )
    return np.array([at_level(code.upper(), level) if code else "" for code in countries], dtype="<U2")


def _measures(errors: Kilometres, said: RowHits, truth: Labels, codes: Labels, inclusive: bool) -> dict[str, _Ratio]:
    """What is averaged, and over which rows."""
    every, known = np.ones(len(errors), dtype=bool), truth != ""
    right = known & (truth == codes)
    measures: dict[str, _Ratio] = {}
    for name, values, rows in [
        *((f"{radius:g} km", within_km(errors, radius, inclusive=inclusive), every) for radius in RADII_KM),
        ("score", geoscores(errors), every),
        ("country", right, known),
    ]:
        measures[name] = (values, rows)
        measures[f"{name}, answered"] = (values * said, rows & said)
    if known.any():
        measures["lift"] = (right.astype(np.float64) - (known & Prior.of(truth.tolist()).hits(truth, 1)), known)
    return measures


def _means(measures: Mapping[str, _Ratio], clusters: Sequence[str]) -> dict[str, Mean]:
    above = np.stack([values.astype(np.float64) for values, _ in measures.values()])
    below = np.stack([rows.astype(np.float64) for _, rows in measures.values()])
    totals = below.sum(axis=1)
    means = np.divide(above.sum(axis=1), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    ends = metrics.ratio_intervals(above, below, clusters)
    return {
        name: Mean(float(mean), (float(low), float(high)))
        for name, mean, (low, high) in zip(measures, means, ends, strict=True)
    }


def _country(
    level: str, source: str, errors: Kilometres, truth: Labels, codes: Labels, values: Mapping[str, Mean]
) -> CountryScores:
    known = truth != ""
    right = known & (truth == codes)
    near = within_km(errors, COUNTRY_KM)
    prior = Prior.of(truth.tolist())
    shares = [float(prior.hits(truth[known], n).mean()) for n in (1, 5)]
    return CountryScores(
        level=level,
        source=source,
        rows=int(known.sum()),
        countries=len(np.unique(truth[known])),
        right=Means(values["country"], values["country, answered"]),
        prior=prior,
        lift=Lift(shares[0], values["lift"].value, values["lift"].ci95),
        prior_top5=shares[1],
        right_but_far=int((right & ~near).sum()),
        near_but_wrong=int((known & near & ~right).sum()),
    )


def _country_dict(country: CountryScores) -> dict[str, Any]:
    return {
        "level": country.level,
        "true_country": country.source,
        **_mean_dict("top1", country.right),
        "priors": [
            {
                "source": country.prior.source,
                "classes": list(country.prior.classes),
                "top1": country.lift.to_dict(),
                "top5": {"share": country.prior_top5},
            }
        ],
        "countries": country.countries,
        f"right_country_beyond_{COUNTRY_KM:g}_km": country.right_but_far,
        f"other_country_within_{COUNTRY_KM:g}_km": country.near_but_wrong,
        "nearest_km": NEAREST_KM,
    }


def _mean_dict(name: str, means: Means) -> dict[str, Any]:
    """The mean over all rows under its name, that over the answered ones beside it."""
    made: dict[str, Any] = {}
    for key, mean in ((name, means.all_rows), (f"{name}_answered", means.answered)):
        made |= {key: _finite(mean.value), f"{key}_ci95": _ends(mean)}
    return made


def _means_dict(name: str, means: Mapping[str, Means]) -> dict[str, Any]:
    rows = {key: _mean_dict(name, one) for key, one in means.items()}
    return {column: {key: row[column] for key, row in rows.items()} for column in next(iter(rows.values()))}


def _ends(mean: Mean) -> list[float] | None:
    return None if math.isnan(mean.ci95[0]) else list(mean.ci95)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
