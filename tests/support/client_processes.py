"""Clients in separate processes, which a test can kill: forked from a process that has loaded timim, so they start at once.

`async with client_processes() as clients: bob = await clients.start("receive", server, "bob", folder)`. A client reports
on a socket that the test reads, so reports made before a kill are received.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from tests.support.fork_server import FORK_SERVER
from timim import Client, Message, TimimError, sign_user
from timim.engine.delivery import Delivery
from timim.engine.ingest import Ingest
from timim.engine.message_handling import MessageHandling
from timim.engine.outbox import Outbox
from timim.ids import MsgId
from timim.storage import IngestResult, LastPosition, UnreadCounts
from timim.testing import LocalServer, RunningServer
from timim.util import failpoints
from timim.util.msg_ids import MSG_IDS

Role = Literal["receive", "send", "answer"]
WAIT_S = 120
TIMEOUT_S = 1.0


class Clients:
    """The client processes of a test. `start` adds one; the remaining ones are killed at the end."""

    def __init__(self, orders: asyncio.StreamWriter, socket: str) -> None:
        self._orders = orders
        self._socket = socket
        self._said: dict[int, list[list[Any]]] = {}
        self._more = asyncio.Condition()
        self._numbers = 0
        self._pids: dict[int, int] = {}

    async def start(
        self, role: Role, server: RunningServer | LocalServer, user: str, folder: Path, **options: object
    ) -> ClientProcess:
        self._numbers += 1
        number = self._numbers
        self._said[number] = []
        order = {
            "number": number,
            "socket": self._socket,
            "role": role,
            "url": server.faults.url,
            "app_id": server.app_id,
            "sig": sign_user(server.app_id, server.secret_key, user),
            "user": user,
            "folder": str(folder),
            **options,
        }
        self._orders.write(json.dumps(order).encode() + b"\n")
        client = ClientProcess(self, number)
        (self._pids[number],) = await client.hear("started")
        return client

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        try:
            while line := await reader.readline():
                number, *said = json.loads(line)
                await self._add(number, said)
        except ConnectionError:
            pass  # the client was killed
        finally:
            writer.close()
        await self._add(number, ["dead"])

    async def _add(self, number: int, said: list[Any]) -> None:
        async with self._more:
            self._said.setdefault(number, []).append(said)
            self._more.notify_all()

    async def kill_all(self) -> None:
        for number in list(self._pids):
            await self.kill(number)

    async def kill(self, number: int) -> None:
        try:
            process = os.pidfd_open(self._pids.pop(number))
        except ProcessLookupError:
            return  # the client has ended by itself
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process, gone.set)  # readable once the process is dead and its files are closed
        try:
            with contextlib.suppress(ProcessLookupError):  # the client has just ended by itself, at its failpoint
                signal.pidfd_send_signal(process, signal.SIGKILL)
            async with asyncio.timeout(WAIT_S):
                await gone.wait()
        finally:
            loop.remove_reader(process)
            os.close(process)


class ClientProcess:
    def __init__(self, clients: Clients, number: int) -> None:
        self._clients = clients
        self._number = number

    @property
    def said(self) -> list[list[Any]]:
        """Return all reports so far, in order."""
        return self._clients._said[self._number]

    async def hear(self, word: str) -> list[Any]:
        """Wait for the report that begins with this word, and return it."""
        await self.until(lambda said: any(line[0] == word for line in said))
        found: list[Any] = next(line[1:] for line in self.said if line[0] == word)
        return found

    async def until(self, holds: Callable[[list[list[Any]]], bool]) -> None:
        async with asyncio.timeout(WAIT_S), self._clients._more:
            await self._clients._more.wait_for(lambda: holds(self.said))

    async def kill(self) -> None:
        """Kill the process as with kill -9, and wait for its end."""
        await self._clients.kill(self._number)


@asynccontextmanager
async def client_processes() -> AsyncIterator[Clients]:
    """Run the process that forks clients. What they print is printed at the end."""
    connected: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    with tempfile.TemporaryDirectory(prefix="timim-farm-") as folder:
        ordering = await asyncio.start_unix_server(lambda _, writer: connected.set_result(writer), f"{folder}/orders")
        forker = await FORK_SERVER.launch(("-m", "tests.support.client_processes", f"{folder}/orders"), os.environ)
        printing = asyncio.create_task(forker.communicate())
        either: set[asyncio.Future[Any]] = {connected, printing}
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        assert connected.done(), printing.result()
        clients = Clients(connected.result(), f"{folder}/s")
        listener = await asyncio.start_unix_server(clients.listen, clients._socket)
        try:
            yield clients
        finally:
            await clients.kill_all()
            connected.result().close()
            printed, _ = await printing
            print(printed.decode())
            ordering.close()
            listener.close()
            await listener.wait_closed()


# The code below runs in the client processes.


class Reporter:
    def __init__(self, order: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self._number = order["number"]
        self._writer = writer

    def say(self, word: str, *more: object) -> None:
        self._writer.write(json.dumps([self._number, word, *more]).encode() + b"\n")


def rename_resends() -> None:
    """Install a mutant that gives a resent message another msg_id."""
    start = Outbox._start

    def renames(self: Outbox, key: Any, item: Any, link: Any) -> bool:
        if item.message.msg_id in _named:
            item.message._msg_id = str(MsgId(item.message.timestamp, random.randrange(1, 1 << 32)))
        _named.add(item.message.msg_id)
        return start(self, key, item, link)

    Outbox._start = renames  # type: ignore[method-assign]


def deliver_early() -> None:
    """Install a mutant that delivers messages to handlers before they are on disk."""
    ingest = Ingest.ingest

    async def early(self: Ingest, batches: Any) -> None:
        for batch in batches:
            for item in batch.incoming:
                message = Message(json.loads(item.body)[0]["MsgContent"]["Text"])
                message._sender, message._seq = item.sender, item.seq
                message._key = batch.key
                result = IngestResult(batch.key, [message], False, LastPosition(0, 0), None, UnreadCounts(0, 0))
                self._conversations.apply(result)
                self._dispatcher.deliver_messages(result.new)
        await asyncio.sleep(0.3)  # a slow disk
        await ingest(self, batches)

    Ingest.ingest = early  # type: ignore[method-assign]


def forget_numbers() -> None:
    """Install a mutant that gives each answer of a handler a new msg_id."""
    Delivery.next_msg_id = lambda self, key: MSG_IDS.new(self.message.timestamp)  # type: ignore[method-assign]


def handle_early() -> None:
    """Install a mutant that records a message as handled before its handler is called."""
    attempt = MessageHandling._attempt

    async def early(self: MessageHandling, message: Message, handlers: Any) -> None:
        self._record.set_handled(message)
        await self._record.flush()
        await attempt(self, message, handlers)

    MessageHandling._attempt = early  # type: ignore[method-assign]


MUTANTS = {
    "renames": rename_resends,
    "throws early": deliver_early,
    "forgets numbers": forget_numbers,
    "handles early": handle_early,
}
_named: set[str] = set()


async def run_client(order: dict[str, Any]) -> None:
    if mutant := order.get("mutant"):
        MUTANTS[mutant]()
    _, writer = await asyncio.open_unix_connection(order["socket"])
    speaker = Reporter(order, writer)
    speaker.say("started", os.getpid())
    client = Client(
        order["url"],
        app_id=order["app_id"],
        user_id=order["user"],
        user_sig=order["sig"],
        data_dir=order["folder"],
        timeout=TIMEOUT_S,
        reconnect_limit=TIMEOUT_S,
        max_attempts=order.get("max_attempts", 3),
    )

    if order["role"] == "answer":
        answer_twice(client, speaker)
        os.environ[failpoints.VARIABLE] = order.get("failpoint", "")
        failpoints.arm()

    @client.on_new_message
    def tell(messages: list[Message]) -> None:
        for message in messages:
            speaker.say("new", message.sender, message.seq, message.text)

    while True:
        try:
            await client.login()
            break
        except TimimError:
            await asyncio.sleep(0.05)
    speaker.say("online")
    if order["role"] == "send":
        await send_all(client, speaker, order)
    await asyncio.Event().wait()


def answer_twice(client: Client, speaker: Reporter) -> None:
    """Answer each message twice, the second time in a block that is executed once, with another text in each run."""

    @client.on_message
    async def answer(message: Message) -> None:
        first = await message.reply(f"first {message.text} by {os.getpid()}")
        async with client.once(f"{message.sender} {message.text}") as new:
            speaker.say("once", message.sender, message.text, new)
        second = await message.conversation.send(f"second {message.text} by {os.getpid()}")
        speaker.say("answered", message.sender, message.text, message.redelivered, message.attempt)
        if (first.replayed or second.replayed) and not message.redelivered:
            speaker.say("wrong", "an answer to a message that was not redelivered was replayed")


async def send_all(client: Client, speaker: Reporter, order: dict[str, Any]) -> None:
    """Send "user 0", "user 1", … to the peer, starting after the messages that an earlier run has stored in the outbox."""
    conversation = client.c2c(order["peer"])
    given = 0
    page = await conversation.get_local_messages(1000)
    while page:
        given += len(page)
        page = await conversation.get_local_messages(1000, before=page[-1])
    slots = asyncio.Semaphore(20)

    async def one(text: str) -> None:
        try:
            await conversation.send(text)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as tasks:
        for i in range(given, order["count"]):
            await slots.acquire()
            tasks.create_task(one(f"{order['user']} {i}"))
            if i % 20 == 0:
                speaker.say("given", i)
    while client.engine.outbox.sending:  # noqa: ASYNC110  messages of an earlier run
        await asyncio.sleep(0.02)
    speaker.say("done")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for the children
    Client("ws://127.0.0.1", app_id=1, user_id="nobody", user_sig="none", data_dir=":memory:")  # makes pydantic's validators
    gc.collect()
    gc.freeze()  # otherwise each collection of a client would copy the memory of all modules
    with socket.socket(socket.AF_UNIX) as orders:
        orders.connect(sys.argv[1])
        fork_clients(orders.makefile(encoding="utf-8"))


def fork_clients(orders: TextIO) -> None:
    for line in orders:
        if os.fork() == 0:
            try:
                asyncio.run(run_client(json.loads(line)))
            except BaseException:  # noqa: BLE001  the child must end here and must not go on as the forker
                traceback.print_exc()
            os._exit(1)


if __name__ == "__main__":
    main()
