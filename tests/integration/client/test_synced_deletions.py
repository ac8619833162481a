"""Deletions on all devices of an account: online, offline and new devices converge, and other users keep everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from timim import (
    Client,
    HistoryCleared,
    InvalidArgument,
    JoinOption,
    MessageStatus,
    NotAMember,
    NotLoggedIn,
    UnknownGroup,
)
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("ann", "bob")
        yield running


async def texts(client: Client, peer: str = "bob") -> list[str]:
    """Return the history of a conversation, and check that the device has a proof of it."""
    conversation = client.c2c(peer)
    found = [message.text async for message in conversation.history(oldest_first=True)]
    assert (await conversation.get_messages(20)).complete
    return found


async def say(server: RunningServer, *words: str) -> None:
    async with server.client("bob") as bob:
        for word in words:
            await bob.c2c("ann").send(word)


async def test_a_history_is_cleared_on_all_devices_of_one_account(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("ann", data_dir=tmp_path / "late") as late:
        await say(server, "one", "two")
        await eventually(lambda: late.c2c("bob").unread == 2)
    async with server.client("ann") as phone, server.client("ann") as desk:
        heard, own = EventRecorder(desk, HistoryCleared), EventRecorder(phone, HistoryCleared)
        held = (await desk.c2c("bob").get_messages(1))[0]
        await phone.conversations.clear_history(phone.c2c("bob"))
        assert await heard.wait_for_event(HistoryCleared) == HistoryCleared(desk.c2c("bob").key, 2)
        assert held.status is MessageStatus.DELETED
        for client in (phone, desk):
            conversation = client.c2c("bob")
            assert (await texts(client), conversation.unread, conversation.last_message) == ([], 0, None)
            assert conversation in client.conversations
            assert list(await client.search("one")) == []
        assert own.events == []
        async with server.client("bob") as bob:
            await bob.c2c("ann").send("three")
            assert await texts(bob, "ann") == ["one", "two", "three"]
        await eventually(lambda: desk.c2c("bob").unread == 1)
        assert await texts(desk) == ["three"]
    late = server.client("ann", data_dir=tmp_path / "late")
    missed = EventRecorder(late, HistoryCleared)
    async with late, server.client("ann") as new:
        assert await missed.wait_for_event(HistoryCleared) == HistoryCleared(late.c2c("bob").key, 2)
        assert [m.text for m in await late.c2c("bob").get_local_messages(20)] == ["three"]
        for client in (late, new):
            assert (await texts(client), client.c2c("bob").unread) == (["three"], 1)


async def test_a_group_is_cleared_for_one_member_who_leaves_and_joins_again(server: RunningServer) -> None:
    async with server.client("bob") as bob, server.client("ann") as ann:
        group = await bob.groups.create("Public", name="team", members=["ann"], join_option=JoinOption.FREE)
        await group.conversation.send("one")
        await eventually(lambda: ann.group(group.id).last_message is not None)
        await ann.conversations.clear_history(ann.group(group.id))
        assert [m.text async for m in ann.group(group.id).history()] == []
        assert "one" in [m.text async for m in bob.group(group.id).history()]
        await ann.groups.of(group.id).quit()
        with pytest.raises(NotAMember):
            await ann.conversations.clear_history(ann.group(group.id))
        await ann.groups.join(group.id)
        await group.conversation.send("two")
        async with server.client("ann") as new:
            assert "one" not in [m.text async for m in new.group(group.id).history()]


async def test_a_clearing_survives_a_kill_of_the_server_and_of_the_device(server: RunningServer, tmp_path: Path) -> None:
    await say(server, "one")
    async with server.client("ann", data_dir=tmp_path / "late") as late:
        assert await texts(late) == ["one"]
    async with server.client("ann") as ann:
        await ann.conversations.clear_history(ann.c2c("bob"))
    await server.crash()
    await server.start()
    for folder in (tmp_path / "late", tmp_path / "late", None):
        async with server.client("ann", data_dir=folder or ":memory:") as again:
            assert await texts(again) == []


async def test_what_cannot_be_cleared_is_refused(server: RunningServer) -> None:
    async with server.client("ann") as ann:
        with pytest.raises(InvalidArgument):
            await ann.conversations.clear_history(ann.system())
        with pytest.raises(UnknownGroup):
            await ann.conversations.clear_history(ann.group("TGIDnone"))
    with pytest.raises(NotLoggedIn):
        await ann.conversations.clear_history(ann.c2c("bob"))
