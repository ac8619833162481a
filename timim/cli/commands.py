"""The `timim` command, assembled from the commands of the other modules."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import (
    backup,
    bench,
    chat,
    groups,
    handled,
    history,
    messages,
    operator_messages,
    operator_users,
    server,
    users,
    webhooks,
)
from .console import DEBUG

HELP = """Send and receive instant messages, and run a server.

Exit status: 0 success, 1 error, 2 wrong option or setting, 3 nothing found,
130 interrupted by Ctrl-C, 141 output closed by its reader."""

app = typer.Typer(no_args_is_help=True, help=HELP, rich_markup_mode="rich", pretty_exceptions_enable=False)
app.add_typer(messages.app)
app.add_typer(chat.app)
app.add_typer(history.app)
app.add_typer(handled.app, name="handled")
app.add_typer(server.app)
users.app.add_typer(operator_users.app)
app.add_typer(users.app, name="users")
app.add_typer(groups.app, name="groups")
app.add_typer(operator_messages.app, name="messages")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(backup.app)
app.add_typer(bench.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"timim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print the traceback of an error too.")] = False,
) -> None:
    """Set the options of all commands."""
    DEBUG["tracebacks"] = verbose
