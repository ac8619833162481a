"""The commands of `timim`. An error of timim's is one line and exit status 1, never a traceback."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import rich.progress
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..bars import ProgressBar
from ..client import Client
from ..elems import AnyElem, FileElem, ImageElem, Progress
from ..errors import InvalidArgument, MediaError, TimimError
from ..message import Message, MessageStatus
from ..usersig import sign_user
from .files import Cancelled, content_of, free_path

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Instant messaging for asyncio Python.")
out = Console(highlight=False)
DATA = Path("timim-data")
URL = "ws://127.0.0.1:8700"
LOOKED_THROUGH = 1000  # messages in which `get` looks for content

DataDir = Annotated[Path, typer.Option(help="The server's data folder.", envvar="TIMIM_DATA_DIR")]
Url = Annotated[str, typer.Option(help="The server.", envvar="TIMIM_URL")]
User = Annotated[str, typer.Option("--as", help="The account that speaks.", envvar="TIMIM_USER")]
Sig = Annotated[str, typer.Option(help="Its UserSig; made from the data folder when not given.", envvar="TIMIM_USER_SIG")]
AppId = Annotated[int, typer.Option(help="The app id; read from the data folder when not given.", envvar="TIMIM_APP_ID")]
Kept = Annotated[str, typer.Option(help="Where this client keeps its messages; :memory: keeps nothing.")]
KeptHere = Annotated[str, typer.Option("--kept", help="Where this client keeps its messages; the platform's folder if empty.")]
IsGroup = Annotated[bool, typer.Option("--group", help="PEER is a group.")]


def main() -> None:
    """Run the command line."""
    app()


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except Cancelled as exc:
        Console(stderr=True, highlight=False).print(f"timim: {escape(exc.info)}", soft_wrap=True)
        raise typer.Exit(130) from None
    except TimimError as exc:
        Console(stderr=True, highlight=False).print(f"[red]timim: {escape(str(exc))}[/red]", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _client(url: str, user: str, sig: str, app_id: int, data_dir: Path, kept: str) -> Client:
    if not sig or not app_id:
        file = data_dir / "app.json"
        if not file.exists():
            raise InvalidArgument(f"no key at hand: run this beside the server's {data_dir}/, or give --app-id and --sig")
        known = json.loads(file.read_text())
        app_id = app_id or known["app_id"]
        sig = sig or sign_user(app_id, known["secret_key"], user)
    return Client(url, app_id=app_id, user_id=user, user_sig=sig, data_dir=kept or None)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="0: a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    database: Annotated[str | None, typer.Option(help="postgresql://…, instead of a file in the data folder.")] = None,
    bus: Annotated[str | None, typer.Option(help="nats://…: how several servers on one database hear of each other.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print one line: where it listens.")] = False,
    new_epoch: Annotated[
        bool, typer.Option("--new-epoch", help="Once, after restoring a back-up: clients ask for their history anew.")
    ] = False,
) -> None:
    """Run a server: one process on SQLite and local files, or one of many on PostgreSQL and NATS."""
    try:
        from ..server.app import Server
        from ..server.settings import Settings
    except ImportError as exc:
        raise typer.BadParameter(f"the server's parts are not installed ({exc.name}): pip install 'timim[server]'") from None
    from pydantic import ValidationError

    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir, "new_epoch": new_epoch or None}
    given |= {"database": database, "bus": bus}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    async def work() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with Server(settings) as server:
            if plain:
                print(f"listening on {server.url}", flush=True)
            else:
                _greet(server)
            await stopping.wait()

    _run(work())


@app.command()
def doctor(
    database: Annotated[str | None, typer.Option(help="postgresql://…; or TIMIM_DATABASE.")] = None,
    bus: Annotated[str | None, typer.Option(help="nats://…; or TIMIM_BUS.")] = None,
) -> None:
    """Check what a server would stand on, by the settings it would have. Exit status 1: it is not fit to serve."""
    try:
        from ..server.settings import Settings
        from .doctor import demand, examine
    except ImportError as exc:
        raise typer.BadParameter(f"the server's parts are not installed ({exc.name}): pip install 'timim[server]'") from None

    async def work() -> None:
        given = {name: value for name, value in (("database", database), ("bus", bus)) if value is not None}
        findings = await examine(Settings(**given))  # type: ignore[arg-type]  # pydantic reads them
        for finding in findings:
            mark = {True: "[green]good[/green]", False: "[red]BAD [/red]", None: "[yellow]look[/yellow]"}[finding.good]
            out.print(f"{mark}  {finding.what}: {escape(finding.says)}", soft_wrap=True)
        demand(findings)

    _run(work())


def _greet(server: Any) -> None:
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
    file = data_dir / "app.json"
    if not file.exists():
        raise typer.BadParameter(f"there is no {file}: start the server here first")
    known = json.loads(file.read_text())
    try:
        print(sign_user(known["app_id"], known["secret_key"], user, expire_s=int(days * 86400)))
    except TimimError as exc:
        raise typer.BadParameter(str(exc)) from None


@app.command()
def send(
    peer: str,
    user: User,
    text: Annotated[str, typer.Argument(help="What to say; may be left out with a file.", show_default=False)] = "",
    file: Annotated[Path | None, typer.Option(help="Send this file; Ctrl-C takes it back.")] = None,
    image: Annotated[Path | None, typer.Option(help="Send this picture.")] = None,
    url: Url = URL,
    group: IsGroup = False,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: Kept = ":memory:",
) -> None:
    """Send TEXT, a file or a picture to PEER, and say where it stands."""
    elems: list[AnyElem | str] = [text] if text or not (file or image) else []
    elems += [ImageElem(path=image)] if image else []
    elems += [FileElem(path=file)] if file else []

    async def work() -> None:
        async with _client(url, user, sig, app_id, data_dir, kept) as client:
            conversation = client.group(peer) if group else client.c2c(peer)
            if file is None and image is None:
                message = await conversation.send(*elems)
            else:
                with ProgressBar((file or image or Path()).name) as bar:
                    message = await conversation.send(*elems, progress=_interruptible(bar))
            out.print(f"sent as {message.msg_id}, seq {message.seq}")

    _run(work())


@app.command()
def get(
    peer: str,
    user: User,
    to: Annotated[Path, typer.Option(help="The folder to put it into.", file_okay=False)] = Path(),
    seq: Annotated[int, typer.Option(help="The message; the newest that has content when not given.")] = 0,
    url: Url = URL,
    group: IsGroup = False,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: Kept = ":memory:",
) -> None:
    """Download the files, pictures, sounds and films of a message with PEER."""

    async def work() -> None:
        async with _client(url, user, sig, app_id, data_dir, kept) as client:
            conversation = client.group(peer) if group else client.c2c(peer)
            async for message in conversation.history(limit=LOOKED_THROUGH):
                found = list(content_of(message)) if seq in (0, message.seq) else []
                for content, name in found:
                    path = await asyncio.to_thread(_place, to, name)
                    with ProgressBar(path.name) as bar:
                        await content.download(path, progress=_interruptible(bar))
                    out.print(f"{escape(str(path))}  {content.size} bytes, of message {message.seq}", soft_wrap=True)
                if found:
                    return
            what = f"message {seq}" if seq else f"the last {LOOKED_THROUGH} messages"
            raise InvalidArgument(f"there is nothing to download in {what} with {peer!r}")

    _run(work())


def _place(folder: Path, name: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MediaError(f"cannot make the folder {folder}: {exc.strerror}") from exc
    return free_path(folder, name)


def _interruptible(bar: Progress) -> Progress:
    """The same bar; after Ctrl-C it ends the transfer, so that nothing of it is left on either side."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)  # a second one ends the program as it stands

    loop.add_signal_handler(signal.SIGINT, interrupt)

    def report(done: int, total: int) -> None:
        if interrupted.is_set():
            raise Cancelled("interrupted: nothing of it is left")
        bar(done, total)

    return report


