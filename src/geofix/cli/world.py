"""geofix data world: rendered datasets with exact ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.errors import UsageError

if TYPE_CHECKING:
    from geofix.world.conditions import Conditions
    from geofix.world.difficulty import Difficulty
    from geofix.world.writers.flights import Flight

KINDS = ("places", "crossview", "countries", "flight")
_SIZE, _SHARES, _LAYOUT = "240x320", "0.25,0.15", "university-1652"


def world(
    out: Annotated[Path, typer.Argument(help="A new folder for the rendered dataset.")],
    kind: Annotated[
        str,
        typer.Option(
            help="places: street views in the deep-VG layout. crossview: drone, satellite and street views of "
            "places. countries: street views of small regions, one folder a country. flight: a map from the air, "
            "frames that look straight down, and a track."
        ),
    ] = "places",
    places: Annotated[int, typer.Option(help="How many spots, places or regions photos are taken of.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 0,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for queries or views: night, fog, noise, occlusion, season, rebuilt, ..."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(help="places: NAME=V1,V2,...: matched query sets that differ in this condition only."),
    ] = None,
    difficulty: Annotated[str, typer.Option(help="places: easy, street or hard queries.")] = "street",
    size: Annotated[str, typer.Option(help="places, countries: of a photo, ROWSxCOLUMNS.")] = _SIZE,
    visits: Annotated[int, typer.Option(help="places: poses that a spot's queries are taken from.")] = 1,
    shares: Annotated[
        str | None,
        typer.Option(
            metavar="TRAIN,VAL",
            help=f"places: of the spots in the train and val splits, {_SHARES} by default; crossview: of the places.",
        ),
    ] = None,
    layout: Annotated[str, typer.Option(help="crossview: university-1652, sues-200 or plain-views.")] = _LAYOUT,
    drone_views: Annotated[
        int | None, typer.Option(help="crossview: drone views of a place; the layout's own number by default.")
    ] = None,
    altitude: Annotated[
        str | None,
        typer.Option(metavar="M[,M]", help="crossview, flight: the drone's altitudes, from first to last."),
    ] = None,
    pitch: Annotated[
        float | None, typer.Option(help="crossview: degrees the drone looks down, 90 is straight down.")
    ] = None,
    heading: Annotated[
        float | None, typer.Option(help="crossview: where the drone always looks; all around by default.")
    ] = None,
    survey: Annotated[
        bool,
        typer.Option("--survey", help="crossview: maps of the same summer instead of a satellite's older pictures."),
    ] = False,
    outskirts: Annotated[
        float | None, typer.Option(help="crossview, --anywhere: metres of country around the houses; 60.")
    ] = None,
    fov: Annotated[
        float | None, typer.Option(help="crossview, flight: the camera's horizontal field of view, degrees.")
    ] = None,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="crossview: places are any ground, streets and fields as well.")
    ] = False,
    frames: Annotated[
        int | None, typer.Option(help="flight: frames anywhere on the map, and as many of another town; 100.")
    ] = None,
    track: Annotated[int | None, typer.Option(help="flight: frames along one way, 60 by default.")] = None,
    orthophoto: Annotated[
        Path | None,
        typer.Option(help="places, crossview: the whole town as a georeferenced picture, .tif (extra maps) or .png."),
    ] = None,
) -> None:
    """Render a world with known coordinates: the same seed gives the same bytes."""
    from geofix.world.difficulty import difficulty as preset
    from geofix.world.writers.orthophoto import check_orthophoto

    level = preset(difficulty)
    day = level.day.with_settings(condition or [])
    fits: dict[str, dict[str, object]] = {
        "places": {"--sweep": sweep, "--difficulty": difficulty != "street", "--visits": visits != 1},
        "crossview": {
            "--drone-views": drone_views,
            "--pitch": pitch,
            "--heading": heading,
            "--anywhere": anywhere,
            "--survey": survey,
            "--outskirts": outskirts,
            "--layout": layout != _LAYOUT,
        },
        "places crossview": {"--shares": shares, "--orthophoto": orthophoto},
        "places countries": {"--size": size != _SIZE},
        "crossview flight": {"--altitude": altitude, "--fov": fov},
        "flight": {"--frames": frames, "--track": track},
    }
    unfitting = {
        flag: kind not in kinds.split() and given not in (None, False)
        for kinds, flags in fits.items()
        for flag, given in flags.items()
    }
    _check_kind(kind, unfitting)
    if orthophoto is not None:
        check_orthophoto(orthophoto)
    parts = None if shares is None else _shares(shares)
    ground_m = _ground(anywhere, outskirts)
    if kind == "places":
        conditions = _conditions(level, condition, sweep)
        told = [_places(out, places, seed, level, conditions, _size(size), parts or _shares(_SHARES), visits)]
    elif kind == "flight":
        told = [_flown(out, places, seed, altitude, fov, frames, track, condition or [])]
    elif kind == "countries":
        told = [_countries(out, places, seed, day, _size(size))]
    else:
        flight = _flight(layout, altitude, pitch, heading, fov)
        told = [_crossview(out, places, seed, layout, flight, drone_views, condition or [], ground_m, parts, survey)]
    if orthophoto is not None:
        told.append(_orthophoto(orthophoto, kind, places, seed, layout, ground_m, parts))
    output.result("\n".join(told))


def _check_kind(kind: str, unfitting: dict[str, bool]) -> None:
    if kind not in KINDS:
        raise UsageError(f"There is no kind of world {kind!r}; known are: {', '.join(KINDS)}.")
    for flag, wrong in unfitting.items():
        if wrong:
            raise UsageError(f"{flag} does not go with --kind {kind}; leave it out, or choose another kind.")


def _places(
    out: Path,
    places: int,
    seed: int,
    level: Difficulty,
    conditions: dict[str, Conditions],
    size: tuple[int, int],
    shares: tuple[float, float],
    visits: int,
) -> str:
    from geofix.world.writers.deep_vg import write_places

    with output.progress("rendering") as progress:
        summary = write_places(
            out,
            places=places,
            seed=seed,
            level=level,
            conditions=conditions,
            shares=shares,
            visits=visits,
            size=size,
            progress=progress,
        )
    splits = [f"{name} {summary.gallery[name]} + {summary.queries[name]}" for name in summary.gallery]
    return (
        f"{out}: a town of {summary.places} spots; gallery + query photos: {', '.join(splits)}; "
        f"queries by condition: {_counts(summary.by_condition)}"
    )


def _countries(out: Path, regions: int, seed: int, conditions: Conditions, size: tuple[int, int]) -> str:
    from geofix.world.writers.countries import write_countries

    with output.progress("rendering") as progress:
        summary = write_countries(out, regions=regions, seed=seed, conditions=conditions, size=size, progress=progress)
    parts = (summary.by_split, summary.by_country, summary.by_scene)
    return f"{out}: {summary.photos} photos of {summary.regions} regions; {'; '.join(_counts(part) for part in parts)}"


def _crossview(
    out: Path,
    places: int,
    seed: int,
    layout: str,
    flight: Flight,
    views: int | None,
    settings: list[str],
    outskirts_m: float | None,
    shares: tuple[float, float] | None,
    survey: bool,
) -> str:
    from geofix.world.writers.crossview import FLOWN, write_crossview

    with output.progress("rendering") as progress:
        summary = write_crossview(
            out,
            places=places,
            seed=seed,
            layout=layout,
            flight=flight,
            drone_views=views,
            conditions=(FLOWN.with_settings(settings),),
            outskirts_m=outskirts_m,
            shares=shares,
            survey=survey,
            progress=progress,
        )
    return f"{out}: {summary.layout}; places: {_counts(summary.places)}; pictures: {_counts(summary.by_view)}"


def _flight(layout: str, altitude: str | None, pitch: float | None, heading: float | None, fov: float | None) -> Flight:
    """The layout's own flight with what was asked for."""
    from geofix.world.writers.crossview import layout_flight
    from geofix.world.writers.flights import Flight

    own = layout_flight(layout)
    altitudes = own.altitudes_m if altitude is None else _altitudes(altitude)
    pitch = own.pitch_deg if pitch is None else pitch
    return Flight(altitudes, own.views, pitch, heading, own.hfov_deg if fov is None else fov, own.turns, own.level)


