"""The command `timim demo`: a tour of the main functions on real files, with sizes, seqs and timings."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from timim import (
    Client,
    CustomElem,
    FaceElem,
    FileElem,
    GroupNoticeElem,
    ImageElem,
    ImageType,
    LocationElem,
    Message,
    MessageStatus,
    SoundElem,
    VideoElem,
)

from ..testing import RunningServer, running_server
from .console import out
from .demo_media import DemoMedia, make_media

WAIT_S = 15.0


@asynccontextmanager
async def step(title: str) -> AsyncIterator[None]:
    """Print a step's title, and the time that the step took."""
    out.print(f"\n[bold cyan]{title}[/bold cyan]")
    began = time.perf_counter()
    yield
    out.print(f"  [dim]{(time.perf_counter() - began) * 1000:.0f} ms[/dim]")


async def run_demo(folder: Path | None) -> None:
    """Run the demo.

    Args:
        folder: Destination of the pictures; a new temporary folder by default.

    Raises:
        AssertionError: A result was not as expected.
    """
    began = time.perf_counter()
    pictures = await asyncio.to_thread(_existing_folder, folder)
    data = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="timim-demo-data-"))
    try:
        media = await asyncio.to_thread(make_media, data)
        async with running_server(data_dir=data / "server") as server:
            out.print(f"[bold]timim[/bold] server on {server.url}, process {server.pid}")
            await _story(server, data, media, pictures)
    finally:
        await asyncio.to_thread(shutil.rmtree, data)
    out.print(f"\n[bold green]done[/bold green] in {time.perf_counter() - began:.1f} s; pictures in {escape(str(pictures))}")


def _existing_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="timim-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _story(server: RunningServer, data: Path, media: DemoMedia, pictures: Path) -> None:
    arrived: asyncio.Queue[Message] = asyncio.Queue()
    alice = server.client("alice", data_dir=data / "alice")
    bob = server.client("bob", data_dir=data / "bob")
    carol = server.client("carol", data_dir=data / "carol")

    @bob.on_new_message
    def bob_hears(messages: list[Message]) -> None:
        for message in messages:
            arrived.put_nowait(message)

    async with alice, bob, carol:
        await _talk(alice, arrived, media, pictures)
        await _group(alice, bob, carol, arrived)
        async with step("The server is killed (kill -9) and started again"):
            await server.crash()
            late = asyncio.create_task(alice.c2c("bob").send("written while the server was down"))
            await server.restart()
            sent = await late
            got = await _next(arrived)
            _expect(got.text == sent.text and got.seq == sent.seq, "the message came after the restart")
            out.print(f"  sent during the outage, delivered once as seq {got.seq}; nothing was lost")
        async with step("History from the local store and from the server"):
            await _history(alice, bob)


async def _talk(alice: Client, arrived: asyncio.Queue[Message], media: DemoMedia, pictures: Path) -> None:
    to_bob = alice.c2c("bob")
    async with step("Alice writes to Bob: every kind of content"):
        await _exchange(arrived, await to_bob.send("hello Bob, 你好"), "text")
        await _exchange(arrived, await to_bob.send(FaceElem(index=10, data=b"smile\x00\xff")), "face")
        await _exchange(arrived, await to_bob.send(CustomElem(data=b"\x00\x01order", desc="an order")), "custom")
        place = LocationElem(desc="Shenzhen", latitude=22.54, longitude=114.06)
        await _exchange(arrived, await to_bob.send(place), "location")
        sound = await _exchange(arrived, await to_bob.send(SoundElem(path=media.sound, duration=media.sound_s)), "sound")
        assert isinstance(sound[0], SoundElem)
        _expect(await sound[0].read() == await asyncio.to_thread(media.sound.read_bytes), "the sound is byte for byte the same")
        file = await _exchange(arrived, await to_bob.send(FileElem(path=media.report, filename="报告.wav")), "file")
        assert isinstance(file[0], FileElem)
        await file[0].download(pictures / "report.wav")
        film = VideoElem(data=b"\x00\x00\x00\x18ftypmp42 not really a film", duration=2, snapshot=media.film_frame)
        await _exchange(arrived, await to_bob.send(film), "video")
        mixed = Message("look", ImageElem(path=media.photo), "and", ImageElem(path=media.drawing))
        image = await _exchange(arrived, await to_bob.send(mixed), "two pictures in one message")
    async with step("Bob downloads the three sizes of each picture"):
        await _download(image, media.photo, pictures)
    async with step("An online message: no seq, no row"):
        online = await to_bob.send_online("typing…")
        heard = await _next(arrived)
        _expect(heard.text == "typing…" and heard.seq == 0 and online.seq == 0, "it has no seq")
        out.print("  delivered to Bob's connected device, not stored")


