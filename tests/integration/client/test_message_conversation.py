"""`message.conversation` is a conversation that one can send to, for every message of a client."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator

import pytest

from tests.support.waiting import newest_message
from timim import (
    ClientEvent,
    ConversationType,
    FileElem,
    InvalidArgument,
    MergerElem,
    Message,
    MessageFailed,
    NotLoggedIn,
    TextElem,
    UnknownUser,
)
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


async def test_a_handler_answers_in_the_conversation_of_the_message(server: RunningServer) -> None:
    bob = server.client("bob")

    @bob.on_new_message
    async def answer(messages: list[Message]) -> None:
        for message in messages:
            if message.text.startswith("ask"):
                await message.conversation.send(f"answer to {message.text}")

    async with server.client("alice") as alice, bob:
        group = await alice.groups.create("Public", name="team", members=["bob"])
        for conversation in (alice.c2c("bob"), group.conversation):
            async with conversation.expect(lambda m: not m.is_self and "answer" in m.text, timeout=10) as got:
                sent = await conversation.send("ask")
            answered = await got
            assert answered.text == "answer to ask"
            assert answered.conversation is sent.conversation is conversation
            assert answered.conversation is alice.conversation(*conversation.key)


async def test_every_way_to_a_message_leads_to_its_conversation(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = EventRecorder(bob)
        to_bob, to_alice = alice.c2c("bob"), bob.c2c("alice")
        sent = await to_bob.send("hello")
        online = await to_bob.send_online("only now")
        await to_bob.forward([sent], title="t")
        got = await heard.wait_for_messages(3)
        own = [sent, online, to_bob.last_message, *await to_bob.get_messages(5), *await to_bob.search("hello")]
        assert all(message is not None and message.conversation is to_bob for message in own)
        others = [*got, to_alice.last_message, *await to_alice.get_messages(5), *await to_alice.get_local_messages(5)]
        assert all(message is not None and message.conversation is to_alice for message in others)
        (merger,) = (elem for message in got for elem in message if isinstance(elem, MergerElem))
        (inner,) = await merger.messages()
        assert isinstance(inner, Message)
        assert inner.key is None
        with pytest.raises(InvalidArgument, match="merger"):
            _ = inner.conversation


async def test_a_message_has_its_conversation_from_the_call_of_send_on(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        failures: list[ClientEvent] = []
        alice.on(MessageFailed)(failures.append)
        message = Message("hello")
        assert message.key is None
        with pytest.raises(InvalidArgument, match="send it first"):
            _ = message.conversation
        sending = asyncio.create_task(alice.c2c("bob").send(message))
        await asyncio.sleep(0)
        assert message.status == 1
        assert message.conversation is alice.c2c("bob")
        with pytest.raises(UnknownUser):
            await sending
        assert message.status == 3
        assert message.conversation is alice.c2c("bob")


async def test_the_conversation_of_a_closed_client_answers_and_does_not_send(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob"):
        message = await alice.c2c("bob").send("hello")
    assert message.conversation is alice.c2c("bob")
    assert message.conversation.type is ConversationType.C2C
    with pytest.raises(NotLoggedIn):
        await message.conversation.send("too late")


@pytest.mark.parametrize("looked_at", [False, True], ids=["undecoded", "decoded"])
async def test_a_copy_keeps_the_content_and_belongs_to_no_client(server: RunningServer, looked_at: bool) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        await alice.c2c("bob").send("hello")
        message = await newest_message(bob.c2c("alice"))
        if looked_at:
            assert message.elems == (TextElem(text="hello"),)
        for other in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
            assert (other.text, other.key, other.seq, other.msg_id) == ("hello", message.key, 1, message.msg_id)
            with pytest.raises(InvalidArgument, match="not a copy"):
                _ = other.conversation
            with pytest.raises(InvalidArgument, match="not a copy"):
                await other.remove()
        assert message.conversation is bob.c2c("alice")


async def test_a_pickled_message_has_no_credentials_of_the_client(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        await alice.c2c("bob").send(FileElem(data=b"secret", filename="f"))
        message = await newest_message(bob.c2c("alice"))
        assert isinstance(message[0], FileElem)
        assert await message[0].read() == b"secret"
        (other,) = pickle.loads(pickle.dumps(message))
        assert isinstance(other, FileElem)
        assert other.uuid == message[0].uuid
