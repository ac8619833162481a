"""Tests of R1: an ack survives a power cut. The stores run their own code and pragmas on a disk that loses unsynced writes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import pytest

from tests.support import fault_vfs
from tests.support.fault_vfs import Connection, Disk
from tests.support.waiting import eventually
from timim.errors import StorageError
from timim.ids import ConversationKey, ConversationType
from timim.local_store import schema, types
from timim.local_store.conversations import ConversationTable
from timim.local_store.file import StoreFile
from timim.local_store.messages import MessageTable
from timim.message import Message, MessageStatus
from timim.protocol.coverage import Coverage, Interval
from timim.server.settings import Settings
from timim.server.store import sqlite as server_store
from timim.server.store.base import MsgKey, NewEntry, Store
from timim.server.store.locks import LocalLocks
from timim.sqlite.batching_queue import resolve
from timim.sqlite.connection import TaskConnection
from timim.sqlite.database import Database, Schema
from timim.storage import LocalStore

GROUPS_A_CUT = 9  # groups of 1 to 12 rows sent together between two cuts; the power often fails before the last group
TIMELINE = "c2c\x1falice\x1fbob"
KEY = ConversationKey(ConversationType.C2C, "bob")


class OnDisk(Database):
    """The product's database on a `Disk`, with one connection for writes and reads."""

    def __init__(self, disk: Disk, schema: Schema, *, synchronous: str) -> None:
        super().__init__(None, schema, synchronous=synchronous)
        self._disk = disk

    def make_connection(self, *_: object, **__: object) -> TaskConnection:
        return cast("TaskConnection", Connection(self._disk, "timim.db"))


class Kept(Protocol):
    """A store under test, in which numbers are stored."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def put(self, number: int) -> int:
        """Store a number and return its seq."""
        ...

    async def numbers(self) -> dict[int, int]:
        """Return all stored numbers by seq. Raises AssertionError if the store's seqs or intervals contradict its rows."""
        ...


class ServersStore(server_store.SqliteStore):
    def __init__(self, disk: Disk, *, synchronous: str) -> None:
        self.engine = server_store.SqliteEngine(OnDisk(disk, server_store.SqliteSchema(), synchronous=synchronous))
        Store.__init__(self, self.engine, LocalLocks())

    async def put(self, number: int) -> int:
        tail = b'"n":%d}' % number
        return (
            await self.timelines.append(NewEntry(TIMELINE, "alice", MsgKey(1, number), b"f", tail, 1, ("alice", "bob")))
        ).seq

    async def numbers(self) -> dict[int, int]:
        page = await self.timelines.page(TIMELINE, 1, 1 << 62, 1 << 30)
        assert [entry.seq for entry in page.entries] == list(range(page.last_seq, 0, -1)), "the seqs must have no gap"
        return {entry.seq: int(entry.tail[4:-1]) for entry in page.entries}


class FileOnDisk(StoreFile):
    """The file of the client's store on a `Disk`."""

    def __init__(self, disk: Disk, *, synchronous: str) -> None:
        self._disk, self._synchronous = disk, synchronous
        super().__init__(None)

    def make_database(self, path: Path | None) -> Database:
        return OnDisk(self._disk, schema, synchronous=self._synchronous)


class ClientsStore:
    """The parts of the client's store that store received messages."""

    def __init__(self, disk: Disk, *, synchronous: str) -> None:
        self._file = FileOnDisk(disk, synchronous=synchronous)
        self._messages = MessageTable(self._file, types.PlainBinder())
        self._conversations = ConversationTable(self._file)

    async def open(self) -> None:
        await self._file.open()

    async def close(self) -> None:
        await self._file.close()

    async def put(self, number: int) -> int:
        item = types.MessageRow(number, f"1-{number}", "bob", 1, False, b"[]")
        await self._messages.ingest(
            [types.IngestBatch(KEY, [item], [Interval(number, number)], live=True, delivered_seq=number, last_seq=number)]
        )
        return number

    async def numbers(self) -> dict[int, int]:
        held = await self._messages.page(KEY, 1 << 30)
        coverage = await self._conversations.coverage(KEY)
        assert coverage == Coverage((m.seq, m.seq) for m in held), "the coverage must equal the stored seqs"
        return {m.seq: int(m.msg_id[2:]) for m in held}


