"""Tests of own messages whose ack overtook that of an earlier one: deleting one does not make it new when it is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from timim import Message, MessageStatus
from timim.ids import ConversationKey, ConversationType
from timim.protocol.coverage import Interval
from timim.protocol.elems import encode_body
from timim.storage import Ack, IngestBatch, LocalStore, MessageRow, Outgoing

BOB = ConversationKey(ConversationType.C2C, "bob")


async def outgoing(store: LocalStore, text: str) -> Message:
    message = Message(text)
    message._key, message._sender, message._status = BOB, "alice", MessageStatus.SENDING
    stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    row = Outgoing(message, encode_body(message.elems), noted=True, listed_at=0)
    store.messages.add_outgoing(row, stored.set_result)
    local_id = await stored
    assert isinstance(local_id, int)
    message._local_id = local_id
    return message


async def ack(store: LocalStore, message: Message, seq: int) -> None:
    settled: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    store.messages.settle(Ack(BOB, message.local_id, message.msg_id, seq, 5, None), settled.set_result)
    store.flush()
    await settled
    message._seq, message._status = seq, MessageStatus.SUCCEEDED


async def delete_one(store: LocalStore, message: Message) -> None:
    assert (await store.messages.delete(message)).done


async def delete_all(store: LocalStore, message: Message) -> None:
    assert (await store.conversations.delete(BOB, messages=True)).done


@pytest.mark.parametrize("delete", [delete_one, delete_all])
async def test_a_deleted_own_message_is_not_new_when_the_sync_fetches_it(
    delete: Callable[[LocalStore, Message], Awaitable[None]],
) -> None:
    async with LocalStore(None) as store:
        first, second = await outgoing(store, "first"), await outgoing(store, "second")
        await ack(store, second, 2)
        await delete(store, second)
        rows = [
            MessageRow(seq, one.msg_id, "alice", 5, is_self=True, body=encode_body(one.elems))
            for seq, one in enumerate((first, second), 1)
        ]
        rows.append(MessageRow(3, "5-5-5", "alice", 5, is_self=True, body=rows[0].body))  # of another device
        batch = IngestBatch(BOB, rows, [Interval(1, 3)], live=True, delivered_seq=3, last_seq=3)
        (result,) = await store.messages.ingest([batch])
        assert [message.seq for message in result.new] == [3]
        assert [message.seq for message in await store.messages.page(BOB, 5)] == [3, 2, 1]
