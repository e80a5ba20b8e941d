"""Lavinskyi and Skurat's tables once more: a router, specialists and a single network, learned and scored on any data.

Nothing of what they learned from is known, so these are their recipes on other photos, and never their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofix import recipes
from geofix.consistency import Consistency, Part, check_totals
from geofix.countries.evaluate import CountryScores, evaluate_country
from geofix.data.places import Dataset
from geofix.errors import DataError, PhotoError, RecipeError
from geofix.learn.countries import train_countries
from geofix.learn.learner import Progress
from geofix.models.countries import load_country_run
from geofix.papers import Table, open_paper
from geofix.recipes import CountryRecipe

PAPER = "lavinskyi"
SCENES, ROUTED, SINGLE = "lavinskyi-scene", "lavinskyi-country", "lavinskyi-country, single network"
RUNS = "runs"  # the folder they are kept in
_TESTS = ("test", "val")


@dataclass(frozen=True, eq=False)
class Reproduced:
    """What each recipe reached, a training a seed; only those that the data allow. `tested` is the split."""

    scores: dict[str, tuple[CountryScores, ...]]
    tested: str
    said: tuple[str, ...]


def reproduce_countries(
    dataset: Dataset,
    out: Path,
    *,
    weights: Path | None = None,
    settings: Sequence[str] = (),
    seeds: int = 1,
    progress: Progress | None = None,
    errors: list[PhotoError] | None = None,
) -> Reproduced:
    """Train and score the paper's recipes on a dataset with a split to test on; runs are kept in `out`/runs and taken
    from there. `settings` (key=value) go over every recipe. Raises DataError for data without such a split.
    """
    tested = next((name for name in _TESTS if name in dataset.splits), None)
    if tested is None or "train" not in dataset.splits:
        raise DataError(
            f"{dataset.root} has the splits {', '.join(dataset.splits)}; one to learn from (train) and one to test on "
            "(test or val) are expected."
        )
    said: list[str] = []
    named = any(photo.scene for photo in dataset.splits["train"].photos)
    single = {SINGLE: ["routing=none", "specialists_from=trunk", "router=null"]}
    if named:
        chosen = {SCENES: ["router=null"], ROUTED: list[str](), **single}
    elif any(setting.startswith("router=") for setting in settings):
        chosen = {ROUTED: list[str](), **single}
        said.append("The data name no scenes: Table 1 is not run, and the rows of Table 2 are by the router's scenes.")
    else:
        chosen = single
        said.append("The data name no scenes and no router was given: there is nothing to route by.")
    scores: dict[str, tuple[CountryScores, ...]] = {}
    for name, own in chosen.items():
        found = []
        for seed in range(seeds):
            recipe = recipes.with_settings(_recipe(name), [*settings, *own, f"seed={seed}"])
            folder = out / RUNS / f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"
            train_countries(
                recipe, dataset, folder, weights=weights, resume=True, progress=progress, say=said, errors=errors
            )
            found.append(evaluate_country(load_country_run(folder), dataset, split=tested))
        scores[name] = tuple(found)
    return Reproduced(scores, tested, tuple(dict.fromkeys(said)))


def published_verdict(table: Table, data: str) -> Consistency:
    """Whether a table's published overall numbers can come from its rows. Raises DataError where it has no totals."""
    totals = table.of_all_scenes(data)
    if totals is None:
        raise DataError(f"{table.where} prints no overall numbers.")
    parts = [
        Part(scene, dict(zip(table.measures, [value / 100 for value in values], strict=True)))
        for scene, values in table.by_scene(data).items()
    ]
    return check_totals(parts, dict(zip(table.measures, [value / 100 for value in totals], strict=True)))


def tables() -> tuple[Table, ...]:
    """The paper's tables that have rows by scene and totals."""
    return tuple(table for table in open_paper(PAPER).tables if table.rows)


def _recipe(name: str) -> CountryRecipe:
    recipe = recipes.load_any(name.split(",")[0])
    if not isinstance(recipe, CountryRecipe):
        raise RecipeError(f"{name} is a recipe for the task {recipe.task}; one for countries is expected here.")
    return recipe
