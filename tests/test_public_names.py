"""What `import geofix` offers is pinned, documented and cheap."""

import json
import subprocess
import sys
from pathlib import Path

import geofix

NAMES = [
    "Atlas",
    "Benchmark",
    "Camera",
    "CountryRun",
    "CountryScores",
    "Dataset",
    "Encoder",
    "Fix",
    "GeofixError",
    "Match",
    "Near",
    "Photo",
    "Place",
    "Position",
    "Recipe",
    "Run",
    "Scores",
    "Trust",
    "__version__",
    "compare",
    "encode",
    "evaluate",
    "evaluate_country",
    "index",
    "index_maps",
    "load_country_run",
    "load_run",
    "locate",
    "locate_countries",
    "locate_flight",
    "open_dataset",
    "train",
    "train_countries",
]


def test_names_are_pinned() -> None:
    assert sorted(geofix.__all__) == sorted(NAMES)


def test_each_name_exists_and_says_what_it_is() -> None:
    for name in set(NAMES) - {"__version__"}:
        assert (getattr(geofix, name).__doc__ or "").strip(), name


def test_each_name_is_on_the_api_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    for name in set(NAMES) - {"__version__"}:
        assert f"`{name}" in page, f"{name} is missing in docs/api.md"


def test_verbs_are_functions_even_after_their_modules_were_imported() -> None:
    code = "import geofix.locate, geofix.index, geofix; print(callable(geofix.locate) and callable(geofix.index))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"


def test_import_changes_nothing_global_and_loads_nothing_heavy() -> None:
    code = """
import json, logging, sys, warnings
before = (logging.root.handlers[:], warnings.filters[:])
import geofix, geofix.cli
after = (logging.root.handlers[:], warnings.filters[:])
heavy = {"torch", "torchvision", "timm", "numpy", "PIL", "lancedb", "faiss", "rich", "pydantic"} & set(sys.modules)
print(json.dumps([before == after, sorted(heavy)]))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [True, []]
