"""The examples run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] == ["country.py", "crossview.py", "map.py", "place.py"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, path, tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"map": "frames of the track", "country": "soft routing: top-1"}.get(path.stem, "R@1") in done.stdout
