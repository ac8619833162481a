"""The local store with 100 to 1,000,000 messages: opening, reading a page, filling a gap; as figures and a plot.

`python -m bench.local_store` prints the figures and writes docs/local_store.svg. Each page is measured beside the same rows
read by plain sqlite3 from the same file; the ratio is the cost that timim adds.
"""

from __future__ import annotations

import asyncio
import json
import math
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
PLOT = Path(__file__).parent.parent / "docs" / "local_store.svg"


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
                    [IngestBatch(KEY, incoming, [Interval(first, last)], delivered_seq=last, last_seq=last)]
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


LINES = (
    ("opening", "#b3541e"),
    ("a page of 20", "#1f6f8b"),
    ("the same rows, plain sqlite3", "#8a8a8a"),
    ("filling a hole", "#4b7f3a"),
)
LEFT, TOP, WIDTH, HEIGHT = 70, 40, 470, 260


def plot(found: list[Figures]) -> str:
    """Draw the plot with two logarithmic axes. A constant time is a horizontal line."""
    low, high = 1, 6  # powers of ten: 10 µs to 1 s
    steps = [math.log10(figures.size) for figures in found]

    def x(step: float) -> float:
        return LEFT + (step - steps[0]) / (steps[-1] - steps[0]) * WIDTH

    def y(us: float) -> float:
        return TOP + (high - math.log10(us)) / (high - low) * HEIGHT

    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 360" font-family="sans-serif" font-size="13">',
        '<rect width="780" height="360" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">One local store as it grows (lower quartiles)</text>',
    ]
    names = {1: "10 µs", 2: "100 µs", 3: "1 ms", 4: "10 ms", 5: "100 ms", 6: "1 s"}
    for power, name in names.items():
        at = y(10.0**power)
        out.append(f'<path d="M{LEFT} {at:.1f}H{LEFT + WIDTH}" stroke="#dddddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{name}</text>')
    for step, figures in zip(steps, found, strict=True):
        out.append(f'<text x="{x(step):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{figures.size:,}</text>')
    out.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">messages in the store</text>')
    series = (
        [f.open_ms * 1e3 for f in found],
        [f.page_us for f in found],
        [f.plain_us for f in found],
        [f.fill_us for f in found],
    )
    for (name, colour), values in zip(LINES, series, strict=True):
        points = [(x(step), y(value)) for step, value in zip(steps, values, strict=True)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        out += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points]
        out.append(f'<text x="{points[-1][0] + 12:.1f}" y="{points[-1][1] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*out, "</svg>", ""])


def main() -> None:
    """Run `python -m bench.local_store [largest size]`. The plot is written if all sizes were measured."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]
    sizes = tuple(size for size in SIZES if size <= largest)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), sizes))
    print("ratio of a page to plain sqlite3:", " ".join(f"{f.page_us / f.plain_us:.1f}" for f in found))
    if sizes == SIZES:
        PLOT.write_text(plot(found))
        print(f"the plot: {PLOT}")


if __name__ == "__main__":
    main()
