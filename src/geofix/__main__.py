"""python -m geofix, and the `geofix` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the exit status is 0 done, 1 some inputs unusable, 2 wrong usage or nothing usable."""
    from geofix.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