@app.command()
def tail(
    user: User,
    url: Url = URL,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: Kept = ":memory:",
) -> None:
    """Print new messages as they come, until interrupted."""

    async def work() -> None:
        client = _client(url, user, sig, app_id, data_dir, kept)

        @client.on_new_message
        def show(messages: list[Message]) -> None:
            for message in messages:
                _print(message)

        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with client:
            out.print(f"[dim]{user} is online; Ctrl-C ends[/dim]")
            await stopping.wait()

    _run(work())


@app.command()
def history(
    peer: str,
    user: User,
    count: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    url: Url = URL,
    group: IsGroup = False,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: Kept = ":memory:",
) -> None:
    """Print the last COUNT messages with PEER, and what proves that none is missing."""

    async def work() -> None:
        async with _client(url, user, sig, app_id, data_dir, kept) as client:
            conversation = client.group(peer) if group else client.c2c(peer)
            page = await conversation.get_messages(count)
            for message in reversed(page):
                if message.status is not MessageStatus.DELETED:
                    _print(message)
            out.print(f"[dim]{escape(repr(page))}[/dim]")

    _run(work())


@app.command()
def gaps(
    user: User,
    url: Url = URL,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: KeptHere = "",
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the server what there is by now.")] = False,
) -> None:
    """Print what this device does not hold of each conversation."""

    async def work() -> None:
        client = _client(url, user, sig, app_id, data_dir, kept)
        await (client.open() if offline else client.login())
        try:
            table = Table("conversation", "held", "of", "not held", box=None, padding=(0, 2))
            missing = 0
            for conversation in client.conversations:
                known = await conversation.coverage()
                lacking = sum(gap.size for gap in known.gaps)
                missing += lacking
                held = sum(interval.size for interval in known.intervals)
                ranges = ", ".join(f"{gap.first}-{gap.last}" for gap in known.gaps) or "nothing"
                table.add_row(escape(str(conversation.key)), str(held), str(held + lacking), ranges)
            out.print(table)
            out.print(f"[dim]{missing} messages of {len(client.conversations)} conversations are not held[/dim]")
        finally:
            await client.close()

    _run(work())


