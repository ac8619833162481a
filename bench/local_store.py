"""The local store with 100 to 1,000,000 messages: opening, reading a page, filling a gap.

`python -m bench.local_store` prints the figures, and `bench/growth.py` draws them. Each page is measured beside the same rows
read by plain sqlite3 from the same file; the ratio is the cost that timim adds.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from timim.client import Client
from timim.ids import ConversationKey, ConversationType
from timim.local_store import message_rows
from timim.local_store.types import IngestBatch, MessageRow
from timim.message import Message
from timim.protocol.coverage import Interval
from timim.storage import LocalStore

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
KEY = ConversationKey(ConversationType.C2C, "bob")
PAGE = 20
HOLE = 20


@dataclass(frozen=True)
class Figures:
    """Figures for one size: lower quartiles, because other users of the disk can only add time."""

    size: int
    open_ms: float  # the client: its store, conversation list and outbox
    page_us: float  # 20 messages before a random one, through `get_local_messages`
    plain_us: float  # the same rows by plain sqlite3, on the calling thread
    fill_us: float  # 20 missing messages stored and the gap closed, synced to the disk


async def measure(folder: Path, sizes: tuple[int, ...] = SIZES) -> list[Figures]:
    client = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="none", data_dir=folder)
    path = client.engine.config.database
    assert path is not None
    found, stored = [], 0
    for size in sizes:
        async with LocalStore(path) as store:
            for first in range(stored + 1, size + 1, 5000):
                last = min(first + 4999, size)
                incoming = [row(seq) for seq in range(first, last + 1)]
                await store.messages.ingest(
                    [IngestBatch(KEY, incoming, [Interval(first, last)], delivered_seq=last, last_seq=last, read_seq=last)]
                )
            stored = size
        opened = quartile([await opening(client) for _ in range(15)])
        page_us, plain_us = await paging(client, path, size)
        found.append(Figures(size, opened, page_us, plain_us, await filling(path, size)))
        print(json.dumps(asdict(found[-1])), flush=True)
    return found


def quartile(times: list[float]) -> float:
    return statistics.quantiles(times, n=4)[0]


async def opening(client: Client) -> float:
    begun = time.perf_counter()
    await client.open()
    took_ms = (time.perf_counter() - begun) * 1e3
    await client.close()
    return took_ms


async def paging(client: Client, path: Path, size: int) -> tuple[float, float]:
    """Measure both ways in turns, so that both meet the same state of the machine."""
    await client.open()
    conversation = client.c2c("bob")
    ours: list[float] = []
    plain: list[float] = []
    connection = sqlite3.connect(path)
    statement = (
        f"{message_rows.SELECT} WHERE m.type=? AND m.peer=? AND m.position>=? AND (m.position, m.local_id)<(?,?)"
        " ORDER BY m.position DESC, m.local_id DESC LIMIT ?"
    )
    try:
        (before,) = await conversation.get_local_messages(1)
        for i in range(300):
            begun = time.perf_counter()
            page = await conversation.get_local_messages(PAGE, before=before)
            ours.append((time.perf_counter() - begun) * 1e6)
            assert len(page) == PAGE
            begun = time.perf_counter()
            read = connection.execute(statement, (*KEY, 1, before.seq, 0, PAGE)).fetchall()
            plain.append((time.perf_counter() - begun) * 1e6)
            assert len(read) == PAGE
            at = PAGE + 2 + i * 7919 % (size - PAGE - 1)  # another position each time
            (before,) = await conversation.get_local_messages(1, before=await a_message(client, at))
    finally:
        connection.close()
        await client.close()
    return quartile(ours), quartile(plain)


async def a_message(client: Client, seq: int) -> Message:
    found = await client.engine.store.messages.get(KEY, seq)
    assert found is not None
    return found


async def filling(path: Path, size: int) -> float:
    times: list[float] = []
    async with LocalStore(path) as store:
        for i in range(100):
            first = 1 + i * 7919 % (size - HOLE)
            await forget(store, first)
            batch = IngestBatch(KEY, [row(seq) for seq in range(first, first + HOLE)], [Interval(first, first + HOLE - 1)])
            begun = time.perf_counter()
            await store.messages.ingest([batch])
            times.append((time.perf_counter() - begun) * 1e6)
            assert (await store.conversations.coverage(KEY)).intervals == (Interval(1, size),)
    return quartile(times)


async def forget(store: LocalStore, first: int) -> None:
    for seq in range(first, first + HOLE):
        message = await store.messages.get(KEY, seq)
        assert message is not None
        await store.messages.delete(message)


def row(seq: int) -> MessageRow:
    body = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"message %d"}}]' % seq
    return MessageRow(seq, f"{1_700_000_000 + seq}-{seq}", "bob", 1_700_000_000 + seq, False, body)


def main() -> None:
    """Run `python -m bench.local_store [largest size]`."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]
    sizes = tuple(size for size in SIZES if size <= largest)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), sizes))
    print("ratio of a page to plain sqlite3:", " ".join(f"{f.page_us / f.plain_us:.1f}" for f in found))


if __name__ == "__main__":
    main()
