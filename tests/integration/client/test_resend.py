"""A message that failed is sent again under its own msg_id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import timim
from tests.support.waiting import newest_message
from timim import Client, FileElem, Message, MessageFailed, MessageStatus
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


async def failed_message(client: Client, *parts: str | FileElem) -> Message:
    """Return a message to bob that failed because bob has no account yet, and was reported."""
    message, events = Message(*parts), EventRecorder(client, MessageFailed)
    with pytest.raises(timim.UnknownUser):
        await client.c2c("bob").send(message)
    assert message.status is MessageStatus.FAILED
    event = await events.wait_for_event(MessageFailed)
    assert event.message is message
    assert isinstance(event.error, timim.UnknownUser)
    return message


async def test_a_message_that_failed_is_sent_again_under_its_msg_id(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        message = await failed_message(alice, "hello")
        name = message.msg_id
        with pytest.raises(timim.UnknownUser):
            await message.resend()
        assert message.status is MessageStatus.FAILED
        async with server.client("bob") as bob:
            heard = EventRecorder(bob)
            await alice.c2c("bob").send("another")
            assert await message.resend() is message
            assert (message.status, message.msg_id, message.seq) == (MessageStatus.SUCCEEDED, name, 2)
            assert [(m.text, m.msg_id) for m in await heard.wait_for_messages(2)][1] == ("hello", name)
            for client, peer in ((alice, "bob"), (bob, "alice")):
                page = await client.c2c(peer).get_messages(10)
                assert [(m.text, m.status) for m in page] == [
                    ("hello", MessageStatus.SUCCEEDED),
                    ("another", MessageStatus.SUCCEEDED),
                ]


async def test_a_message_that_failed_in_an_earlier_run_is_sent_after_the_next_login(
    server: RunningServer, tmp_path: Path
) -> None:
    async with server.client("alice", data_dir=tmp_path) as alice:
        name = (await failed_message(alice, "hello")).msg_id
    await server.add_users("bob")
    alice = server.client("alice", data_dir=tmp_path)
    await alice.open()
    (message,) = await alice.c2c("bob").get_local_messages()
    sending = asyncio.create_task(message.resend())
    while (await alice.c2c("bob").get_local_messages())[0].status is MessageStatus.FAILED:
        pass
    await alice.login()
    assert (await sending).seq == 1
    assert message.msg_id == name
    await alice.close()


@pytest.mark.parametrize("resend, error", [(True, timim.UnknownUser), (False, timim.NotLoggedIn)])
async def test_a_message_of_an_earlier_run_that_fails_is_reported(
    server: RunningServer, tmp_path: Path, resend: bool, error: type[timim.TimimError]
) -> None:
    alice = server.client("alice", data_dir=tmp_path)
    await alice.open()
    sending = asyncio.create_task(alice.c2c("bob").send("hello"))
    while not await alice.c2c("bob").get_local_messages():
        pass
    await alice.close()
    await asyncio.gather(sending, return_exceptions=True)
    again = server.client("alice", data_dir=tmp_path, resend=resend)
    events = EventRecorder(again, MessageFailed)
    async with again:
        event = await events.wait_for_event(MessageFailed)
        assert (event.message.text, event.message.status, type(event.error)) == ("hello", MessageStatus.FAILED, error)


async def test_a_cancelled_resend_sends_the_message_all_the_same(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        message = await failed_message(alice, "hello")
        async with server.client("bob") as bob:
            heard = EventRecorder(bob)
            resending = asyncio.create_task(message.resend())
            await asyncio.sleep(0)
            resending.cancel()
            assert (await heard.wait_for_messages(1))[0].msg_id == message.msg_id
            with pytest.raises(asyncio.CancelledError):
                await resending


async def test_content_that_was_uploaded_before_the_failure_is_sent_again(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        message = await failed_message(alice, FileElem(data=b"content", filename="a.txt"))
        async with server.client("bob") as bob:
            await message.resend()
            (elem,) = await newest_message(bob.c2c("alice"))
            assert isinstance(elem, FileElem)
            assert await elem.read() == b"content"


async def test_only_a_stored_message_that_failed_can_be_sent_again(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        message = await failed_message(alice, "hello")
        (same,) = await alice.c2c("bob").get_local_messages()
        deleted = await failed_message(alice, "deleted")
        await deleted.delete_from_storage()
        await server.add_users("bob")
        await message.resend()
        for wrong in (Message("never sent"), message, same, deleted):
            with pytest.raises(timim.InvalidArgument):
                await wrong.resend()
        assert [m.text for m in await alice.c2c("bob").get_messages()] == ["hello"]
