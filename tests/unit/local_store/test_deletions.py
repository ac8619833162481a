"""Tests of deletions in the local store: what was deleted does not come back by an ack, a page or a push on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from timim import Message, MessageStatus
from timim.ids import ConversationKey, ConversationType
from timim.protocol.coverage import Interval
from timim.protocol.elems import encode_body
from timim.storage import Ack, Erasure, IngestBatch, LocalStore, MessageRow, Outgoing

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


def received(*seqs: int) -> IngestBatch:
    rows = [MessageRow(seq, f"5-{seq}", "bob", 5, is_self=False, body=encode_body(Message(f"{seq}").elems)) for seq in seqs]
    covered = [Interval(min(seqs), max(seqs))]
    return IngestBatch(BOB, rows, covered, live=True, delivered_seq=max(seqs), last_seq=max(seqs))


async def stored(store: LocalStore) -> list[int]:
    return [message.seq for message in await store.messages.page(BOB, 20)][::-1]


@pytest.mark.parametrize("erasure", [Erasure(BOB, seqs=(2, 4)), Erasure(BOB, cleared_seq=4)], ids=["messages", "history"])
async def test_a_page_on_its_way_restores_nothing_and_proves_its_range(erasure: Erasure) -> None:
    async with LocalStore(None) as store:
        await ingest(store, received(1, 2, 3))
        await store.conversations.erase([erasure], 7)
        left = [seq for seq in (1, 3, 5) if seq > erasure.cleared_seq]
        assert await ingest(store, received(1, 2, 3, 4, 5)) == [5]
        assert await stored(store) == left
        assert (await store.conversations.coverage(BOB)).covers(1, 5)
        row = await store.conversations.get(BOB)
        assert row is not None
        assert (row.unread, row.first_visible_seq) == (len(left), erasure.cleared_seq + 1)
        assert await store.conversations.erase([Erasure(BOB, seqs=(5,))], 7) == []  # applied before
        assert await stored(store) == left
        assert await store.meta.get("deletions", "") == "7"


async def test_a_message_that_is_acked_below_a_cleared_seq_is_gone() -> None:
    async with LocalStore(None) as store:
        message = await outgoing(store, "sent as the history was cleared")
        await store.conversations.erase([Erasure(BOB, cleared_seq=1)], 1)
        await ack(store, message, 1)
        assert await stored(store) == []
        another = await outgoing(store, "sent later")
        await ack(store, another, 2)
        assert await stored(store) == [2]


async def ingest(store: LocalStore, batch: IngestBatch) -> list[int]:
    """Store a batch, and return the seqs of its new messages."""
    (result,) = await store.messages.ingest([batch])
    return [message.seq for message in result.new]
