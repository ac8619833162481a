"""The entry point of the `timim` command, which also works without the packages of the extra `cli`."""

from __future__ import annotations

import sys

PACKAGES = ("typer", "rich")
MISSING = 'timim: the command line needs the package {}; run pip install "timim[cli]", or "timim[server]" for the server too'
SERVE = "serve"


def main() -> None:
    """Run the command line. Without the extra `cli`, print how to install it and exit with status 2.

    `timim serve` loads no other command, so that a server starts in half the time.
    """
    try:
        from .console import run_app

        if sys.argv[1:2] == [SERVE]:
            from .server import app
        else:
            from .commands import app
    except ImportError as exc:
        name = (exc.name or "").partition(".")[0]
        if name not in PACKAGES:
            raise
        print(MISSING.format(name), file=sys.stderr)
        sys.exit(2)
    run_app(app)
