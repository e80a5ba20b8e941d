"""Checks types and shapes of geofix while it is tested, in every module that is imported after this one."""

from __future__ import annotations

import importlib.util
import pkgutil
from pathlib import Path

from jaxtyping import install_import_hook


def _checked() -> list[str]:
    """Every module of geofix but the renderer, which calls small functions ten thousand times a picture and would be
    three times as slow; tests/test_checked_types.py checks it once.
    """
    spec = importlib.util.find_spec("geofix")
    assert spec is not None and spec.submodule_search_locations is not None
    root = Path(spec.submodule_search_locations[0])
    rooms = {name for _, name, _ in pkgutil.iter_modules([str(root)])} - {"world"}
    world = {name for _, name, _ in pkgutil.iter_modules([str(root / "world")])} - {"renderer"}
    return [*(f"geofix.{name}" for name in rooms), *(f"geofix.world.{name}" for name in world)]


install_import_hook(_checked(), "beartype.beartype")
