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
    from geofix.frames.trust import Trust
    from geofix.locate import Near
    from geofix.recipes import Precision


def locate(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos; with --track also videos.")],
    atlas: Annotated[Path | None, typer.Option(help="The atlas to search.")] = None,
    country: Annotated[Path | None, typer.Option(help="A run that names countries; alone, or beside an atlas.")] = None,
    routing: Annotated[
        str, typer.Option(help="--country: soft (all specialists, by scene) or hard (that of the likeliest scene).")
    ] = "soft",
    explain: Annotated[
        Path | None,
        typer.Option(help="--country: write a sheet a photo into this folder: world map, heads, where it was seen."),
    ] = None,
    country_prior: Annotated[
        float | None,
        typer.Option(
            help="--country and --atlas: search only photos in the likeliest countries, up to this probability (0.95)."
        ),
    ] = None,
    near: Annotated[str | None, typer.Option(help="Search only this circle: LAT,LON,KM.")] = None,
    altitude: Annotated[
        float | None, typer.Option(help="Frames on a map: metres above the ground; needs --fov, narrows the scale.")
    ] = None,
    fov: Annotated[
        float | None, typer.Option(help="Frames on a map: the camera's horizontal field of view, degrees.")
    ] = None,
    trust: Annotated[
        str | None,
        typer.Option(
            metavar="altitude,fov,heading=DEG,gps=M,tilt",
            help="What is used of photos' own EXIF and XMP; nothing by default. Frames on a map: any of these; "
            "--country: gps, which then names the country.",
        ),
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
        typer.Option("--verify", help="Frames on a map: compare the likeliest places with the map, by local features."),
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
    """Where was each photo taken? Position, 90 % radius, confidence and matches (--atlas), scene and country
    (--country), or: can't tell."""
    from geofix.atlas.store import Atlas
    from geofix.cli import fixes as shown
    from geofix.cli.countries import listed as listed_countries
    from geofix.cli.countries import named_by, write_answers
    from geofix.data.truth import own_positions
    from geofix.frames.trust import Trust, aimed_positions
    from geofix.heap import keep_freed_memory
    from geofix.locate import Near
    from geofix.reports import exports
    from geofix.reports.maps import write_report

    closed: list[PhotoError] = []
    if atlas is None and country is None:
        raise UsageError(
            "No atlas was named; add --atlas ATLAS (make one with `geofix index`), or --country RUN for the country "
            "alone."
        )
    if country is None:
        for flag, given in {"--explain": explain, "--country-prior": country_prior}.items():
            if given is not None:
                raise UsageError(f"{flag} is about countries; add --country RUN, or leave it out.")
    if atlas is None:
        if track or night_to_day or score or min_confidence is not None or country_prior is not None or near:
            raise UsageError(
                "--track, --near, --score, --min-confidence, --night-to-day and --country-prior are for an atlas; add "
                "--atlas ATLAS, or leave them out."
            )
        assert country is not None
        keep_freed_memory()
        paths = _paths(photos, track, closed)
        if trust is not None and trust.strip() != "gps":
            raise UsageError(f"--trust {trust} is for frames on a map; of a country --trust gps alone can be used.")
        named = named_by(country, paths, routing, precision_of(precision), explain, trust is not None)
        write_answers(named, json_lines, csv, geojson, kml, gpx, report)
        output.finish([*closed, *(PhotoError(fix.error) for fix in named if fix.error)])
        return
    _check_track(track, {"--speed": speed, "--interval": interval, "--picture": picture})
    trusted = None if trust is None else Trust.parse(trust, altitude, fov)
    trusts_gps = trusted is not None and trusted.gps_within_m is not None
    camera, circle = None if trusted else camera_of(altitude, fov), Near.parse(near) if near else None
    chosen = precision_of(precision)
    said: list[str] = []
    keep_freed_memory()
    paths = _paths(photos, track, closed)
    opened = Atlas.open(atlas)
    if country is not None and track:
        raise UsageError("--country is for photos; leave it out of a track.")
    if verify:
        with output.progress("looking at the map") as progress:
            from geofix.locate import look_at_maps

            look_at_maps(opened, near=circle, progress=progress)
    named = [] if country is None else named_by(country, paths, routing, chosen, explain, trusts_gps)
    flown = None
    if track:
        if night_to_day is not None:
            raise UsageError("--night-to-day is for photos; leave it out.")
        flown = _flown(paths, opened, circle, camera, trusted, said, verify, min_confidence, chosen, speed, interval)
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
                named=named,
                country_prior=country_prior,
                trust=trusted,
                say=said,
                verify=verify,
                progress=progress,
            )
    for line in said:
        output.remark(line)
    if all(fix.error for fix in fixes):
        raise GeofixError(f"None of the {len(fixes)} photos could be read. The first: {fixes[0].error}")
    truth = own_positions([path for path in paths if not _is_video(path)]) if score else {}
    if trusted is not None and truth:
        truth = aimed_positions(truth, trusted)
        if trusted.gps_within_m is not None:
            output.remark("the scores compare with positions that --trust gps used to narrow the search")
    summary = shown.summary(fixes, truth)
    if flown is not None:
        summary += shown.track_summary(flown, truth)
    if json_lines:
        output.result(exports.fixes_json_lines(fixes))
    elif "-" not in {str(csv), str(geojson), str(kml), str(gpx)}:
        output.result(shown.listed(fixes, truth))
        if named:
            output.result("\n" + listed_countries(fixes))
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
    trust: Trust | None,
    say: list[str],
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
            trust=trust,
            say=say,
            verify=verify,
            min_confidence=min_confidence,
            precision=precision,
            speed_m_s=SPEED_M_S if speed_m_s is None else speed_m_s,
            interval_s=INTERVAL_S if interval_s is None else interval_s,
            progress=progress,
        )


def _draw(picture: Path, atlas: Atlas, flown: Track) -> None:
    """The track on the map that most of it lies on, if that is still where it was; else without."""
    from geofix.files import write_atomically
    from geofix.reports.tracks import track_png

    aerial = None
    places = [fix.position for fix in flown.fixes if fix.position is not None]
    try:
        aerial = atlas.map_at(Path(atlas.rows.group_under(places)))
    except GeofixError as error:
        output.remark(f"{picture} is drawn without its map: {error}")
    write_atomically(picture, track_png(flown.fixes, flown.alone, aerial))


def _paths(named: list[Path], track: bool, closed: list[PhotoError]) -> list[Path]:
    from geofix.photos import photo_paths

    if not track:
        for path in named:
            if _is_video(path):
                raise UsageError(f"{path} is a video; add --track to follow it over a map, frame by frame.")
        return photo_paths(named, closed)
    return [path for one in named for path in ([one] if _is_video(one) else photo_paths([one], closed))]


def _is_video(path: Path) -> bool:
    from geofix.frames.shots import is_video

    return is_video(path)


def _check_track(track: bool, options: dict[str, object]) -> None:
    for flag, given in options.items():
        if given is not None and not track:
            raise UsageError(f"{flag} is for the frames of one flight; add --track, or leave it out.")
