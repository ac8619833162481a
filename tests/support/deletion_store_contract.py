"""The contract of deletions that concern one user, run on every engine."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from tests.support.store_contract import LINE, Open, act, entry, told
from timim.server.store.base import ConversationChange, Store
from timim.server.store.deletions import CLEARED, DELETED, UNLISTED
from timim.server.store.entries import Deletion
from timim.server.store.search import MessageQuery


async def seqs(store: Store, user: str) -> list[int]:
    """Return the seqs that a user sees in the timeline of the contract."""
    page = await store.timelines.page(LINE, 1, 99, 99, reader=user)
    return [one.seq for one in page.entries][::-1]


class DeletionStoreContract:
    """The contract of a user's deletions. The fixture `opens` of a subclass opens its store."""

    async def test_a_cleared_history_is_gone_for_one_user_alone(self, opens: Open) -> None:
        store = await opens()
        for number in (1, 2, 3):
            await store.timelines.append(entry(number))
        change = await store.deletions.clear("bob", LINE, time=150)
        assert change == (0, [Deletion(1, LINE, CLEARED, 3)])
        assert await store.deletions.clear("bob", LINE, time=51) == (1, [])  # there is nothing more
        await store.timelines.append(entry(4))
        page = await store.timelines.page(LINE, 1, 99, 99, reader="bob")
        assert (page.first, page.last, page.floor, [one.seq for one in page.entries]) == (4, 4, 4, [4])
        plain = await store.timelines.messages_before(LINE, 99, 1, 99, reader="bob")
        assert (plain.floor, [one.seq for one in plain.entries]) == (4, [4])
        assert await store.timelines.entry(LINE, 3, reader="bob") is None
        assert await seqs(store, "alice") == [1, 2, 3, 4]
        assert [one.count for one in await store.conversations.unread("bob", [LINE])] == [1]
        (shown,) = await store.conversations.page("bob", 0, 9)
        assert (shown.floor, shown.last and shown.last.seq) == (4, 4)

    async def test_a_cleared_conversation_without_messages_stays_known_to_devices(self, opens: Open) -> None:
        store = await opens()
        await store.timelines.append(entry(1))
        await store.deletions.clear("bob", LINE, time=150)
        (shown,) = await store.conversations.page("bob", 0, 9, since=150)
        assert (shown.timeline, shown.floor) == (LINE, 2)
        assert await store.conversations.page("alice", 0, 9, since=150) == []

    async def test_the_log_is_read_from_any_number_on(self, opens: Open) -> None:
        store = await opens()
        await store.timelines.append(entry(1))
        await store.deletions.clear("bob", LINE, time=150)
        await store.timelines.append(entry(2))
        await store.deletions.clear("bob", LINE, time=150)
        assert await store.deletions.after("bob", 0, 9) == [Deletion(2, LINE, CLEARED, 2)]  # which includes the first one
        assert await store.deletions.after("bob", 2, 9) == []
        assert [await store.deletions.number(user) for user in ("bob", "alice")] == [2, 0]

    async def test_numbers_follow_each_other_when_devices_delete_at_once(self, opens: Open) -> None:
        store = await opens()
        lines = [f"c2c\x1falice\x1fbob{n}" for n in range(8)]
        for n, line in enumerate(lines):
            await store.timelines.append(replace(entry(1, line=line), contacts=("alice", f"bob{n}")))
        changes = await asyncio.gather(*(store.deletions.clear("alice", line, time=150) for line in lines))
        assert sorted(change.before for change in changes) == list(range(8))
        log = await store.deletions.after("alice", 0, 99)
        assert [(one.number, one.seq) for one in log] == [(n + 1, 1) for n in range(8)]

    async def test_a_conversation_leaves_the_list_until_its_next_message(self, opens: Open) -> None:
        store = await opens()
        await store.timelines.append(entry(1))
        assert await store.deletions.unlist("bob", LINE, clear=False, time=150) == (0, [Deletion(1, LINE, UNLISTED, 1)])
        (hidden,) = await store.conversations.page("bob", 0, 9, since=150)
        assert (hidden.unlisted_seq, hidden.last and hidden.last.seq) == (1, 1)
        assert await seqs(store, "bob") == [1]
        change = await store.deletions.unlist("bob", LINE, clear=True, time=151)
        assert change.deletions == [Deletion(2, LINE, CLEARED, 1), Deletion(3, LINE, UNLISTED, 1)]
        assert await store.deletions.after("bob", 0, 9) == list(change.deletions)
        await store.timelines.append(entry(2))
        (shown,) = await store.conversations.page("bob", 0, 9)
        assert (shown.unlisted_seq, shown.last and shown.last.seq) == (1, 2)
        assert [one.unlisted_seq for one in await store.conversations.page("alice", 0, 9)] == [0]
        assert await store.deletions.unlist("carol", LINE, clear=True, time=151) == (0, ())

    async def test_deleted_messages_are_missing_for_one_user_alone(self, opens: Open) -> None:
        store = await opens()
        await told(store)
        for number in range(2, 5):
            await store.timelines.append(entry(number))
        await store.message_actions.apply(act("react", 1, reaction="a"))
        change = await store.deletions.delete_messages("bob", LINE, [4, 2, 2, 9, 5, 0], time=150)
        assert change == (0, [Deletion(1, LINE, DELETED, 2), Deletion(2, LINE, DELETED, 4)])
        assert await store.deletions.delete_messages("bob", LINE, [2, 4], time=151) == (2, [])
        assert (await seqs(store, "bob"), await seqs(store, "alice")) == ([1, 3, 5], [1, 2, 3, 4, 5])
        page = await store.timelines.page(LINE, 2, 2, 99, reader="bob")
        assert (page.first, page.last, page.entries) == (2, 2, [])  # the page proves that there is nothing
        plain = await store.timelines.messages_before(LINE, 99, 1, 2, reader="bob")
        assert [one.seq for one in plain.entries] == [3, 1]
        assert [await store.timelines.entry(LINE, 4, reader=user) is None for user in ("bob", "alice")] == [True, False]
        assert [one.count for one in await store.conversations.unread("bob", [LINE])] == [2]
        (shown,) = await store.conversations.page("bob", 0, 9, since=150)
        assert shown.last is not None
        assert shown.last.seq == 3
        await store.deletions.clear("bob", LINE, time=152)
        assert await store.deletions.after("bob", 0, 9) == [Deletion(3, LINE, CLEARED, 5)]

    async def test_an_entry_is_hidden_from_its_sender_alone_from_the_beginning(self, opens: Open) -> None:
        store = await opens()
        secret = replace(entry(1), hidden_from="alice")
        stored = await store.timelines.append(secret)
        assert stored.hidden == (0, [Deletion(1, LINE, DELETED, 1), Deletion(2, LINE, UNLISTED, 1)])
        again = await store.timelines.append(secret)
        assert (again.seq, again.duplicate, again.hidden) == (1, True, None)
        (hidden,) = await store.conversations.page("alice", 0, 9)
        assert (hidden.last, hidden.unlisted_seq) == (None, 1)
        page = await store.timelines.page(LINE, 1, 9, 9, reader="alice")
        assert (page.first, page.last, page.entries) == (1, 1, [])  # the page proves that there is nothing
        others = [store.timelines.append(entry(number)) for number in (2, 4)]
        third = store.timelines.append(replace(entry(3), hidden_from="alice"))
        results = await asyncio.gather(*others, third, store.timelines.append(entry(5)))
        assert [one.seq for one in results] == [2, 3, 4, 5]
        assert [one.hidden for one in results] == [None, None, (2, [Deletion(3, LINE, DELETED, 4)]), None]
        assert (await seqs(store, "alice"), await seqs(store, "bob")) == ([2, 3, 5], [1, 2, 3, 4, 5])
        assert [await store.timelines.entry(LINE, 4, reader=user) is None for user in ("alice", "bob")] == [True, False]
        assert [one.count for one in await store.conversations.unread("bob", [LINE])] == [5]
        await store.timelines.append(replace(entry(6), hidden_from="alice"))
        (shown,) = await store.conversations.page("alice", 0, 9)
        assert (shown.last and shown.last.seq, shown.unlisted_seq) == (5, 1)
        assert [one.number for one in await store.deletions.after("alice", 0, 9)] == [1, 2, 3, 4]
        assert await store.deletions.number("bob") == 0

    async def test_a_hidden_entry_keeps_a_pinned_or_cleared_conversation_as_it_is(self, opens: Open) -> None:
        store = await opens()
        await store.conversations.change("alice", LINE, ConversationChange(pinned=5), time=90)
        stored = await store.timelines.append(replace(entry(1), hidden_from="alice"))
        assert stored.hidden == (0, [Deletion(1, LINE, DELETED, 1)])
        await store.deletions.clear("alice", LINE, time=150)
        stored = await store.timelines.append(replace(entry(2), hidden_from="alice"))
        assert stored.hidden == (2, [Deletion(3, LINE, DELETED, 2)])
        (shown,) = await store.conversations.page("alice", 0, 9)
        assert (shown.pinned, shown.floor, shown.unlisted_seq) == (5, 2, 0)

    async def test_hidden_entries_of_one_sender_are_numbered_one_after_the_other(self, opens: Open) -> None:
        store = await opens()
        lines = [f"c2c\x1falice\x1fbob{n}" for n in range(6)]
        hidden = [replace(entry(1, line=line), contacts=("alice", line[-4:]), hidden_from="alice") for line in lines]
        await asyncio.gather(*(store.timelines.append(one) for one in hidden))
        log = await store.deletions.after("alice", 0, 99)
        assert [one.number for one in log] == list(range(1, 13))
        assert {one.timeline for one in log} == set(lines)
        assert [one.last for one in await store.conversations.page("alice", 0, 9)] == [None] * 6

    async def test_a_search_leaves_deleted_messages_out(self, opens: Open) -> None:
        store = await opens()
        await told(store, b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]')
        await store.deletions.delete_messages("bob", LINE, [1], time=150)
        for user, count in (("bob", 0), ("alice", 1)):
            (line,) = await store.search.timelines(user, 9)
            while await store.search.index_more(line):
                pass
            assert len(await store.search.messages(user, line, MessageQuery(keywords=("hello",)), 9)) == count
