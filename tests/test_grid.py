"""Grids: their cells, a table that grows, failing cells that do not stop the rest, and going on after a kill."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pytest

import toy_places
from geofix import grid, recipes
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.errors import RecipeError, TrainingError, UsageError
from geofix.grid import TABLE, CellResult, read_grid, table_csv, train_grid
from geofix.models.runs import SCORES, Run, load_run
from geofix.recipes import Recipe
from test_train_epochs import small


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy_for_grids")))


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def table(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO((out / TABLE).read_text(encoding="utf-8"))))


def test_every_combination_is_a_cell(tmp_path: Path) -> None:
    path = written(tmp_path / "g.yaml", "learning_rate: [1e-5, 1e-4]\noptimizer: [adamw, sgd]\n")
    cells = read_grid(Recipe(epochs=1), path)
    assert [cell.name for cell in cells] == [
        "learning_rate=1e-5,optimizer=adamw",
        "learning_rate=1e-5,optimizer=sgd",
        "learning_rate=1e-4,optimizer=adamw",
        "learning_rate=1e-4,optimizer=sgd",
    ]
    assert [(cell.recipe.learning_rate, cell.recipe.optimizer) for cell in cells] == [
        (rate, optimizer) for rate in (1e-5, 1e-4) for optimizer in ("adamw", "sgd")
    ]


def test_maps_follow_each_other_and_a_cell_comes_once(tmp_path: Path) -> None:
    path = written(tmp_path / "g.yaml", "- {margin: [0.1], epochs: [1, 2]}\n- {margin: [0.1, 0.2], epochs: [1]}\n")
    assert [cell.name for cell in read_grid(Recipe(epochs=1), path)] == [
        "margin=0.1,epochs=1",
        "margin=0.1,epochs=2",
        "margin=0.2,epochs=1",
    ]


def test_values_may_be_lists_and_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "g.yaml", "scales: [[1.0], [1.0, 1.4]]\nfrozen_through: [null, layer2]\n")
    found = [(cell.recipe.scales, cell.recipe.frozen_through) for cell in read_grid(Recipe(epochs=1), path)]
    assert found == [((1.0,), None), ((1.0,), "layer2"), ((1.0, 1.4), None), ((1.0, 1.4), "layer2")]


@pytest.mark.parametrize("name", ["martin-asgd", "martin-adamw", "martin-schedules"])
def test_the_papers_grids_are_built_in(name: str) -> None:
    cells = read_grid(recipes.load("resnet18-netvlad"), name)
    assert len(cells) == {"martin-asgd": 9, "martin-adamw": 9, "martin-schedules": 4}[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: [1e-5]", "learning_rat.*did you mean 'learning_rate'"),
        ("learning_rate: 1e-5", "gives 'learning_rate' the value '1e-5'; a list of values is expected"),
        ("margin: []", r"gives 'margin' the value \[\]; a list of values is expected"),
        ("just text", "is no grid; it maps keys of a recipe to lists of values"),
        ("margin: [{a: 1}]", "A grid's values are single values or lists"),
        ("margin: [-1]", "sets margin to -1"),
        ("[]", "has no cells"),
        ("{}", "holds an empty map"),
        ("scales: [[2024-01-01]]", "sets scales"),
        ("margin: [0.1", "is not valid YAML"),
    ],
)
def test_what_is_no_grid_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_grid(Recipe(epochs=1), written(tmp_path / "g.yaml", text))
    assert list(tmp_path.iterdir()) == [tmp_path / "g.yaml"]


def test_no_two_cells_share_a_folder(tmp_path: Path) -> None:
    """Names too long for a folder are cut, and slashes are none; what tells cells apart must not be lost."""
    long = "[night, perspective-fill, perspective-crop, occlusion, martin-colour-1, martin-colour-2, martin-colour-4]"
    path = written(tmp_path / "g.yaml", f"augment: [{long}]\nnegatives: [1, 2, 3]\nname: [a/b, a_b]\n")
    cells = read_grid(small(), path)
    assert len({cell.name for cell in cells}) == len(cells) == 6
    assert all("/" not in cell.name and len(cell.name) < 140 for cell in cells)


def test_a_cell_that_learns_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"The cell epochs=0 of .* has 0 epochs and learns nothing; set epochs=N"):
        read_grid(small(), written(tmp_path / "g.yaml", "epochs: [0]"))


def test_a_recipe_that_does_not_fit_the_data_is_recorded(toy: Dataset, tmp_path: Path) -> None:
    cells = read_grid(small("epochs=1"), written(tmp_path / "g.yaml", "block_share: [0.99, 0.3]"))
    results = train_grid(cells, toy, tmp_path / "grid")
    assert [bool(one.problem) for one in results] == [True, False]


def test_a_finished_cell_of_another_recipe_is_not_taken_for_this_one(toy: Dataset, tmp_path: Path) -> None:
    path = written(tmp_path / "g.yaml", "margin: [0.1]")
    train_grid(read_grid(small("epochs=1"), path), toy, tmp_path / "grid")
    with pytest.raises(UsageError, match="was trained by another recipe than this grid asks for"):
        train_grid(read_grid(small("epochs=2"), path), toy, tmp_path / "grid", resume=True)


def test_an_unknown_grid_is_met_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no grid named 'martin-agsd' .did you mean 'martin-asgd'"):
        read_grid(Recipe(epochs=1), "martin-agsd")


def test_a_grid_is_trained_recorded_and_gone_on_with(
    toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "g.yaml", "optimizer: [adam, sgd, asgd]\n")
    cells = read_grid(small("epochs=1"), path)
    out = tmp_path / "grid"
    train = grid.train

    def failing(recipe: Recipe, *arguments: object, **named: object) -> Run:
        if recipe.optimizer == "sgd":
            raise TrainingError("The loss became nan in step 1 of the epoch")
        if recipe.optimizer == "asgd":
            raise KeyboardInterrupt
        return train(recipe, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(grid, "train", failing)
    with pytest.raises(KeyboardInterrupt):
        train_grid(cells, toy, out)
    assert [(row["optimizer"], row["problem"]) for row in table(out)] == [
        ("adam", ""),
        ("sgd", "The loss became nan in step 1 of the epoch"),
    ]
    monkeypatch.setattr(grid, "train", train)
    with pytest.raises(UsageError, match="is not empty; add --resume to go on with a grid"):
        train_grid(cells, toy, out)
    before = (out / cells[0].name / SCORES).stat().st_mtime_ns
    told: list[CellResult] = []
    results = train_grid(cells, toy, out, resume=True, after_cell=told.append)
    assert (out / cells[0].name / SCORES).stat().st_mtime_ns == before
    assert results == told
    assert [bool(one.problem) for one in results] == [False, True, False]
    assert (out / TABLE).read_bytes() == table_csv(results).encode()
    row = table(out)[2]
    trained = results[2].splits["block"]["trained"]["recall"]
    assert float(row["block R@5 trained"]) == pytest.approx(100 * trained["5"], abs=0.01)
    assert load_run(out / cells[2].name).encoder.recipe.optimizer == "asgd"
