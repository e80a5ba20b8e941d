"""locate, for runs that name countries: photos -> Fixes with scenes and countries, and no position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from geofix.countries.calibrate import FEWEST, summed_by_continent
from geofix.countries.look import Seen, look
from geofix.countries.routing import one_hot
from geofix.encode import Progress
from geofix.errors import PhotoError, UsageError, unknown_name
from geofix.files import AnyPath, paths_of
from geofix.fixes import Fix, Routing
from geofix.geography.codes import continent_of, name_of
from geofix.geography.countries import countries_at
from geofix.models.countries import CountryRun
from geofix.photos import Photo
from geofix.positions import Position, latlons
from geofix.recipes import Precision
from geofix.shapes import ClassRows
from geofix.telemetry import position_in

Way = Literal["soft", "hard"]
HEAD_SAYS = 3  # countries listed of each head


def check_way(name: str) -> Way:
    """The way of routing of that name. Raises UsageError."""
    if name not in get_args(Way):
        raise unknown_name("way of routing", name, get_args(Way))
    return name  # type: ignore[return-value]


def locate_countries(
    photos: AnyPath | Sequence[AnyPath],
    run: CountryRun,
    *,
    way: Way = "soft",
    trust_position: bool = False,
    precision: Precision | None = None,
    progress: Progress | None = None,
) -> list[Fix]:
    """One Fix a photo, in order: scenes, every country the run can say by probability, and why.

    Where the likeliest country is less sure than the limit that training learned for the stated error rate, the Fix
    has a `reason` and names the continent, if that is sure enough. The photo's own position (EXIF or XMP) is not used,
    unless `trust_position` says so: then the country it lies in is the answer, and what the networks say stands in
    `routing` beside it. A photo that cannot be read has its `error` set. Raises UsageError for a run that names scenes
    alone.
    """
    photos = paths_of(photos)
    if not run.knows.heads:
        raise UsageError(
            f"{run.folder} names scenes and no countries; train specialists with it: geofix train lavinskyi-country "
            f"--set router={run.folder}."
        )
    asked = [Photo(str(path), path) for path in photos]
    seen = look(run, asked, precision=precision, progress=progress)
    fixes = [Fix(str(path)) for path in photos]
    failed = sorted(set(range(len(photos))) - set(seen.rows.tolist()))
    for row, error in zip(failed, seen.errors, strict=True):
        fixes[row] = Fix(str(photos[row]), reason="the photo could not be read", error=str(error))
    if not len(seen.rows):
        return fixes
    probabilities = seen.countries(way)
    continents = summed_by_continent(run.knows.countries, probabilities)
    for at, row in enumerate(seen.rows.tolist()):
        carried = _carried(photos[row])
        fix = _fix(photos[row], run, seen, at, probabilities[at], continents, way, carried is not None)
        fixes[row] = _by_position(fix, carried) if trust_position and carried is not None else fix
    return fixes


def with_countries(fix: Fix, named: Fix) -> Fix:
    """A Fix of an atlas with what a run said of the same photo's scene and country."""
    if named.error is not None or fix.error is not None:
        return fix
    return replace(fix, scene=named.scene, countries=named.countries, routing=named.routing)


def credible(fix: Fix, share: float) -> set[str]:
    """The fewest countries, likeliest first, whose probabilities add up to `share` (0..1); none without countries."""
    found: set[str] = set()
    total = 0.0
    for country in fix.countries or ():
        if total >= share:
            break
        found.add(str(country["code"]))
        total += float(country["probability"])
    return found


def _fix(
    path: Path,
    run: CountryRun,
    seen: Seen,
    at: int,
    probabilities: np.ndarray,
    continents: tuple[tuple[str, ...], ClassRows],
    way: Way,
    carries_position: bool,
) -> Fix:
    classes = run.knows.countries
    order = np.argsort(-probabilities, kind="stable")
    countries = tuple(
        {"code": classes[column], "name": name_of(classes[column]), "probability": float(probabilities[column])}
        for column in order
    )
    names, summed = continents
    best = int(summed[at].argmax())
    sure = run.knows.sureness
    least = sure.hard if way == "hard" else sure.soft
    top = float(probabilities[order[0]])
    routing = Routing(
        way="single" if run.knows.router is None else way,
        head=run.knows.heads[int(seen.weights[at].argmax())].name,
        weights=_weights(run, seen, at, way),
        heads=_heads(seen, at),
        told=least is not None and top >= least,
        continent=names[best],
        continent_probability=float(summed[at, best]),
        continent_told=sure.continent is not None and bool(summed[at, best] >= sure.continent),
        carries_position=carries_position,
        level=run.knows.level,
    )
    return Fix(
        str(path),
        confidence=top,
        calibrated=sure.photos >= FEWEST,
        reason=None if routing.told else _doubt(run, routing, countries[0], least),
        scene=_scenes(run, seen, at),
        countries=countries,
        routing=routing,
    )


def _weights(run: CountryRun, seen: Seen, at: int, way: Way) -> dict[str, float]:
    weights = one_hot(seen.weights[at : at + 1]) if way == "hard" else seen.weights[at : at + 1]
    return {head.name: float(value) for head, value in zip(run.knows.heads, weights[0], strict=True)}


def _heads(seen: Seen, at: int) -> dict[str, tuple[tuple[str, float], ...]]:
    """What every head would say, whatever it counts."""
    said = {}
    for name, (classes, values) in seen.says.items():
        best = np.argsort(-values[at], kind="stable")[:HEAD_SAYS]
        said[name] = tuple((classes[column], float(values[at, column])) for column in best)
    return said


def _scenes(run: CountryRun, seen: Seen, at: int) -> dict[str, float] | None:
    if run.knows.router is None or seen.scenes is None:
        return None
    return {name: float(p) for name, p in zip(run.knows.router.classes, seen.scenes[at], strict=True)}


def _doubt(run: CountryRun, routing: Routing, first: dict[str, object], least: float | None) -> str:
    named = f"{first['name']} is likeliest with {first['probability']:.2f}"
    sure = run.knows.sureness
    if least is not None:
        limit = f"below the {least:.2f} from which {sure.error_rate:.0%} of the answers are wrong"
    elif sure.photos < FEWEST:
        limit = "and nothing was learned of when to answer"
    else:
        limit = f"and no probability was high enough for only {sure.error_rate:.0%} of the answers to be wrong"
    continent = (
        f"; the continent is {routing.continent} ({routing.continent_probability:.2f})"
        if routing.continent_told
        else ""
    )
    return f"can't tell the country: {named}, {limit}{continent}"


def _carried(path: Path) -> Position | None:
    """Where the file says it was taken, in EXIF or XMP."""
    try:
        return position_in(path).position
    except PhotoError:
        return None


def _by_position(fix: Fix, carried: Position) -> Fix:
    """The same photo's Fix where its own position is believed: its country is certain, if it lies in one."""
    assert fix.routing is not None and fix.countries is not None
    code = str(countries_at(latlons([carried]), fix.routing.level).codes[0])
    if not code:
        return fix
    others = tuple({**country, "probability": 0.0} for country in fix.countries if country["code"] != code)
    routing = replace(
        fix.routing,
        told=True,
        continent=continent_of(code),
        continent_probability=1.0,
        continent_told=True,
        by_position=True,
    )
    countries = ({"code": code, "name": name_of(code), "probability": 1.0}, *others)
    return replace(fix, confidence=1.0, calibrated=False, reason=None, countries=countries, routing=routing)
