"""geofix evaluate TABLE.csv --totals: whether a published total can come from its published parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from geofix.cli import output
from geofix.errors import DataError, UsageError


def evaluate_totals(tables: Sequence[str], json_file: Path | None) -> None:
    """Say whether the totals of a table are possible. Raises UsageError for more than one table."""
    from geofix.consistency import check_totals
    from geofix.data.totals_csv import read_totals

    if len(tables) > 1:
        raise UsageError("A table of parts and totals is checked by itself; name nothing else beside it.")
    made = read_totals(Path(tables[0]))
    found = check_totals(made.parts, made.totals, made.rounding)
    if str(json_file) != "-":
        output.result(f"{'possible' if found.possible else 'infeasible'}: {found.said}")
    output.save(json_file, lambda: json.dumps(found.to_dict(), indent=1) + "\n")
    output.finish([] if found.possible else [DataError(f"The totals of {tables[0]} cannot be.")])
