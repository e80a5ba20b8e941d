"""Recipes by name, from files and with settings changed."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from geofix import papers
from geofix.errors import RecipeError
from geofix.files import is_file, shipped_files
from geofix.recipes.checking import nearest, reason
from geofix.recipes.country import CountryRecipe
from geofix.recipes.crossview import CrossviewRecipe
from geofix.recipes.night import NightRecipe
from geofix.recipes.places import Recipe

AnyRecipe = Recipe | CrossviewRecipe | NightRecipe | CountryRecipe
EncoderRecipe = Recipe | CrossviewRecipe
R = TypeVar("R", bound=BaseModel)
_TASKS: dict[str, type[AnyRecipe]] = {
    "places": Recipe,
    "crossview": CrossviewRecipe,
    "night": NightRecipe,
    "country": CountryRecipe,
}


def parse(text: str, where: str) -> Recipe:
    """A recipe for places from YAML text. Raises RecipeError that names `where`, the key and what is allowed."""
    return _for_places(parse_any(text, where), where)


def parse_any(text: str, where: str) -> AnyRecipe:
    """A recipe of the task that the YAML text names, places where it names none. Raises RecipeError as `parse`."""
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"{where} is not valid YAML ({_one_line(error)}); a recipe is a list of `key: value`."
        ) from error
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise RecipeError(f"{where} holds a {type(fields).__name__}; a recipe is a list of `key: value`.")
    task = str(fields.get("task", "places"))
    if task not in _TASKS:
        raise RecipeError(f"{where} is for the task {task!r}; this version knows {', '.join(_TASKS)}.")
    return _validated(_TASKS[task], fields, where)


def load(name_or_path: str) -> Recipe:
    """A recipe for places by the name of a built-in one or of a paper's row (martin/6/m2), or by file path.

    Raises RecipeError, or UsageError for an unknown row, that names the nearest.
    """
    return _for_places(load_any(name_or_path), name_or_path)


def load_of_encoder(name_or_path: str) -> EncoderRecipe:
    """As `load`, a recipe of any task that makes descriptors of photos."""
    recipe = load_any(name_or_path)
    if isinstance(recipe, NightRecipe | CountryRecipe):
        raise RecipeError(f"{name_or_path} is a recipe for the task {recipe.task}, which makes no descriptors.")
    return recipe


def load_any(name_or_path: str) -> AnyRecipe:
    """As `load`, a recipe of any task."""
    if papers.is_row(name_or_path):
        return of_row(papers.open_row(name_or_path))
    return parse_any(*_text("recipe", name_or_path, _built_in()))


def _for_places(recipe: AnyRecipe, where: str) -> Recipe:
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"{where} is a recipe for the task {recipe.task}; one for places is expected here.")
    return recipe


def load_grid(name_or_path: str) -> tuple[list[dict[str, list[Any]]], str]:
    """The maps of a grid, keys of a recipe to lists of values, and where they are from.

    A YAML file, or the name of a built-in grid. Raises RecipeError for what is none.
    """
    text, where = _text("grid", name_or_path, shipped_files("recipes/grids", ".yaml"))
    try:
        parts = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is not valid YAML ({_one_line(error)}).") from error
    parts = [parts] if isinstance(parts, dict) else parts
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise RecipeError(f"{where} is no grid; it maps keys of a recipe to lists of values.")
    for part in parts:
        if not part:
            raise RecipeError(f"{where} holds an empty map; it maps keys of a recipe to lists of values.")
        for key, values in part.items():
            if not isinstance(values, list) or not values:
                raise RecipeError(f"{where} gives {key!r} the value {values!r}; a list of values is expected.")
    return parts, where


def _text(kind: str, name_or_path: str, built_in: dict[str, Traversable]) -> tuple[str, str]:
    """The text of a YAML file or of a built-in one, and where it is from."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or is_file(path):
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except OSError as error:
            raise RecipeError(f"{kind.capitalize()} {path} cannot be read ({error.strerror}).") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"{kind.capitalize()} {path} is not text; a YAML file is expected.") from error
    if name_or_path not in built_in:
        raise RecipeError(
            f"There is no {kind} named {name_or_path!r}{nearest(name_or_path, built_in)}; "
            f"built in are: {', '.join(sorted(built_in))}. A path to a .yaml file works too."
        )
    return built_in[name_or_path].read_text(encoding="utf-8"), f"{kind} {name_or_path}"


def of_row(row: papers.Row) -> EncoderRecipe:
    """The recipe of a paper's row; of one that tests another row's weights, all that both say, learning nothing."""
    if row.members:
        return changed(load("ensemble"), {**row.settings, "name": row.name}, row.name)
    if row.weights_of:
        trained = of_row(papers.open_row(row.weights_of))
        return changed(trained, {**row.settings, "epochs": 0, "name": row.name}, row.name)
    return changed(load_of_encoder(row.recipe), {**row.settings, "name": row.name}, row.name)


def names() -> list[str]:
    """The names of the built-in recipes."""
    return sorted(_built_in())


def with_settings(recipe: R, settings: list[str]) -> R:
    """The recipe with `key=value` settings applied, values read as YAML. Raises RecipeError."""
    fields: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting!r} has no '='; write --set key=value, for example image_size=320x320.")
        fields[key.strip()] = _yaml_value(value, setting)
    return changed(recipe, fields, "--set")


def changed(recipe: R, fields: dict[str, Any], where: str) -> R:
    """The recipe with other values for some keys. Raises RecipeError that names `where` and what is allowed."""
    return _validated(type(recipe), {**recipe.model_dump(), **fields}, where)


def _yaml_value(text: str, setting: str) -> object:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting!r} has a value that cannot be read ({_one_line(error)}).") from error
    # YAML 1.1 reads 1e-5 as text; a number is meant.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _validated(kind: type[R], fields: dict[Any, Any], where: str) -> R:
    known = list(kind.model_fields)
    for key in fields:
        if key not in known:
            raise RecipeError(
                f"{where} sets {key!r}, which is no key of a recipe{nearest(str(key), known)}; "
                f"the keys are: {', '.join(known)}."
            )
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = f"sets {key} to {first['input']!r}" if key else "does not fit together"
        raise RecipeError(f"{where} {found}: {reason(error)}.") from error


def _built_in() -> dict[str, Traversable]:
    return shipped_files("recipes", ".yaml")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
