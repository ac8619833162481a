"""The contract of facts that users keep in the store, run on every engine: labels, follows, statuses, extensions, searches."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.store_contract import LINE, Open, entry
from timim import DoNotDisturb, InvalidArgument, LimitReached, TextElem, UnknownMessage
from timim.protocol.elems import encode_body
from timim.protocol.entries import EntryPayload, encode_payload
from timim.server.store.base import Member, Receipt, StoredGroup
from timim.server.store.labels import LabelChange, Labelled, LabelLimits
from timim.server.store.message_extensions import ANY, StoredExtension
from timim.server.store.mutations import DeleteAccount, SetAccount
from timim.server.store.search import MessageQuery


class UserStoreContract:
    """The contract of users' facts. The fixture `opens` of a subclass opens its store."""

    async def test_labels_of_conversations_are_kept_for_each_user(self, opens: Open) -> None:
        store = (await opens()).labels
        limits = LabelLimits(conversations=3, groups=2)
        marked = await store.change(
            "alice", [LabelChange("1\x1fbob", [0, 63], custom="c"), LabelChange("2\x1fteam", [1])], limits
        )
        assert marked == [Labelled("1\x1fbob", frozenset({0, 63}), "c"), Labelled("2\x1fteam", frozenset({1}))]
        (changed,) = await store.change("alice", [LabelChange("1\x1fbob", [0, 5], [63, 7], custom="")], limits)
        assert changed == Labelled("1\x1fbob", frozenset({0, 5}))
        assert await store.create_group("alice", "work", ["1\x1fbob", "2\x1fteam"], limits) == 1
        assert await store.create_group("alice", "home", [], limits) == 2
        with pytest.raises(InvalidArgument):
            await store.create_group("alice", "work", [], limits)
        with pytest.raises(LimitReached):
            await store.create_group("alice", "other", [], limits)
        with pytest.raises(InvalidArgument):
            await store.rename_group("alice", "home", "work")
        assert await store.rename_group("alice", "home", "friends") == 2
        assert await store.groups("alice") == {"work": 1, "friends": 2}
        names = ["1\x1fcarol", "1\x1fdave"]
        with pytest.raises(LimitReached):
            await store.change_group("alice", "work", added=names, removed=["1\x1fbob"], limits=limits)
        assert await store.change_group("alice", "friends", added=["1\x1fcarol"], removed=["1\x1fbob"], limits=limits) == 2
        found = await store.page("alice", 0, 2) + await store.page("alice", 2, 2)
        assert [(one.conversation, sorted(one.groups)) for one in found] == [
            ("1\x1fbob", [1]),
            ("1\x1fcarol", [2]),
            ("2\x1fteam", [1]),
        ]
        assert await store.delete_group("alice", "work") == 1
        with pytest.raises(InvalidArgument):
            await store.delete_group("alice", "work")
        assert [one.groups for one in await store.of("alice", ["2\x1fteam", "1\x1fnobody"])] == [frozenset(), frozenset()]
        assert await store.page("bob", 0, 9) == []

    async def test_a_user_has_one_time_without_pushes(self, opens: Open) -> None:
        store = (await opens()).do_not_disturb
        await store.put("alice", DoNotDisturb(100, 200, daily=False))
        await store.put("bob", DoNotDisturb(0, 10, daily=False))
        await store.put("bob", DoNotDisturb(50, 150))
        assert await store.get("bob") == DoNotDisturb(50, 150, daily=True)
        alice, bob = {"alice"}, {"bob"}
        cases = {49: set(), 50: bob, 149: alice | bob, 150: alice, 200: set(), 86_400 + 50: bob, 86_400 + 150: set()}
        assert {time: await store.users_at(time, ["alice", "bob", "carol"]) for time in cases} == cases
        await store.put("bob", None)
        assert await store.get("bob") is None

    async def test_followed_users_are_listed_in_pages(self, opens: Open) -> None:
        store = await opens()
        for number in range(5):
            assert await store.follows.add("alice", f"user{number}", time=number, limit=5) is not None
        assert await store.follows.add("alice", "user0", time=9, limit=5) is None
        with pytest.raises(LimitReached):
            await store.follows.add("alice", "one more", time=9, limit=5)
        assert await store.follows.add("user3", "alice", time=9, limit=5) == (True, True)
        page = await store.follows.following("alice", "user1", 2)
        assert [(one.user, one.time) for one in page] == [("user2", 2), ("user3", 3)]
        assert [one.user for one in await store.follows.following("alice", "", 9, mutual=True)] == ["user3"]
        assert [one.user for one in await store.follows.followers("alice", "", 9)] == ["user3"]
        assert await store.follows.counts("alice") == (1, 5, 1)
        assert await store.follows.remove("alice", "user3") == (False, True)
        assert await store.follows.remove("alice", "user3") is None
        assert await store.follows.ties("alice", ["user3", "user4", "bob"]) == [(False, True), (True, False), (False, False)]

    async def test_a_search_finds_the_current_text_of_messages_that_the_user_may_see(self, opens: Open) -> None:
        store = await opens()
        texts = ["买了发票", "the Invoice 42", "nothing", "发票 and invoice"]
        for number, text in enumerate(texts):
            tail = encode_payload(EntryPayload(from_account="alice", msg_body=msgspec.Raw(encode_body([TextElem(text=text)]))))
            await store.timelines.append(replace(entry(number), tail=tail))
        (line,) = await store.search.timelines("alice", 10)
        assert await store.search.behind([line]) == [line]
        assert not await store.search.index_more(line)
        assert await store.search.behind([line]) == []

        async def found(*keywords: str, every: bool = False, floor: int = 1, **more: Any) -> list[int]:
            query = MessageQuery(keywords, every=every, **more)
            return [one.seq for one in await store.search.messages("alice", line._replace(floor=floor), query, 10)]

        assert await found("发票") == [4, 1]
        assert await found("INVOICE") == [4, 2]
        assert await found("invo") == []
        assert await found("invo*") == [4, 2]
        assert await found("票发") == []
        assert await found("发票", "invoice", every=True) == [4]
        assert await found("发票", "invoice") == [4, 2, 1]
        assert await found("发票", floor=2) == [4]
        assert await found("发票", senders=("nobody",)) == []
        assert await found(kinds=("TIMTextElem",)) == [4, 3, 2, 1]
        assert await found("invoice", kinds=("TIMFaceElem",)) == []
        assert await found("invoice", since=1 << 40) == []

    async def test_a_status_and_watched_users_are_kept_until_the_account_is_deleted(self, opens: Open) -> None:
        store = await opens()
        known = dataclasses.replace(await store.accounts.ensure("alice"), status="在开会", watched=("bob", "Zoë"), version=2)
        await store.apply([SetAccount(known)], [])
        assert await store.accounts.get("alice") == known
        await store.apply([DeleteAccount(known)], [])
        again = await store.accounts.ensure("alice")
        assert (again.status, again.watched, again.renewed) == ("", (), True)

    async def test_extensions_of_a_message_have_versions(self, opens: Open) -> None:
        store = await opens()
        await store.timelines.append(entry(1))
        extensions = store.message_extensions
        new = StoredExtension("b", "1", 0)
        done = await asyncio.gather(*(extensions.change(LINE, 1, [new], limit=2) for _ in range(3)))
        assert sorted(len(one.conflicts) for one in done) == [0, 1, 1]
        assert {one.items[0] for one in done} == {StoredExtension("b", "1", 1)}
        assert (await extensions.change(LINE, 1, [StoredExtension("b", "2", ANY)], limit=2)).latest == 2
        await extensions.change(LINE, 1, [StoredExtension("a", "3", 0)], limit=2)
        full = await extensions.change(LINE, 1, [StoredExtension("c", "4", 0), StoredExtension("a", "", 3)], limit=2)
        assert (set(full.too_many), full.changed) == ({"c"}, True)
        assert await extensions.of(LINE, 1) == ([("b", "2", 2), ("a", "", 4)], 4, 0)
        assert await extensions.clear(LINE, 1) == 4
        assert await extensions.of(LINE, 1) == ([], 4, 4)
        again = await extensions.change(LINE, 1, [StoredExtension("b", "x", 0)], limit=2)
        assert (again.items, again.latest) == ([("b", "x", 5)], 5)
        assert await extensions.of(LINE, 2) == ([], 0, 0)
        with pytest.raises(UnknownMessage):
            await extensions.change("c2c nobody", 1, [new], limit=2)

    async def test_members_of_live_rooms_are_found_without_the_owners(self, opens: Open) -> None:
        store = await opens()
        for name, type, others in (("l1", "AVChatRoom", "bc"), ("l2", "AVChatRoom", "c"), ("g", "Public", "bc")):
            members = {"a": Member("Owner")} | {user: Member("Member") for user in others}
            await store.groups.create(StoredGroup(name, type, "name", "a", 100, members))
        assert await store.groups.in_live_rooms(None) == [("l1", "b"), ("l1", "c"), ("l2", "c")]
        assert await store.groups.in_live_rooms(["a", "c", "nobody"]) == [("l1", "c"), ("l2", "c")]
        assert await store.groups.in_live_rooms([]) == []
        assert await store.groups.ids_of("c") == ["g", "l1", "l2"]
        assert await store.groups.ids_of("c", live=False) == ["g"]

    async def test_receipts_of_c2c_messages_are_counted_once_and_move_no_read_seq(self, opens: Open) -> None:
        store = await opens()
        for number in range(1, 6):
            await store.timelines.append(replace(entry(number), receipt=number != 2))
        assert await store.receipts.add("bob", LINE, [3, 2, 9], time=200) == [Receipt(LINE, 3, "alice", 1, 200)]
        assert await store.receipts.add("bob", LINE, [3], time=201) == []
        assert await store.receipts.add("alice", LINE, [1], time=202) == []  # not by its sender
        (shown,) = await store.conversations.page("alice", 0, 9)
        (mine,) = await store.conversations.page("bob", 0, 9)
        assert (shown.peer_read_seq, mine.read_seq) == (0, 0)
        read = await store.conversations.set_read("bob", LINE, 4, time=300)
        assert sorted(one.seq for one in read.receipts) == [1, 4]
        assert not (await store.conversations.set_read("bob", LINE, 4, time=301)).receipts
        found = await store.receipts.of_sender("alice", 200, 9)
        assert sorted((one.seq, one.readers, one.time) for one in found) == [(1, 1, 300), (3, 1, 200), (4, 1, 300)]
        assert [one.readers for one in await store.receipts.get(LINE, [2, 3, 5])] == [1, 0]
