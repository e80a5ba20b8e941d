"""`geofix reproduce lavinskyi`: the published numbers, ours by scene and overall, and totals that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geofix.cli import output
from geofix.cli.countries import draw_curves
from geofix.cli.output import percent
from geofix.cli.paper_tables import published_page
from geofix.countries.evaluate import CountryScores
from geofix.data.places import Dataset
from geofix.errors import PhotoError
from geofix.files import write_atomically
from geofix.learn.class_learner import METRICS
from geofix.learn.countries import CURVES
from geofix.metrics import seeded_interval
from geofix.papers import open_paper
from geofix.reproduce.countries import (
    PAPER,
    ROUTED,
    RUNS,
    SCENES,
    SINGLE,
    Reproduced,
    published_verdict,
    reproduce_countries,
    tables,
)

_ALL = "overall"
_DATA = "im2gps3k"  # that the paper names


def reproduce_paper(dataset: Dataset, out: Path, weights: Path | None, settings: list[str], seeds: int) -> None:
    """Train, score, and write the page."""
    errors: list[PhotoError] = []
    with output.steps() as progress:
        done = reproduce_countries(
            dataset, out, weights=weights, settings=settings, seeds=seeds, progress=progress, errors=errors
        )
    for line in done.said:
        output.remark(line)
    curves = _curves(out)
    write_atomically(out / f"{PAPER}.md", page(done, dataset, settings, curves))
    output.result(str(out / f"{PAPER}.md"))
    output.finish([*dataset.problems, *errors])


def _curves(out: Path) -> list[str]:
    """Draw the learning curves of every run, as figures 2 and 3 of the paper did; their paths within `out`."""
    logs = sorted((out / RUNS).glob(f"*/{METRICS}"))
    for log in logs:
        draw_curves(log.parent)
    return [log.with_name(CURVES).relative_to(out).as_posix() for log in logs]


def page(done: Reproduced, dataset: Dataset, settings: list[str], curves: list[str]) -> str:
    """The paper's page, then what came out here."""
    first = next(iter(done.scores.values()))[0]
    photos = len(dataset.splits["train"].photos)
    weights = first.protocol["weights"]
    started = f"{first.protocol['pretrained']}{f' ({weights})' if weights else ''}"
    changed = f", every recipe with {', '.join(settings)}" if settings else ""
    parts = [
        published_page(open_paper(PAPER), None).rstrip(),
        "## The same recipes on other photos",
        f"Learned from {photos} photos of {dataset.root.name} (train), tested on {done.tested}{changed}; trunks start "
        f"from {started}. Percent with 95 % intervals that resample groups and trainings. The published numbers are of "
        "photos that nobody named, and cannot be compared with these.",
    ]
    if SCENES in done.scores:
        parts.append("### Scenes (Table 1)\n\n" + _scene_table(done.scores[SCENES]))
    parts.append("### Countries (Table 2)\n\n" + _country_table(done))
    if curves:
        drawn = "\n".join(f"- ![loss and photos named rightly by epoch]({one})" for one in curves)
        parts.append(f"### Learning curves (figures 2 and 3)\n\nThe published ones are lost.\n\n{drawn}")
    parts.append("### Can the published totals be?\n\n" + _verdicts())
    return "\n\n".join(parts) + "\n"


def _scene_table(scores: tuple[CountryScores, ...]) -> str:
    lines = [["scene", "photos", "named rightly"], ["---"] * 3]
    for scene, count in _scenes(scores[0]):
        lines.append([scene, str(count), _cell(scores, "scene", 1, scene)])
    return _markdown(lines)


def _country_table(done: Reproduced) -> str:
    """A line a scene and one overall: hard routing as the paper, soft, and the single network; top-1 / top-5."""
    first = next(done.scores[name][0] for name in (ROUTED, SINGLE) if name in done.scores)
    columns = [(name, way) for name in (ROUTED, SINGLE) for way in _ways(done, name)]
    named = [f"{name.partition(',')[2].strip() or f'{way} routing'}, top-1 / top-5" for name, way in columns]
    header = ["scene", "photos", *named, "always the most frequent"]
    lines = [header, ["---"] * len(header)]
    for scene, count in _scenes(first):
        cells = [" / ".join(_cell(done.scores[name], way, n, scene) for n in (1, 5)) for name, way in columns]
        guess = next(iter(first.countries.values())).priors[-1]
        shares = " / ".join(f"{100 * guess.lifts[n].prior:.1f}" for n in (1, 5)) if scene == _ALL else ""
        lines.append([scene, str(count), *cells, shares])
    note = f"Rows are by {first.scenes_by} scenes." if first.scenes_by else "Nothing names scenes here."
    return f"{_markdown(lines)}\n\n{note}"


def _ways(done: Reproduced, name: str) -> list[str]:
    """The paper's way first."""
    return sorted(done.scores[name][0].countries) if name in done.scores else []


def _scenes(scores: CountryScores) -> list[tuple[str, int]]:
    assert scores.predictions is not None
    named = scores.predictions.scenes
    return [(name, named.count(name)) for name in sorted({name for name in named if name})] + [(_ALL, len(named))]


def _cell(scores: tuple[CountryScores, ...], way: str, n: int, scene: str) -> str:
    """A share of the photos of a scene of the first training's split, over all trainings."""
    made = scores[0].predictions
    assert made is not None
    inside = np.array([scene in (_ALL, name) for name in made.scenes])
    hits = np.stack([one.hits[way][n][inside] for one in scores])
    mean, low, high = seeded_interval(hits, np.array(made.labelled.groups)[inside])
    return percent(mean, (low, high))


def _verdicts() -> str:
    """Whether each table's totals can come from its rows."""
    said = []
    for table in tables():
        rows = table.by_scene(_DATA)
        if table.of_all_scenes(_DATA) is None or any(np.isnan(values).any() for values in rows.values()):
            continue
        verdict = published_verdict(table, _DATA)
        said.append(f"{table.where}: {'possible' if verdict.possible else 'impossible'}. {verdict.said}")
    return "\n\n".join(said)


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
