"""Commands that send and show messages: send, get, tail, history."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from timim import AnyElem, FileElem, ImageElem, MediaError, Message, MessageStatus, ProgressBar

from ..elems import Progress
from .console import NOTHING_FOUND, OutputClosed, fail, out, print_json, print_note, run_command, watched_output
from .files import Cancelled, downloadable_content, free_path
from .lines import message_fields, print_message
from .options import AccountOptions, IsGroup, get_conversation, with_account

app = typer.Typer()
INPUT_LIMIT_BYTES = 1 << 20  # a server refuses much shorter texts, and names its own limit
SEARCH_LIMIT = 1000  # the newest messages, in which `get` looks for content


@app.command()
@with_account(kept=":memory:")
def send(
    account: AccountOptions,
    peer: str,
    text: Annotated[
        str,
        typer.Argument(help="Text of the message, - for standard input; optional with --file or --image.", show_default=False),
    ] = "",
    file: Annotated[Path | None, typer.Option(help="File to send; Ctrl-C cancels the upload.")] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to send; Ctrl-C cancels the upload.")] = None,
    group: IsGroup = False,
) -> None:
    """Send TEXT, a file or a picture to PEER, and print the id and seq of the message."""
    text = _read_input() if text == "-" else text
    elems: list[AnyElem | str] = [text] if text or not (file or image) else []
    elems += [ImageElem(path=image)] if image else []
    elems += [FileElem(path=file)] if file else []

    async def work() -> None:
        async with account.create_client() as client:
            there = get_conversation(client, peer, group)
            if file is None and image is None:
                message = await there.send(*elems)
            else:
                with ProgressBar((file or image or Path()).name) as bar:
                    message = await there.send(*elems, progress=_interruptible(bar))
            if account.json:
                print_json(type="sent", **message_fields(message))
            else:
                out.print(f"sent as {message.msg_id}, seq {message.seq}")

    run_command(work())


@app.command()
@with_account(kept=":memory:")
def get(
    account: AccountOptions,
    peer: str,
    to: Annotated[Path, typer.Option(help="Destination folder; existing files are not overwritten.", file_okay=False)] = Path(),
    seq: Annotated[int, typer.Option(help="Seq of the message; 0: the newest message that has content.")] = 0,
    group: IsGroup = False,
) -> None:
    """Download the files, pictures, sounds and videos of a message in the conversation with PEER."""

    async def work() -> None:
        async with account.create_client() as client:
            async for message in get_conversation(client, peer, group).history(limit=SEARCH_LIMIT):
                found = list(downloadable_content(message)) if seq in (0, message.seq) else []
                for content, name in found:
                    path = await asyncio.to_thread(_download_path, to, name)
                    with ProgressBar(path.name) as bar:
                        await content.download(path, progress=_interruptible(bar))
                    if account.json:
                        print_json(type="file", path=str(path), size=content.size, seq=message.seq, sender=message.sender)
                    else:
                        out.print(f"{escape(str(path))}  {content.size} bytes, of message {message.seq}", soft_wrap=True)
                if found:
                    return
            searched = f"message {seq}" if seq else f"the last {SEARCH_LIMIT} messages"
            fail(f"there is nothing to download in {searched} with {peer!r}; choose a message with --seq", NOTHING_FOUND)

    run_command(work())


def _read_input() -> str:
    """Return the text of standard input, without the line break at its end.

    Raises:
        Exit: The text is too long for any message, or not UTF-8.
    """
    data = sys.stdin.buffer.read(INPUT_LIMIT_BYTES + 1)
    if len(data) > INPUT_LIMIT_BYTES:
        fail(f"standard input has more than {INPUT_LIMIT_BYTES} bytes, too many for a message; send a file with --file")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as exc:
        fail(f"standard input is not UTF-8 text ({exc.reason} at byte {exc.start}); send a file with --file")


def _download_path(folder: Path, name: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MediaError(f"cannot create the folder {folder}: {exc.strerror}") from exc
    return free_path(folder, name)


def _interruptible(bar: Progress) -> Progress:
    """Return a progress callback that updates `bar`, and that cancels the transfer after Ctrl-C.

    A cancelled transfer leaves no file here and no upload on the server.
    """
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C ends the program immediately

    loop.add_signal_handler(signal.SIGINT, interrupt)

    def report(done: int, total: int) -> None:
        if interrupted.is_set():
            raise Cancelled("interrupted: the transfer was cancelled and its partial data deleted")
        bar(done, total)

    return report


@app.command()
@with_account(kept=":memory:")
def tail(account: AccountOptions) -> None:
    """Print new messages as they arrive, until Ctrl-C."""

    async def work() -> None:
        client = account.create_client()
        stopping, closed = asyncio.Event(), asyncio.Event()

        def end_output() -> None:
            closed.set()
            stopping.set()

        @client.on_new_message
        async def each(messages: list[Message]) -> None:
            try:  # in a thread, because a slow reader of the output blocks the printing
                await asyncio.to_thread(print_messages, messages)
            except OutputClosed:
                end_output()

        def print_messages(messages: list[Message]) -> None:
            for message in messages:
                print_message(message, as_json=account.json)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        with watched_output(end_output):
            async with client:
                print_note(f"{account.user} is online; press Ctrl-C to stop")
                await stopping.wait()
        if closed.is_set():
            raise OutputClosed

    run_command(work())


@app.command()
@with_account(kept=":memory:")
def history(
    account: AccountOptions,
    peer: str,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of messages.")] = 20,
    group: IsGroup = False,
) -> None:
    """Print the newest messages with PEER, and the seqs that they cover without a gap."""

    async def work() -> None:
        async with account.create_client() as client:
            page = await get_conversation(client, peer, group).get_messages(count)
            shown = [message for message in reversed(page) if message.status is not MessageStatus.DELETED]
            for message in shown:
                print_message(message, as_json=account.json)
            if account.json:
                seqs = page.interval and [page.interval.first, page.interval.last]
                print_json(type="page", messages=len(page), complete=page.complete, seqs=seqs, source=page.source)
            else:
                out.print(f"[dim]{escape(repr(page))}[/dim]", soft_wrap=True)
            if not shown:
                raise typer.Exit(NOTHING_FOUND)

    run_command(work())
