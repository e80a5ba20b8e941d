"""geofix locate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.cli.options import PRECISION, camera_of, day_maker_of, precision_of
from geofix.errors import GeofixError, PhotoError, UsageError

if TYPE_CHECKING:
    from geofix.atlas.store import Atlas
    from geofix.frames.looks import Camera
    from geofix.frames.track import Track
    from geofix.locate import Near
    from geofix.recipes import Precision


def locate(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos; with --track also videos.")],
    atlas: Annotated[Path | None, typer.Option(help="The atlas to search.")] = None,
    near: Annotated[str | None, typer.Option(help="Search only this circle: LAT,LON,KM.")] = None,
    altitude: Annotated[
        float | None, typer.Option(help="Frames on a map: metres above the ground; needs --fov, narrows the scale.")
    ] = None,
    fov: Annotated[
        float | None, typer.Option(help="Frames on a map: the camera's horizontal field of view, degrees.")
    ] = None,
    track: Annotated[
        bool, typer.Option("--track", help="Frames on a map: one flight, in the order given; smooth it as a whole.")
    ] = False,
    speed: Annotated[float | None, typer.Option(help="--track: how fast the drone flies at most, m/s; 25.")] = None,
    interval: Annotated[
        float | None, typer.Option(help="--track: seconds between frames of a video, or that have no time; 1.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Frames on a map: compare the 8 likeliest places with the map, by local features."
        ),
    ] = False,
    min_confidence: Annotated[
        float | None, typer.Option(help="Below this confidence (0 to 1) the answer is: can't tell.")
    ] = None,
    score: Annotated[
        bool, typer.Option("--score", help="Compare with the positions in the photos' own names or EXIF.")
    ] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write a table.")] = None,
    geojson: Annotated[Path | None, typer.Option(help="Write GeoJSON.")] = None,
    kml: Annotated[Path | None, typer.Option(help="Write KML.")] = None,
    gpx: Annotated[Path | None, typer.Option(help="Write GPX: waypoints, or with --track a track.")] = None,
    picture: Annotated[Path | None, typer.Option(help="--track: write the track on its map to this PNG.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one HTML page with photos and map.")] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION)] = None,
    night_to_day: Annotated[
        Path | None, typer.Option(help="A UNIT run: the photos are made into photos by day before they are looked at.")
    ] = None,
) -> None:
    """Where was each photo taken? Position, 90 % radius, confidence and matches, or: can't tell."""
    from geofix.atlas.store import Atlas
    from geofix.cli import fixes as shown
    from geofix.data.truth import own_positions
    from geofix.heap import keep_freed_memory
    from geofix.locate import Near
    from geofix.reports import exports
    from geofix.reports.maps import write_report

    if atlas is None:
        raise UsageError("No atlas was named; add --atlas ATLAS (make one with `geofix index`).")
    _check_track(track, {"--speed": speed, "--interval": interval, "--picture": picture})
    camera, circle = camera_of(altitude, fov), Near.parse(near) if near else None
    chosen = precision_of(precision)
    keep_freed_memory()
    closed: list[PhotoError] = []
    paths = _paths(photos, track, closed)
    opened = Atlas.open(atlas)
    flown = None
    if track:
        if night_to_day is not None:
            raise UsageError("--night-to-day is for photos; leave it out.")
        flown = _flown(paths, opened, circle, camera, verify, min_confidence, chosen, speed, interval)
        fixes = list(flown.fixes)
    else:
        day_maker = day_maker_of(night_to_day)
        with output.progress("locating") as progress:
            from geofix.locate import locate as run_locate

            fixes = run_locate(
                paths,
                opened,
                near=circle,
                min_confidence=min_confidence,
                precision=chosen,
                night_to_day=day_maker,
                camera=camera,
                verify=verify,
                progress=progress,
            )
    if all(fix.error for fix in fixes):
        raise GeofixError(f"None of the {len(fixes)} photos could be read. The first: {fixes[0].error}")
    truth = own_positions([path for path in paths if not _is_video(path)]) if score else {}
    summary = shown.summary(fixes, truth)
    if flown is not None:
        summary += shown.track_summary(flown, truth)
    if json_lines:
        output.result(exports.fixes_json_lines(fixes))
    elif "-" not in {str(csv), str(geojson), str(kml), str(gpx)}:
        output.result(shown.listed(fixes, truth))
        output.result("\n" + "\n".join(f"{name}: {value}" for name, value in summary))
    output.save(csv, lambda: exports.fixes_csv(fixes))
    output.save(geojson, lambda: exports.fixes_geojson(fixes, line=track))
    output.save(kml, lambda: exports.fixes_kml(fixes, line=track))
    output.save(gpx, lambda: exports.fixes_gpx(fixes, line=track))
    if picture is not None and flown is not None:
        _draw(picture, opened, flown)
    if report is not None:
        write_report(report, fixes, title="geofix report", truth=truth, summary=summary)
        output.remark(f"report: {report}")
    output.finish([*closed, *(PhotoError(fix.error) for fix in fixes if fix.error)])


def _flown(
    paths: list[Path],
    atlas: Atlas,
    near: Near | None,
    camera: Camera | None,
    verify: bool,
    min_confidence: float | None,
    precision: Precision | None,
    speed_m_s: float | None,
    interval_s: float | None,
) -> Track:
    from geofix.frames.track import INTERVAL_S, SPEED_M_S
    from geofix.locate import locate_flight

    with output.progress("locating") as progress:
        return locate_flight(
            paths,
            atlas,
            near=near,
            camera=camera,
            verify=verify,
            min_confidence=min_confidence,
            precision=precision,
            speed_m_s=SPEED_M_S if speed_m_s is None else speed_m_s,
            interval_s=INTERVAL_S if interval_s is None else interval_s,
            progress=progress,
        )


def _draw(picture: Path, atlas: Atlas, flown: Track) -> None:
    """The track on the map, if that is still where it was; else without."""
    from geofix.files import write_atomically
    from geofix.reports.tracks import track_png

    aerial = None
    try:
        aerial = atlas.map_at(atlas.file_of(atlas.rows.paths[0]))
    except GeofixError as error:
        output.remark(f"{picture} is drawn without its map: {error}")
    write_atomically(picture, track_png(flown.fixes, flown.alone, aerial))


def _paths(named: list[Path], track: bool, closed: list[PhotoError]) -> list[Path]:
    from geofix.photos import photo_paths

    if not track:
        return photo_paths(named, closed)
    return [path for one in named for path in ([one] if _is_video(one) else photo_paths([one], closed))]


def _is_video(path: Path) -> bool:
    from geofix.frames.shots import is_video

    return is_video(path)


def _check_track(track: bool, options: dict[str, object]) -> None:
    for flag, given in options.items():
        if given is not None and not track:
            raise UsageError(f"{flag} is for the frames of one flight; add --track, or leave it out.")
