"""Countries and their parts as country-coder's borders.json has them, each with its ISO 3166-1 code.

Source: npm package @rapideditor/country-coder 5.6.1, src/data/borders.json (ISC).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

Ring = list[list[float]]
"""(longitude, latitude) in degrees, the first again at the end."""

_FILE = "vendored/country-coder/borders.json"
# Areas that the data keep apart, without a code or with that of the state that holds them: the code under which
# ISO 3166 lists them, Crimea as UA-43 and UA-40, Northern Cyprus as the districts of Kyrenia and Famagusta.
_LISTED_BY_ISO = {"Q7835": "UA", "Q23681": "CY"}
# Of a code: official, or XK. The others (FX, IC, EU) are reserved, and ISO 3166-1 lists no country under them.
_IN_USE = (None, "usrAssn")


@dataclass(frozen=True, slots=True)
class Feature:
    """A country, a part of one, or a group of them.

    `code` is the ISO 3166-1 alpha-2 code of the country or territory it is or belongs to, and None for groups and
    for what no country claims. `own` says whether the code is its own. `country` is the code of the state it belongs
    to, where that is another. `groups` are what it lies in, UN M49 regions by their three digits. `polygons` are
    lists of rings, the outer one first.
    """

    name: str
    code: str | None
    own: bool
    country: str | None
    groups: tuple[str, ...]
    spellings: tuple[str, ...]
    polygons: tuple[list[Ring], ...]


@functools.cache
def features() -> tuple[Feature, ...]:
    """All of the file, in its order."""
    text = files("geofix.geography").joinpath(_FILE).read_text("utf-8")
    read = json.loads(text, parse_int=float)["features"]  # its only integers are coordinates
    official = {one["properties"]["iso1A2"] for one in read if _in_use(one["properties"])}
    return tuple(_feature(one["properties"], one["geometry"], official) for one in read)


def _in_use(properties: dict[str, Any]) -> bool:
    return "iso1A2" in properties and properties.get("isoStatus") in _IN_USE


def _feature(properties: dict[str, Any], geometry: dict[str, Any] | None, official: set[str]) -> Feature:
    groups = tuple(properties.get("groups", ()))
    other = [properties[key] for key in ("iso1A2", "iso1A3", "nameEn") if key in properties]
    return Feature(
        name=properties["nameEn"],
        code=_code(properties, groups, official) if geometry or _in_use(properties) else None,
        own=_in_use(properties),
        country=properties.get("country"),
        groups=groups,
        spellings=(*other, *properties.get("aliases", ())),
        polygons=tuple(geometry["coordinates"]) if geometry else (),
    )


def _code(properties: dict[str, Any], groups: tuple[str, ...], official: set[str]) -> str | None:
    """Its own code, or that of what it lies in: Sark (CQ) in GG, Ceuta (EA) in ES, France in Europe (FX) in FR."""
    if _in_use(properties):
        return str(properties["iso1A2"])
    listed = _LISTED_BY_ISO.get(properties["wikidata"])
    return listed or next((group for group in groups if group in official), properties.get("country"))
