"""Read receipts of single C2C messages: each is confirmed by its receiver once, and the sender learns it on all devices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.waiting import eventually
from timim import Client, InvalidArgument, Message, NoPermission, ReadReceipt, UnknownMessage
from timim.ids import parse_msg_id
from timim.protocol import conversation_settings as wire
from timim.protocol import messages as message_wire
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


def named(message: Message, **fields: Any) -> wire.ReadMessage:
    """Return the name of a message of timim's client, as web clients give it."""
    number = parse_msg_id(message.msg_id).random
    name: dict[str, Any] = {"from_account": message.sender, "msg_seq": number, "msg_random": number, "time": message.timestamp}
    return wire.ReadMessage(**name | fields)


async def confirm(reader: Client, peer: str, *messages: wire.ReadMessage, account: str = "") -> None:
    """Confirm messages of a peer as web clients do."""
    request = wire.SendC2CReceiptsRequest(account=account, peer=peer, messages=list(messages))
    await reader.engine.connection.link().call(wire.SEND_C2C_RECEIPTS, request, timeout_s=5)


async def test_a_confirmed_message_is_read_and_the_read_position_stays(server: RunningServer) -> None:
    await server.add_users("ann", "bob")
    async with server.client("ann") as ann, server.client("ann") as desk, server.client("bob") as bob:
        heard, at_desk, arrived = EventRecorder(ann, ReadReceipt), EventRecorder(desk, ReadReceipt), EventRecorder(bob)
        plain = await ann.c2c("bob").send("plain")
        first, second = [await ann.c2c("bob").send(text, request_receipt=True) for text in ("first", "second")]
        await arrived.wait_for_messages(3)
        assert [m.receipt_requested for m in arrived.messages] == [False, True, True]
        for _ in range(2):
            await confirm(bob, "ann", named(second), named(plain))
        await confirm(bob, "ann", named(first))
        key = ann.c2c("bob").key
        for watch in (heard, at_desk):
            await watch.wait_for_event(ReadReceipt, lambda event: event.seq == first.seq)
            assert watch.events == [ReadReceipt(key, second.seq), ReadReceipt(key, first.seq)]
        assert [(m.read_receipt_count, m.read_by_peer) for m in (plain, first, second)] == [(0, False), (1, True), (1, True)]
        assert (ann.c2c("bob").peer_read_seq, bob.c2c("ann").unread) == (0, 3)
        await bob.c2c("ann").mark_read()
        await heard.wait_for_event(ReadReceipt, lambda event: event.user == "bob")
        assert heard.events[2:] == [ReadReceipt(key, 3, "bob")]  # both were confirmed before
        assert plain.read_by_peer


async def test_a_read_position_confirms_the_messages_below_it_also_for_a_sender_who_was_offline(tmp_path: Path) -> None:
    async with running_server() as server:
        await server.add_users("bob")
        ann = server.client("ann", data_dir=tmp_path / "ann")
        watch = EventRecorder(ann, ReadReceipt)
        async with ann:
            sent = [await ann.c2c("bob").send(f"text {n}", request_receipt=n != 1) for n in range(3)]
        async with server.client("bob") as bob:
            await eventually(lambda: bob.c2c("ann").unread == 3)
            await confirm(bob, "ann", named(sent[2]))
            await bob.c2c("ann").mark_read((await bob.c2c("ann").get_messages(3))[-1])
        await server.crash()
        await server.restart()
        async with ann:
            key = ann.c2c("bob").key
            await watch.wait_for_event(ReadReceipt, lambda event: event.seq == 3)
            await watch.wait_for_event(ReadReceipt, lambda event: event == ReadReceipt(key, 1))
            assert sorted(one.seq for one in watch.events if isinstance(one, ReadReceipt) and not one.user) == [1, 3]
        async with server.client("ann") as new, ann:
            for device in (new, ann):
                found = await device.c2c("bob").get_messages(3)
                shown = [(m.receipt_requested, m.read_receipt_count, m.read_by_peer) for m in reversed(found)]
                assert shown == [(True, 1, True), (False, 0, False), (True, 1, True)]
            assert len([one for one in watch.events if isinstance(one, ReadReceipt) and not one.user]) == 2


