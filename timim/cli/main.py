"""The `timim` command, put together from the commands of the other modules."""

from __future__ import annotations

import typer

from . import bench, history, messages, server

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Instant messaging for asyncio Python.")
app.add_typer(bench.app)
app.add_typer(history.app)
app.add_typer(messages.app)
app.add_typer(server.app)


def main() -> None:
    """Run the command line."""
    app()
