"""A minimal asyncio server and client with a store, as the lower limit of cost: no permissions, devices or read state.

JSON over `websockets`, one SQLite file (WAL, FULL), and a writer thread that commits waiting writes together. The floor is a
limit for comparison, not a product. `python -m bench.floor FOLDER` runs its server.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.drivers import Driver, Session

SCHEMA = """
CREATE TABLE messages(line TEXT, seq INTEGER, body BLOB, PRIMARY KEY(line, seq)) WITHOUT ROWID;
CREATE TABLE lists(user TEXT, line TEXT, PRIMARY KEY(user, line)) WITHOUT ROWID;
"""
decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


class Store:
    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path, self._loop = path, loop
        self._waiting: queue.SimpleQueue[tuple[str, int, bytes, Callable[[], None]]] = queue.SimpleQueue()
        self.reader = self._connect()
        self.reader.executescript(SCHEMA)
        threading.Thread(target=self._write, daemon=True).start()

    def put(self, line: str, seq: int, body: bytes, done: Callable[[], None]) -> None:
        self._waiting.put((line, seq, body, done))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _write(self) -> None:
        connection = self._connect()
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty() and len(batch) < 512:
                batch.append(self._waiting.get())
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO messages VALUES(?,?,?)", [row[:3] for row in batch])
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._done, batch)

    @staticmethod
    def _done(batch: list[tuple[str, int, bytes, Callable[[], None]]]) -> None:
        for *_, done in batch:
            done()


class Device:
    def __init__(self, socket: ServerConnection) -> None:
        self.user = ""
        self._socket = socket
        self._out: list[bytes] = []
        self._wake = asyncio.Event()

    def send(self, message: bytes) -> None:
        self._out.append(message)
        self._wake.set()

    async def write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            out, self._out = self._out, []
            for message in out:
                await self._socket.send(message)


class Hub:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._online: dict[str, list[Device]] = {}
        self._groups: dict[str, list[str]] = {}
        self._seqs: dict[str, int] = {}

    async def handle(self, socket: ServerConnection) -> None:
        device = Device(socket)
        writer = asyncio.create_task(device.write())
        try:
            while True:
                self._answer(device, decode(await socket.recv(decode=False)))
        except ConnectionClosed:
            pass
        finally:
            writer.cancel()
            if device in self._online.get(device.user, ()):
                self._online[device.user].remove(device)

    def _answer(self, device: Device, asked: dict[str, Any]) -> None:
        match asked["op"]:
            case "send":
                self._post(device, asked)
            case "login":
                device.user = asked["user"]
                self._online.setdefault(device.user, []).append(device)
                device.send(encode({"re": asked["id"]}))
            case "group":
                self._groups[asked["line"]] = asked["members"]
                device.send(encode({"re": asked["id"]}))
            case "history":
                rows = self._store.reader.execute(
                    "SELECT body FROM messages WHERE line=? AND seq<? ORDER BY seq DESC LIMIT ?",
                    (asked["line"], asked["before"], asked["limit"]),
                ).fetchall()
                device.send(b'{"re":%d,"rows":[%b]}' % (asked["id"], b",".join(row[0] for row in rows)))
            case "lists":
                rows = self._store.reader.execute(
                    "SELECT (SELECT body FROM messages m WHERE m.line=l.line ORDER BY seq DESC LIMIT 1)"
                    " FROM lists l WHERE user=?",
                    (asked["user"],),
                ).fetchall()
                device.send(b'{"re":%d,"rows":[%b]}' % (asked["id"], b",".join(row[0] for row in rows)))
            case op:
                raise ValueError(f"no such operation: {op}")

    def _post(self, device: Device, asked: dict[str, Any]) -> None:
        line = asked["line"]
        users = self._groups.get(line) or line.split("|")
        seq = self._seqs[line] = self._seqs.get(line, 0) + 1
        if seq == 1:
            self._store.reader.executemany("INSERT OR IGNORE INTO lists VALUES(?,?)", [(user, line) for user in users])
        body = encode({"seq": seq, "time": int(time.time()), "from": device.user, "elems": asked["elems"]})

        def stored() -> None:
            device.send(b'{"re":%d,"seq":%d}' % (asked["id"], seq))
            push = b'{"push":%b}' % body
            for user in users:
                for other in self._online.get(user, ()):
                    if other is not device:
                        other.send(push)

        self._store.put(line, seq, body, stored)


async def run(folder: Path) -> None:
    hub = Hub(Store(folder / "floor.db", asyncio.get_running_loop()))
    async with serve(hub.handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


class FloorSession(Session):
    def __init__(self, user: str, socket: ClientConnection) -> None:
        self.user = user
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._heard: Callable[[str], None] | None = None
        self._reading = asyncio.create_task(self._read())

    async def ask(self, op: str, **fields: object) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(encode({"op": op, "id": number, **fields}))
        said: dict[str, Any] = await answer
        return said

    async def _read(self) -> None:
        try:
            while True:
                said = decode(await self._socket.recv(decode=False))
                if (push := said.get("push")) is not None:
                    if self._heard is not None:
                        self._heard(push["elems"][0]["text"])
                else:
                    self._waiting.pop(said["re"]).set_result(said)
        except ConnectionClosed:
            pass

    def on_receive(self, heard: Callable[[str], None]) -> None:
        self._heard = heard

    def peer(self, user: str) -> str:
        return "|".join(sorted((self.user, user)))

    async def send(self, conversation: str, text: str) -> None:
        await self.ask("send", line=conversation, elems=[{"type": "text", "text": text}])

    async def history(self, conversation: str, page: int) -> AsyncIterator[list[str]]:
        before = 1 << 62
        while rows := (await self.ask("history", line=conversation, before=before, limit=page))["rows"]:
            yield [row["elems"][0]["text"] for row in rows]
            before = rows[-1]["seq"]

    async def conversations(self) -> int:
        return len((await self.ask("lists", user=self.user))["rows"])

    async def close(self) -> None:
        await self._socket.close()
        await self._reading


class FloorDriver(Driver):
    durability = "server: WAL, FULL; client: nothing"
    name = "floor"

    async def start(self) -> None:
        self._url = f"ws://127.0.0.1:{await self.spawn('-m', 'bench.floor', str(self.dir))}"

    async def make_user(self, name: str) -> None:
        """Do nothing: users exist from their first login."""

    async def login(self, name: str) -> Session:
        session = FloorSession(name, await connect(self._url, compression=None, ping_interval=None, proxy=None))
        await session.ask("login", user=name)
        return session

    async def make_group(self, owner: Session, members: Sequence[Session]) -> str:
        assert isinstance(owner, FloorSession)
        await owner.ask("group", line="g", members=[owner.user, *(member.user for member in members)])
        return "g"

    async def seed_conversations(self, user: str, n: int) -> None:
        session = await self.login(user)
        for i in range(n):
            await session.send(session.peer(f"friend{i}"), f"hello {i}")
        await session.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