def _ground(anywhere: bool, outskirts_m: float | None) -> float | None:
    """How far from the houses places lie; None where they are houses. Raises UsageError for half of what is needed."""
    from geofix.world.writers.flights import OUTSKIRTS_M

    if outskirts_m is None:
        return OUTSKIRTS_M if anywhere else None
    if not anywhere or not 0 <= outskirts_m <= 500:
        raise UsageError(f"--outskirts {outskirts_m:g} needs --anywhere, and 0 to 500 metres are expected.")
    return outskirts_m


def _flown(
    out: Path,
    places: int,
    seed: int,
    altitude: str | None,
    fov: float | None,
    frames: int | None,
    track: int | None,
    settings: list[str],
) -> str:
    from geofix.world.writers.crossview import FLOWN
    from geofix.world.writers.flight import write_flight

    altitudes = (90.0, 160.0) if altitude is None else _altitudes(altitude)
    with output.progress("rendering") as progress:
        summary = write_flight(
            out,
            places=places,
            seed=seed,
            frames=100 if frames is None else frames,
            track=60 if track is None else track,
            altitudes_m=(altitudes[0], altitudes[-1]),
            fov_deg=60.0 if fov is None else fov,
            conditions=FLOWN.with_settings(settings),
            progress=progress,
        )
    made = summary.map
    area = made.width * made.height * made.metres_per_pixel**2 / 1e6
    where = f"{made.width}x{made.height} pixels of {made.metres_per_pixel:g} m, {area:.2f} km2"
    return f"{out}: a map of {where}, EPSG {made.epsg}; frames: {_counts(summary.frames)}"


