"""The verbs on runs that name scenes and countries: train, evaluate, locate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geofix.cli import output
from geofix.cli.output import percent, table
from geofix.errors import GeofixError, PhotoError, UsageError

if TYPE_CHECKING:
    from geofix.class_scores import ClassScores
    from geofix.coordinate_scores import CoordinateScores
    from geofix.countries.evaluate import CountryScores
    from geofix.data.places import Dataset
    from geofix.fixes import Fix
    from geofix.models.countries import CountryRun
    from geofix.priors import Lift
    from geofix.recipes import CountryRecipe, Precision
    from geofix.transforms import Method

_LISTED_FAILURES = 8


def train_country(
    recipe: CountryRecipe, data: Path | None, out: Path, weights: Path | None, resume: bool, devices: int
) -> None:
    """Train, draw the curves after every epoch, and say what the run can name."""
    from geofix.data.layouts import open_dataset
    from geofix.learn.countries import train_countries

    if data is None:
        raise UsageError("Scenes and countries are learned from photos; name a dataset with --data DIR.")
    if devices != 1:
        raise UsageError("Networks of scenes and countries are trained on one device; leave --devices out.")
    dataset = open_dataset(data)
    told: list[str] = []
    errors: list[PhotoError] = []

    def so_far() -> None:
        while told:
            output.remark(told.pop(0))
        draw_curves(out)

    with output.steps() as progress:
        run = train_countries(
            recipe,
            dataset,
            out,
            weights=weights,
            resume=resume,
            progress=progress,
            after_epoch=so_far,
            say=told,
            errors=errors,
        )
    so_far()
    output.result(f"{out}: {run.name}\n{described(run)}")
    output.finish([*dataset.problems, *errors])


def described(run: CountryRun) -> str:
    """What a run can name, and from when on it answers, in lines."""
    knows = run.knows
    lines = []
    if knows.router is not None:
        origin = f" (from {knows.router_from})" if knows.router_from else ""
        counted = ", ".join(
            f"{name} {count}" for name, count in zip(knows.router.classes, knows.router.photos, strict=True)
        )
        lines.append(f"scenes{origin}: {counted} photos; temperature {knows.router.temperature:.2f}")
    for head in knows.heads:
        lines.append(
            f"{head.name}: {len(head.classes)} countries from {sum(head.photos)} photos; temperature "
            f"{head.temperature:.2f}"
        )
    if knows.heads:
        lines.append(f"countries it can ever name: {', '.join(knows.countries)}")
        least = knows.sureness.soft
        rate = f"{knows.sureness.error_rate:.0%} of the answers wrong"
        held = f"{knows.sureness.photos} photos of {knows.sureness.groups} groups held out"
        lines.append(
            f"never sure enough for {rate} ({held})"
            if least is None
            else f"answers from a probability of {least:.2f} on, for {rate} ({held})"
        )
    return "\n".join(lines)


def draw_curves(out: Path) -> None:
    """Draw the learning curves of a run's log, where there is one."""
    from geofix.files import is_file, write_atomically
    from geofix.learn.class_learner import METRICS
    from geofix.learn.countries import CURVES
    from geofix.reports.curves import class_curves

    if is_file(out / METRICS):
        write_atomically(out / CURVES, class_curves((out / METRICS).read_text(encoding="utf-8")))


