"""Recipes: every choice of one run, in one frozen value that is saved beside the weights.

No other place holds a hyperparameter. Recipes are YAML files; those that come with geofix are known by name.
"""

from geofix.recipes.checking import nearest
from geofix.recipes.night import DiscriminatorNorm, NightRecipe
from geofix.recipes.places import (
    AugmentAs,
    AugmentName,
    Combining,
    Joining,
    L2Where,
    LossName,
    Mining,
    PoolingName,
    Precision,
    Recipe,
    Stepping,
)
from geofix.recipes.reading import (
    AnyRecipe,
    changed,
    load,
    load_any,
    load_grid,
    names,
    of_row,
    parse,
    parse_any,
    with_settings,
)

__all__ = [
    "AnyRecipe", "AugmentAs", "AugmentName", "Combining", "DiscriminatorNorm", "Joining", "L2Where", "LossName",
    "Mining", "NightRecipe", "PoolingName", "Precision", "Recipe", "Stepping", "changed", "load", "load_any",
    "load_grid", "names", "nearest", "of_row", "parse", "parse_any", "with_settings",
]  # fmt: skip