def _altitudes(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"The altitudes are {text!r}; metres are expected, as in --altitude 250,120.") from error


def _orthophoto(
    path: Path,
    kind: str,
    places: int,
    seed: int,
    layout: str,
    outskirts_m: float | None,
    shares: tuple[float, float] | None,
) -> str:
    from geofix.world.geometry.town import build_town
    from geofix.world.writers.crossview import crossview_town
    from geofix.world.writers.orthophoto import write_orthophoto

    if kind == "places":
        town = build_town(places, seed, shares=shares or _shares(_SHARES))
    else:
        town = crossview_town(places, seed, layout, outskirts_m=outskirts_m, shares=shares)
    with output.progress("orthophoto") as progress:
        made = write_orthophoto(path, town, progress=progress)
    return f"{made.path}: {made.width}x{made.height} pixels of {made.metres_per_pixel:g} m, EPSG {made.epsg}"


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items())


def _conditions(level: Difficulty, settings: list[str] | None, sweep: str | None) -> dict[str, Conditions]:
    """The named conditions of the queries: day and night, or day as set, or day with one of them swept."""
    day = level.day.with_settings(settings or [])
    if sweep is not None:
        return day.swept(sweep)
    if not settings:
        return {"day": level.day, "night": level.night}
    return {"night" if day.night >= 0.5 else "day": day}


def _size(text: str) -> tuple[int, int]:
    rows, cross, columns = text.lower().partition("x")
    if not (cross and rows.isdecimal() and columns.isdecimal()):
        raise UsageError(f"The size is {text!r}; ROWSxCOLUMNS is expected, as in --size 240x320.")
    return int(rows), int(columns)


def _shares(text: str) -> tuple[float, float]:
    try:
        train, val = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"The shares are {text!r}; TRAIN,VAL is expected, as in --shares 0.25,0.15.") from error
    return train, val
