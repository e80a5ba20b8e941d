"""geofix as from a command line, in this process."""

from __future__ import annotations

import pytest

from geofix.cli import run

Captured = pytest.CaptureFixture[str]


def called(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    capsys.readouterr()
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err + out
    return status, out, err


def refused(capsys: Captured, *arguments: object) -> str:
    """The one sentence a command ends with when it can do nothing: exit 2, nothing on stdout."""
    status, out, err = called(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("geofix: ")
    assert err.count("\n") == 1
    return err
