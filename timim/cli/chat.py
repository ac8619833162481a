"""The command `chat`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from timim import InvalidArgument

from .console import run_command
from .options import AccountOptions, IsGroup, get_conversation, with_account

app = typer.Typer()


@app.command()
@with_account(kept="")
def chat(
    account: AccountOptions,
    peer: Annotated[str, typer.Argument(help="User or group to open first.", show_default=False)] = "",
    group: IsGroup = False,
) -> None:
    """Chat in the terminal: conversations, history, files, replies, reactions and search."""

    async def work() -> None:
        try:
            from .tui import ChatApp
        except ModuleNotFoundError as exc:
            package = (exc.name or "").partition(".")[0]
            raise InvalidArgument(f'timim chat needs the package {package}; run pip install "timim[tui]"') from None
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InvalidArgument("timim chat needs a terminal; use timim send and timim tail in scripts")
        client = account.create_client()
        try:
            await client.open()
            error = await ChatApp(client, get_conversation(client, peer, group).key if peer else None).run_async()
        finally:
            await client.close()
        if error is not None:
            raise error

    run_command(work())
