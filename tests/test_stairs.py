"""The house's rules about imports, read off the code: down the stairs only, one door per dependency."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "geofix"

STAIRS = [
    {"version", "errors", "shapes", "tensors"},
    {"positions", "files", "heap"},
    {"papers", "geography", "scenes"},
    {"photos", "fixes", "metrics", "recipes", "search", "coordinates", "consistency", "xmp", "orientation"},
    {"losses", "mining", "priors", "reliability", "telemetry"},
    {"transforms", "class_scores", "coordinate_scores"},
    {"night"},
    {"augment"},
    {"data", "models", "world"},
    {"atlas", "encode"},
    {"countries", "frames"},
    {"calibrate", "crossview", "index_maps", "slices", "sweeps"},
    {"index", "locate", "evaluate"},
    {"learn", "reports"},
    {"train"},
    {"grid", "reproduce"},
    {"demo"},
    {"cli"},
    {"__init__", "__main__"},
]
# Third-party package -> the only files that may import it.
DOORS = {
    "PIL": {"photos.py"},
    "pillow_heif": {"photos.py"},
    "pyproj": {"positions.py"},
    "timm": {"models/backbones.py"},
    "torchvision": {"models/backbones.py", "augment/steps.py"},
    "pytorch_lightning": {
        "learn/learner.py",
        "learn/course.py",
        "learn/checkpoints.py",
        "learn/night.py",
        "learn/class_learner.py",
    },
    "pytorch_metric_learning": {"losses.py"},
    "matplotlib": {"reports/curves.py", "reports/sheets.py", "reports/tracks.py", "reports/countries.py"},
    "faiss": {"search.py"},
    "lancedb": {"atlas/store.py"},
    "pyarrow": {"atlas/store.py"},
    "yaml": {"recipes/checking.py", "recipes/reading.py"},
    "pydantic": {
        "recipes/places.py",
        "recipes/crossview.py",
        "recipes/night.py",
        "recipes/country.py",
        "recipes/reading.py",
        "recipes/checking.py",
    },
    "rich": {"cli/output.py"},
    "rasterio": {"world/writers/orthophoto.py", "data/maps/geotiff.py"},
    "av": {"frames/shots.py"},
    "cv2": {"frames/local_features.py"},
    "shapely": {"geography/borders.py"},
    "s2cell": {"geography/cells.py"},
}
MODULES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def step(name: str) -> int:
    found = [number for number, names in enumerate(STAIRS) if name in names]
    assert found, f"{name} stands on no step of the stairs"
    return found[0]


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            if node.module == "geofix":
                names += [f"geofix.{alias.name}" for alias in node.names]
    return names


def test_there_are_modules() -> None:
    assert len(MODULES) > 30


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_go_down_the_stairs(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "geofix" or len(parts) == 1 or parts[1] == own:
            continue
        assert step(parts[1]) < step(own), f"{path.name} on step {step(own)} imports {name} on step {step(parts[1])}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_one_door_per_dependency(path: Path) -> None:
    here = path.relative_to(SOURCE).as_posix()
    for name in imports(path):
        allowed = DOORS.get(name.split(".")[0])
        assert allowed is None or here in allowed, f"{here} imports {name}; its door is {allowed}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_rooms_have_names_and_are_not_crowded(path: Path) -> None:
    assert path.stem not in {"utils", "common", "helpers", "misc", "base"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600
