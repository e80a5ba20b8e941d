"""ISO 3166-1 alpha-2 codes: names, continents, and the state that a territory belongs to."""

from __future__ import annotations

import difflib
import functools
from collections import Counter
from dataclasses import dataclass

from geofix.errors import DataError, unknown_name
from geofix.geography.features import Feature, features

TERRITORY, SOVEREIGN = LEVELS = ("territory", "sovereign")
"""Whether French Guiana is GF or FR."""
CONTINENTS = ("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America")

# UN M49 regions by continent. 003 has Central America and the Caribbean in it; M49 has one region for both Americas.
_M49 = {
    "002": "Africa", "142": "Asia", "150": "Europe", "003": "North America", "009": "Oceania", "005": "South America",
}  # fmt: skip
# Where the data name the realm or the state in full, to tell it from its largest part or from the island.
_NAMES = {
    "CN": "China", "CY": "Cyprus", "DK": "Denmark", "FM": "Micronesia", "IE": "Ireland", "NL": "Netherlands",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Country:
    name: str
    continent: str
    sovereign: str


def known_codes(level: str = TERRITORY) -> tuple[str, ...]:
    """The codes there are, sorted: the official ones of ISO 3166-1 and XK, or only those of sovereign states.

    Raises UsageError for an unknown level.
    """
    check_level(level)
    table = _countries()
    return tuple(sorted(table if level == TERRITORY else {country.sovereign for country in table.values()}))


def name_of(code: str) -> str:
    """The English name of a country or territory. Raises DataError that names the nearest known code."""
    return _country(code).name


def continent_of(code: str) -> str:
    """One of CONTINENTS, by UN M49: Turkey is in Asia, Cyprus too, and Russia in Europe as a whole.

    Raises DataError that names the nearest known code.
    """
    return _country(code).continent


def sovereign_of(code: str) -> str:
    """The code of the state that a territory belongs to (GF: FR, HK: CN), or the code itself.

    Raises DataError that names the nearest known code.
    """
    return _country(code).sovereign


def at_level(code: str, level: str) -> str:
    """A code at one of LEVELS. Raises DataError for an unknown code and UsageError for an unknown level."""
    check_level(level)
    sovereign = sovereign_of(code)
    return code if level == TERRITORY else sovereign


def check_level(level: str) -> None:
    """Raises UsageError that names the nearest where `level` is none of LEVELS."""
    if level not in LEVELS:
        raise unknown_name("level", level, LEVELS)


def _country(code: str) -> _Country:
    found = _countries().get(code)
    if found is None:
        near = _nearest(code)
        raise DataError(
            f"There is no country code {code!r}; did you mean {near!r} ({name_of(near)})? The two capitals of "
            "ISO 3166-1 are expected, or XK."
        )
    return found


def _nearest(code: str) -> str:
    """The known code that is spelled most alike, by its name, its three letters or what else it is called, too."""
    spellings = {code.casefold(): code for code in _countries()}
    for feature in features():
        if feature.code:
            for spelling in feature.spellings:
                spellings.setdefault(spelling.casefold(), feature.code)
    return spellings[difflib.get_close_matches(code.casefold(), spellings, n=1, cutoff=0.0)[0]]


@functools.cache
def _countries() -> dict[str, _Country]:
    return {
        feature.code: _Country(
            _NAMES.get(feature.code, feature.name), _continent(feature.code), feature.country or feature.code
        )
        for feature in features()
        if feature.own and feature.code
    }


def _continent(code: str) -> str:
    """Where most corners of its border are: of Spain not at Ceuta, of Russia in Europe, where M49 lists it, too."""
    corners: Counter[str] = Counter()
    for part in features():
        if part.code == code and part.polygons:
            corners[_continent_of_part(part)] += sum(len(ring) for polygon in part.polygons for ring in polygon)
    return corners.most_common(1)[0][0]


def _continent_of_part(part: Feature) -> str:
    # Antarctica is in no region, being one itself.
    return next((continent for region, continent in _M49.items() if region in part.groups), "Antarctica")
