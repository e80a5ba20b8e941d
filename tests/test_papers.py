"""Papers: the tables as data, every row as a recipe, and the printed numbers against the papers' own text."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from geofix import files, papers, recipes
from geofix.augment.papers import AUGMENTATIONS
from geofix.errors import GeofixError, UsageError
from geofix.files import shipped_files
from geofix.papers import Claim, Row, Table
from geofix.recipes import CrossviewRecipe, Recipe

TABLES = {table.name: table for name in papers.paper_names() for table in papers.open_paper(name).tables}
ROWS = {name: row for paper in papers.paper_names() for name, row in papers.open_paper(paper).rows.items()}
CLAIMS = {claim.name: claim for claim in papers.claims()}
KEYS_OF_PAPERS = {"key", "title", "authors", "code", "trained_on", "datasets", "tables"}
KEYS_OF_TABLES = {"key", "where", "title", "protocol", "recalls", "rows", "note", "ap", "counts", "accuracy"}
KEYS_OF_ROWS = {
    *("key", "like", "label", "form", "recipe", "set", "weights_of", "members", "published", "note", "learns"),
    *("counts_of", "scene"),
}


def written(name: str) -> dict[str, Any]:
    """A file of papers/ as it stands."""
    return tomllib.loads(shipped_files("papers", ".toml")[name].read_text(encoding="utf-8"))


def table_of(row: Row) -> Table:
    return TABLES[row.name.rpartition("/")[0]]


# -- tables -------------------------------------------------------------------------------------------------------


def test_the_papers_are_there_in_full() -> None:
    assert papers.paper_names() == ["atadjanov", "bui", "lavinskyi", "martin"]
    assert [len(papers.open_paper(name).tables) for name in papers.paper_names()] == [5, 3, 6, 11]
    assert len(TABLES) == 25
    assert len(ROWS) == sum(len(table.rows) for table in TABLES.values())


@pytest.mark.parametrize("name", papers.paper_names())
def test_no_key_is_misspelt_and_no_name_comes_twice(name: str) -> None:
    paper = written(name)
    assert paper["key"] == name
    assert set(paper) - {"note"} == KEYS_OF_PAPERS
    keys = [table["key"] for table in paper["tables"]]
    assert len(set(keys)) == len(keys)
    for table in paper["tables"]:
        assert set(table) <= KEYS_OF_TABLES
        rows = [row["key"] for row in table["rows"]]
        assert len(set(rows)) == len(rows)
        assert all(set(row) <= KEYS_OF_ROWS for row in table["rows"])


@pytest.mark.parametrize("name", papers.paper_names())
def test_what_a_row_is_like_is_there(name: str) -> None:
    rows = [row for table in written(name)["tables"] for row in table["rows"]]
    assert {row["like"] for row in rows if "like" in row} <= set(ROWS)
    assert all("like" in row or "label" in row for row in rows)


def test_a_row_takes_over_what_it_does_not_say_itself() -> None:
    first, like = papers.open_row("martin/figure-3/adamw"), papers.open_row("martin/figure-4/adamw-plateau")
    assert like.settings == {**first.settings, "schedule": "plateau"}
    assert (like.recipe, like.label) == (first.recipe, "AdamW, plateau")
    coded = papers.open_row("martin/6/m3-coded")
    assert (coded.form, set(coded.published)) == ("coded", {"tokyo_xs"})
    assert papers.open_row("martin/figure-2/asgd").published == {}


def test_form_and_note_are_a_rows_own() -> None:
    assert papers.open_row("atadjanov/1/night-gem").note
    assert papers.open_row("atadjanov/1/night-gem-coded").note == ""
    assert papers.open_row("martin/1/gem-multiscale-resized").form == "described"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_published_numbers_fit_the_table(table: Table) -> None:
    """A number for each recall, percent, none falling with N, of data that the paper has; then the AP, if any."""
    if table.counts:
        assert all(len(row.published[papers.UNIVERSITY]) == 2 and row.counts_of for row in table.rows)
        return
    assert table.recalls == tuple(sorted(set(table.recalls)))
    datasets = papers.open_paper(table.name.split("/")[0]).datasets
    assert set(datasets) <= set(papers.DATASETS)
    for row in table.rows:
        assert set(row.published) <= set(datasets), row.name
        assert row.form in ("", "described", "coded", "ours"), row.name
        assert not (row.form == "ours" and row.published), row.name
        for numbers in row.published.values():
            assert len(numbers) == len(table.measures), row.name
            known = printed(numbers[: len(table.recalls)])
            assert known == sorted(known), row.name
            assert all(0 < number < 100 for number in known), row.name


@pytest.mark.parametrize("name", papers.paper_names())
def test_published_numbers_stand_in_the_papers_text(name: str, shared: Path) -> None:
    """On one line and in this order; some are printed with a comma, and 92.0 as 92."""
    path = shared / "papers" / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"no text of the paper at {path}")
    lines = [re.findall(r"\d+(?:[.,]\d+)?", line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [[float(number.replace(",", ".")) for number in line] for line in lines]
    if name == "bui":  # the columns of its Table 2 came apart: a number a line
        found.append([number for line in found for number in line])
    for row in papers.open_paper(name).rows.values():
        for data, numbers in row.published.items():
            assert any(stands_in(printed(numbers), line) for line in found), (row.name, data)


def printed(numbers: tuple[float, ...]) -> list[float]:
    return [number for number in numbers if not math.isnan(number)]


def stands_in(numbers: list[float], line: list[float]) -> bool:
    """Whether the numbers come one after the other in a line, others between them."""
    rest = iter(line)
    return all(number in rest for number in numbers)


# -- rows as recipes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_is_a_recipe(table: Table) -> None:
    for row in (row for row in table.rows if row.runs):
        recipe = recipes.load_of_encoder(row.name)
        assert recipe == recipes.of_row(row)
        assert recipe.name == row.name
        fields = recipe.model_dump(mode="json")
        assert {key: fields[key] for key in row.settings} == row.settings
        assert [bool(row.recipe), bool(row.weights_of), bool(row.members)].count(True) == 1, row.name
        assert not row.recipe or row.recipe in recipes.names()


def test_rows_that_do_not_run_count_or_are_of_one_paper() -> None:
    for row in ROWS.values():
        assert row.runs != (bool(row.counts_of) or row.name.startswith("lavinskyi/")), row.name
        assert row.runs or not row.settings, row.name
    with pytest.raises(GeofixError, match="There is no recipe named 'lavinskyi/2/city'"):
        recipes.load("lavinskyi/2/city")


def test_what_is_tested_once_more_was_trained() -> None:
    tested = [row for row in ROWS.values() if row.weights_of or row.members]
    assert len(tested) == 12
    for row in tested:
        assert recipes.of_row(row).epochs == 0
        for name in row.members or (row.weights_of,):
            assert recipes.of_row(papers.open_row(name)).epochs > 0, row.name
            assert papers.open_row(name).learns == papers.BY_DAY, row.name


def test_rows_have_the_settings_of_their_papers() -> None:
    m2 = recipes.load("martin/6/m2")
    assert (m2.augment, m2.augment_as, m2.epochs, m2.pooling) == (("martin-colour-2",), "described", 1, "netvlad")
    assert recipes.load("martin/6/m2-coded").augment_as == "coded"
    asgd = recipes.load("martin/figure-5/asgd-cosine")
    found = (asgd.optimizer, asgd.learning_rate, asgd.weight_decay, asgd.schedule, asgd.epochs)
    assert found == ("asgd", 0.1, 1e-3, "cosine_rounds", 5)
    assert recipes.load("atadjanov/5/average-netvlad").steps == (2, 3, 4)
    assert recipes.load("atadjanov/5/average-netvlad").join == "tile"
    assert recipes.load("martin/1/gem-multiscale-resized").steps_by == "resize"
    together = recipes.load("atadjanov/4/division-gem").member_recipes()
    assert [(one.backbone, one.cut, one.pooling) for one in together] == [
        ("resnet18.tv_in1k", "conv4", "gem"),
        ("alexnet", "conv5", "gem"),
    ]
    assert [one.pca for one in recipes.load("martin/5/pca-concat").member_recipes()] == [2048, None]


def test_forms_are_those_of_the_augmentations() -> None:
    """Where the program augmented otherwise than the paper says, the row says which of the two it is."""
    for row in (row for row in ROWS.values() if row.runs and not row.name.startswith("bui/")):
        recipe = recipes.of_row(row)
        assert isinstance(recipe, Recipe)
        differs = any(AUGMENTATIONS[name].differs for name in recipe.augment)
        assert not recipe.augment or row.form == (recipe.augment_as if differs else ""), row.name


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_is_described_has_a_twin_that_is_coded(table: Table) -> None:
    either = {"name": "", "augment_as": "described", "steps_by": "skip", "epochs": 0}
    found: dict[str, list[recipes.EncoderRecipe]] = {"described": [], "coded": []}
    for row in table.rows:
        if row.form in found:
            found[row.form].append(recipes.of_row(row).model_copy(update=either))
    assert all(recipe in found["coded"] for recipe in found["described"])


# -- claims -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_every_claim_can_be_tested(claim: Claim) -> None:
    assert len(claim.more) == len(claim.less)
    assert bool(claim.more) != bool(claim.overfits)
    assert (claim.overfits_after > 0) == bool(claim.overfits)
    assert all(more != less for more, less in zip(claim.more, claim.less, strict=True))
    assert claim.asked in ("all", "day", "night")
    assert claim.text and claim.source
    for name in claim.rows:
        assert papers.open_row(name).learns == papers.BY_DAY
        assert claim.overfits or claim.at in table_of(papers.open_row(name)).recalls


def test_claims_have_names_of_their_own() -> None:
    assert len(CLAIMS) == len(written("claims")["claims"])
    assert CLAIMS["night"].rows[-1] == "martin/6/vanilla"
    assert CLAIMS["night"].less.count("martin/6/vanilla") == 6


# -- names --------------------------------------------------------------------------------------------------------


def test_rows_across_views() -> None:
    small = recipes.load_of_encoder("bui/3/small-average")
    assert isinstance(small, CrossviewRecipe) and (small.pooling, small.backbone) == ("average", "resnet18")
    lpn = recipes.load_of_encoder("bui/2/lpn-256")
    assert isinstance(lpn, CrossviewRecipe) and (lpn.partition, lpn.global_stages) == ("ring_lpn", ())
    assert papers.chosen_rows("bui/1") == []  # it counts photos, and nothing is run
    assert len(papers.chosen_rows("bui")) == 15
    assert papers.open_paper("bui").tables[1].measures == ("R@1", "AP")


def test_rows_by_paper_table_and_row() -> None:
    assert [row.name for row in papers.chosen_rows("martin/3")] == [
        "martin/3/vanilla",
        "martin/3/adamw",
        "martin/3/asgd",
    ]
    assert papers.chosen_rows("martin/3/asgd") == [papers.open_row("martin/3/asgd")]
    assert papers.chosen_rows("martin/3/") == papers.chosen_rows("martin/3")
    assert [row.name for row in papers.chosen_rows("atadjanov")] == list(papers.open_paper("atadjanov").rows)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("martn", "no paper 'martn'; did you mean 'martin'. Known are: atadjanov, bui, lavinskyi, martin"),
        ("claims/night", "no paper 'claims'"),
        ("martin/66", "no table 'martin/66'; did you mean 'martin/6'. Known are: martin/1, "),
        ("martin/6/m22", "no row 'martin/6/m22'; did you mean 'martin/6/m2'. Known are: "),
        ("martin/6/m2/deeper", "no row 'martin/6/m2/deeper'"),
        ("", "no paper ''"),
    ],
)
def test_unknown_names_are_met_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        papers.chosen_rows(name)


def test_an_unknown_row_is_no_recipe() -> None:
    with pytest.raises(GeofixError, match="no row 'martin/6/m22'; did you mean 'martin/6/m2'"):
        recipes.load("martin/6/m22")


def test_a_file_below_a_folder_named_as_a_paper_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in martin/run/recipe.yaml, after train --out martin/run."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "martin" / "run" / "recipe.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(Recipe(name="mine").to_yaml(), encoding="utf-8")
    assert recipes.load(str(path.relative_to(tmp_path))).name == "mine"


# -- where they are -----------------------------------------------------------------------------------------------


def test_a_wheel_holds_papers_and_recipes(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        for folder, suffix in (("papers", "toml"), ("recipes", "yaml")):
            for path in (root / folder).glob(f"*.{suffix}"):
                assert wheel.read(f"geofix/builtin/{folder}/{path.name}") == path.read_bytes()


def test_what_a_wheel_holds_comes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "builtin" / "papers").mkdir(parents=True)
    (tmp_path / "builtin" / "papers" / "other.toml").touch()
    monkeypatch.setattr(files.resources, "files", lambda _: tmp_path)
    assert papers.paper_names() == ["other"]
    assert list(shipped_files("recipes/grids", ".yaml")) != []
    assert shipped_files("nowhere", ".yaml") == {}
