"""Messages over REST of which the sender's account gets no copy: `SyncOtherMachine` 2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.server.test_send_options import proxied_client
from tests.support.rest import RestClient, text
from tests.support.waiting import eventually
from timim import (
    Client,
    ConversationDeleted,
    ExtensionsChanged,
    MessageRecalled,
    MessagesDeleted,
    ReactionsChanged,
    UnknownMessage,
)
from timim.engine.message_extensions import ExtensionRequests
from timim.protocol import message_actions as action_wire
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
SEND, BATCH, HISTORY, RECALL = (
    f"openim/{name}" for name in ("sendmsg", "batchsendmsg", "admin_getroammsg", "admin_msgwithdraw")
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


def unsynced(sender: str, to: Any, content: str, **fields: Any) -> dict[str, Any]:
    return {
        "SyncOtherMachine": 2,
        "From_Account": sender,
        "To_Account": to,
        "MsgRandom": 7,
        "MsgBody": text(content),
        **fields,
    }


async def history(client: Client, peer: str) -> list[str]:
    """Return the texts of a conversation, which the device must prove to be complete."""
    found = [message.text async for message in client.c2c(peer).history(oldest_first=True)]
    assert (await client.c2c(peer).get_messages(50)).complete
    assert (await client.c2c(peer).coverage()).complete
    return found


async def check_sender_sees_nothing(server: RunningServer, folder: Path, sender: str, receiver: str) -> None:
    """Check the devices of a sender, online, offline and new ones, and those of the receiver, who gets each message."""
    await server.add_users(sender, receiver)
    async with server.client(sender, data_dir=folder / "late"):
        pass
    async with (
        RestClient(server) as rest,
        proxied_client(server, sender) as (desk, pushes),
        server.client(receiver) as peer,
    ):
        shown = (ReactionsChanged, MessageRecalled, MessagesDeleted, ConversationDeleted)
        heard, arrived = EventRecorder(desk, *shown), EventRecorder(peer)
        first = unsynced(sender, receiver, "secret one")
        key = (await rest.done(SEND, first))["MsgKey"]
        assert (await rest.done(SEND, first))["MsgKey"] == key
        await rest.done(BATCH, unsynced(sender, [receiver], "secret two"))
        await arrived.wait_for_messages(2)
        assert [m.text for m in arrived.messages] == ["secret one", "secret two"]
        async with server.client(sender) as new, server.client(sender, data_dir=folder / "late") as late:
            for device in (desk, new, late):
                assert list(device.conversations) == []
                assert await history(device, receiver) == []
        assert (await rest.done(HISTORY, {"From_Account": sender, "To_Account": receiver}))["MsgList"] == []
        await rest.done(SEND, unsynced(sender, receiver, "copied", SyncOtherMachine=1))
        await heard.wait_for_message(lambda m: m.text == "copied")
        await rest.done(SEND, unsynced(sender, receiver, "secret three"))
        await arrived.wait_for_message(lambda m: m.text == "secret three")
        await arrived.messages[0].react("👍")
        await rest.done(RECALL, {"From_Account": sender, "To_Account": receiver, "MsgKey": key})
        await eventually(lambda: arrived.messages[0].recalled)
        await rest.done(SEND, unsynced(sender, receiver, "copied again", SyncOtherMachine=1))
        await heard.wait_for_message(lambda m: m.text == "copied again")
        assert await history(peer, sender) == ["", "secret two", "copied", "secret three", "copied again"]
        assert peer.c2c(sender).unread == 4
        assert [m.text for m in heard.messages] == ["copied", "copied again"]
        assert heard.events == []
        assert not [frame for frame in pushes if "secret" in str(frame) or "👍" in str(frame)]
        async with server.client(sender) as new, server.client(sender, data_dir=folder / "late") as late:
            for device in (desk, new, late):
                assert await history(device, receiver) == ["copied", "copied again"]
                last = device.c2c(receiver).last_message
                assert last is not None
                assert (last.text, device.c2c(receiver).unread) == ("copied again", 0)
        await rest.done(SEND, unsynced(sender, receiver, "secret four"))
        await arrived.wait_for_message(lambda m: m.text == "secret four")
        async with server.client(sender) as new, server.client(sender, data_dir=folder / "late") as late:
            for device in (new, late):
                last = device.c2c(receiver).last_message
                assert last is not None
                assert last.text == "copied again"
                assert await history(device, receiver) == ["copied", "copied again"]


async def test_the_sender_sees_nothing_of_a_message_that_is_for_the_receiver_only(
    server: RunningServer, tmp_path: Path
) -> None:
    await check_sender_sees_nothing(server, tmp_path, "ann", "bob")


async def test_the_sender_can_do_nothing_with_a_message_of_which_it_has_no_copy(server: RunningServer) -> None:
    await server.add_users("carol", "dave")
    async with RestClient(server) as rest, server.client("carol") as carol, server.client("dave") as dave:
        arrived, heard = EventRecorder(dave), EventRecorder(carol, ExtensionsChanged)
        sent = await rest.done(SEND, unsynced("carol", "dave", "secret", SupportMessageExtension=1))
        received = await arrived.wait_for_message()
        link = carol.engine.connection.link()
        info = action_wire.RecallInfo(
            from_account="carol", to_account="dave", msg_seq=sent["MsgSeq"], msg_random=7, time=sent["MsgTime"]
        )
        with pytest.raises(UnknownMessage):
            await link.call(action_wire.RECALL_C2C, action_wire.RecallC2CRequest(info=info), timeout_s=5)
        react = action_wire.ReactRequest(peer="dave", seq=received.seq, reaction="👀")
        with pytest.raises(UnknownMessage):
            await link.call(action_wire.REACT_TO, react, timeout_s=5)
        extensions = ExtensionRequests(carol.engine.connection, carol.c2c("dave").key, received.seq)
        with pytest.raises(UnknownMessage):
            await extensions.change({"a": "b"}, {})
        assert await received.extensions.set({"seats": "4"}) == frozenset()
        await dave.c2c("carol").send("seen")
        await heard.wait_for_message()
        assert heard.events == []


async def test_a_message_to_oneself_arrives_as_any_other(server: RunningServer) -> None:
    await server.add_users("erin")
    async with RestClient(server) as rest, server.client("erin") as erin:
        arrived = EventRecorder(erin)
        await rest.done(SEND, unsynced("erin", "erin", "note"))
        assert (await arrived.wait_for_message()).text == "note"
        assert await history(erin, "erin") == ["note"]


@pytest.mark.parametrize("value, code", [(0, 0), (1, 0), (3, 90001), (-1, 90001)])
async def test_the_values_of_the_option_are_checked(server: RunningServer, value: int, code: int) -> None:
    await server.add_users("frank")
    async with RestClient(server) as rest:
        reply = await rest.call(SEND, unsynced("", "frank", f"text {value}", SyncOtherMachine=value))
        assert reply["ErrorCode"] == code


async def test_a_server_that_hides_a_message_only_from_the_push_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunningServer, "program", ("-m", "tests.mutants.forgets_to_hide"))
    async with running_server() as mutant:
        with pytest.raises(AssertionError):
            await check_sender_sees_nothing(mutant, tmp_path, "ann", "bob")
