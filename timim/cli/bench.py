"""The command `timim bench`: put a running server under load with real clients, and account for every message."""

from __future__ import annotations

import asyncio
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from timim import InvalidArgument

from .console import INTERRUPTED, fail, out, run_command
from .options import DATA, DataDir, read_app_key, read_secret, server_url

if TYPE_CHECKING:
    from ..loadtest.report import Report

app = typer.Typer()
Urls = Annotated[
    list[str],
    typer.Option(
        "--url", help="URL of the server, by default read from the data folder; repeat for more gateways.", envvar="TIMIM_URL"
    ),
]
AppId = Annotated[int, typer.Option(help="App id; by default read from the data folder.", envvar="TIMIM_APP_ID")]
KeyFile = Annotated[
    str,
    typer.Option(
        help="File of the key that signs users, or - to ask for it; by default TIMIM_SECRET_KEY, or read from the data folder."
    ),
]


@app.command()
def bench(
    url: Urls = [],  # noqa: B006  typer reads it
    users: Annotated[int, typer.Option(help="Number of users.")] = 100,
    peers: Annotated[int, typer.Option(help="Number of other users to whom each user writes.")] = 2,
    groups: Annotated[int, typer.Option(help="Number of groups; each member writes to each of its groups.")] = 0,
    members: Annotated[int, typer.Option(help="Members of each group.")] = 10,
    rate: Annotated[float, typer.Option(help="Messages per second of all users; 0: limited only by --in-flight.")] = 0.0,
    in_flight: Annotated[int, typer.Option(help="Maximum number of messages that wait for an ack.")] = 64,
    seconds: Annotated[float, typer.Option(help="Seconds during which users write.")] = 10.0,
    payload: Annotated[int, typer.Option(help="Bytes of text in each message.")] = 100,
    storm: Annotated[list[int], typer.Option(help="Number of connections to cut at once; repeat for more cuts.")] = [],  # noqa: B006
    processes: Annotated[int, typer.Option(help="Client processes; each uses one core.")] = 1,
    on_disk: Annotated[bool, typer.Option("--on-disk", help="Store the clients' messages on disk, with fsync.")] = False,
    settle: Annotated[float, typer.Option(help="Seconds without a delivery until missing messages count as lost.")] = 45.0,
    json: Annotated[bool, typer.Option("--json", help="Print only one JSON object.")] = False,
    app_id: AppId = 0,
    key_file: KeyFile = "",
    data_dir: DataDir = DATA,
) -> None:
    """Put a server under load, and count messages that are lost, repeated or out of order.

    Exit status 1 if there are any. The accounts and groups stay on the server. Ctrl-C ends the run and prints its report.
    """
    from ..loadtest.coordinator import run_scenario
    from ..loadtest.scenario import Scenario

    def show_progress(text: str) -> None:
        if not json:
            out.print(f"[dim]{escape(text)}[/dim]")

    async def work() -> None:
        key = read_secret(key_file, "TIMIM_SECRET_KEY", "key")
        signs_for, signs_with = app_id, key
        if not signs_for or not signs_with:
            signs_for, signs_with = _read_app_key(data_dir)
        scenario = Scenario(
            urls=url or [server_url(data_dir)],
            app_id=app_id or signs_for,
            key=key or signs_with,
            run=f"bench-{secrets.token_hex(4)}",
            folder="",
            users=users,
            peers=peers,
            groups=groups,
            members=members,
            rate=rate,
            in_flight=in_flight,
            seconds=seconds,
            payload_bytes=payload,
            storms=storm,
            processes=processes,
            on_disk=on_disk,
            settle_s=settle,
        )
        report = await run_scenario(scenario, interrupted=_interrupt_event(), on_progress=show_progress)
        _print_report(report, json=json)
        if not report.passed:
            fail("messages were lost, repeated or out of order, or clients did not come back; the report names them")
        if report.interrupted:
            raise typer.Exit(INTERRUPTED)

    run_command(work())


def _print_report(report: Report, *, json: bool) -> None:
    from ..loadtest.report import render_table, summary_lines

    if json:
        print(msgspec.json.encode(report).decode(), flush=True)
        return
    out.print(render_table(report))
    for line in summary_lines(report):
        out.print(line)


def _read_app_key(data_dir: Path) -> tuple[int, str]:
    try:
        return read_app_key(data_dir)
    except InvalidArgument:
        raise InvalidArgument(
            f"no app key in {data_dir}/: set --data-dir to the server's data folder, or give --app-id and TIMIM_SECRET_KEY"
        ) from None


def _interrupt_event() -> asyncio.Event:
    """Return an event that the first Ctrl-C sets; a second Ctrl-C ends the program immediately."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    return interrupted
