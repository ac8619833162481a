"""Cost of a login, by the number of conversations and of those that changed since the last login.

`python bench/login_cost.py [conversations …]` writes a real server's database, starts the server, and logs a device in: for
the first time, again without changes, and again with CHANGED changed conversations.
"""

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import msgspec

from timim import Client
from timim.protocol import frames
from timim.protocol.entries import EntryPayload, encode_payload
from timim.server.store.base import MsgKey, NewEntry, c2c_timeline
from timim.server.store.sqlite import SqliteStore
from timim.storage import LocalStore
from timim.testing import RunningServer, running_server
from timim.transport import websocket as net_link

SIZES = (10, 100, 1_000, 10_000)
CHANGED = 5
EACH = 3  # messages in each conversation before the first login
ROUNDS = 5
LONG_AGO_S = 86_400
BODY = msgspec.Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello, how are you today?"}}]')


class Counts:
    """Bytes and frames transferred on the socket."""

    requests = bytes_up = bytes_down = 0


@dataclass
class Logins:
    """Logins of one kind: the milliseconds for opening the store and for the login, the traffic, and the received rows."""

    what: str
    runs: list[tuple[float, float, Counts, int]]

    @property
    def open_ms(self) -> float:
        return statistics.median(run[0] for run in self.runs)

    @property
    def login_ms(self) -> float:
        return statistics.median(run[1] for run in self.runs)


@contextmanager
def counting() -> Iterator[Counts]:
    """Count the frames and bytes of every connection in this process."""
    counts = Counts()

    def joined(waiting: list[bytes], *, limit_bytes: int) -> list[bytes]:
        messages = frames.join_in_batches(waiting, limit_bytes=limit_bytes)
        counts.requests += len(waiting)
        counts.bytes_up += sum(map(len, messages))
        return messages

    def decoded(message: bytes) -> list[frames.Frame]:
        counts.bytes_down += len(message)
        return frames.decode_frames(message)

    with patch.object(net_link, "join_in_batches", joined), patch.object(net_link, "decode_frames", decoded):
        yield counts


async def say(folder: Path, peers: range, each: int, at: int) -> None:
    """Insert messages of these peers to alice directly into the database of a stopped server."""
    store = SqliteStore(folder / "timim.db")
    await store.open()
    for start in range(peers.start, peers.stop, 500):
        some = range(start, min(peers.stop, start + 500))
        await asyncio.gather(*(store.accounts.ensure(f"u{n}") for n in some))
        entries = [entry(f"u{n}", at, at * 10 + i) for n in some for i in range(each)]
        await asyncio.gather(*(store.timelines.append(entry) for entry in entries))
    await store.close()


def entry(sender: str, at: int, number: int) -> NewEntry:
    """Return a message to alice; `at` and `number` give its msg_id."""
    random = number % (1 << 32) or 1
    tail = encode_payload(
        EntryPayload(from_account=sender, to_account="alice", msg_random=random, client_time=at, nick=sender, msg_body=BODY)
    )
    key = MsgKey(at, random)
    return NewEntry(c2c_timeline(sender, "alice"), sender, key, b"x", tail, at, contacts=(sender, "alice"))


async def login(server: RunningServer, folder: Path) -> tuple[float, float, Counts, int]:
    """Return the milliseconds for opening the local store and for the login, the traffic, and the received rows."""
    alice: Client = server.client("alice", data_dir=folder)
    with counting() as counts:
        began = time.perf_counter()
        await alice.open()
        opened = time.perf_counter()
        path = alice.engine.config.database
        assert path is not None
        before = _rows(path)
        at = time.perf_counter()
        await alice.login()
        done = time.perf_counter()
        requests, up, down = counts.requests, counts.bytes_up, counts.bytes_down
        rows = _rows(path) - before
        await alice.close()
    counts.requests, counts.bytes_up, counts.bytes_down = requests, up, down
    return (opened - began) * 1000, (done - at) * 1000, counts, rows


def _rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM messages").fetchone()[0]
    return count


async def measure(size: int) -> list[Logins]:
    """Measure one size: a first login, logins without changes, and logins after changes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server").mkdir()
        now = int(time.time())
        await say(folder / "server", range(size), EACH, now - LONG_AGO_S)
        async with running_server(data_dir=folder / "server") as server:
            await server.add_users("alice")
            first = Logins("first", [await login(server, folder / "alice")])
            unchanged = Logins("nothing changed", [await login(server, folder / "alice") for _ in range(ROUNDS)])
            changed = Logins(f"{min(CHANGED, size)} changed", [])
            for round in range(ROUNDS):
                await server.stop()
                await say(folder / "server", range(min(CHANGED, size)), 1, now - 3600 + round)
                await _set_back(folder / "alice", now - 3600 + round)
                await server.start()
                await server.add_users("warm")
                changed.runs.append(await login(server, folder / "alice"))
    return [first, unchanged, changed]


async def _set_back(folder: Path, to: int) -> None:
    """Move the device's last login back before the window for commits in progress, which is not measured here."""
    async with LocalStore(await asyncio.to_thread(lambda: next(folder.glob("*/*/messages.db")))) as store:
        await store.meta.set("synced", str(to))


async def main() -> None:
    """Print the table in Markdown."""
    print("| conversations | login | requests | bytes up | bytes down | rows | open, ms | login, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for size in [int(given) for given in sys.argv[1:]] or SIZES:
        for logins in await measure(size):
            counts, rows = logins.runs[-1][2], logins.runs[-1][3]
            print(
                f"| {size:,} | {logins.what} | {counts.requests} | {counts.bytes_up:,} | {counts.bytes_down:,} | {rows:,}"
                f" | {logins.open_ms:.1f} | {logins.login_ms:.1f} |"
            )


if __name__ == "__main__":
    asyncio.run(main())
