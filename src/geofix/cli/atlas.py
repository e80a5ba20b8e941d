"""geofix atlas info, remove, compact and verify."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.cli.options import camera_of
from geofix.errors import AtlasError, PhotoError, UsageError
from geofix.files import absolute

if TYPE_CHECKING:
    from geofix.atlas.calibration import Calibration
    from geofix.atlas.store import Atlas

app = typer.Typer(help="Look after an atlas.", no_args_is_help=True, rich_markup_mode=None)
ATLAS = typer.Argument(help="The atlas folder.")


@app.command()
def info(atlas: Annotated[Path, ATLAS]) -> None:
    """What the atlas holds: photos, area, encoder, size on disk, calibration."""
    from geofix.positions import area_km2

    opened = _open(atlas)
    rows = opened.rows
    size = sum(file.stat().st_size for file in atlas.rglob("*") if file.is_file())
    encoder = opened.manifest["encoder"]
    lines = [
        (str(opened.holds), f"{len(rows)}"),
        ("encoder", f"{encoder.get('recipe')} ({opened.fingerprint[:8]}), {opened.length} numbers a photo"),
        ("pretrained", str(encoder.get("pretrained"))),
        ("on disk", f"{size / 1e6:.1f} MB"),
    ]
    if len(rows):
        (south, west), (north, east) = rows.latlons.min(axis=0), rows.latlons.max(axis=0)
        lines.append(("latitudes", f"{south:.6f} to {north:.6f}"))
        lines.append(("longitudes", f"{west:.6f} to {east:.6f}"))
        lines.append(("box", f"{area_km2(rows.latlons):.3f} km2"))
    if rows.tiles is not None and len(rows):
        sides = sorted(set(rows.tiles.sides_m.tolist()))
        lines.append(("maps", ", ".join(sorted({str(opened.file_of(path)) for path in rows.paths}))))
        lines.append(("scales", ", ".join(f"{side_m:g}" for side_m in sides) + " m"))
        lines.append(
            ("maps are off by", "unknown" if opened.ce90_m is None else f"{opened.ce90_m:g} m at most, 9 times in 10")
        )
        lines.append(("attribution", "; ".join(rows.tiles.attributions) or "none given"))
    lines.append(("calibration", _calibration(opened.calibration)))
    if rows.tiles is not None:
        lines.append(("calibration with --verify", _calibration(opened.calibration_of(verified=True))))
    output.result("\n".join(f"{name}: {value}" for name, value in lines))


@app.command()
def remove(
    atlas: Annotated[Path, ATLAS],
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos, or folders of them, as they were indexed.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Every photo that is no longer on disk.")] = False,
) -> None:
    """Take photos out of the atlas; the files themselves stay where they are."""
    opened = _open(atlas)
    files = {path: str(opened.file_of(path)) for path in opened.known()}
    if not photos and not missing:
        raise UsageError("Nothing was named to remove; name photos or folders, or use --missing.")
    named = {photo: _at_or_in(photo, files) for photo in photos or []}
    gone = {path for paths in named.values() for path in paths}
    if not gone and not missing:
        raise AtlasError(f"None of the photos named is in {atlas}; name them as they were indexed.")
    if missing:
        there = {file: Path(file).exists() for file in set(files.values())}
        gone |= {path for path, file in files.items() if not there[file]}
    count = opened.remove(sorted(gone))
    note = "; run `geofix index` once more to calibrate its confidence anew" if count else ""
    output.result(f"{atlas}: {count} {opened.holds} removed, {opened.count()} left{note}")
    output.finish([AtlasError(f"{photo} is not in {atlas}.") for photo, paths in named.items() if not paths])


@app.command()
def calibrate(
    atlas: Annotated[Path, ATLAS],
    photos: Annotated[list[Path], typer.Argument(help="Photos with known positions that are not in the atlas.")],
    altitude: Annotated[
        float | None, typer.Option(help="Frames on a map: metres above the ground, with --fov.")
    ] = None,
    fov: Annotated[float | None, typer.Option(help="Frames on a map: horizontal field of view, degrees.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Frames on a map: for answers of `geofix locate --verify`.")
    ] = False,
) -> None:
    """Learn confidence and radius on photos like those you will ask about, with positions in name or EXIF."""
    from geofix.calibrate import on_photos
    from geofix.data.truth import own_positions
    from geofix.heap import keep_freed_memory
    from geofix.locate import look_at_maps
    from geofix.photos import Photo, photo_paths

    keep_freed_memory()
    opened = _open(atlas)
    paths = photo_paths(photos)
    truth = own_positions(paths)
    asked = [Photo(str(path), path, truth.get(str(path))) for path in paths]
    errors: list[PhotoError] = []
    camera = camera_of(altitude, fov)
    if verify:
        with output.progress("looking at the map") as progress:
            look_at_maps(opened, progress=progress)
    with output.progress("calibrating") as progress:
        learned = on_photos(opened, asked, camera=camera, verify=verify, progress=progress, errors=errors)
    opened.set_calibration(learned, verified=verify)
    output.result(f"{atlas}: calibrated {_calibration(learned)}")
    output.finish(errors)


@app.command()
def compact(atlas: Annotated[Path, ATLAS]) -> None:
    """Merge the table's small files and drop its old versions. Nothing else may be using the atlas."""
    opened = _open(atlas)
    opened.compact()
    output.result(f"{atlas}: {opened.count()} {opened.holds}, compacted")


@app.command()
def verify(
    atlas: Annotated[Path, ATLAS],
    files: Annotated[bool, typer.Option("--files", help="Also compare every photo on disk with its hash.")] = False,
) -> None:
    """Check that the atlas is whole: encoder, table, descriptors, positions and, if asked, the photos."""
    from geofix.atlas.verify import verify as run_verify

    opened = _open(atlas)
    with output.progress("verifying") as progress:
        problems = run_verify(opened, files=files, progress=progress)
    output.result(
        f"{atlas}: {opened.count()} {opened.holds}, {'whole' if not problems else f'{len(problems)} problems'}"
    )
    output.finish(problems)


def _at_or_in(named: Path, files: Mapping[str, str]) -> list[str]:
    """The paths whose files are the photo or map named, or lie in the folder named, links followed or not."""
    spellings = {str(absolute(named)), str(named.resolve())}
    folders = tuple(f"{one}{os.sep}" for one in spellings)
    return [path for path, file in files.items() if file in spellings or file.startswith(folders)]


def _open(folder: Path) -> Atlas:
    from geofix.atlas.store import Atlas

    return Atlas.open(folder)


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return "none: confidence is an order, not a probability"
    found = f"{calibration.right:.1%} of them found within {calibration.right_within_m:g} m"
    return f"on {calibration.sample} of {calibration.source}, {found}"
