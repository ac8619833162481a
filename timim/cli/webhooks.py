"""Commands for operators about the callbacks of a running server: webhooks list, webhooks dead, webhooks replay."""

from __future__ import annotations

import json as json_text
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from timim import Client

from ..protocol.administration import (
    LIST_CALLBACKS,
    REPLAY_CALLBACKS,
    ListCallbacksRequest,
    ReplayCallbacksRequest,
)
from .console import out, print_json, run_command
from .options import DATA, AppId, AsJson, DataDir, SigFile, Url
from .users import Admin, admin_client

HELP = "Show the callbacks of a running server that wait or were given up, and deliver them again, as its administrator."

app = typer.Typer(help=HELP, no_args_is_help=True)
Limit = Annotated[int, typer.Option(help="Maximum number of dead letters.", min=1, max=1000)]
Ids = Annotated[list[int] | None, typer.Argument(help="Ids of dead letters.")]
All = Annotated[bool, typer.Option("--all", help="Replay all dead letters.")]


@app.command("list")
def list_(
    admin: Admin = "administrator",
    url: Url = "",
    sig_file: SigFile = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    json: AsJson = False,
) -> None:
    """Print the number of callbacks that wait for delivery, and the number of dead letters, by command."""
    run_command(_list(admin_client(admin, url, sig_file, app_id, data_dir), json=json))


@app.command()
def dead(
    limit: Limit = 100,
    admin: Admin = "administrator",
    url: Url = "",
    sig_file: SigFile = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    json: AsJson = False,
) -> None:
    """Print the dead letters, the oldest first, each with its id and the reason of its last failure."""
    run_command(_dead(admin_client(admin, url, sig_file, app_id, data_dir), limit, json=json))


@app.command()
def replay(
    ids: Ids = None,
    all: All = False,
    admin: Admin = "administrator",
    url: Url = "",
    sig_file: SigFile = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    json: AsJson = False,
) -> None:
    """Deliver the dead letters IDS again, or all of them with --all. Their order within a conversation is kept."""
    if all == bool(ids):
        raise typer.BadParameter("name the ids of dead letters, or use --all")
    run_command(_replay(admin_client(admin, url, sig_file, app_id, data_dir), ids or [], json=json))


async def _list(client: Client, *, json: bool) -> None:
    async with client:
        reply = await client.engine.connection.call(LIST_CALLBACKS, ListCallbacksRequest(limit=0))
    for one in reply.counts:
        if json:
            print_json(type="callbacks", command=one.command, waiting=one.waiting, dead=one.dead)
        else:
            out.print(f"{one.command}: {one.waiting} waiting, {one.dead} dead", soft_wrap=True)
    if not reply.counts and not json:
        out.print("no callback waits, and there is no dead letter")


async def _dead(client: Client, limit: int, *, json: bool) -> None:
    async with client:
        reply = await client.engine.connection.call(LIST_CALLBACKS, ListCallbacksRequest(limit=limit))
    for one in reply.dead:
        time = datetime.fromtimestamp(one.time, UTC)
        if json:
            body = json_text.loads(one.body)
            print_json(type="dead_callback", id=one.id, command=one.command, time=time, reason=one.reason, body=body)
        else:
            out.print(f"{one.id}  {time:%Y-%m-%d %H:%M:%S}  {one.command}: {escape(one.reason)}", soft_wrap=True)


async def _replay(client: Client, ids: list[int], *, json: bool) -> None:
    async with client:
        reply = await client.engine.connection.call(REPLAY_CALLBACKS, ReplayCallbacksRequest(ids=ids))
    if json:
        print_json(type="replayed", count=reply.replayed)
    else:
        out.print(f"dead letters that are delivered again: {reply.replayed}")
