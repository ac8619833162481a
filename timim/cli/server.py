"""Commands for operators: serve, doctor, sig, demo."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import TimimError
from ..usersig import sign_user
from ..util.garbage import tune_for_serving
from ..util.rlimit import raise_nofile_limit
from .console import out, run_command
from .options import DATA, DataDir, read_app_key

app = typer.Typer()
Database = Annotated[str | None, typer.Option(help="postgresql://…, instead of a file in the data folder.")]
Bus = Annotated[str | None, typer.Option(help="nats://…: how several servers on one database hear of each other.")]
Blobs = Annotated[
    str | None, typer.Option(help="s3://bucket?endpoint=… or file:///folder: where content is kept; keys by TIMIM_S3_….")
]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="0: a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    database: Database = None,
    bus: Bus = None,
    blobs: Blobs = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print one line: where it listens.")] = False,
    new_epoch: Annotated[
        bool, typer.Option("--new-epoch", help="Once, after restoring a back-up: clients ask for their history anew.")
    ] = False,
) -> None:
    """Run a server: one process on SQLite and local files, or one of many on PostgreSQL and NATS."""
    where = {"data_dir": data_dir, "database": database, "bus": bus, "blobs": blobs}
    settings = _settings(host=host, port=port, new_epoch=new_epoch or None, **where)
    from ..server.app import Server

    async def work() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        raise_nofile_limit()  # each client is a socket
        async with Server(settings) as server:
            tune_for_serving()
            if plain:
                print(f"listening on {server.url}", flush=True)
            else:
                _print_welcome(server)
            await stopping.wait()

    run_command(work())


@app.command()
def doctor(database: Database = None, bus: Bus = None, blobs: Blobs = None) -> None:
    """Check what a server would stand on, by the settings it would have. Exit status 1: it is not fit to serve."""
    settings = _settings(database=database, bus=bus, blobs=blobs)
    from .doctor import require_healthy, run_checks

    async def work() -> None:
        findings = await run_checks(settings)
        for finding in findings:
            mark = {True: "[green]good[/green]", False: "[red]BAD [/red]", None: "[yellow]look[/yellow]"}[finding.good]
            out.print(f"{mark}  {finding.subject}: {escape(finding.text)}", soft_wrap=True)
        require_healthy(findings)

    run_command(work())


def _settings(**given: Any) -> Any:
    """Return the server's settings, overridden by the flags that are not None.

    Raises:
        BadParameter: A setting is invalid or the server is not installed; exit status 2.
    """
    try:
        from ..server.settings import Settings
    except ImportError as exc:
        raise typer.BadParameter(f"the server's parts are not installed ({exc.name}): pip install 'timim[server]'") from None
    from pydantic import ValidationError

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _print_welcome(server: Any) -> None:
    folder = server.settings.data_dir
    out.print(f"[bold]timim[/bold] listens on [bold]{server.url}[/bold]   app id {server.app_id}")
    out.print(f"data and keys: {escape(str(folder))}/   (app.json holds the key that signs users)")
    out.print("In two other terminals, in this folder:")
    out.print("  timim tail --as bob")
    out.print('  timim send bob "hello" --as alice')


@app.command()
def sig(
    user: str,
    days: Annotated[float, typer.Option(help="How long it is good for.")] = 180,
    data_dir: DataDir = DATA,
) -> None:
    """Print a UserSig for USER, signed with the key in the server's data folder."""
    try:
        app_id, key = read_app_key(data_dir)
        print(sign_user(app_id, key, user, expire_s=int(days * 86400)))
    except TimimError as exc:
        raise typer.BadParameter(str(exc)) from None


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option(help="Where the pictures go; a new folder unless given.")] = None,
) -> None:
    """Two people and a group exchange every kind of message over a real server, with a crash in between."""
    from .demo import run_demo

    run_command(run_demo(folder))
