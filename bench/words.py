"""The full-text index of the local store: cost of storing, indexing and searching. `python -m bench.words [rows]`."""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from timim.elems import TextElem
from timim.ids import ConversationKey, ConversationType
from timim.local_store import fulltext, schema, writes
from timim.local_store.types import IngestBatch, MessageRow
from timim.protocol.coverage import Interval
from timim.protocol.elems import encode_body

CONVERSATIONS, ROWS_A_BATCH, ROWS_A_COMMIT = 50, 32, 512
SIGNS = [chr(0x4E00 + number) for number in range(3000)]
WEIGHTS = [1 / (10 + number) for number in range(3000)]  # a few characters are in most sentences, most characters in few


def text(number: int, rng: random.Random) -> str:
    said = "".join(rng.choices(SIGNS, WEIGHTS, k=rng.randint(4, 24)))
    if number % 3 == 0:
        said += " " + " ".join(f"word{rng.randrange(20_000)}" for _ in range(3))
    for every, word in ((10, "今天"), (100, "发票"), (10_000, "稀有")):
        if number % every == 0:
            said += f" {word}"
    return said


def store(connection: sqlite3.Connection, count: int) -> float:
    """Store `count` rows and return the seconds in the store."""
    rng, spent = random.Random(1), 0.0
    last = [0] * CONVERSATIONS
    for done in range(0, count, ROWS_A_BATCH):
        at = rng.randrange(CONVERSATIONS)
        peer, first = f"u{at}", last[at] + 1
        last[at] += ROWS_A_BATCH
        items = [
            MessageRow(first + n, f"1-{first + n}", peer, done + n, False, encode_body([TextElem(text=text(done + n, rng))]))
            for n in range(ROWS_A_BATCH)
        ]
        key = ConversationKey(ConversationType.C2C, peer)
        batch = IngestBatch(key, items, [Interval(first, last[at])], live=True, delivered_seq=last[at], last_seq=last[at])
        begun = time.perf_counter()
        if done % ROWS_A_COMMIT == 0:
            connection.execute("BEGIN IMMEDIATE")
        writes.ingest(connection, batch)
        if (done + ROWS_A_BATCH) % ROWS_A_COMMIT == 0:
            connection.execute("COMMIT")
        spent += time.perf_counter() - begun
    if connection.in_transaction:
        connection.execute("COMMIT")
    return spent


def index(connection: sqlite3.Connection) -> tuple[float, float]:
    """Index all rows and return the seconds, and those of the longest transaction."""
    times = []
    while fulltext.unindexed(connection):
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        fulltext.index_more(connection)
        connection.execute("COMMIT")
        times.append(time.perf_counter() - begun)
    return sum(times), max(times)


def page_s(connection: sqlite3.Connection, *wanted: str) -> float:
    runs = []
    for _ in range(21):
        begun = time.perf_counter()
        fulltext.search(connection, fulltext.SearchQuery(wanted), 20)
        runs.append(time.perf_counter() - begun)
    return statistics.median(runs)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "messages.db"
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        schema.migrate(connection)
        print(f"{count} rows stored, µs per row: {store(connection, count) / count * 1e6:.1f}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = file.stat().st_size
        took, longest = index(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        print(f"indexed, µs per row: {took / count * 1e6:.1f}; longest transaction, ms: {longest * 1e3:.0f}")
        print(f"file, MB: {before / 1e6:.0f}, with the index {file.stat().st_size / 1e6:.0f}")
        for wanted in ("稀有", "发票", "今天", "word77", "word7*"):
            match = fulltext.SearchQuery((wanted,)).match()
            (matches,) = connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match,)).fetchone()
            print(f"{wanted}, in {matches} messages, p50 of a page of 20, ms: {page_s(connection, wanted) * 1e3:.2f}")
        connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
