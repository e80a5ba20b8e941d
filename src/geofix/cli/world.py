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

KINDS = ("places", "crossview", "countries")


def world(
    out: Annotated[Path, typer.Argument(help="A new folder for the rendered dataset.")],
    kind: Annotated[
        str,
        typer.Option(
            help="places: street views in the deep-VG layout. crossview: drone, satellite and street views of "
            "places. countries: street views of small regions, one folder a country."
        ),
    ] = "places",
    places: Annotated[int, typer.Option(help="How many spots, or places, or regions photos are taken at.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 0,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for the query photos: night, fog, noise, occlusion, season, rebuilt, ..."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(help="NAME=V1,V2,...: matched query sets that differ in this condition only (places)."),
    ] = None,
    difficulty: Annotated[str, typer.Option(help="easy, street or hard queries (places).")] = "street",
    size: Annotated[str, typer.Option(help="Of a photo, ROWSxCOLUMNS (places and countries).")] = "240x320",
    visits: Annotated[int, typer.Option(help="Poses a spot's queries are taken from (places).")] = 1,
    shares: Annotated[
        str, typer.Option(metavar="TRAIN,VAL", help="Of the spots in the train and val splits (places).")
    ] = "0.25,0.15",
) -> None:
    """Render a world with known coordinates: the same seed gives the same bytes."""
    from geofix.world.difficulty import difficulty as preset

    level = preset(difficulty)
    if kind == "places":
        conditions = _conditions(level, condition, sweep)
        text = _places(out, places, seed, level, conditions, _size(size), _shares(shares), visits)
    elif kind == "countries":
        text = _countries(out, places, seed, level.day.with_settings(condition or []), _size(size))
    else:
        raise UsageError(f"There is no kind of world {kind!r}; known are: {', '.join(KINDS)}.")
    output.result(text)


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
    kinds = ", ".join(f"{count} {name}" for name, count in summary.by_condition.items())
    return (
        f"{out}: a town of {summary.places} spots; gallery + query photos: {', '.join(splits)}; "
        f"queries by condition: {kinds}"
    )


def _countries(out: Path, regions: int, seed: int, conditions: Conditions, size: tuple[int, int]) -> str:
    from geofix.world.writers.countries import write_countries

    with output.progress("rendering") as progress:
        summary = write_countries(out, regions=regions, seed=seed, conditions=conditions, size=size, progress=progress)
    counts = [
        ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
        for found in (summary.by_split, summary.by_country, summary.by_scene)
    ]
    return f"{out}: {summary.photos} photos of {summary.regions} regions; {'; '.join(counts)}"


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
    if not (cross and rows.isdigit() and columns.isdigit()):
        raise UsageError(f"The size is {text!r}; ROWSxCOLUMNS is expected, as in --size 240x320.")
    return int(rows), int(columns)


def _shares(text: str) -> tuple[float, float]:
    try:
        train, val = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"The shares are {text!r}; TRAIN,VAL is expected, as in --shares 0.25,0.15.") from error
    return train, val