async def test_only_the_receiver_confirms_a_message_that_exists(server: RunningServer) -> None:
    await server.add_users("carol", "dave", "erin")
    async with server.client("carol") as carol, server.client("dave") as dave, server.client("erin") as erin:
        heard = EventRecorder(carol, ReadReceipt)
        sent = await carol.c2c("dave").send("secret", request_receipt=True)
        for client, peer, message in (
            (carol, "dave", named(sent)),  # its sender
            (erin, "carol", named(sent, to_account="dave")),
            (dave, "erin", named(sent)),
        ):
            with pytest.raises(NoPermission, match="is not the receiver") as refused:
                await confirm(client, peer, message)
            assert refused.value.code == 90009
        with pytest.raises(NoPermission, match="administrator"):
            await confirm(erin, "carol", named(sent, to_account="dave"), account="dave")
        with pytest.raises(UnknownMessage):
            await confirm(erin, "carol", named(sent))
        with pytest.raises(UnknownMessage):
            await confirm(dave, "carol", named(sent), named(sent, msg_random=5))  # all of them or none
        with pytest.raises(InvalidArgument, match="MsgKey"):
            await confirm(dave, "carol", named(sent, msg_key="x"))
        for count in (0, 31):
            with pytest.raises(InvalidArgument, match="1 to 30") as wrong:
                await confirm(dave, "carol", *[named(sent)] * count)
            assert wrong.value.code == 90001
        await dave.c2c("carol").send("end")
        await heard.wait_for_message()
        assert heard.events == []


async def roamed(client: Client, peer: str) -> list[dict[str, Any]]:
    """Return the history as the web client reads it, newest last."""
    request = message_wire.RoamC2CRequest(peer=peer, max_cnt=20)
    reply = await client.engine.connection.link().call(message_wire.ROAM_C2C, request, timeout_s=5)
    return [json.loads(bytes(message)) for message in reply.messages]


async def test_back_ends_request_and_confirm_receipts(server: RunningServer) -> None:
    await server.add_users("fay", "gus")
    async with RestClient(server) as rest, server.client("fay") as fay, server.client("gus") as gus:
        heard, arrived = EventRecorder(fay, ReadReceipt), EventRecorder(gus)
        body = {"From_Account": "fay", "To_Account": "gus", "MsgRandom": 7, "IsNeedReadReceipt": 1}
        key = (await rest.done("openim/sendmsg", body | {"MsgBody": text("one")}))["MsgKey"]
        await rest.done("openim/batchsendmsg", body | {"To_Account": ["gus"], "MsgBody": text("two")})
        await rest.done("openim/sendmsg", body | {"MsgBody": text("online"), "OnlineOnlyFlag": 1})
        await rest.done("openim/sendmsg", body | {"MsgBody": text("hidden"), "SyncOtherMachine": 2})
        await arrived.wait_for_messages(4)
        requested = {m.text: m.receipt_requested for m in arrived.messages}
        assert requested == {"one": True, "two": True, "online": False, "hidden": False}
        asked = {"Operator_Account": "gus", "Peer_Account": "fay"}
        name = {"From_Account": "fay", "To_Account": "gus", "MsgKey": key}
        for _ in range(2):
            await rest.done("openim/c2c_msg_read_receipt", asked | {"C2CMsgInfo": [name]})
        assert await heard.wait_for_event(ReadReceipt) == ReadReceipt(fay.c2c("gus").key, 1)
        unknown = await rest.call("openim/c2c_msg_read_receipt", asked | {"C2CMsgInfo": [name | {"MsgKey": "1_2_3"}]})
        assert unknown["ErrorCode"] == 20022
        for client, peer in ((fay, "gus"), (gus, "fay")):
            first, second, *_ = await roamed(client, peer)
            assert (first["IsNeedReadReceipt"], first["IsPeerRead"], first["PeerReadTime"] > 0) == (1, 1, True)
            assert (second["IsNeedReadReceipt"], "IsPeerRead" in second) == (1, False)
        assert heard.events == [ReadReceipt(fay.c2c("gus").key, 1)]
