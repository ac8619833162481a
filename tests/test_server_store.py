"""The store's contract: numbers without holes, one entry for one msg_id for ever, and what a page proves."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from timim import GroupExists, MsgIdConflict, StorageError
from timim.server.membership import Directory
from timim.server.store.base import Group, Member, MsgKey, NewEntry, c2c_timeline, group_timeline
from timim.server.store.changes import AddMembers, CreateGroup, SetBlocked
from timim.server.store.sqlite import SqliteStore

LINE = c2c_timeline("bob", "alice")


def entry(number: int, *, body: bytes = b"x", time: int = 100) -> NewEntry:
    key = MsgKey(1_700_000_000, number)
    return NewEntry(LINE, "alice", key, body, b'"N":%d}' % number, time, contacts=("alice", "bob"))


async def test_r4_the_same_msg_id_is_one_entry_also_after_reopening(tmp_path: Path) -> None:
    for _ in range(2):
        store = SqliteStore(tmp_path / "s.db")
        await store.open()
        first = await asyncio.gather(*(store.append(entry(n)) for n in range(1, 201)))
        again = await store.append(entry(7))
        assert [appended.seq for appended in first] == list(range(1, 201))
        assert (again.seq, again.duplicate) == (7, True)
        with pytest.raises(MsgIdConflict):
            await store.append(entry(7, body=b"other"))
        await store.close()


async def test_a_refused_append_takes_no_seq_and_times_never_go_back() -> None:
    store = SqliteStore(None)
    await store.open()
    await store.append(entry(1, time=100))
    outcomes = await asyncio.gather(
        store.append(entry(1, body=b"other")), store.append(entry(2, time=50)), return_exceptions=True
    )
    assert isinstance(outcomes[0], MsgIdConflict)
    page = await store.timeline_page(LINE, 1, 99, 10)
    assert [(e.seq, e.time) for e in page.entries] == [(2, 100), (1, 100)]
    assert (page.first, page.last, page.floor, page.last_seq) == (1, 2, 1, 2)
    newest = await store.timeline_page(LINE, 1, 99, 1)
    assert (newest.first, newest.last) == (2, 2)
    await store.close()
    with pytest.raises(StorageError):
        await store.append(entry(3))


async def test_lists_read_seqs_and_groups() -> None:
    store = SqliteStore(None)
    await store.open()
    await store.append(entry(1))
    (contact,) = await store.contacts("bob", 0, 10)
    assert (contact.timeline, contact.last_seq, contact.read_seq) == (LINE, 1, 0)
    assert await store.set_read("bob", LINE, 99) == 1
    assert await store.set_read("bob", LINE, 0) == 1
    group = Group("g", "Public", "team", "alice", 100, {"alice": Member("Owner"), "bob": Member("Member")})
    await store.create_group(group)
    assert await store.group("g") == group
    with pytest.raises(GroupExists):
        await store.create_group(group)
    assert [g.group_id for g in await store.groups_of("bob")] == ["g"]
    assert (await store.ensure_account("alice")) == (await store.ensure_account("alice"))
    await store.close()


async def test_changes_and_their_entries_are_stored_together_or_not_at_all() -> None:
    store = SqliteStore(None)
    await store.open()
    first = Group("g", "Public", "team", "alice", 100, {"alice": Member("Owner")})
    line = group_timeline("g")
    tip = NewEntry(line, "alice", None, b"", b'"N":1}', 100)
    await store.apply([CreateGroup(first)], [])
    (appended,) = await store.apply([AddMembers("g", {"bob": Member("Member")}, from_now=True)], [tip])
    assert appended.seq == 1
    with pytest.raises(GroupExists):
        await store.apply([SetBlocked("bob", "eve", 100), CreateGroup(first)], [tip])
    assert (await store.circle("bob")).blocked == {}
    assert (await store.timeline_page(line, 1, 9, 9)).last_seq == 1
    group = await store.group("g")
    assert group is not None
    assert group.members == {"alice": Member("Owner"), "bob": Member("Member", floor=1)}
    (again,) = await store.apply([AddMembers("g", {"carol": Member("Member")}, from_now=True)], [tip])
    group = await store.group("g")
    assert group is not None
    assert group.members["carol"].floor == again.seq == 2
    await store.close()


async def test_r19_a_file_of_the_first_schema_is_brought_to_this_one(tmp_path: Path) -> None:
    from timim.server.store import sqlite as engine

    path = tmp_path / "s.db"
    old = sqlite3.connect(path)
    old.executescript(engine._SCHEMA_1 + "PRAGMA user_version=1;")
    old.execute("INSERT INTO accounts VALUES('alice', 7, 'Alice', 'http://x', '{\"k\": \"v\"}')")
    old.execute("INSERT INTO groups VALUES('g', 'Public', 'team', 'alice', 100)")
    old.execute("INSERT INTO members VALUES('g', 'alice', 0, 'Owner', 'Al', 1)")
    old.execute("INSERT INTO timelines(name, last_seq, last_time) VALUES('group\x1fg', 3, 100)")
    old.commit()
    old.close()
    store = SqliteStore(path)
    await store.open()
    alice = await store.account("alice")
    assert alice is not None
    assert (alice.nickname, alice.custom, alice.version) == ("Alice", {"k": "v"}, 1)
    group = await store.group("g")
    assert group == Group("g", "Public", "team", "alice", 100, {"alice": Member("Owner", "Al")})
    await store.apply([AddMembers("g", {"bob": Member("Member")}, from_now=True)], [])
    group = await store.group("g")
    assert group is not None
    assert group.members["bob"].floor == 4
    await store.close()


async def test_what_a_failed_commit_left_in_memory_is_forgotten(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.open()
    directory = Directory(store)
    await directory.create_group(Group("g", "Public", "team", "alice", 100, {"alice": Member("Owner")}))
    broken = sqlite3.connect(tmp_path / "s.db")
    broken.execute("CREATE TRIGGER stop BEFORE INSERT ON members BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    broken.commit()
    change = AddMembers("g", {"bob": Member("Member")}, from_now=False)
    waiting = directory.apply([change], [])
    assert "bob" in (await directory.group("g")).members  # what is decided next sees it
    with pytest.raises(StorageError):
        await waiting
    assert "bob" not in (await directory.group("g")).members
    broken.execute("DROP TRIGGER stop")
    broken.commit()
    broken.close()
    await directory.apply([change], [])
    assert "bob" in (await directory.group("g")).members
    await store.close()
