"""The order of the conversation list within one second: by the arrival of the last message, also after a restart."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from timim import Message, Page
from timim.local_store import timeline_state
from timim.local_store.types import LastPosition, ListedConversation
from timim.testing import EventRecorder, LocalServer, WallClock, local_server


class Stopped(WallClock):
    """A clock that stands still: everything happens in one second."""

    def __init__(self) -> None:
        super().__init__()
        self.at = time.time()

    def now(self) -> float:
        return self.at


async def orders(server: LocalServer, folder: Path) -> list[list[str]]:
    """Return the list before, during and after a pin, after a deletion, and after restarts."""
    seen: list[list[str]] = []
    await server.add_users(*"eadbcf")
    me = server.client("me", data_dir=folder)

    def look() -> None:
        seen.append([c.peer for c in me.conversations])

    async with me, server.client("f") as friend:
        watch = EventRecorder(me)
        for peer in "eadbc":
            await me.c2c(peer).send("x")
        await friend.c2c("me").send("hello")
        await watch.wait_for_message()
        look()
        await me.c2c("d").set_pinned(True)
        look()
        await me.c2c("d").set_pinned(False)
        look()
    me = server.client("me", data_dir=folder)
    await me.open()
    look()
    waiting = Message("waits for the network")
    sending = asyncio.create_task(me.c2c("a").send(waiting))
    while not waiting.local_id:  # noqa: ASYNC110
        await asyncio.sleep(0)
    look()
    await me.close()
    await asyncio.gather(sending, return_exceptions=True)
    me = server.client("me", data_dir=folder)
    await me.open()
    look()
    await waiting_of(await me.c2c("a").get_local_messages()).delete_from_storage()
    look()
    await me.close()
    me = server.client("me", data_dir=folder)
    await me.open()
    look()
    await me.close()
    return seen


def waiting_of(messages: Page) -> Message:
    return messages[0]


ARRIVED = [*"fcbdae"]
RIGHT = [ARRIVED, [*"dfcbae"], ARRIVED, ARRIVED, [*"afcbde"], [*"afcbde"], ARRIVED, ARRIVED]


@pytest.mark.requirement("F27")
async def test_the_order_within_a_second_survives_pins_deletions_and_restarts(tmp_path: Path) -> None:
    async with local_server(Stopped()) as server:
        assert await orders(server, tmp_path) == RIGHT


@pytest.mark.requirement("F27")
async def test_a_store_that_forgets_the_order_within_a_second_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = timeline_state.listed

    def without_rows(connection: sqlite3.Connection) -> list[ListedConversation]:
        return [one._replace(last=LastPosition(one.last.time, 0)) for one in listed(connection)]

    monkeypatch.setattr(timeline_state, "listed", without_rows)
    async with local_server(Stopped()) as server:
        assert await orders(server, tmp_path) != RIGHT
