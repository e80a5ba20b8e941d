"""The command line. A verb and what it needs are imported only when the verb is called."""

from __future__ import annotations

import io
import os
import sys

import typer

from geofix.cli import atlas, data, verbs
from geofix.errors import GeofixError
from geofix.version import __version__

app = typer.Typer(
    name="geofix",
    help="Where was this photo taken, and how sure is the answer?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_INTERRUPTED = 130
verbs.register(app)
app.add_typer(data.app, name="data")
app.add_typer(atlas.app, name="atlas")


def _show_version(wanted: bool) -> bool:
    if wanted:
        sys.stdout.write(f"geofix {__version__}\n")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    pass


def run(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Mistakes a user can mend become one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name that the terminal's encoding cannot show is shown escaped; it must not end the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(arguments, standalone_mode=True)
    except GeofixError as error:
        sys.stderr.write(f"geofix: {error}\n")
        return 2
    except KeyboardInterrupt:
        return _stopped()
    except BrokenPipeError:
        # The reader of our output went away; point stdout elsewhere so that the exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "A file" if error.filename is None else error.filename
        why = error.strerror or error
        sys.stderr.write(f"geofix: {where} cannot be used ({why}); check its name and permissions.\n")
        return 2
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer's own answer to Ctrl-C, without a word
            return _stopped()
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def _stopped() -> int:
    sys.stderr.write(
        "geofix: stopped; run the same command again (index, evaluate, reproduce, data night and data world go on "
        "where they were, train does with --resume).\n"
    )
    return _INTERRUPTED