def evaluate_run(
    folder: Path,
    dataset: Dataset | None,
    *,
    split: str,
    level: str | None,
    windows: bool,
    precision: Precision | None,
    predictions: Path | None,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Score a run that names scenes or countries, say what it reached, and draw what its confidence is worth."""
    import json

    from geofix.countries.evaluate import evaluate_country
    from geofix.files import write_atomically
    from geofix.models.countries import load_country_run

    if dataset is None:
        raise UsageError("No data were named; add --data DIR with class folders or a table of countries.")
    run = load_country_run(folder)
    with output.progress(f"evaluating {folder}") as progress:
        scores = evaluate_country(
            run, dataset, split=split, level=level, precision=precision, windows=windows, progress=progress
        )
    if "-" not in (str(json_file), str(predictions)):
        output.result(shown(str(folder), scores))
    output.save(json_file, lambda: json.dumps(scores.to_dict(), indent=1, allow_nan=False) + "\n")
    output.save(predictions, lambda: predictions_csv(scores))
    if plot is not None:
        write_atomically(plot, confidence_png(scores))
    output.finish([*dataset.problems, *scores.errors])


def windows_of(method: Method) -> bool:
    """Whether `--method` asks for five windows of every photo. Raises UsageError for what is for places alone."""
    if method not in ("hard_resize", "five_crops"):
        raise UsageError(f"--method {method} is for places; scenes and countries take hard_resize or five_crops.")
    return method == "five_crops"


def confidence_png(scores: CountryScores) -> bytes:
    """The picture of calibration and of risk against coverage, for every way of routing or for scenes alone."""
    from geofix.reports.curves import confidence_curves

    if scores.countries:
        return confidence_curves(scores.countries)
    assert scores.scene is not None
    return confidence_curves({"scenes": scores.scene})


def shown(name: str, scores: CountryScores) -> str:
    """Tables: what was reached by each way of routing, by scene, of the answers, and by country."""
    lines: list[str] = []
    header = ["percent [95 %]", "top-1", "top-5", "macro top-1", "calibration error", "area under risk"]
    if scores.countries:
        rows = [_row(f"countries, {way}", one, scores.uncalibrated.get(way)) for way, one in scores.countries.items()]
        if any(one.clusters < one.queries for one in scores.countries.values()):
            rows += [_row(f"a location, {way}", one) for way, one in scores.groups.items()]
        first = next(iter(scores.countries.values()))
        for prior in first.priors:
            source = "always the most frequent of training" if prior.prior.source == "training" else "of this split"
            rows.append([source, *(_lift(prior.lifts[n]) for n in (1, 5)), "", "", ""])
        lines += [table(header, rows), ""]
        lines.append(
            f"{name}: {first.queries} photos in {first.clusters} independent groups; {100 * first.ceiling:.1f} % show "
            f"one of the {len(scores.knows.countries)} countries that it can say"
        )
        if first.unknown:
            lines.append(f"countries it can never say: {', '.join(first.unknown)}")
    if scores.scene is not None:
        title = "scenes" if not scores.countries else "the router"
        lines += ["", table(header, [_row(title, scores.scene)])]
    if any(scores.per_scene.values()):
        lines += ["", _scene_table(scores)]
    lines += _answers(scores)
    if scores.coordinates is not None:
        lines += ["", _positions(scores.coordinates)]
    if scores.leaking is not None and scores.countries:
        lines += ["", _leaks(scores.leaking)]
    failing = [one for one in scores.failures if one.right < one.photos][:_LISTED_FAILURES]
    if failing:
        lines += ["", "most often wrong:"]
        for one in failing:
            taken = ", ".join(f"{country} {count}" for country, count in one.taken_for)
            lines.append(f"  {one.country}: {one.right} of {one.photos} right; taken for {taken}")
    lines += ["", "protocol: " + ", ".join(f"{key} {value}" for key, value in scores.protocol.items() if value)]
    return "\n".join(lines)


def _scene_table(scores: CountryScores) -> str:
    """A line a scene, with the columns of every way of routing."""
    ways = list(scores.per_scene)
    header = [f"by {scores.scenes_by} scene", *(f"top-{n}, {way}" for way in ways for n in (1, 5))]
    rows = []
    for scene, first in scores.per_scene[ways[0]].items():
        parts = [scores.per_scene[way][scene] for way in ways]
        cells = [
            percent(*pair) for part in parts for pair in ((part.top1, part.top1_ci95), (part.top5, part.top5_ci95))
        ]
        rows.append([f"{scene} ({first.photos})", *cells])
    return table(header, rows)


def _row(name: str, one: ClassScores, before: float | None = None) -> list[str]:
    return [
        name,
        percent(one.top[1].share, one.top[1].share_ci95),
        percent(one.top[5].share, one.top[5].share_ci95),
        percent(one.top[1].macro, one.top[1].macro_ci95),
        f"{100 * one.reliability.error:.1f}" + ("" if before is None else f" (before {100 * before:.1f})"),
        f"{one.risk_coverage.area:.3f}",
    ]


def _lift(one: Lift) -> str:
    """What always naming the most frequent scores, and how much more the run."""
    return f"{100 * one.prior:.1f} (lift {percent(one.lift, one.lift_ci95)})"


def _positions(found: CoordinateScores) -> str:
    """The named country's middle as a position."""
    header = ["percent [95 %]", *(f"{radius:g} km" for radius in found.within), "GeoScore", "median km"]
    shares = [percent(means.all_rows.value, means.all_rows.ci95) for means in found.within.values()]
    score, (low, high) = found.geoscore.all_rows.value, found.geoscore.all_rows.ci95
    row = ["the country's middle", *shares, f"{score:.0f} [{low:.0f}, {high:.0f}]", f"{found.median_km:.0f}"]
    return table(header, [row])


def _leaks(count: int) -> str:
    """Whether scores may flatter."""
    if count:
        return (
            f"leak: {count} photos share a location, sequence or photographer with photos of train; these scores "
            "flatter"
        )
    return (
        "no photo shares a location, sequence or photographer with train, as far as the data name them "
        "(near-duplicates, positions in EXIF and burned-in text: geofix data check DIR)"
    )


def _answers(scores: CountryScores) -> list[str]:
    """What is left when the run answers only where it is sure enough."""
    rate = scores.knows.sureness.error_rate
    rows = [
        [
            f"answered, {way}",
            percent(one.coverage, one.coverage_ci95),
            "" if one.error is None or one.error_ci95 is None else percent(one.error, one.error_ci95),
        ]
        for way, one in [*scores.sure.items(), ("continent", scores.continent)]
        if one is not None
    ]
    if not rows:
        return []
    return ["", table([f"meant: {rate:.0%} of the answers wrong", "answered", "of these wrong"], rows)]


def predictions_csv(scores: CountryScores) -> str:
    """One line a photo: its truth, the five likeliest classes with their probabilities, the scene."""
    import csv
    import io

    from geofix.reports.exports import harmless

    made = scores.predictions
    assert made is not None
    out = io.StringIO()
    writer = csv.writer(out)
    kept = min(5, len(made.classes))
    columns = [column for n in range(1, kept + 1) for column in (f"answer_{n}", f"probability_{n}")]
    writer.writerow(["photo", "lat", "lon", "truth", *columns, "scene", "group"])
    order = (-made.probabilities).argsort(axis=1, kind="stable")[:, :kept]
    data = made.labelled
    for row, (photo, truth, group) in enumerate(zip(data.photos, data.labels, data.groups, strict=True)):
        where = ["", ""] if photo.position is None else [f"{photo.position.lat:.7f}", f"{photo.position.lon:.7f}"]
        said = [
            cell for column in order[row] for cell in (made.classes[column], f"{made.probabilities[row, column]:.6f}")
        ]
        scene = made.scenes[row] if made.scenes else ""
        writer.writerow([harmless(photo.name), *where, truth, *said, scene, harmless(group)])
    return out.getvalue()


def listed(fixes: list[Fix]) -> str:
    """A few lines a photo: the country or the reason, the runners-up, the scenes, what each head says."""
    return "\n".join(_listed(fix) for fix in fixes)


def _listed(fix: Fix) -> str:
    if fix.error or fix.routing is None or not fix.countries:
        return f"{fix.photo}: {fix.error or fix.reason}"
    routing = fix.routing
    ranked = ", ".join(f"{one['name']} {one['probability']:.2f}" for one in fix.countries[:5])
    answer = fix.countries[0]["name"] if routing.told else "can't tell"
    lines = [f"{fix.photo}: {answer}", f"  countries ({routing.level} level): {ranked}"]
    told = "" if routing.continent_told else ", not sure"
    lines.append(f"  continent: {routing.continent} {routing.continent_probability:.2f}{told}")
    if fix.scene:
        scenes = sorted(fix.scene.items(), key=lambda one: -one[1])
        lines.append("  scene: " + ", ".join(f"{name} {value:.2f}" for name, value in scenes))
    if fix.scene or routing.by_position:
        for head, said in routing.heads.items():
            counts = routing.weights[head]
            would = ", ".join(f"{code} {value:.2f}" for code, value in said)
            mark = "  <- chosen" if head == routing.head else ""
            lines.append(f"    {head} (counts {counts:.2f}) says {would}{mark}")
    if fix.reason and not routing.told:
        lines.append(f"  {fix.reason}")
    if routing.by_position:
        lines.append("  by the photo's own position (EXIF or XMP), as --trust gps asks; what the networks say is above")
    elif routing.carries_position:
        lines.append(
            "  the photo itself says where it was taken (EXIF or XMP); that was not used (--trust gps uses it)"
        )
    return "\n".join(lines)


def draw_sheets(folder: Path, paths: list[Path], fixes: list[Fix], run: CountryRun) -> None:
    """A sheet for each photo that was answered: FOLDER/<number>-<name>.png."""
    from geofix.countries.explain import explain
    from geofix.files import write_atomically
    from geofix.reports.countries import country_sheet

    for number, (path, fix) in enumerate(zip(paths, fixes, strict=True)):
        if fix.error is None and fix.countries:
            write_atomically(folder / f"{number:03d}-{path.stem}.png", country_sheet(fix, explain(path, fix, run)))
    output.remark(f"sheets: {folder}")


def named_by(
    folder: Path,
    paths: list[Path],
    routing: str,
    precision: Precision | None,
    explain: Path | None,
    trust_position: bool,
) -> list[Fix]:
    """What a run says of photos, or their own positions where these are trusted; with sheets in the folder `explain`
    if one is named."""
    from geofix.countries.locate import check_way, locate_countries
    from geofix.models.countries import load_country_run

    way, run = check_way(routing), load_country_run(folder)
    with output.progress("naming countries") as progress:
        fixes = locate_countries(
            paths, run, way=way, trust_position=trust_position, precision=precision, progress=progress
        )
    if all(fix.error for fix in fixes):
        raise GeofixError(f"None of the {len(fixes)} photos could be read. The first: {fixes[0].error}")
    if explain is not None:
        draw_sheets(explain, paths, fixes, run)
    return fixes


def write_answers(
    fixes: list[Fix],
    json_lines: bool,
    csv: Path | None,
    geojson: Path | None,
    kml: Path | None,
    gpx: Path | None,
    report: Path | None,
) -> None:
    """Countries without an atlas: lines, JSON and a table; there is no position to put on a map."""
    from geofix.reports import exports

    for flag, given in {"--geojson": geojson, "--kml": kml, "--gpx": gpx, "--report": report}.items():
        if given is not None:
            raise UsageError(
                f"{flag} shows positions, and a country is none; add --atlas ATLAS, or take --explain DIR."
            )
    if json_lines:
        output.result(exports.fixes_json_lines(fixes))
    elif str(csv) != "-":
        output.result(listed(fixes))
        readable = [fix for fix in fixes if not fix.error]
        told = sum(fix.routing is not None and fix.routing.told for fix in readable)
        output.result(f"\ntold: {told} of {len(readable)} photos")
    output.save(csv, lambda: exports.countries_csv(fixes))
