"""Commands for the messages stored on this device: gaps, fill, search."""

from __future__ import annotations

from typing import Annotated

import rich.progress
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from .console import NOTHING_FOUND, notes, out, print_json, run_command
from .lines import print_message
from .options import AccountOptions, IsGroup, get_conversation, with_account

app = typer.Typer()


@app.command()
@with_account(kept="")
def gaps(
    account: AccountOptions,
    offline: Annotated[bool, typer.Option("--offline", help="Do not connect to the server; ignore newer messages.")] = False,
) -> None:
    """Print for each conversation the messages that are not stored on this device."""

    async def work() -> None:
        client = account.create_client()
        await (client.open() if offline else client.login())
        try:
            table = Table("conversation", "stored", "of", "missing", box=None, padding=(0, 2))
            as_json = account.json
            missing = 0
            for each in client.conversations:
                known = await each.coverage()
                lacking = sum(gap.size for gap in known.gaps)
                missing += lacking
                stored = sum(interval.size for interval in known.intervals)
                if as_json:
                    gap_seqs = [[gap.first, gap.last] for gap in known.gaps]
                    print_json(
                        type="conversation", conversation=str(each.key), stored=stored, total=stored + lacking, missing=gap_seqs
                    )
                ranges = ", ".join(f"{gap.first}-{gap.last}" for gap in known.gaps) or "none"
                table.add_row(escape(str(each.key)), str(stored), str(stored + lacking), ranges)
            if as_json:
                return
            out.print(table)
            out.print(f"[dim]{missing} messages of {len(client.conversations)} conversations are not stored here[/dim]")
        finally:
            await client.close()

    run_command(work())


@app.command()
@with_account(kept="")
def fill(
    account: AccountOptions,
    peer: Annotated[str, typer.Argument(help="User or group; by default all conversations of the list.")] = "",
    group: IsGroup = False,
) -> None:
    """Fetch and store the missing history of PEER, or of all conversations."""

    async def work() -> None:
        async with account.create_client() as client:
            wanted = [get_conversation(client, peer, group)] if peer else list(client.conversations)
            fetched = 0
            with rich.progress.Progress(
                *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
                console=notes,
                disable=account.json or not notes.is_terminal,
            ) as bars:
                for each in wanted:
                    bar = bars.add_task(escape(str(each.key)), total=None)
                    before = await each.coverage()
                    known = await each.fetch_missing(
                        lambda done, total, bar=bar: bars.update(bar, completed=done, total=total)  # type: ignore[misc]
                    )
                    fetched += sum(i.size for i in known.intervals) - sum(i.size for i in before.intervals)
                    bars.update(bar, total=max(1, bars.tasks[bar].total or 1), completed=max(1, bars.tasks[bar].total or 1))
            if account.json:
                print_json(type="fetched", messages=fetched, conversations=len(wanted))
                return
            out.print(f"fetched {fetched} messages of {len(wanted)} conversations; nothing is missing")

    run_command(work())


@app.command()
@with_account(kept="")
def search(
    account: AccountOptions,
    words: Annotated[list[str], typer.Argument(help="Words that a message must all contain; invo* matches a prefix.")],
    peer: Annotated[str, typer.Option("--in", help="Search only this conversation; by default all conversations.")] = "",
    sender: Annotated[str, typer.Option("--from", help="Find only messages of this sender.")] = "",
    count: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of messages.")] = 20,
    fill: Annotated[
        bool, typer.Option("--fill/--held", help="Fetch missing history first, or search only stored messages.")
    ] = True,
    group: IsGroup = False,
) -> None:
    """Print the newest messages that contain WORDS, and the ranges that were not searched."""

    async def work() -> None:
        async with account.create_client() as client:
            place = get_conversation(client, peer, group) if peer else client
            found = await place.search(" ".join(words), sender=sender or None, count=count, fetch_missing=fill)
            for message in reversed(found):
                print_message(message, as_json=account.json)
            if account.json:
                missing = {str(key): [[gap.first, gap.last] for gap in each.gaps] for key, each in found.gaps.items()}
                print_json(type="result", messages=len(found), complete=found.complete, missing=missing)
            else:
                out.print(f"[dim]{escape(repr(found))}[/dim]", soft_wrap=True)
            if not found:
                raise typer.Exit(NOTHING_FOUND)

    run_command(work())