@app.command()
def fill(
    user: User,
    peer: Annotated[str, typer.Argument(help="One conversation alone; all of the list unless given.")] = "",
    url: Url = URL,
    group: IsGroup = False,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: KeptHere = "",
) -> None:
    """Fetch the history that this device does not hold, of all conversations or of PEER."""

    async def work() -> None:
        async with _client(url, user, sig, app_id, data_dir, kept) as client:
            wanted = [client.group(peer) if group else client.c2c(peer)] if peer else list(client.conversations)
            fetched = 0
            with rich.progress.Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=out
            ) as bars:
                for conversation in wanted:
                    bar = bars.add_task(escape(str(conversation.key)), total=None)
                    before = await conversation.coverage()
                    known = await conversation.fill(
                        lambda done, total, bar=bar: bars.update(bar, completed=done, total=total)  # type: ignore[misc]
                    )
                    fetched += sum(i.size for i in known.intervals) - sum(i.size for i in before.intervals)
                    bars.update(bar, total=max(1, bars.tasks[bar].total or 1), completed=max(1, bars.tasks[bar].total or 1))
            out.print(f"fetched {fetched} messages of {len(wanted)} conversations; nothing is missing")

    _run(work())


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="All have to be in a message; invo* is every word that begins so.")],
    user: User,
    peer: Annotated[str, typer.Option("--in", help="In this conversation; in all that are held unless given.")] = "",
    sender: Annotated[str, typer.Option("--from", help="Of this sender only.")] = "",
    count: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    fill: Annotated[bool, typer.Option("--fill/--held", help="Fetch first what is not held, or search what is.")] = True,
    url: Url = URL,
    group: IsGroup = False,
    sig: Sig = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    kept: KeptHere = "",
) -> None:
    """Print the newest messages that hold WORDS, and what was not looked through."""

    async def work() -> None:
        async with _client(url, user, sig, app_id, data_dir, kept) as client:
            place = client if not peer else client.group(peer) if group else client.c2c(peer)
            found = await place.search(" ".join(words), sender=sender or None, count=count, fill=fill)
            for message in reversed(found):
                _print(message)
            out.print(f"[dim]{escape(repr(found))}[/dim]")

    _run(work())


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option(help="Where the pictures go; a new folder unless given.")] = None,
) -> None:
    """Two people and a group exchange every kind of message over a real server, with a crash in between."""
    from .demo import tell

    _run(tell(folder))


def _print(message: Message) -> None:
    where = "" if message.conversation is None or message.conversation.type != 2 else f" [{message.conversation.peer}]"
    body = message.text or " ".join(elem.push_text or type(elem).__name__ for elem in message)
    out.print(f"[bold]{escape(message.sender)}[/bold]{escape(where)}: {escape(body)}", soft_wrap=True)
