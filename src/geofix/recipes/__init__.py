"""Recipes: every choice of one run, in one frozen value that is saved beside the weights.

No other place holds a hyperparameter. Recipes are YAML files; those that come with geofix are known by name.
"""

from geofix.recipes.checking import nearest
from geofix.recipes.country import Balance, CountryRecipe, Level
from geofix.recipes.crossview import CrossviewRecipe, KLDirection, Partition, PartPooling
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
    EncoderRecipe,
    changed,
    load,
    load_any,
    load_grid,
    load_of_encoder,
    names,
    of_row,
    parse,
    parse_any,
    with_settings,
)

__all__ = [
    "AnyRecipe", "AugmentAs", "AugmentName", "Balance", "Combining", "CountryRecipe", "CrossviewRecipe",
    "DiscriminatorNorm", "EncoderRecipe", "Joining", "KLDirection", "L2Where", "Level", "LossName", "Mining",
    "NightRecipe", "PartPooling", "Partition", "PoolingName", "Precision", "Recipe", "Stepping", "changed", "load",
    "load_any", "load_grid", "load_of_encoder", "names", "nearest", "of_row", "parse", "parse_any", "with_settings",
]  # fmt: skip
