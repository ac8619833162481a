"""Tests of R9: a call may be cancelled at any moment and leaves nothing behind; a message is stored once or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pyleak import no_task_leaks

from timim import Client, Message, MessageStatus
from timim.engine.outbox import Outbox
from timim.ids import ConversationKey
from timim.testing import EventRecorder, LocalServer, local_server


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with local_server(hello_interval_s=2) as running:
        yield running


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "get_messages": lambda client: client.c2c("bob").get_messages(30),
    "mark_read": lambda client: client.c2c("bob").mark_read(),
    "logout": lambda client: client.logout(),
    "login": lambda client: client.login(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.requirement("R9")
async def test_a_call_cancelled_at_any_moment_leaves_nothing_behind(server: LocalServer, tmp_path: Path, call: str) -> None:
    """Test that the client works after each cancellation as if the call had not been made."""
    async with server.client("bob") as bob, server.client("alice"):
        for i in range(30):
            await bob.c2c("alice").send(str(i))
        async with no_task_leaks(action="raise"):
            alice = server.client("alice", data_dir=tmp_path, recent_contacts=False)
            watch = EventRecorder(alice)
            await alice.login()
            for steps in range(0, 120, 3):
                if call == "login":
                    await alice.logout()
                elif call == "get_messages":
                    (message,) = await alice.c2c("bob").get_messages(1)
                    await message.delete_from_storage()  # so that there is a gap to fetch
                await cancelled(CALLS[call](alice), steps)
                if call in ("login", "logout"):
                    await alice.logout()
                    await alice.login()
                page = await alice.c2c("bob").get_messages(1000)
                assert [m.seq for m in page] == list(range(30 + len(watch.messages), 0, -1))[-len(page) :]
                assert page.complete
            await bob.c2c("alice").send("still there")
            await watch.wait_for_message(lambda m: m.text == "still there")
            await alice.c2c("bob").mark_read()
            await alice.close()


async def cancelled(work: Awaitable[object], steps: int) -> None:
    """Cancel an awaitable after `steps` turns of the event loop, and wait for its end."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def sends_cancelled_everywhere(server: LocalServer, folder: Path) -> None:
    """Cancel sends after 0 to 59 turns of the loop; check that each message is stored at most once, as its status says."""
    await server.add_users("bob")
    messages: list[Message] = []
    async with no_task_leaks(action="raise"):
        async with server.client("alice", data_dir=folder) as alice:
            for steps in range(60):
                messages.append(Message(f"{steps}"))
                await cancelled(alice.c2c("bob").send(messages[-1]), steps)
            await alice.c2c("bob").send("last")
    async with server.client("bob") as bob:
        stored = [m.text async for m in bob.c2c("alice").history(oldest_first=True)]
    succeeded = [m.text for m in messages if m.status is MessageStatus.SUCCEEDED]
    assert stored == [*succeeded, "last"]
    assert len(set(stored)) == len(stored)
    assert all(m.status in (MessageStatus.SUCCEEDED, MessageStatus.FAILED, None) for m in messages)


@pytest.mark.requirement("R9")
async def test_a_send_cancelled_at_any_moment_is_stored_once_or_never(server: LocalServer, tmp_path: Path) -> None:
    await sends_cancelled_everywhere(server, tmp_path)


@pytest.mark.requirement("R9")
async def test_a_client_that_resends_a_cancelled_message_is_detected(server: LocalServer, tmp_path: Path) -> None:
    send = Outbox.send

    async def again(self: Outbox, key: ConversationKey, message: Message, **options: Any) -> Message:
        try:
            return await send(self, key, message, **options)
        except asyncio.CancelledError:
            return await send(self, key, Message(message.text), **options)

    with patch.object(Outbox, "send", again), pytest.raises((AssertionError, BaseExceptionGroup)):
        await sends_cancelled_everywhere(server, tmp_path)