class SyncedSends:
    """The client's store with messages that leave the device at once: their rows are committed without a sync.

    A number counts as stored after `sync()`, as a caller knows of a message that is kept for later.
    """

    def __init__(self, disk: Disk, *, synchronous: str) -> None:
        self._file = FileOnDisk(disk, synchronous=synchronous)
        self._messages = MessageTable(self._file, types.PlainBinder())

    async def open(self) -> None:
        await self._file.open()

    async def close(self) -> None:
        await self._file.close()

    async def put(self, number: int) -> int:
        local_id = await self.add(number)
        await self._file.sync()
        return local_id

    async def add(self, number: int) -> int:
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._messages.add_outgoing(types.Outgoing(message_of(number), b"[]", True, 1), partial(resolve, stored))
        return await stored

    async def numbers(self) -> dict[int, int]:
        return {m.local_id: int(m.msg_id[2:]) for m in await self._messages.page(KEY, 1 << 30)}


class AckedSends(SyncedSends):
    """The same store. A number counts as stored when its ack is."""

    async def put(self, number: int) -> int:
        local_id = await self.add(number)
        ack = types.Ack(KEY, local_id, f"1-{number}", number, 1, None)
        settled: asyncio.Future[types.AckResult] = asyncio.get_running_loop().create_future()
        self._messages.settle(ack, partial(resolve, settled))
        self._file.flush()
        await settled
        return local_id


AnyStore: TypeAlias = ServersStore | ClientsStore | SyncedSends


def message_of(number: int) -> Message:
    message = Message("x")
    message._key, message._msg_id, message._sender, message._status = KEY, f"1-{number}", "alice", MessageStatus.SENDING
    return message


@dataclass
class Cuts:
    """The acked rows, and the losses found after power cuts."""

    acked: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    damaged: int = 0


@pytest.fixture(autouse=True)
def _blank_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timim.local_store.schema.copy_blank", fault_vfs.copy_blank)
    monkeypatch.setattr("timim.server.store.sqlite.copy_blank", fault_vfs.copy_blank)


async def cut_again_and_again(kind: type[AnyStore], cuts: int, *, seed: int, synchronous: str = "FULL") -> Cuts:
    """Write under load, cut the power at a random write or sync, reopen the store, and check all acked rows. Repeat this."""
    rng = random.Random(seed)
    result = Cuts()
    image: dict[str, bytes] = {}
    number = 0
    for _ in range(cuts):
        disk = Disk(rng, image, cut_after=rng.randrange(20, 400))
        store: Kept = kind(disk, synchronous=synchronous)

        async def put(n: int, store: Kept = store) -> None:
            result.acked[await store.put(n)] = n

        try:
            await store.open()
            for _ in range(GROUPS_A_CUT):
                group = [asyncio.create_task(put(number := number + 1)) for _ in range(rng.randrange(1, 13))]
                done = await asyncio.gather(*group, return_exceptions=True)
                assert all(error is None or isinstance(error, StorageError) for error in done), done
        except StorageError:
            pass  # the power failed while the store was being opened
        finally:
            disk.left = min(disk.left, 0)  # nothing more reaches the disk, not even the writes of close()
            image = disk.image()
            await store.close()
        await look_for(result, kind(Disk(rng, image), synchronous="FULL"))
        if result.lost or result.damaged:
            break
    return result


async def look_for(result: Cuts, store: Kept) -> None:
    try:
        await store.open()
        there = await store.numbers()
    except StorageError:
        result.damaged += 1
        return
    finally:
        await store.close()
    assert len(set(there.values())) == len(there), "a number is stored twice"
    result.lost += sum(there.get(seq) != n for seq, n in result.acked.items())


STORES = pytest.mark.parametrize("kind", [ServersStore, ClientsStore])


