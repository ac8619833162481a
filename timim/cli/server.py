"""Commands for operators: serve, doctor, sig, demo."""

from __future__ import annotations

import asyncio
import logging
import shlex
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from timim import TimimError, sign_user

from ..util.garbage import tune_for_serving
from ..util.rlimit import raise_nofile_limit
from ..util.server_folder import read_address, read_key
from .console import WRONG_USE, fail, out, print_json, run_command
from .options import DATA, AsJson, DataDir, Folder, read_app_key
from .server_logging import set_up_logging
from .server_settings import read_settings
from .settings_help import ServeCommand

app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)  # as `commands.app`, for `timim serve` alone
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 selects a free one.")]
TlsCert = Annotated[Path | None, typer.Option(help="PEM file with the certificate, for wss://; SIGHUP reads it again.")]
TlsKey = Annotated[Path | None, typer.Option(help="PEM file with the key of the certificate.")]
Database = Annotated[str | None, typer.Option(help="postgresql://… instead of SQLite in the data folder.")]
Bus = Annotated[str | None, typer.Option(help="nats://… that connects several servers on one database.")]
Blobs = Annotated[
    str | None,
    typer.Option(help="s3://bucket?endpoint=… or file:///folder for content; set credentials with TIMIM_S3_ACCESS_KEY."),
]


@app.command(cls=ServeCommand)
def serve(
    host: Host = None,
    port: Port = None,
    data_dir: Folder = None,
    database: Database = None,
    bus: Bus = None,
    blobs: Blobs = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print only one line with the URL.")] = False,
    new_epoch: Annotated[
        bool, typer.Option("--new-epoch", help="Use once after restoring a backup: clients fetch their history again.")
    ] = False,
) -> None:
    """Run a server on SQLite and local files, or one of several on PostgreSQL and NATS.

    Options take precedence over the environment and timim.toml. SIGTERM and Ctrl-C stop the server gracefully.
    """
    where = {"data_dir": data_dir, "database": database, "bus": bus, "blobs": blobs}
    tls = {"tls_cert": tls_cert, "tls_key": tls_key}
    settings = read_settings(host=host, port=port, new_epoch=new_epoch or None, **where, **tls)
    from ..server.app import Server

    async def work() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        set_up_logging(settings.log_level)
        raise_nofile_limit()  # each client is a socket
        async with Server(settings) as server:
            tune_for_serving()
            reloading = asyncio.create_task(_reload_tls_on_hangup(server)) if settings.tls_cert else None
            if plain:
                print(f"listening on {server.url}", flush=True)
            else:
                _print_welcome(server)
            await stopping.wait()
            if reloading is not None:
                reloading.cancel()

    run_command(work())


@app.command()
def doctor(
    host: Host = None,
    port: Port = None,
    data_dir: Folder = None,
    database: Database = None,
    bus: Bus = None,
    blobs: Blobs = None,
    url: Annotated[str, typer.Option(help="URL of a running server; its clock is compared with this machine's.")] = "",
    json: AsJson = False,
) -> None:
    """Check this machine, the database, bus and blob store with the settings that a server would use.

    Exit status 1 if a server cannot run with them.
    """
    settings = read_settings(host=host, port=port, data_dir=data_dir, database=database, bus=bus, blobs=blobs)
    from .doctor import require_healthy, run_checks

    async def work() -> None:
        findings = await run_checks(settings, url)
        for finding in findings:
            state, colour = {True: ("good", "green"), False: ("bad", "red"), None: ("warning", "yellow")}[finding.good]
            if json:
                print_json(type="finding", subject=finding.subject, state=state, text=finding.text)
            else:
                out.print(f"[{colour}]{state:7}[/{colour}]  {finding.subject}: {escape(finding.text)}", soft_wrap=True)
        require_healthy(findings)

    run_command(work())


async def _reload_tls_on_hangup(server: Any) -> None:
    """Read the certificate again at each SIGHUP. An invalid one is logged, and the old one stays in use."""
    hung_up = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    while True:
        await hung_up.wait()
        hung_up.clear()
        try:
            await server.reload_tls()
        except TimimError as exc:
            logging.getLogger("timim.server").warning("the certificate in use stays: %s", exc)


def _print_welcome(server: Any) -> None:
    folder = server.settings.data_dir
    out.print(f"[bold]timim[/bold] listens on [bold]{server.url}[/bold]   app id {server.app_id}")
    if folder is not None and not server.settings.database:
        out.print(f"data and keys: {escape(str(folder))}/   (app.json contains the key that signs users)", soft_wrap=True)
    if folder is None or read_key(folder) != (server.app_id, server.secret_key) or read_address(folder) is None:
        out.print("Clients need this address, the app id, and a UserSig made with the server's secret key.")
        return
    option = "" if folder == DATA else f" --data-dir {shlex.quote(str(folder))}"
    out.print("In two other terminals, in this folder:")
    out.print(f"  timim tail --as bob{escape(option)}", soft_wrap=True)
    out.print(f'  timim send bob "hello" --as alice{escape(option)}', soft_wrap=True)


@app.command()
def sig(
    user: str,
    days: Annotated[float, typer.Option(help="Days until the UserSig expires.")] = 180,
    data_dir: DataDir = DATA,
    json: AsJson = False,
) -> None:
    """Print a UserSig for USER, signed with the key in the server's data folder.

    Exit status 2 if the folder has no key.
    """
    try:
        app_id, key = read_app_key(data_dir)
        signature = sign_user(app_id, key, user, expire_s=int(days * 86400))
    except TimimError as exc:
        fail(str(exc), WRONG_USE)
    if json:
        expires = datetime.now(UTC) + timedelta(days=days)
        print_json(type="user_sig", user=user, app_id=app_id, user_sig=signature, expires=expires)
    else:
        print(signature)


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option(help="Destination of the pictures; by default a new temporary folder.")] = None,
) -> None:
    """Exchange every kind of message over a real server that is killed and restarted in between."""
    from .demo import run_demo

    run_command(run_demo(folder))
