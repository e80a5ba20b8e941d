"""geofix: where was this photo taken, and how sure is the answer?

    run = geofix.load_run(Path("my-run"))
    indexed = geofix.index([Path("photos")], run, Path("my-atlas"))
    [fix] = geofix.locate([Path("photo.jpg")], indexed.atlas)

The names below are all there is; each is imported when it is first used, so that `import geofix` takes no time.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from geofix.version import __version__

if TYPE_CHECKING:
    from geofix.atlas.store import Atlas
    from geofix.countries.evaluate import CountryScores, evaluate_country
    from geofix.countries.locate import locate_countries
    from geofix.data.layouts import open_dataset
    from geofix.data.places import Benchmark, Dataset, Place
    from geofix.encode import encode
    from geofix.errors import GeofixError
    from geofix.evaluate import Scores, compare, evaluate
    from geofix.fixes import Fix, Match
    from geofix.frames.looks import Camera
    from geofix.frames.trust import Trust
    from geofix.index import index
    from geofix.index_maps import index_maps
    from geofix.learn.countries import train_countries
    from geofix.locate import Near, locate, locate_flight
    from geofix.models.countries import CountryRun, load_country_run
    from geofix.models.encoder import Encoder
    from geofix.models.runs import Run, load_run
    from geofix.photos import Photo
    from geofix.positions import Position
    from geofix.recipes import Recipe
    from geofix.train import train

_HOMES = {
    "Atlas": "atlas.store",
    "Benchmark": "data.places",
    "Camera": "frames.looks",
    "CountryRun": "models.countries",
    "CountryScores": "countries.evaluate",
    "Dataset": "data.places",
    "Encoder": "models.encoder",
    "Fix": "fixes",
    "GeofixError": "errors",
    "Match": "fixes",
    "Near": "locate",
    "Photo": "photos",
    "Place": "data.places",
    "Position": "positions",
    "Recipe": "recipes",
    "Run": "models.runs",
    "Scores": "evaluate",
    "Trust": "frames.trust",
    "compare": "evaluate",
    "encode": "encode",
    "evaluate": "evaluate",
    "evaluate_country": "countries.evaluate",
    "index": "index",
    "index_maps": "index_maps",
    "load_country_run": "models.countries",
    "load_run": "models.runs",
    "locate": "locate",
    "locate_countries": "countries.locate",
    "locate_flight": "locate",
    "open_dataset": "data.layouts",
    "train": "train",
    "train_countries": "learn.countries",
}
__all__ = [
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


class _Package(ModuleType):
    """The package, in which the verbs are functions although modules of the same names exist.

    Python sets `geofix.locate` to the module when that is imported; a property comes before that attribute, so
    `geofix.locate` is the function whatever was imported first.
    """


def _public(name: str) -> property:
    def get(package: ModuleType) -> Any:
        return getattr(importlib.import_module(f"{package.__name__}.{_HOMES[name]}"), name)

    def ignore_submodule(package: ModuleType, value: object) -> None:
        if not isinstance(value, ModuleType):
            raise AttributeError(f"{package.__name__}.{name} is not to be replaced")

    return property(get, ignore_submodule)


for _name in _HOMES:
    setattr(_Package, _name, _public(_name))
sys.modules[__name__].__class__ = _Package
