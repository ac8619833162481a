"""The `timim` command, assembled from the commands of the other modules."""

from __future__ import annotations

import typer

from . import bench, history, messages, server

HELP = """Send and receive instant messages, and run a server.

Exit status: 0 success, 1 error, 2 invalid option or setting, 130 interrupted by Ctrl-C."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=HELP)
app.add_typer(bench.app)
app.add_typer(history.app)
app.add_typer(messages.app)
app.add_typer(server.app)


def run() -> None:
    """Run the command line."""
    app()
