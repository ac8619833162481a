"""Screens of the terminal chat at 80×24, compared with stored ones; and the chat without a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.chat_driver import chat
from tests.support.paths import MEDIA
from timim import (
    ALL,
    CustomElem,
    FaceElem,
    FileElem,
    ImageElem,
    KickedOffline,
    LocationElem,
    Message,
    Page,
    SoundElem,
)
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCREENS = Path(__file__).parent / "screens"
LINES = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    """Start a server on which a device loses its login to another one of its platform."""
    async with running_server(devices="platform") as running:
        await running.add_users("alice")
        yield running


async def test_the_list_of_conversations(server: RunningServer) -> None:
    async with server.client("bob") as bob, server.client("carol") as carol, server.client("alice") as alice:
        team = await carol.groups.create("Public", name="team", id="team-1", members=["alice"])
        server.clock.jump(60)  # conversations are in the order of seconds
        await team.conversation.send("hello @all", mention=[ALL])
        server.clock.jump(60)
        await bob.c2c("alice").send("first")
        await bob.c2c("alice").send("a long message that does not fit in the list")
        await carol.c2c("alice").send("from carol")
        await alice.c2c("carol").get_messages()
        await alice.c2c("carol").mark_read()
        await alice.c2c("carol").set_muted(True)
        await alice.c2c("carol").set_draft("not yet")
        await alice.c2c("carol").set_pinned(True)
    async with chat(server.client("alice", platform="web")) as screen:
        await screen.sees("online", "bob (2)", "@", "draft: not yet", "notices (1)", "4 unread")
        await screen.sees_no("carol (1)")
        await screen.shows(SCREENS / "list.txt")


async def test_a_conversation_with_messages_of_all_kinds(server: RunningServer) -> None:
    async with server.client("bea") as bea, server.client("anna") as anna:
        to_anna, to_bea = bea.c2c("anna"), anna.c2c("bea")
        first = await to_anna.send("Hello, have you seen the rocket?\nThe second line is here.")
        await to_bea.send("你好，世界 👋")
        await to_anna.send(ImageElem(path=MEDIA / "rocket.jpg"))
        await to_anna.send("the report", FileElem(data=b"x" * 4096, filename="report [v2].pdf"))
        await to_anna.send(SoundElem(data=b"no known format", duration=2))
        await to_anna.send(FaceElem(index=3), LocationElem(desc="Beijing", latitude=39.9, longitude=116.4))
        await to_anna.send(CustomElem(data=b"{}", desc="an order"))
        await to_anna.forward([first], title="Old messages")
        await (await to_anna.send("a mistake")).recall()
        await (await to_anna.send("edited wrnog")).edit("edited right")
        await to_bea.send("I have!", reply_to=find(await to_bea.get_messages(20), "Hello"))
        await to_anna.mark_read()
        await find(await to_anna.get_messages(20), "I have!").react("👍")
        await to_bea.send("not seen by bea yet")
    client = server.client("anna", platform="web")
    async with chat(client, client.c2c("bea").key) as screen:
        await screen.sees("online", "beginning of the conversation", "not seen by bea", "✓✓", "👍 bea")
        await screen.sees_no("unread")
        await screen.shows(SCREENS / "kinds.txt")
        await screen.press("f1")
        await screen.sees("Signs")
        await screen.shows(SCREENS / "help.txt")
        await screen.press("escape")
        await screen.press("ctrl+f")
        await screen.type("rocket", "enter")
        await screen.sees("found; all messages were searched")
        await screen.shows(SCREENS / "search.txt")


def find(page: Page, text: str) -> Message:
    """Return the message of a page that contains a text."""
    return next(message for message in page if text in message.text)


async def store_with_a_gap(server: RunningServer, folder: Path) -> None:
    """Store the second, third and last of 40 messages on a new device of dora, who has read them all."""
    await server.add_users("dora")
    async with server.client("bob") as bob, server.client("dora") as read:
        for number in range(1, LINES + 1):
            await bob.c2c("dora").send(f"number {number}")
        page = await read.c2c("bob").get_messages(LINES)
        await read.c2c("bob").mark_read()
        async with server.client("dora", data_dir=folder) as device:
            await device.c2c("bob").get_messages(2, after=page[-1])


async def test_without_a_connection_the_chat_shows_what_this_device_has(tmp_path: Path) -> None:
    async with running_server() as server:
        await store_with_a_gap(server, tmp_path)
        await start_without_a_connection(server, tmp_path)


async def start_without_a_connection(server: RunningServer, folder: Path) -> None:
    await server.crash()
    client = server.client("dora", data_dir=folder)
    async with chat(client, client.c2c("bob").key) as screen:
        await screen.sees("connecting… · ", "number 40")
        assert "beginning" not in screen.text
        await screen.shows(SCREENS / "offline.txt")
        await screen.type("written offline", "enter")
        await screen.sees(" …  dora: written offline")
        await server.start()
        await screen.sees(" ✓  dora: written offline", "online")
        await screen.go("messages", "up")
        await screen.press("home")
        await screen.sees("beginning of the conversation", "number 1")
        await screen.sees_no("┄")
        await server.crash()
        await screen.sees("connection lost, reconnecting…")
        await server.start()
        await screen.sees("dora · online")


async def test_another_login_ends_the_chat_with_its_reason(server: RunningServer) -> None:
    async with chat(server.client("erin")) as screen:
        await screen.sees("online")
        async with server.client("erin"):
            await screen.until(lambda: screen.app.return_value is not None)
        assert isinstance(screen.app.return_value, KickedOffline)
