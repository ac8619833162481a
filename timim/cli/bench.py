"""`timim bench`: put a running server under load with real clients, and account for every message."""

from __future__ import annotations

import asyncio
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from ..errors import InvalidArgument
from .console import INTERRUPTED, out, run_command
from .options import DATA, URL, DataDir, read_app_key

if TYPE_CHECKING:
    from ..loadtest.report import Report

app = typer.Typer()
Urls = Annotated[list[str], typer.Option("--url", help="The server; given again, a gateway more.", envvar="TIMIM_URL")]
AppId = Annotated[int, typer.Option(help="The app id; read from the data folder when not given.", envvar="TIMIM_APP_ID")]
Key = Annotated[
    str,
    typer.Option(
        help="The key that signs users, better given by the environment; read from the data folder when not given.",
        envvar="TIMIM_SECRET_KEY",
        show_envvar=True,
    ),
]


@app.command()
def bench(
    url: Urls = [URL],  # noqa: B006  typer reads it
    users: Annotated[int, typer.Option(help="How many log in.")] = 100,
    peers: Annotated[int, typer.Option(help="To how many others each writes.")] = 2,
    groups: Annotated[int, typer.Option(help="How many groups are made; each member writes to each of its groups.")] = 0,
    members: Annotated[int, typer.Option(help="Of a group.")] = 10,
    rate: Annotated[float, typer.Option(help="Messages a second of all together; 0: as fast as --in-flight lets.")] = 0.0,
    in_flight: Annotated[int, typer.Option(help="Messages that wait for their ack at once, at the most.")] = 64,
    seconds: Annotated[float, typer.Option(help="How long they write.")] = 10.0,
    payload: Annotated[int, typer.Option(help="Bytes of a message's text.")] = 100,
    storm: Annotated[list[int], typer.Option(help="Cut so many at once, meanwhile; given again, once more.")] = [],  # noqa: B006
    processes: Annotated[int, typer.Option(help="Of clients: one computes on one core.")] = 1,
    on_disk: Annotated[bool, typer.Option("--on-disk", help="Clients keep their messages on disk, synced.")] = False,
    settle: Annotated[float, typer.Option(help="Seconds without any delivery after which what is missing is lost.")] = 45.0,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, and nothing else.")] = False,
    app_id: AppId = 0,
    key: Key = "",
    data_dir: DataDir = DATA,
) -> None:
    """Put a server under load, and count what was lost, repeated or out of order: exit status 1 if anything was.

    Its accounts and groups stay on the server. Ctrl-C ends it with what was measured by then.
    """
    from ..loadtest.coordinator import run_scenario
    from ..loadtest.scenario import Scenario

    def show_progress(text: str) -> None:
        if not json:
            out.print(f"[dim]{escape(text)}[/dim]")

    async def work() -> None:
        signs_for, signs_with = app_id, key
        if not signs_for or not signs_with:
            signs_for, signs_with = _read_app_key(data_dir)
        scenario = Scenario(
            urls=url,
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
            Console(stderr=True).print("timim: messages were lost, repeated or out of order, or clients did not come back")
            raise typer.Exit(1)
        if report.interrupted:
            raise typer.Exit(INTERRUPTED)

    run_command(work())


def _print_report(report: Report, *, json: bool) -> None:
    from ..loadtest.report import render_table, summary_lines

    if json:
        print(msgspec.json.encode(report).decode())
        return
    out.print(render_table(report))
    for line in summary_lines(report):
        out.print(line)


def _read_app_key(data_dir: Path) -> tuple[int, str]:
    try:
        return read_app_key(data_dir)
    except InvalidArgument:
        raise InvalidArgument(
            f"no key at hand: run this beside the server's {data_dir}/, or give --app-id, and --key or TIMIM_SECRET_KEY"
        ) from None


def _interrupt_event() -> asyncio.Event:
    """Return an event that the first Ctrl-C sets; a second Ctrl-C ends the program at once."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    return interrupted
