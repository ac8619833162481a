"""Tests of the slots for storing messages, shared by clients of one program: a slow server holds up only its own clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from timim.engine.ingest_slot import SLOTS, IngestSlot
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


async def _fetch_from_a_stalled_server(server: RunningServer, stack: AsyncExitStack) -> EventRecorder:
    """Let one client for each slot wait for the server. Return a recorder of one more client, to which a message is sent."""
    alice = await stack.enter_async_context(server.client("alice"))
    quick = server.client("quick")
    recorder = EventRecorder(quick)
    await stack.enter_async_context(quick)
    for n in range(SLOTS):
        slow = await stack.enter_async_context(server.client(f"slow{n}", timeout=60))
        lost = asyncio.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slow.engine.inbox, "push", lambda pushed, lost=lost: [*pushed] and lost.set())
            await alice.c2c(slow.user_id).send("lost on the way")
            await lost.wait()
        stall = server.faults.stall(user=slow.user_id, direction="up")
        await alice.c2c(slow.user_id).send("shows the gap")
        await stall.happened()  # the request for the missing message
        stack.callback(stall.release)
    await alice.c2c("quick").send("hello")
    return recorder


async def test_clients_that_wait_for_the_server_hold_no_slot(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        recorder = await _fetch_from_a_stalled_server(server, stack)
        assert [message.text for message in await recorder.wait_for_messages(1)] == ["hello"]


async def test_keeping_the_slot_during_a_fetch_is_detected(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        with monkeypatch.context() as mutant:
            mutant.setattr(IngestSlot, "release", lambda self: None)
            recorder = await _fetch_from_a_stalled_server(server, stack)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(recorder.wait_for_messages(1), 1)
