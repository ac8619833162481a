"""The contract of the store, run on every engine: seqs without gaps, and always the same entry for the same msg_id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from msgspec.structs import replace

from timim import (
    AlreadyRecalled,
    GroupExists,
    LimitReached,
    MsgIdConflict,
    StorageError,
    UnknownMessage,
)
from timim.protocol.entries import EntryAction, EntryPayload, EntryState, decode_payload, encode_payload
from timim.server.store.base import (
    ACTION,
    RECALLED,
    Appended,
    ConversationChange,
    Member,
    MsgKey,
    NewAction,
    NewEntry,
    ReadVersions,
    StaleRead,
    Store,
    StoredEntry,
    StoredGroup,
    VersionCheck,
    VersionedKind,
    c2c_timeline,
    group_timeline,
)
from timim.server.store.mutations import (
    DissolveGroup,
    InsertGroup,
    InsertMembers,
    SetBlocked,
    SetMember,
)

LINE = c2c_timeline("bob", "alice")
Open = Callable[[], Awaitable[Store]]


def entry(number: int, *, body: bytes = b"x", time: int = 100, line: str = LINE, sender: str = "alice") -> NewEntry:
    key = MsgKey(1_700_000_000, number)
    return NewEntry(line, sender, key, body, b'"MsgSeq":5,"MsgRandom":%d}' % number, time, contacts=("alice", "bob"))


def act(kind: str, n: int, *, target: int = 1, sender: str = "bob", reaction: str = "", removed: int = 0) -> NewAction:
    facts = EntryAction(kind=kind, target=target, target_from="alice", reaction=reaction, removed=removed)
    body = msgspec.Raw(b'["edited %d"]' % n) if kind == "edit" else msgspec.Raw(b"[]")
    tail = EntryPayload(from_account=sender, action=facts, msg_body=body)
    return NewAction(LINE, sender, MsgKey(2, n), b"%d" % n, tail, 200, (), 2, 2)


async def told(store: Store, text: bytes = b'["said"]') -> None:
    """Store a message from Alice to Bob."""
    tail = encode_payload(EntryPayload(from_account="alice", msg_body=msgspec.Raw(text)))
    await store.timelines.append(replace(entry(90, line=LINE), tail=tail, contacts=("alice", "bob")))


class StoreContract:
    """The contract of the server's store. The fixture `opens` of a subclass opens its store."""

    async def test_an_entry_is_stored_only_while_what_it_was_decided_from_is_current(self, opens: Open) -> None:
        store = await opens()
        await store.accounts.ensure("alice")
        group = StoredGroup("g", "Public", "team", "alice", 1, {"alice": Member("Owner")})
        await store.apply([InsertGroup(group)], [])
        await store.apply([SetBlocked("bob", "carol", 5)], [], ReadVersions({}, {"bob": 0}))
        current = (
            VersionCheck(VersionedKind.ACCOUNT, "alice", 1),
            VersionCheck(VersionedKind.GROUP, "g", 1),
            VersionCheck(VersionedKind.RELATIONSHIPS, "bob", 1),
            VersionCheck(VersionedKind.RELATIONSHIPS, "nobody", 0),
        )
        assert not await store.outdated(current)
        first = await store.timelines.append(replace(entry(1), checks=current))
        pending = tuple(check._replace(version=check.version + 1) for check in current)  # changes that are not committed yet
        await store.timelines.append(replace(entry(2), checks=pending))
        await store.accounts.ensure("alice", nickname="Alice")
        await store.apply([SetBlocked("bob", "dave", 5)], [], ReadVersions({}, {"bob": 1}))
        await store.apply([SetMember("g", "alice", Member("Owner", name_card="a"))], [], ReadVersions({"g": 1}, {}))
        for check in current[:3]:
            assert await store.outdated([current[3], check])
            others = [store.timelines.append(entry(10 + n, sender="carol")) for n in range(3)]
            refused = store.timelines.append(replace(entry(3), checks=(current[3], check)))
            results = await asyncio.gather(*others[:2], refused, others[2], return_exceptions=True)
            assert isinstance(results[2], StaleRead)
            assert not any(isinstance(one, BaseException) for one in results[:2] + results[3:])
            with pytest.raises(StaleRead):
                await store.message_actions.apply(msgspec.structs.replace(act("react", 1, reaction="x"), checks=(check,)))
            with pytest.raises(StaleRead):
                await store.apply([SetBlocked("eve", "dave", 5)], [entry(4)], ReadVersions({}, {"eve": 0}), [check])
        assert (await store.timelines.append(replace(entry(1), checks=current))).seq == first.seq  # a retry
        assert (await store.timelines.page(LINE, 1, 99, 99)).last_seq == 5
        assert "dave" not in (await store.accounts.relationships("eve")).blocked
        await store.apply([DissolveGroup("g", ("alice",))], [], ReadVersions({"g": 2}, {}))
        assert await store.outdated([VersionCheck(VersionedKind.GROUP, "g", 9)])

    async def test_entries_sent_together_are_numbered_in_the_order_of_the_calls(self, opens: Open) -> None:
        store = await opens()
        appended = await asyncio.gather(*(store.timelines.append(entry(n)) for n in range(1, 201)))
        assert [a.seq for a in appended] == list(range(1, 201))
        assert not any(a.duplicate for a in appended)
        page = await store.timelines.page(LINE, 1, 1000, 1000)
        assert [e.tail for e in page.entries] == [entry(n).tail for n in range(200, 0, -1)]

    @pytest.mark.requirement("R4")
    async def test_the_same_msg_id_is_one_entry_also_after_reopening(self, opens: Open) -> None:
        for _ in range(2):
            store = await opens()
            appended = await asyncio.gather(*(store.timelines.append(entry(n)) for n in (1, 2, 1, 3)))
            again = await store.timelines.append(entry(2))
            assert [a.seq for a in appended] == [1, 2, 1, 3]
            assert (again.seq, again.time, again.duplicate) == (2, 100, True)
            with pytest.raises(MsgIdConflict):
                await store.timelines.append(entry(2, body=b"other"))
            assert (await store.timelines.page(LINE, 1, 99, 99)).last_seq == 3
            await store.close()

    @pytest.mark.requirement("R4")
    async def test_a_resend_of_a_message_that_an_older_server_stored_without_its_source_is_one_entry(self, opens: Open) -> None:
        store = await opens()
        stored = await store.timelines.append(entry(7))
        resent = entry(5 << 32 | 7)
        assert await store.timelines.append(resent) == Appended(stored.seq, stored.time, duplicate=True)
        assert await store.timelines.find_existing(resent) == Appended(stored.seq, stored.time, duplicate=True)
        await store.timelines.append(entry(5 << 32 | 7, body=b"other"))  # a message of another source
        await store.timelines.append(entry(6 << 32 | 8))
        await store.timelines.append(entry(7 << 32 | 8))
        assert (await store.timelines.page(LINE, 1, 99, 99)).last_seq == 4

    async def test_a_msg_id_with_a_window_names_another_message_after_it(self, opens: Open) -> None:
        store = await opens()

        def repeated(time: int) -> NewEntry:
            return replace(entry(1 << 61, time=time), window_s=120)

        appended = await asyncio.gather(*(store.timelines.append(repeated(time)) for time in (100, 100, 110)))
        assert [one.seq for one in appended] == [1, 1, 1]
        assert await store.timelines.append(repeated(220)) == Appended(1, 100, duplicate=True)
        assert await store.timelines.find_existing(repeated(220)) == Appended(1, 100, duplicate=True)
        assert await store.timelines.find_existing(repeated(221)) is None
        assert await store.timelines.append(repeated(221)) == Appended(2, 221)
        assert await store.timelines.append(repeated(222)) == Appended(2, 221, duplicate=True)
        assert (await store.timelines.page(LINE, 1, 99, 99)).last_seq == 2

    async def test_a_msg_id_belongs_to_its_sender_and_timeline(self, opens: Open) -> None:
        store = await opens()
        other = c2c_timeline("alice", "carol")
        assert (await store.timelines.append(entry(1))).seq == 1
        assert (await store.timelines.append(entry(1, sender="bob"))).seq == 2
        assert (await store.timelines.append(entry(1, line=other))).seq == 1
        unnamed = replace(entry(1), msg_key=None)
        assert [(await store.timelines.append(unnamed)).seq for _ in range(2)] == [3, 4]

    async def test_a_refused_append_takes_no_seq_and_does_not_affect_its_batch(self, opens: Open) -> None:
        store = await opens()
        await store.timelines.append(entry(1))
        outcomes = await asyncio.gather(
            store.timelines.append(entry(2)),
            store.timelines.append(entry(1, body=b"other")),
            store.timelines.append(entry(3)),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], MsgIdConflict)
        page = await store.timelines.page(LINE, 1, 99, 10)
        assert [e.seq for e in page.entries] == [3, 2, 1]

    async def test_times_in_a_timeline_never_go_back(self, opens: Open) -> None:
        store = await opens()
        appended = [await store.timelines.append(entry(n, time=time)) for n, time in enumerate((100, 50, 100, 200), 1)]
        assert [a.time for a in appended] == [100, 100, 100, 200]

    async def test_a_page_has_the_newest_of_its_interval_and_names_the_proven_part(self, opens: Open) -> None:
        store = await opens()
        for n in range(1, 11):
            await store.timelines.append(entry(n))
        for asked, limit, seqs in (
            ((1, 1 << 62), 3, [10, 9, 8]),
            ((1, 4), 99, [4, 3, 2, 1]),
            ((4, 6), 2, [6, 5]),
            ((11, 20), 5, []),
            ((6, 5), 5, []),
        ):
            page = await store.timelines.page(LINE, *asked, limit)
            assert [e.seq for e in page.entries] == seqs
            assert (page.floor, page.last_seq) == (1, 10)
            assert (page.first, page.last) == (seqs[-1], seqs[0]) if seqs else page.first > page.last
        nothing = await store.timelines.page(c2c_timeline("x", "y"), 1, 99, 10)
        assert (nothing.entries, nothing.first > nothing.last, nothing.last_seq) == ((), True, 0)

    async def test_an_entry_is_found_by_time_and_by_msg_key(self, opens: Open) -> None:
        store = await opens()
        times = [100, 100, 100, 200, 300, 300]
        for n, time in enumerate(times, 1):
            await store.timelines.append(entry(n, time=time))
        for time, key, seq in (
            (99, "", 0),
            (100, "", 3),
            (100, "5_2_100", 1),
            (100, "5_1_100", 0),
            (150, "", 3),
            (300, "5_5_300", 4),
            (1000, "", 6),
            (300, "5_99_300", 4),  # for an unknown key, the last seq before its second
        ):
            assert await store.timelines.seq_before(LINE, time, key) == seq, (time, key)
        assert await store.timelines.seq_before(c2c_timeline("x", "y"), 100, "") == 0

    async def test_conversation_lists_are_newest_first_and_page_without_loss(self, opens: Open) -> None:
        store = await opens()
        peers = [f"p{n:02}" for n in range(25)]
        for n, peer in enumerate(peers, 1):
            line = c2c_timeline("alice", peer)
            await store.timelines.append(replace(entry(n, time=100 + n // 3, line=line), contacts=("alice", peer)))
        seen: list[str] = []
        while page := await store.conversations.page("alice", len(seen), 10):
            seen += [contact.timeline for contact in page]
        assert seen == [c2c_timeline("alice", peer) for peer in reversed(peers)]
        (contact,) = await store.conversations.page("p03", 0, 10)
        assert (contact.last_seq, contact.read_seq, contact.floor) == (1, 0, 1)
        assert contact.last == StoredEntry(1, 101, entry(4).tail)
        assert await store.conversations.page("nobody", 0, 10) == []

    async def test_a_read_seq_only_rises_and_never_beyond_the_last(self, opens: Open) -> None:
        store = await opens()
        for n in (1, 2, 3):
            await store.timelines.append(entry(n))
        assert [(await store.conversations.set_read("bob", LINE, seq)).seq for seq in (2, 1, 99, 0)] == [2, 2, 3, 3]
        assert (await store.conversations.set_read("stranger", LINE, 2)).seq == 0
        (contact,) = await store.conversations.page("bob", 0, 10)
        assert contact.read_seq == 3

    async def test_groups_are_stored_whole_and_listed_for_their_members_at_once(self, opens: Open) -> None:
        store = await opens()
        members = {"alice": Member("Owner"), "bob": Member("Member", "Bobby", floor=7)}
        group = StoredGroup("g", "Public", "team", "alice", 100, members)
        await store.groups.create(group)
        with pytest.raises(GroupExists):
            await store.groups.create(group)
        await store.close()
        store = await opens()
        assert await store.groups.get("g") == group
        assert list((await store.groups.of_user("bob"))[0].members) == ["alice", "bob"]
        (contact,) = await store.conversations.page("bob", 0, 10)
        assert (contact.timeline, contact.last_seq, contact.floor, contact.last) == (group_timeline("g"), 0, 7, None)
        assert await store.groups.get("other") is None

    async def test_accounts_and_settings_are_created_once(self, opens: Open) -> None:
        store = await opens()
        made = await asyncio.gather(*(store.accounts.ensure(f"u{n % 3}") for n in range(9)))
        assert len({account.tiny_id for account in made}) == 3
        assert await store.accounts.get("nobody") is None
        assert await store.meta("epoch", "one") == "one"
        await store.close()
        store = await opens()
        assert await store.meta("epoch", "two") == "one"
        assert (await store.accounts.get("u1")) == made[1]
        await store.set_meta("epoch", "three")
        assert await store.meta("epoch", "two") == "three"

    async def test_a_closed_store_says_so(self, opens: Open) -> None:
        store = await opens()
        await store.close()
        with pytest.raises(StorageError):
            await store.timelines.append(entry(1))
        with pytest.raises(StorageError):
            await store.timelines.page(LINE, 1, 2, 3)

    async def test_changes_and_their_entries_are_stored_together_or_not_at_all(self, opens: Open) -> None:
        store = await opens()
        first = StoredGroup("g", "Public", "team", "alice", 100, {"alice": Member("Owner")})
        line = group_timeline("g")
        tip = NewEntry(line, "alice", None, b"", b'"N":1}', 100)
        await store.apply([InsertGroup(first)], [])
        (appended,) = await store.apply([InsertMembers("g", {"bob": Member("Member")}, from_now=True)], [tip])
        assert appended.seq == 1
        with pytest.raises(GroupExists):
            await store.apply([SetBlocked("bob", "eve", 100), InsertGroup(first)], [tip])
        assert (await store.accounts.relationships("bob")).blocked == {}
        assert (await store.timelines.page(line, 1, 9, 9)).last_seq == 1
        group = await store.groups.get("g")
        assert group is not None
        assert group.members == {"alice": Member("Owner"), "bob": Member("Member", floor=1)}
        (again,) = await store.apply([InsertMembers("g", {"carol": Member("Member")}, from_now=True)], [tip])
        group = await store.groups.get("g")
        assert group is not None
        assert group.members["carol"].floor == again.seq == 2

    @pytest.mark.requirement("P06")
    async def test_an_action_and_its_effect_on_the_message_are_one_write(self, opens: Open) -> None:
        store = await opens()
        await told(store)
        done = await store.message_actions.apply(act("react", 1, reaction="x"))
        again = await store.message_actions.apply(act("react", 1, reaction="x"))
        same = await store.message_actions.apply(act("react", 2, reaction="x"))
        assert (done.seq, done.changed, again.seq, again.changed, same.seq, same.changed) == (2, True, 2, False, 2, False)
        edits = await asyncio.gather(*(store.message_actions.apply(act("edit", n)) for n in (3, 4)))
        assert [one.seq for one in edits] == [3, 4]
        held = await store.timelines.entry(LINE, 1)
        assert held is not None
        tail = decode_payload(held.tail)
        assert isinstance(tail.state, EntryState)
        assert (bytes(tail.msg_body), tail.version, tail.state.edit_seq) == (b'["edited 4"]', 2, 4)
        assert [(one.reaction, one.users) for one in tail.state.reactions] == [("x", ["bob"])]
        with pytest.raises(LimitReached):
            await asyncio.gather(*(store.message_actions.apply(act("react", n, reaction=str(n))) for n in (5, 6)))
        await store.message_actions.apply(act("recall", 7))
        with pytest.raises(AlreadyRecalled):
            await store.message_actions.apply(act("edit", 8))
        for target in (2, 99):
            with pytest.raises(UnknownMessage):
                await store.message_actions.apply(act("react", 9, target=target, reaction="x"))
        page = await store.timelines.page(LINE, 1, 99, 99)
        assert [one.kind for one in reversed(page.entries)] == [RECALLED, ACTION, ACTION, ACTION, ACTION, ACTION]
        assert [one.seq for one in await store.message_actions.between(LINE, 3, 5, 2)] == [3, 4]
        (contact,) = await store.conversations.page("bob", 0, 10)
        assert contact.last is not None
        assert (contact.last_seq, contact.action_seq, contact.last.seq, contact.last.kind) == (6, 6, 1, RECALLED)
        assert (await store.conversations.unread("bob", [LINE]))[0].count == 0
        before = await store.timelines.messages_before(LINE, 99, 1, 10)
        assert ([one.seq for one in before.entries], before.first) == ([1], 1)

    async def test_mentions_and_receipt_requests_are_counted_once(self, opens: Open) -> None:
        store = await opens()
        group = group_timeline("g")
        await store.groups.create(
            StoredGroup("g", "Public", "g", "alice", 1, {name: Member("Member") for name in ("alice", "bob")})
        )
        asking = [
            replace(entry(n, line=group), receipt=n % 2 == 0, mentions=("bob", "") if n % 3 == 0 else ()) for n in range(1, 31)
        ]
        appended = await asyncio.gather(*(store.timelines.append(one) for one in [*asking, *asking]))
        assert [one.seq for one in appended] == [*range(1, 31)] * 2
        assert [one.duplicate for one in appended] == [False] * 30 + [True] * 30
        (unread,) = await store.conversations.unread("bob", [group])
        assert (unread.count, unread.mentioned) == (30, 10)
        read = await store.conversations.set_read("bob", group, 30, time=200)
        assert [(one.seq, one.readers) for one in sorted(read.receipts, key=lambda one: one.seq)] == [
            (seq, 1) for seq in range(2, 31, 2)
        ]

    @pytest.mark.requirement("P06")
    async def test_conversation_settings_are_dated_and_kept(self, opens: Open) -> None:
        store = await opens()
        group = group_timeline("g")
        await store.groups.create(
            StoredGroup("g", "Public", "g", "alice", 1, {name: Member("Member") for name in ("alice", "bob", "c")})
        )
        for n in range(3):
            asking = replace(entry(n, line=group, time=100), receipt=n == 1, mentions=("bob", "") if n == 2 else ())
            await store.timelines.append(replace(asking, sender="alice"))
        await told(store)
        assert [(u.count, u.mentioned, u.last_seq) for u in await store.conversations.unread("bob", [group, LINE])] == [
            (3, 1, 3),
            (1, 0, 1),
        ]
        read = await store.conversations.set_read("bob", group, 2, time=300)
        assert (read.seq, read.unread.count, read.risen) == (2, 1, True)
        assert [(one.seq, one.sender, one.readers) for one in read.receipts] == [(2, "alice", 1)]
        assert not (await store.conversations.set_read("bob", group, 1, time=301)).risen
        assert [one.readers for one in await store.receipts.add("c", group, [1, 2, 3], time=302)] == [2]
        assert await store.receipts.add("c", group, [2], time=303) == []
        assert await store.receipts.readers(group, 2, 0, 10) == [("bob", 300), ("c", 302)]
        assert [one.seq for one in await store.receipts.of_sender("alice", 302, 10)] == [2]
        assert await store.receipts.of_sender("alice", 303, 10) == []
        await store.conversations.set_read("bob", LINE, 1, time=304)
        peers = {
            contact.timeline: contact.peer_read_seq for contact in await store.conversations.page("alice", 0, 10, since=304)
        }
        assert peers == {LINE: 1}
        kept = await store.conversations.change("bob", LINE, ConversationChange(pinned=400, draft="half"), time=400)
        kept = await store.conversations.change("bob", LINE, ConversationChange(muted=True), time=401)
        assert kept is not None
        assert kept.applied
        now = kept.conversation
        assert (now.pinned, now.muted, now.draft) == (400, True, "half")
        assert [c.draft for c in await store.conversations.page("bob", 0, 10, since=401)] == ["half"]
        assert await store.conversations.muted("bob", [LINE, group]) == [True, False]
        assert await store.conversations.change("stranger", group, ConversationChange(pinned=1), time=1) is None
        assert (
            await store.conversations.change("bob", c2c_timeline("bob", "new"), ConversationChange(pinned=1), time=402)
        ) is not None

    @pytest.mark.requirement("P06")
    async def test_the_change_of_a_setting_that_was_made_last_is_kept(self, opens: Open) -> None:
        store = await opens()
        await store.timelines.append(NewEntry(LINE, "alice", MsgKey(1, 1), b"", b"{}", 100, ("alice", "bob")))
        versions = []

        async def change(draft: str, device: str, *, time: float, age_ms: int = 0) -> tuple[str, bool]:
            wanted = ConversationChange(draft=draft, age_ms=age_ms, device=device)
            found = await store.conversations.change("bob", LINE, wanted, time=time)
            assert found is not None
            versions.append(found.conversation.settings_version)
            assert found.conversation.draft == (await store.conversations.page("bob", 0, 1))[0].draft
            return found.conversation.draft, found.applied

        assert await change("one", "phone", time=200.0) == ("one", True)
        assert await change("older", "tablet", time=210.0, age_ms=10_001) == ("one", False)
        assert await change("newer", "tablet", time=210.0, age_ms=9_999) == ("newer", True)
        assert await change("delayed", "phone", time=210.0, age_ms=9_998) == ("delayed", True)
        assert await change("of the same device", "phone", time=211.0, age_ms=60_000) == ("of the same device", True)
        assert await change("unnamed", "", time=211.0, age_ms=1_000) == ("unnamed", True)
        assert await change("also unnamed", "", time=211.0, age_ms=60_000) == ("unnamed", False)
        assert await change("the clock was set back", "phone", time=100.0) == ("the clock was set back", True)
        accepted = [version for n, version in enumerate(versions) if n not in (1, 6)]
        assert accepted == sorted(set(accepted)), "each accepted change raises the version"
        assert (versions[1], versions[6]) == (versions[0], versions[5])
        pinned = await store.conversations.change("bob", LINE, ConversationChange(pinned=7, age_ms=300_000), time=300)
        assert pinned is not None
        assert pinned.applied, "another setting has its own time"
