"""What recipes of every task check, read and write alike."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import ValidationError


def read_size(value: object) -> object:
    """rows x columns, written 480x640 or [480, 640]. Raises ValueError outside 32..4096."""
    if isinstance(value, str):
        rows, cross, columns = value.lower().partition("x")
        if cross and rows.strip().isdigit() and columns.strip().isdigit():
            value = (int(rows), int(columns))
        else:
            raise ValueError("a size is written HxW, for example 480x640")
    if isinstance(value, list | tuple) and any(isinstance(n, int) and not 32 <= n <= 4096 for n in value):
        raise ValueError("rows and columns must be 32..4096")
    return value


def as_yaml(fields: dict[str, Any], image_size: tuple[int, int]) -> str:
    """A recipe's fields as YAML, the size as `read_size` reads it."""
    return str(yaml.safe_dump({**fields, "image_size": f"{image_size[0]}x{image_size[1]}"}, sort_keys=False))


def reason(error: ValidationError) -> str:
    """The first thing that is wrong with a recipe, as a clause."""
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")


def nearest(name: str, known: Iterable[str]) -> str:
    """What was probably meant by a name that is not known, in brackets; nothing where none is like it."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
