"""Tests of R19 for the local store: a migration keeps every row of an earlier version and gives the schema of a new store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.releases.devices import kept, written
from timim import FaceElem, MessageStatus, StorageError, UnknownElem
from timim.ids import ConversationKey, ConversationSetting, ConversationType
from timim.local_store import fulltext, schema
from timim.local_store.fulltext import SearchQuery
from timim.storage import LocalStore

VERSIONS = range(1, schema.VERSION + 1)
BOB = ConversationKey(ConversationType.C2C, "bob")
TEAM = ConversationKey(ConversationType.GROUP, "g")
STICKER = FaceElem(index=7)
TABLES = (
    "meta",
    "conversations",
    "messages",
    "acts",
    "receipts",
    "deleted",
    "pending_changes",
    "handling",
    "once",
    "scheduled",
    "own_deleted",
)
DROPPED = {"draft_unsent"}  # columns whose content is in `pending_changes` now
Tables = Mapping[str, Sequence[Mapping[str, object]]]


def left(version: int, folder: Path) -> Path:
    """Return a database file as a device of this version wrote it."""
    path = folder / f"{version}.db"
    with closing(sqlite3.connect(path)) as file:
        fulltext.register(file)
        file.executescript(kept(version).read_text())
    return path


def tables(path: Path) -> Tables:
    with closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        there = {row["name"] for row in file.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
        return {name: [dict(row) for row in file.execute(f"SELECT * FROM {name}")] for name in TABLES if name in there}


def shape(path: Path) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()


async def brought_up(path: Path) -> None:
    async with LocalStore(path):
        pass


async def keeps_all(version: int, folder: Path) -> None:
    path = left(version, folder)
    before = tables(path)
    assert all(before.values()), "a table without rows would make the test pass for no reason"
    await brought_up(path)
    after = tables(path)
    for table, was in before.items():
        kept_columns = [{column: row[column] for column in row if column not in DROPPED} for row in was]
        is_now = [{column: row[column] for column in old} for row, old in zip(after[table], kept_columns, strict=True)]
        assert is_now == kept_columns, table


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.requirement("R19")
async def test_a_migration_keeps_every_row_of_every_device_version(version: int, tmp_path: Path) -> None:
    await keeps_all(version, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.requirement("R19")
async def test_a_migrated_device_has_the_schema_of_a_new_one(version: int, tmp_path: Path) -> None:
    old, new = left(version, tmp_path), tmp_path / "new.db"
    for path in (old, new):
        await brought_up(path)
    assert shape(old) == shape(new)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.requirement("R19")
async def test_a_migrated_device_works(version: int, tmp_path: Path) -> None:
    async with LocalStore(left(version, tmp_path)) as store:
        said = await store.messages.page(BOB, 10)
        assert [(m.text, m.status) for m in said] == [
            ("refused", MessageStatus.FAILED),
            ("on its way", MessageStatus.SENDING),
            ("deleted here", MessageStatus.DELETED),
            ("hi", MessageStatus.SUCCEEDED),
            ("hello, Al'ice 你好 😀", MessageStatus.SUCCEEDED),
        ]
        oldest = said[-1]
        assert (oldest.custom_int, oldest.custom_data, oldest.cloud_custom_data) == (-5, b"\x00\xff", '{"a":1}')
        assert oldest.sender_profile is not None
        assert (oldest.sender_profile.nickname, oldest.is_read, oldest.recalled) == ("Bob", True, False)
        assert [m.text for m in await store.messages.outgoing()] == ["on its way"]
        (in_group,) = await store.messages.page(TEAM, 10)
        sticker, unknown = in_group
        assert sticker == STICKER
        assert isinstance(unknown, UnknownElem)
        assert in_group.sender_member is not None
        assert (in_group.sender_member.role, in_group.is_read) == ("Admin", True)
        assert (await store.conversations.coverage(TEAM)).intervals == ((2, 2), (5, 5))
        found = await store.messages.search(SearchQuery(("你好",)), 10)
        assert [m.text for m in found.messages] == ["hello, Al'ice 你好 😀"]
        bob = await store.conversations.get(BOB)
        assert bob is not None
        assert (bob.delivered_seq, bob.read_seq, bob.listed, bob.unread) == (3, 2, True, 0)


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.requirement("R19")
async def test_a_draft_that_was_not_sent_is_a_pending_change_after_the_migration(version: int, tmp_path: Path) -> None:
    path = left(version, tmp_path)
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE conversations SET draft='half a sen', draft_unsent=1 WHERE peer='bob'")
        file.commit()
    async with LocalStore(path) as store:
        (change,) = await store.changes.all()
        assert (change.key, change.setting, change.value) == (BOB, ConversationSetting.DRAFT, "half a sen")
        bob = await store.conversations.get(BOB)
        assert bob is not None
        assert bob.flags.draft == "half a sen"


def index_as_version_3(path: Path) -> None:
    """Write the index that version 3 made: words with their accents, and no words beside circled digits."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("INSERT INTO words(rowid, text) SELECT local_id, 'former' FROM messages")
        file.execute("UPDATE indexing SET last=(SELECT max(local_id) FROM messages)")
        file.commit()


@pytest.mark.requirement("R19", "P07")
async def test_an_index_of_an_earlier_version_is_made_again(tmp_path: Path) -> None:
    path = left(3, tmp_path)
    await asyncio.to_thread(index_as_version_3, path)
    async with LocalStore(path) as store:
        assert (await store.messages.search(SearchQuery(("former",)), 10)).messages == []
        found = await store.messages.search(SearchQuery(("hello",)), 10)
        assert [m.text for m in found.messages] == ["hello, Al'ice 你好 😀"]


@pytest.mark.requirement("P07")
async def test_an_index_of_other_rules_is_made_again_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left(schema.VERSION, tmp_path)
    async with LocalStore(path) as store:
        assert len((await store.messages.search(SearchQuery(("hello",)), 10)).messages) == 1
    monkeypatch.setattr(fulltext, "RULES", "another Unicode")
    monkeypatch.setattr(fulltext, "folded", lambda text: text.replace("hello", "goodbye"))
    async with LocalStore(path) as store:
        assert len((await store.messages.search(SearchQuery(("goodbye",)), 10)).messages) == 1
        assert len((await store.messages.search(SearchQuery(("hello",)), 10)).messages) == 0


def write_lossy_migrations(folder: Path) -> None:
    for number in VERSIONS:
        lossy = "DELETE FROM messages WHERE status=3; " if number == 2 else ""
        (folder / f"{number:04}_lossy.sql").write_text(lossy + schema.statements(number))


@pytest.mark.requirement("R19")
async def test_a_migration_that_loses_rows_of_a_device_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(write_lossy_migrations, tmp_path)
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path)
    with pytest.raises((AssertionError, ValueError)):
        await keeps_all(1, tmp_path)


@pytest.mark.requirement("R19")
async def test_a_device_of_a_later_version_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = left(schema.VERSION, tmp_path)
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    before = tables(path)
    with pytest.raises(StorageError, match="newer timim"):
        await brought_up(path)
    assert tables(path) == before


@pytest.mark.requirement("R19")
def test_the_newest_device_version_has_a_fixture() -> None:
    """Test that each version of the schema has a file, which `python -m tests.fixtures.releases.devices` writes."""
    assert kept(schema.VERSION).read_text() == written(schema.VERSION)
