"""The entry point of the `timim` command, which also works without the packages of the extra `cli`."""

from __future__ import annotations

import sys

PACKAGES = ("typer", "rich")
MISSING = 'timim: the command line needs the package {}; run pip install "timim[cli]", or "timim[server]" for the server too'


def main() -> None:
    """Run the command line. Without the extra `cli`, print how to install it and exit with status 2."""
    try:
        from . import commands
    except ImportError as exc:
        name = (exc.name or "").partition(".")[0]
        if name not in PACKAGES:
            raise
        print(MISSING.format(name), file=sys.stderr)
        sys.exit(2)
    commands.run()
