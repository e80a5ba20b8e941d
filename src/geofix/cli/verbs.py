"""geofix train, evaluate, index, locate and demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.cli.locate import locate
from geofix.cli.options import DATA, PRECISION, day_maker_of, precision_of, run_of
from geofix.cli.reproduce import reproduce
from geofix.errors import PhotoError, TrainingError, UsageError

if TYPE_CHECKING:
    from geofix.data.places import Dataset
    from geofix.evaluate import Scores
    from geofix.index_maps import Tiled
    from geofix.recipes import Recipe


def register(app: typer.Typer) -> None:
    """Put the verbs on the command line."""
    for command in (demo, train, evaluate, index, locate, reproduce):
        app.command()(command)


def demo(
    out: Annotated[Path, typer.Option(help="A new folder for everything the demo makes.")] = Path("geofix-demo"),
) -> None:
    """Render a town, index it, locate held-out photos and write a report: no data, no network, no training."""
    from geofix.cli.demo import shown, write
    from geofix.demo import demo as run_demo
    from geofix.heap import keep_freed_memory

    keep_freed_memory()
    with output.steps() as progress:
        made = run_demo(out, progress)
    output.result(shown(made, write(made)))


def train(
    recipe: Annotated[str, typer.Argument(help="The name of a built-in recipe, or a YAML file.")],
    data: Annotated[Path | None, typer.Option(help=DATA)] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for the run.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data; 0 writes the untrained run.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights that the trunk starts from, or the run to start from.")
    ] = None,
    member: Annotated[
        list[Path] | None, typer.Option(help="A run to combine with others into an ensemble; name each.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a stopped training, or begin where there is none.")
    ] = False,
    devices: Annotated[int, typer.Option(help="GPUs to train on (or processes, where there is no GPU).")] = 1,
    grid: Annotated[
        str | None,
        typer.Option(help="A YAML file, or the name of a built-in grid: train every combination of its settings."),
    ] = None,
) -> None:
    """Train a recipe on a dataset and write its run folder; --epochs 0 writes it untrained."""
    from geofix import recipes
    from geofix.cli.training import draw_curves
    from geofix.cli.training import shown as shown_training
    from geofix.data.layouts import open_dataset
    from geofix.heap import keep_freed_memory
    from geofix.learn.checkpoints import is_helper
    from geofix.train import train as run_train

    if out is None:
        raise UsageError("No folder for the run was named; add --out RUN.")
    keep_freed_memory()
    loaded = recipes.load_any(recipe)
    asked = [*(settings or []), *([] if epochs is None else [f"epochs={epochs}"])]
    if isinstance(loaded, recipes.NightRecipe):
        from geofix.cli.unit import train_unit

        if grid is not None or member:
            raise UsageError("--grid and --member are for encoders of places; leave them out.")
        train_unit(recipes.with_settings(loaded, asked), data, out, weights, resume, devices)
        return
    if isinstance(loaded, recipes.CountryRecipe):
        from geofix.cli.countries import train_country

        if grid is not None or member:
            raise UsageError("--grid and --member are for encoders of places; leave them out.")
        train_country(recipes.with_settings(loaded, asked), data, out, weights, resume, devices)
        return
    chosen: recipes.EncoderRecipe = recipes.with_settings(loaded, asked)
    dataset = open_dataset(data) if data else None
    if grid is not None:
        if isinstance(chosen, recipes.CrossviewRecipe):
            raise UsageError("--grid is for encoders of places; leave it out.")
        if member:
            raise UsageError("A grid trains its encoders, and runs are combined as they are; leave --member out.")
        _train_grid(chosen, grid, dataset, out, weights, resume, devices)
        return
    told: list[str] = []
    errors: list[PhotoError] = []

    def so_far() -> None:  # only ever called in the first process
        while told:
            output.remark(told.pop(0))
        draw_curves(out, "val" if chosen.choose_on == "last" else chosen.choose_on)

    with output.steps() as progress:
        run = run_train(
            chosen,
            dataset,
            out,
            weights=weights,
            members=member or (),
            resume=resume,
            devices=devices,
            progress=progress,
            after_epoch=so_far,
            say=told,
            errors=errors,
        )
    if is_helper():
        return
    so_far()
    table = shown_training(out)
    summary = f"{out}: {run.name}, {run.encoder.descriptor_length} numbers a photo"
    output.result(f"{table}\n{summary}" if table else summary)
    output.finish(errors)


def _train_grid(
    recipe: Recipe, grid: str, dataset: Dataset | None, out: Path, weights: Path | None, resume: bool, devices: int
) -> None:
    from geofix.cli.training import draw_grid, shown_grid
    from geofix.grid import PICTURE, read_grid, train_grid

    if dataset is None:
        raise UsageError("A grid is trained on photos; name a dataset with --data DIR.")
    if devices != 1:
        raise UsageError("A grid is trained on one device; leave --devices out.")
    cells = read_grid(recipe, grid)
    with output.steps() as progress:
        results = train_grid(cells, dataset, out, weights=weights, resume=resume, progress=progress)
    draw_grid(out / PICTURE, results)
    output.result(shown_grid(results))
    output.finish([TrainingError(f"{one.cell.name}: {one.problem}") for one in results if one.problem])


def evaluate(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="A run folder, or two to compare; or two files of scores; or a CSV of predicted coordinates."
        ),
    ],
    data: Annotated[Path | None, typer.Option(help=DATA)] = None,
    split: Annotated[str, typer.Option(help="The split to score.")] = "test",
    direction: Annotated[
        str | None,
        typer.Option(
            help="Data with views: which view asks and which is searched, drone-satellite or satellite-drone "
            "(QUERY-GALLERY)."
        ),
    ] = None,
    distractors: Annotated[
        str, typer.Option(help="Data with views: keep or drop gallery photos of places that nobody asks about.")
    ] = "keep",
    ap: Annotated[
        str, typer.Option(help="Data with views: average precision by trapezoid (the field's) or by step.")
    ] = "trapezoid",
    method: Annotated[
        str,
        typer.Option(
            help="How queries are looked at: hard_resize, single_query, central_crop, five_crops, nearest_crop "
            "or maj_voting. Photos whose country or scene is named: hard_resize or five_crops."
        ),
    ] = "hard_resize",
    exclude_nearer_than: Annotated[
        float | None, typer.Option(help="Leave out gallery photos nearer than this to the query, metres.")
    ] = None,
    pca: Annotated[int | None, typer.Option(help="Reduce descriptors to that many principal components.")] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION)] = None,
    night_to_day: Annotated[
        Path | None,
        typer.Option(
            help="A UNIT run: queries not known to be by day are made into photos by day before they are looked at."
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Where the photos of a CSV lie.")] = None,
    day_night: Annotated[
        bool, typer.Option("--day-night", help="Plain places: day_ photos are the gallery, night_ the queries.")
    ] = False,
    predictions: Annotated[Path | None, typer.Option(help="Write each query's best matches to this CSV.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores to this file (- is stdout).")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Write a PNG: recall against the factor that queries sweep; of countries and scenes, calibration and "
            "risk against coverage."
        ),
    ] = None,
    allow_unlike: Annotated[
        list[str] | None, typer.Option(help="A part of the protocol in which two compared runs may differ.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Predicted coordinates: a table of the true ones, joined by photo name.")
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="territory|sovereign",
            help="Countries: whether French Guiana is GF or FR; by default the run's, or territory.",
        ),
    ] = None,
    distance: Annotated[
        str,
        typer.Option(
            metavar="sphere|geodesic",
            help="Predicted coordinates: distances on the sphere of 6371 km (the field's), or on the WGS84 ellipsoid.",
        ),
    ] = "sphere",
    radians: Annotated[bool, typer.Option("--radians", help="Predicted coordinates: they are in radians.")] = False,
    osv5m: Annotated[
        bool,
        typer.Option(
            "--osv5m",
            help="Predicted coordinates: as OSV-5M's code scores; true countries from the table, radii not included.",
        ),
    ] = False,
    totals: Annotated[
        bool,
        typer.Option(
            "--totals",
            help="A published table of parts and a row `overall`: can that be their mean? Exit status 1 if it cannot.",
        ),
    ] = False,
) -> None:
    """Recall@1/5/10/20 of a run on a dataset, with 95 % intervals; or two runs compared, query by query; or shares
    within km and the country of predicted coordinates."""
    from geofix.cli.coordinates import evaluate_coordinates, is_table, refuse_other_flags
    from geofix.cli.totals import evaluate_totals

    of_runs = {
        "--data": data, "--split": split != "test", "--direction": direction, "--distractors": distractors != "keep",
        "--ap": ap != "trapezoid", "--method": method != "hard_resize", "--exclude-nearer-than": exclude_nearer_than,
        "--pca": pca, "--precision": precision, "--night-to-day": night_to_day, "--images": images,
        "--day-night": day_night, "--predictions": predictions, "--plot": plot, "--allow-unlike": allow_unlike,
    }  # fmt: skip
    of_tables = {"--truth": truth, "--distance": distance != "sphere", "--radians": radians, "--osv5m": osv5m}
    if any(is_table(run) for run in runs):
        refuse_other_flags(of_runs, "a table of predicted coordinates")
        if totals:
            refuse_other_flags({**of_tables, "--level": level}, "a table of parts and totals")
            evaluate_totals(runs, json_file)
            return
        evaluate_coordinates(runs, truth, level, distance, radians, osv5m, json_file)
        return
    refuse_other_flags({**of_tables, "--totals": totals}, "a run")

    import shutil

    from geofix.cli.countries import evaluate_run, windows_of
    from geofix.cli.scores import (
        NO_SWEEP,
        comparison,
        journal_folder,
        predictions_csv,
        read_scores,
        scores_json,
        shown,
        sweep_png,
    )
    from geofix.crossview import check_ap, check_distractors
    from geofix.data.layouts import open_dataset
    from geofix.evaluate import compare
    from geofix.evaluate import evaluate as run_evaluate
    from geofix.files import write_atomically
    from geofix.heap import keep_freed_memory
    from geofix.models.countries import is_country_run
    from geofix.sweeps import swept
    from geofix.transforms import check_method

    keep_freed_memory()
    if len(runs) > 2:
        raise UsageError(f"{len(runs)} runs were named; evaluate takes one, or two to compare.")
    dataset = open_dataset(data, image_root=images, split_by_time=day_night) if data else None
    named = [Path(run) for run in runs if is_country_run(Path(run))]
    if named:
        if len(runs) > 1:
            raise UsageError(f"{named[0]} names scenes or countries; such runs are scored one at a time.")
        for_classes = ("--data", "--split", "--method", "--images", "--precision", "--predictions", "--plot")
        refuse_other_flags(
            {flag: given for flag, given in of_runs.items() if flag not in for_classes},
            "a run that names scenes or countries",
        )
        evaluate_run(
            named[0],
            dataset,
            split=split,
            level=level,
            windows=windows_of(check_method(method)),
            precision=precision_of(precision),
            predictions=predictions,
            json_file=json_file,
            plot=plot,
        )
        return
    if level is not None:
        raise UsageError("--level is about countries, which this run does not name; leave it out.")
    if plot is not None and dataset is None:
        raise UsageError("--plot draws what is measured; add --data DIR, or leave it out.")
    if plot is not None and dataset is not None and swept(dataset.split(split).queries) is None:
        raise UsageError(NO_SWEEP)
    day_maker = day_maker_of(night_to_day)
    scores: list[Scores] = []
    for run in runs:
        if dataset is None:
            if direction is not None:
                raise UsageError("--direction chooses among the views of a dataset; add --data DIR, or leave it out.")
            scores.append(read_scores(Path(run)))
            continue
        opened, journal = run_of(run), journal_folder(run)
        with output.progress(f"evaluating {run}") as progress:
            one = run_evaluate(
                opened,
                dataset,
                split=split,
                direction=direction,
                distractors=check_distractors(distractors),
                ap=check_ap(ap),
                method=check_method(method),
                exclude_nearer_than_m=exclude_nearer_than,
                pca=pca,
                precision=precision_of(precision),
                night_to_day=day_maker,
                journal=journal,
                progress=progress,
            )
        scores.append(one)
        shutil.rmtree(journal, ignore_errors=True)
    if dataset is None and len(scores) == 1:
        raise UsageError("No data were named; add --data DIR, or name two files of scores to compare.")
    compared = compare(scores[0], scores[1], allow_unlike or []) if len(scores) == 2 else None
    if "-" not in (str(json_file), str(predictions)):  # else stdout is for that file alone
        output.result(shown(runs, scores) + ("\n" + comparison(compared) if compared else ""))
    output.save(json_file, lambda: scores_json(runs, scores))
    output.save(predictions, lambda: predictions_csv(scores[0]))
    if plot is not None:
        write_atomically(plot, sweep_png(scores[0]))
    problems = dataset.problems if dataset else ()
    errors = {str(error): error for error in (*problems, *(error for one in scores for error in one.errors))}
    output.finish(list(errors.values()))


def index(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Photos, folders of photos, datasets or geotagged CSV files; or maps from the air (GeoTIFF, XYZ, "
            "MBTiles)."
        ),
    ],
    encoder: Annotated[str, typer.Option(help="The run folder whose encoder describes the photos.")],
    atlas: Annotated[Path, typer.Option(help="The atlas folder; made if it is not there.")],
    csv: Annotated[Path | None, typer.Option(help="A table of positions for photos without their own.")] = None,
    images: Annotated[Path | None, typer.Option(help="Where the photos of CSV sources lie.")] = None,
    scales: Annotated[
        str | None, typer.Option(metavar="M[,M]", help="Maps: sides of the tiles on the ground; by default the map's.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Maps: what neighbouring tiles share, 0 to 0.95 of a side.")] = 0.75,
    crs: Annotated[str | None, typer.Option(help="Maps: the system of files that name none, as in EPSG:32633.")] = None,
    map_accuracy: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Maps: how far nine in ten of their points lie off at most (CE90), metres; by default what they say "
            "themselves, or 5.",
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION)] = None,
) -> None:
    """Put geotagged photos, or maps from the air, into an atlas. What is already there is left alone; a killed run goes
    on."""
    from geofix.data.maps.open import is_map
    from geofix.heap import keep_freed_memory
    from geofix.index import index as run_index
    from geofix.index_maps import index_maps

    keep_freed_memory()
    # A TIFF without any georeference is a photo, unless it is asked to be a map.
    asked_for = any(given is not None for given in (scales, crs, map_accuracy))
    maps = [one for one in sources if is_map(one) or (asked_for and one.suffix.lower() in (".tif", ".tiff"))]
    _check_kinds(
        sources,
        maps,
        {"--csv": csv, "--images": images},
        {"--scales": scales, "--crs": crs, "--map-accuracy": map_accuracy},
    )
    with output.progress("indexing") as progress:
        if maps:
            tiled = index_maps(
                maps,
                run_of(encoder),
                atlas,
                scales_m=None if scales is None else _metres(scales),
                overlap=overlap,
                crs=crs,
                ce90_m=map_accuracy,
                precision=precision_of(precision),
                progress=progress,
            )
        else:
            done = run_index(
                sources,
                run_of(encoder),
                atlas,
                csv=csv,
                images=images,
                precision=precision_of(precision),
                progress=progress,
            )
    if maps:
        output.result(_told(atlas, tiled))
        output.finish(tiled.errors)
        return
    sure = "calibrated" if done.atlas.calibration else "not calibrated (too few photos that see the same places)"
    output.result(
        f"{atlas}: {done.atlas.count()} photos, {done.added} added, {done.unchanged} as before, "
        f"{len(done.errors)} could not be used; confidence {sure}"
    )
    output.finish(done.errors)


def _check_kinds(
    sources: list[Path], maps: list[Path], of_photos: dict[str, object], of_maps: dict[str, object]
) -> None:
    """Raises UsageError for photos and maps together, and for options of the other kind."""
    if maps and len(maps) < len(sources):
        other = next(source for source in sources if source not in maps)
        raise UsageError(f"{maps[0]} is a map and {other} is none; index photos and maps into two atlases.")
    for flag, given in (of_photos if maps else of_maps).items():
        if given is not None:
            raise UsageError(f"{flag} is for {'photos' if maps else 'maps'}; leave it out.")


def _metres(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"The scales are {text!r}; metres are expected, as in --scales 60,120.") from error


def _told(atlas: Path, done: Tiled) -> str:
    tiles = done.atlas.rows.tiles
    assert tiles is not None
    sides = ", ".join(f"{side_m:g}" for side_m in sorted(set(tiles.sides_m.tolist())))
    sure = "calibrated" if done.atlas.calibration else "not calibrated (`geofix atlas calibrate` learns it on frames)"
    return (
        f"{atlas}: {done.atlas.count()} tiles of {sides} m, {done.added} added, {done.unchanged} as before, "
        f"{done.removed} removed, {done.empty} places without ground left out; confidence {sure}"
    )