@pytest.mark.timeout(240)  # hundreds of starts; a busy machine needs more than a minute
@STORES
@pytest.mark.requirement("R1")
async def test_no_acked_row_is_lost_to_a_power_cut(kind: type[ServersStore | ClientsStore], seed: int) -> None:
    acked = 0
    for disk in range(8):  # each check reads all rows of a disk; with fewer disks the checks would take most of the time
        result = await cut_again_and_again(kind, 25, seed=seed + disk)
        assert (result.lost, result.damaged) == (0, 0)
        acked += len(result.acked)
    assert acked >= 8000
    print(f"200 power cuts, {acked} acked rows, 0 lost")


@pytest.mark.timeout(240)  # hundreds of starts; a busy machine needs more than a minute
@pytest.mark.parametrize("kind", [SyncedSends, AckedSends])
@pytest.mark.requirement("R1")
async def test_no_message_is_lost_that_was_acked_or_reported_as_kept(kind: type[SyncedSends], seed: int) -> None:
    result = await cut_again_and_again(kind, 50, seed=seed)
    assert (result.lost, result.damaged) == (0, 0)
    assert len(result.acked) >= 500


@pytest.mark.timeout(240)  # hundreds of starts; a busy machine needs more than a minute
@pytest.mark.parametrize("kind", [SyncedSends, AckedSends])
@pytest.mark.requirement("R1")
async def test_a_store_that_does_not_sync_its_messages_is_detected(
    kind: type[SyncedSends], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def syncs_nothing(self: Database) -> None:
        pass

    def defers_without_sync(self: StoreFile, operation: Any, item: Any, on_done: Any) -> None:
        self._database.add(operation, item, on_done, defer=True, synced=False)

    monkeypatch.setattr(Database, "sync", syncs_nothing)
    monkeypatch.setattr(StoreFile, "defer", defers_without_sync)
    result = await cut_again_and_again(kind, 60, seed=seed)
    assert result.lost


@pytest.mark.requirement("R1")
async def test_only_a_message_that_leaves_at_once_is_committed_without_a_sync() -> None:
    disk = Disk(random.Random(1))
    store = SyncedSends(disk, synchronous="FULL")
    await store.open()
    syncs = disk.syncs
    await store.add(1)
    assert disk.syncs == syncs
    await store._file.sync()
    assert disk.syncs == syncs + 1
    await store._file.sync()  # nothing is left to sync
    assert disk.syncs == syncs + 1
    waits = types.Outgoing(message_of(2), b"[]", False, 1)
    stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    store._messages.add_outgoing(waits, partial(resolve, stored))
    await stored
    assert disk.syncs == syncs + 2
    await store.add(3)
    await eventually(lambda: disk.syncs == syncs + 3)  # after SYNC_S
    await store.close()


@pytest.mark.soak
@pytest.mark.timeout(240)  # hundreds of starts; a busy machine needs more than a minute
@STORES
@pytest.mark.requirement("R1")
async def test_two_thousand_power_cuts(kind: type[ServersStore | ClientsStore], seed: int) -> None:
    acked = 0
    for round in range(10):
        result = await cut_again_and_again(kind, 200, seed=seed + round)
        assert (result.lost, result.damaged) == (0, 0)
        acked += len(result.acked)
    print(f"R1, {kind.__name__}: 2000 power cuts, {acked} acked rows, 0 lost")


@pytest.mark.timeout(240)  # hundreds of starts; a busy machine needs more than a minute
@STORES
@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
@pytest.mark.requirement("R1")
async def test_a_store_that_does_not_sync_its_commits_is_detected(
    kind: type[ServersStore | ClientsStore], synchronous: str, seed: int
) -> None:
    result = await cut_again_and_again(kind, 60, seed=seed, synchronous=synchronous)
    assert result.lost or result.damaged


@pytest.mark.requirement("R1")
def test_the_product_syncs_its_commits(tmp_path: Path) -> None:
    """Test that the server's default settings and the client's store sync their commits as in these tests."""
    assert Settings(data_dir=tmp_path).synchronous == "FULL"
    assert LocalStore(tmp_path / "messages.db")._file._database._synchronous == "FULL"
