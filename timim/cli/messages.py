"""Commands that send and show messages: send, get, tail, history."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..elems import AnyElem, FileElem, ImageElem, Progress
from ..errors import InvalidArgument, MediaError
from ..message import Message, MessageStatus
from ..progress import ProgressBar
from .console import out, print_message, run_command
from .files import Cancelled, downloadable_content, free_path
from .options import AccountOptions, IsGroup, get_conversation, with_account

app = typer.Typer()
SEARCH_LIMIT = 1000  # the newest messages, in which `get` looks for content


@app.command()
@with_account(kept=":memory:")
def send(
    account: AccountOptions,
    peer: str,
    text: Annotated[str, typer.Argument(help="Text of the message; optional with --file or --image.", show_default=False)] = "",
    file: Annotated[Path | None, typer.Option(help="File to send; Ctrl-C cancels the upload.")] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to send; Ctrl-C cancels the upload.")] = None,
    group: IsGroup = False,
) -> None:
    """Send TEXT, a file or a picture to PEER, and print the id and seq of the message."""
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
                    out.print(f"{escape(str(path))}  {content.size} bytes, of message {message.seq}", soft_wrap=True)
                if found:
                    return
            searched = f"message {seq}" if seq else f"the last {SEARCH_LIMIT} messages"
            raise InvalidArgument(f"there is nothing to download in {searched} with {peer!r}; choose a message with --seq")

    run_command(work())


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

        @client.on_new_message
        def each(messages: list[Message]) -> None:
            for message in messages:
                print_message(message)

        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with client:
            out.print(f"[dim]{account.user} is online; press Ctrl-C to stop[/dim]")
            await stopping.wait()

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
            for message in reversed(page):
                if message.status is not MessageStatus.DELETED:
                    print_message(message)
            out.print(f"[dim]{escape(repr(page))}[/dim]")

    run_command(work())
