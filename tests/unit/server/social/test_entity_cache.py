"""Tests of the cached groups: failed commits, and changes of other nodes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from timim import StorageError
from timim.server.bus.local import LocalBus
from timim.server.social.entity_cache import EntityCache
from timim.server.store.base import (
    Member,
    StoredGroup,
)
from timim.server.store.mutations import InsertMembers, RemoveMembers
from timim.server.store.sqlite import SqliteStore


async def test_memory_changed_by_a_failed_commit_is_discarded(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.open()
    directory = EntityCache(store, LocalBus())
    await directory.create_group(StoredGroup("g", "Public", "team", "alice", 100, {"alice": Member("Owner")}))
    broken = sqlite3.connect(tmp_path / "s.db")
    broken.execute("CREATE TRIGGER stop BEFORE INSERT ON members BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    broken.commit()
    change = InsertMembers("g", {"bob": Member("Member")}, from_now=False)
    waiting = directory.apply([change], [])
    assert "bob" in (await directory.group("g")).members  # the next decision already uses the change
    with pytest.raises(StorageError):
        await waiting
    assert "bob" not in (await directory.group("g")).members
    broken.execute("DROP TRIGGER stop")
    broken.commit()
    broken.close()
    await directory.apply([change], [])
    assert "bob" in (await directory.group("g")).members
    await store.close()


async def test_a_group_is_current_although_no_other_node_announced_its_change() -> None:
    store = SqliteStore(None)
    await store.open()
    here, there = (EntityCache(store, LocalBus(), shared=True) for _ in range(2))
    members = {"alice": Member("Owner"), "bob": Member("Member")}
    await here.create_group(StoredGroup("g", "Public", "team", "alice", 100, members))
    assert "bob" in (await there.group("g")).members
    await here.group("g")
    await here.apply([RemoveMembers("g", ("bob",))], [])
    assert "bob" in (await there.group("g")).members  # cached; the bus connects nobody
    assert "bob" not in (await there.current_group("g")).members
    await store.close()