async def _download(message: Message, original: Path, pictures: Path) -> None:
    table = Table("picture", "size", "pixels", "bytes", "file", box=None, padding=(0, 2))
    for number, elem in enumerate(e for e in message if isinstance(e, ImageElem)):
        for kind in (ImageType.ORIGINAL, ImageType.LARGE, ImageType.THUMB):
            variant = elem.images[kind]
            suffix = "jpg" if elem.image_format == 1 else "png"
            path = await variant.download(pictures / f"{number}-{kind.name.lower()}.{suffix}")
            _expect((await asyncio.to_thread(path.stat)).st_size == variant.size, "the size was known before the download")
            pixels = f"{variant.width}x{variant.height}"
            table.add_row(str(number), kind.name.lower(), pixels, f"{variant.size:,}", path.name)
    out.print(table)
    first = next(e for e in message if isinstance(e, ImageElem))
    _expect(
        await first.images[ImageType.ORIGINAL].read() == await asyncio.to_thread(original.read_bytes),
        "the original is untouched",
    )


async def _group(alice: Client, bob: Client, carol: Client, arrived: asyncio.Queue[Message]) -> None:
    async with step("A group of three, with a red packet"):
        group = await alice.groups.create("Public", name="team", members=["bob", "carol"])
        invitation = await _next(arrived)
        _expect(isinstance(invitation[0], GroupNoticeElem), "Bob hears that he was invited")
        sent = await group.conversation.send("welcome, everybody")
        await _exchange(arrived, sent, f"group {group.id}")
        packet = await carol.group(group.id).send_red_packet(CustomElem(data=b'{"yuan": 8}', desc="red packet"))
        got = await _exchange(arrived, packet, "red packet (High)")
        _expect(got.priority.value == "High", "its priority is High")


async def _history(alice: Client, bob: Client) -> None:
    local = await bob.c2c("alice").get_local_messages(5)
    out.print(f"  Bob, no network:  {escape(repr(local))}")
    async with asyncio.timeout(WAIT_S):  # until Alice's sync after the restart has ended, her pages are fetched
        while (page := await alice.c2c("bob").get_messages(100)).requests:
            pass
    _expect(page.complete, "stored messages are not fetched")
    out.print(f"  Alice, stored:    {escape(repr(page))}")
    newest = page[0]
    await newest.delete_from_storage()
    again = await alice.c2c("bob").get_messages(100)
    _expect(again.complete and again.requests == 1 and len(again) == len(page), "the gap was fetched")
    out.print(f"  Alice, one gap:   {escape(repr(again))}")
    coverage = await alice.c2c("bob").coverage()
    out.print(f"  stored: {coverage}")
    for message in list(reversed(page))[:4]:
        out.print(f"    {message.seq:>3}  {escape(message.sender)}: {escape(message.push_text)}")


async def _exchange(arrived: asyncio.Queue[Message], sent: Message, name: str) -> Message:
    """Return the received copy of `sent`, after checking that it is the same message."""
    got = await _next(arrived)
    _expect(sent.status is MessageStatus.SUCCEEDED and got.unique_id == sent.unique_id, f"{name} arrived")
    out.print(f"  {name:<28} seq {got.seq:>2}   msg_id {got.msg_id}")
    return got


async def _next(arrived: asyncio.Queue[Message]) -> Message:
    async with asyncio.timeout(WAIT_S):
        return await arrived.get()


def _expect(true: bool, promise: str) -> None:
    if not true:
        raise AssertionError(f"the demo failed; this is not true: {promise}")
