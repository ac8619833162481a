"""Tests of changes that the server has not accepted: which value a device shows, in any order of changes and answers (P06)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from timim import ConversationKey, ConversationSetting, ConversationType, Interval
from timim.local_store.pending_changes import PendingChange
from timim.storage import ConversationFlags, IngestBatch, LocalStore, MessageRow, ServerUnreadCount

BOB = ConversationKey(ConversationType.C2C, "bob")
TEAM = ConversationKey(ConversationType.GROUP, "g")
PINNED, DRAFT, READ = ConversationSetting.PINNED, ConversationSetting.DRAFT, ConversationSetting.READ

pytestmark = pytest.mark.requirement("P06")


@pytest.fixture
async def store() -> AsyncIterator[LocalStore]:
    async with LocalStore(None) as opened:
        yield opened


async def pending(store: LocalStore) -> PendingChange:
    (change,) = await store.changes.all()
    return change


async def flags(store: LocalStore) -> ConversationFlags:
    row = await store.conversations.get(BOB)
    assert row is not None
    return row.flags


async def received(store: LocalStore, count: int) -> None:
    rows = [MessageRow(seq, f"{seq}-1", "bob", 100 + seq, False, b"[]") for seq in range(1, count + 1)]
    await store.messages.ingest([IngestBatch(BOB, rows, [Interval(1, count)], live=True, delivered_seq=count, last_seq=count)])


async def test_a_later_change_replaces_the_earlier_one(store: LocalStore) -> None:
    assert (await store.changes.set_flag(BOB, DRAFT, "one", made_at=1.0)).draft == "one"
    first = await pending(store)
    assert (await store.changes.set_flag(BOB, DRAFT, "two", made_at=2.0)).draft == "two"
    change = await pending(store)
    assert (change.value, change.made_at, change.number) == ("two", 2.0, first.number + 1)
    before, now = await store.changes.accept_flag(first, ConversationFlags(draft="one", version=1))
    assert (before.draft, now.draft) == ("two", "two"), "the answer to the first change does not end the second"
    assert await pending(store) == change
    assert (await store.changes.accept_flag(change, ConversationFlags(draft="two", version=2)))[1].draft == "two"
    assert await store.changes.all() == []


async def test_each_setting_of_each_conversation_has_a_change_of_its_own(store: LocalStore) -> None:
    await store.changes.set_flag(BOB, PINNED, 100, made_at=3.0)
    await store.changes.set_flag(BOB, DRAFT, "half", made_at=1.0)
    await store.changes.set_flag(TEAM, PINNED, 0, made_at=2.0)
    assert [(one.key, one.setting) for one in await store.changes.all()] == [(BOB, DRAFT), (TEAM, PINNED), (BOB, PINNED)]
    assert [one.value for one in await store.changes.of(BOB, PINNED)] == [100]
    assert await store.changes.reads() == []


async def test_a_value_of_the_server_does_not_replace_a_pending_one(store: LocalStore) -> None:
    await store.changes.set_flag(BOB, DRAFT, "mine", made_at=1.0)
    before, now = await store.conversations.set_flags(BOB, ConversationFlags(7, True, "theirs", version=5))
    assert (before, now) == (ConversationFlags(draft="mine"), ConversationFlags(7, True, "mine"))
    assert await store.changes.refuse_flag(await pending(store)) == ConversationFlags(7, True, "theirs")


async def test_an_older_answer_does_not_replace_a_newer_value(store: LocalStore) -> None:
    await store.changes.set_flag(BOB, DRAFT, "mine", made_at=1.0)
    await store.conversations.set_flags(BOB, ConversationFlags(draft="later", version=9))
    _, now = await store.changes.accept_flag(await pending(store), ConversationFlags(draft="mine", version=8))
    assert now.draft == "later"


async def test_a_value_with_a_lower_version_is_ignored(store: LocalStore) -> None:
    newer, older = ConversationFlags(draft="two", version=2), ConversationFlags(draft="one", version=1)
    await store.conversations.set_flags(BOB, newer)
    assert await store.conversations.set_flags(BOB, older) == (newer, newer)
    await store.messages.ingest([IngestBatch(BOB, flags=older)])
    assert await flags(store) == newer
    await store.messages.ingest([IngestBatch(BOB, flags=ConversationFlags(draft="three", version=3))])
    assert (await flags(store)).draft == "three"


async def test_a_refused_change_that_was_replaced_leaves_the_later_one(store: LocalStore) -> None:
    await store.changes.set_flag(BOB, DRAFT, "one", made_at=1.0)
    first = await pending(store)
    await store.changes.set_flag(BOB, DRAFT, "two", made_at=2.0)
    assert (await store.changes.refuse_flag(first)).draft == "two"
    assert (await pending(store)).value == "two"


async def test_a_read_seq_is_shown_at_once_and_never_gets_lower(store: LocalStore) -> None:
    await received(store, 5)
    (state,) = await store.changes.set_read([(BOB, 3)], made_at=1.0)
    assert state.counts.unread == 2
    await store.changes.set_read([(BOB, 2)], made_at=2.0)
    change = await pending(store)
    assert change.value == 3
    (state,) = await store.changes.accept_reads([(change, ServerUnreadCount(1, 0, 5, 4))])
    assert state.counts.unread == 1, "another device has read more"
    assert await store.changes.all() == []


async def test_a_refused_read_seq_makes_messages_unread_again(store: LocalStore) -> None:
    await received(store, 5)
    await store.conversations.set_read(BOB, 1)
    await store.changes.set_read([(BOB, 5)], made_at=1.0)
    await store.conversations.set_read(BOB, 2)  # by another device
    read_seq, state = await store.changes.refuse_read(await pending(store))
    assert (read_seq, state.counts.unread) == (2, 3)
    message = await store.messages.get(BOB, 3)
    assert message is not None
    assert not message.is_read


async def test_another_history_of_the_server_drops_read_seqs_and_versions(store: LocalStore) -> None:
    await received(store, 2)
    await store.changes.set_read([(BOB, 2)], made_at=1.0)
    await store.changes.set_flag(BOB, DRAFT, "mine", made_at=1.0)
    await store.conversations.set_flags(BOB, ConversationFlags(pinned=1, version=50))
    await store.meta.forget_history()
    assert (await pending(store)).setting is DRAFT
    await store.conversations.set_flags(BOB, ConversationFlags(version=3))
    assert await flags(store) == ConversationFlags(draft="mine")
