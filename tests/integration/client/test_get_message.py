"""`client.get_message`: a stored message is found by its ids, and an id that names several messages is no guess."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from timim import Client, InvalidArgument, Message, MessageStatus, NotLoggedIn
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("alice", "bob", "carol")
        yield running


async def test_a_message_is_found_by_both_ids_on_both_sides_and_is_the_same_object(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = EventRecorder(bob)
        await alice.c2c("carol").send("another")
        sent = await alice.c2c("bob").send("hello")
        got = await heard.wait_for_message()
        for client, message in ((alice, sent), (bob, got)):
            assert await client.get_message(msg_id=sent.msg_id) is message
            assert await client.get_message(unique_id=sent.unique_id) is message
            assert await client.get_message(msg_id=sent.msg_id, conversation=message.conversation) is message
            assert await client.get_message(unique_id=sent.unique_id, conversation=message.conversation) is message
        elsewhere = alice.c2c("carol")
        assert await alice.get_message(msg_id=sent.msg_id, conversation=elsewhere) is None
        assert await alice.get_message(unique_id=sent.unique_id, conversation=elsewhere) is None


async def test_an_unknown_id_gives_none(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("carol") as carol:
        sent = await alice.c2c("bob").send("hello")
        for unique_id in (sent.unique_id + 1, sent.unique_id + (1 << 32), 1, 2**64 - 1):
            assert await alice.get_message(unique_id=unique_id) is None
        assert await alice.get_message(msg_id="1-2") is None
        assert await carol.get_message(msg_id=sent.msg_id) is None  # not stored on her device
        await sent.delete_from_storage()
        assert await alice.get_message(msg_id=sent.msg_id) is None


async def test_unsent_and_deleted_messages_are_found_after_a_restart_without_a_connection(
    server: RunningServer, tmp_path: Path
) -> None:
    waiting = Message("waits")
    async with server.client("alice", data_dir=tmp_path) as alice:
        removed = await alice.c2c("bob").send("removed")
        await removed.remove()
    offline = server.client("alice", data_dir=tmp_path)
    await offline.open()
    sending = asyncio.create_task(offline.c2c("bob").send(waiting))
    await asyncio.sleep(0)
    await offline.c2c("bob").set_draft("a write after that of the message")
    sending.cancel()
    await offline.close()
    later = server.client("alice", data_dir=tmp_path)
    await later.open()
    try:
        found = await later.get_message(unique_id=removed.unique_id)
        assert found is not None
        assert (found.text, found.status) == ("removed", MessageStatus.DELETED)
        unsent = await later.get_message(msg_id=waiting.msg_id)
        assert unsent is not None
        assert (unsent.text, unsent.status, unsent.unique_id) == ("waits", MessageStatus.SENDING, 0)
    finally:
        await later.close()


async def groups_with_equal_tips(alice: Client) -> tuple[Message, Message]:
    """Return the first tips of two groups: the same seq, and the msg_id of all messages of the server."""
    tips: list[Message] = []
    for name in ("one", "two"):
        group = await alice.groups.create("Public", name=name)
        await group.invite("bob")
        tips += await group.conversation.get_messages(1)
    first, second = tips
    assert (first.seq, first.msg_id) == (second.seq, second.msg_id)
    return first, second


async def test_an_id_of_several_messages_is_an_error_that_says_how_to_choose(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        tips = await groups_with_equal_tips(alice)
        with pytest.raises(InvalidArgument, match=r"several messages have the id \d+, in .+ and group:.+; give conversation="):
            await alice.get_message(unique_id=tips[0].unique_id)
        for tip in tips:
            assert await alice.get_message(unique_id=tip.unique_id, conversation=tip.conversation) is tip
        with pytest.raises(InvalidArgument, match="msg_id: 0-0 is that of each message of the server; give unique_id="):
            await alice.get_message(msg_id="0-0")


async def test_wrong_ids_are_refused_by_name(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        with pytest.raises(InvalidArgument, match=r"give either msg_id= or unique_id="):
            await alice.get_message()
        with pytest.raises(InvalidArgument, match=r"give either msg_id= or unique_id="):
            await alice.get_message(msg_id="1-2", unique_id=3)
        with pytest.raises(InvalidArgument, match=r"msg_id: must be a msg_id such as message\.msg_id, not 'seven'"):
            await alice.get_message(msg_id="seven")
        with pytest.raises(InvalidArgument, match="unique_id"):
            await alice.get_message(unique_id=0)
    with pytest.raises(NotLoggedIn):
        await alice.get_message(unique_id=1)
