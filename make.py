"""The project's commands, for a bare machine with Python 3.11 and pip: each does all its own set-up.

python3 make.py demo     render a town, locate photos in it, write a report to geofix-demo/
python3 make.py test     the tests (more arguments go to pytest: python3 make.py test --slow)
python3 make.py check    ruff, mypy, the documentation
python3 make.py docs     write the generated pages of docs/
python3 make.py lock     renew requirements.lock
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
TOOLS, VENV, STAMP = ROOT / ".tools", ROOT / ".venv", ROOT / ".venv" / "installed-from"
UV = "uv==0.13.8"
LOCK, PROJECT = ROOT / "requirements.lock", ROOT / "pyproject.toml"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit status."""
    commands = {"demo": demo, "test": test, "check": check, "docs": docs, "lock": lock}
    if not arguments or arguments[0] not in commands:
        print(__doc__)
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036 - this very file is what an older Python runs first
        print(f"geofix needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
        return 2
    os.chdir(ROOT)
    # Compiled modules are kept in .venv, whatever the machine does elsewhere; else each process compiles torch anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return commands[arguments[0]](arguments[1:])


def demo(more: list[str]) -> int:
    """The demo into geofix-demo/, made anew each time."""
    install()
    if not more:
        shutil.rmtree(ROOT / "geofix-demo", ignore_errors=True)
    return run([BIN / "geofix", "demo", *more])


def test(more: list[str]) -> int:
    """The test suite, a process a core; each keeps to one thread, as threads of several processes hinder each other."""
    install()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    spread = ["-n", "logical", "--dist", "loadfile", "--no-loadscope-reorder"]  # the order is tests/conftest.py's
    return run([BIN / "python", "-m", "pytest", *spread, *more])


def check(_: list[str]) -> int:
    """Everything that is read rather than run: style, types, documentation."""
    install()
    return (
        run([BIN / "ruff", "check", "."])
        or run([BIN / "ruff", "format", "--check", "."])
        or run([BIN / "mypy"])
        or run([BIN / "python", "docs/build.py", "--check"])
    )


def docs(_: list[str]) -> int:
    """The generated pages."""
    install()
    return run([BIN / "python", "docs/build.py"])


def lock(_: list[str]) -> int:
    """Resolve anew, with hashes for every platform and without any index address."""
    install_uv()
    wanted = [f"--{flag}" for flag in ("universal", "generate-hashes", "no-emit-index-url", "no-header", "upgrade")]
    extras = [part for name in ("dev", "heic", "maps", "verify", "video") for part in ("--extra", name)]
    return run([*uv(), "pip", "compile", "-q", PROJECT.name, *extras, *wanted, "-o", LOCK.name])


def install() -> None:
    """The locked environment in .venv with the project in it, once for each state of lock and project file."""
    state = f"{sys.version}\n{LOCK.read_text()}\n{PROJECT.read_text()}"
    if STAMP.is_file() and STAMP.read_text() == state:
        return
    install_uv()
    must([*uv(), "venv", "-q", "--clear", "--python", sys.executable, VENV])
    into = ["--python", BIN / "python"]
    locked = [*uv(), "pip", "install", "-q", *into, "--require-hashes", "-r", LOCK]
    # uv brings certificates of its own; behind a company's proxy only the system's know its name.
    if run(locked):
        must([*locked, "--system-certs"])
    # The build back end is in the lock, so that nothing unpinned is fetched to build ourselves.
    must([*uv(), "pip", "install", "-q", *into, "--no-deps", "--no-build-isolation", "-e", ROOT])
    STAMP.write_text(state)


def install_uv() -> None:
    """uv in .tools: it needs no venv module, which bare Debian machines lack, and installs the lot in seconds."""
    if not (TOOLS / "uv").is_dir():
        must([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", TOOLS, UV])


def uv() -> list[str | Path]:
    """The command that runs uv."""
    return [TOOLS / "bin" / ("uv.exe" if os.name == "nt" else "uv")]


def run(command: list[str | Path]) -> int:
    """A command's exit status; its output is ours."""
    return subprocess.run([str(part) for part in command], check=False).returncode


def must(command: list[str | Path]) -> None:
    """Run a command that has to succeed."""
    if status := run(command):
        sys.exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
