"""Commands for dead letters, while the bot that has them is stopped: handled list, handled retry, handled drop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from timim import Client, DeadLetter, InvalidArgument, Message

from .console import NOTHING_FOUND, out, print_json, run_command
from .lines import harmless, message_fields, print_message
from .options import AccountOptions, with_account

HELP = "Messages that the handlers of a bot did not handle (dead letters); stop the bot first."

app = typer.Typer(help=HELP, no_args_is_help=True)

MsgId = Annotated[str, typer.Argument(help="msg_id of a dead letter, as `timim handled list` prints it.")]
All = Annotated[bool, typer.Option("--all", help="Take all dead letters.")]


@app.command("list")
@with_account(kept="")
def list_letters(account: AccountOptions) -> None:
    """Print the dead letters, with their attempts and the last error."""

    async def work() -> None:
        client = account.create_client()
        await client.open()
        try:
            letters = await client.dead_letters.list()
            for letter in letters:
                _print(letter, as_json=account.json)
        finally:
            await client.close()
        if not letters:
            raise typer.Exit(NOTHING_FOUND)

    run_command(work())


@app.command()
@with_account(kept="")
def retry(account: AccountOptions, msg_id: MsgId = "", every: All = False) -> None:
    """Let the bot handle dead letters again at its next start."""
    run_command(_change(account, msg_id, every, "retried", lambda client: client.dead_letters.retry))


@app.command()
@with_account(kept="")
def drop(account: AccountOptions, msg_id: MsgId = "", every: All = False) -> None:
    """Remove dead letters; the messages themselves stay in the history."""
    run_command(_change(account, msg_id, every, "dropped", lambda client: client.dead_letters.drop))


async def _change(
    account: AccountOptions,
    msg_id: str,
    every: bool,
    done: str,
    change: Callable[[Client], Callable[[Message], Awaitable[bool]]],
) -> None:
    if bool(msg_id) == every:
        raise InvalidArgument("give the msg_id of one dead letter, or --all")
    client = account.create_client()
    await client.open()
    try:
        letters = await client.dead_letters.list()
        chosen = [one.message for one in letters if every or one.message.msg_id == msg_id]
        for message in chosen:
            await change(client)(message)
    finally:
        await client.close()
    if account.json:
        print_json(type=done, messages=len(chosen))
    else:
        out.print(f"{len(chosen)} of {len(letters)} dead letters {done}")
    if not chosen:
        raise typer.Exit(NOTHING_FOUND)


def _print(letter: DeadLetter, *, as_json: bool) -> None:
    if as_json:
        at = datetime.fromtimestamp(letter.dead_at, UTC).isoformat(timespec="seconds")
        details = {"attempts": letter.attempts, "error": letter.error, "dead_since": at}
        print_json(type="dead_letter", **message_fields(letter.message), **details)
        return
    print_message(letter.message)
    out.print(f"  {letter.message.msg_id}, {letter.attempts} attempts, {escape(harmless(letter.error))}", soft_wrap=True)
