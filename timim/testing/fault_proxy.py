"""Faults on demand: a proxy between clients and the server that cuts, stalls, splits, duplicates, reorders, delays and drops.

The proxy works on whole websocket messages, counts its faults, and changes nothing unless a test asks for it. Every client
that `server.client(...)` creates goes through the proxy; media go to the server directly.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from timim import InvalidArgument

from .frame_reader import ConnectionEnded, FrameReader

Direction = Literal["up", "down", "both"]  # "up" is from a client to the server
Kind = Literal["cut", "stall", "split", "duplicate", "reorder", "delay", "drop"]
CHUNK_BYTES = 65536
STALL_LIMIT_S = 60.0


@dataclass(eq=False)
class Fault:
    """A fault that a test has armed; the methods of Faults create it.

    Attributes:
        kind: The kind of fault.
        user: The user whose messages count, or None for all users.
        direction: "up" for messages to the server, "down" for those from the server, or "both".
        skip: Number of messages that pass before the fault happens.
        left: Number of times that the fault will still happen.
        amount: Seconds of a delay, or bytes of a split.
        half: Cut in the middle of a message.
        done: Number of times that the fault has happened.
    """

    kind: Kind
    user: str | None
    direction: Direction
    skip: int
    left: int
    amount: float = 0.0
    half: bool = False
    done: int = 0
    _happened: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def happened(self, *, timeout: float = 20.0) -> None:
        """Wait until the fault has happened once.

        Args:
            timeout: Seconds to wait.

        Raises:
            TimeoutError: The fault has not happened within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            await self._happened.wait()

    def release(self) -> None:
        """End a stall, and pass on the messages that it delayed."""
        self._released.set()

    def _take_turn(self, user: str, direction: Direction) -> bool:
        """Count this message, and return True if the fault applies to it."""
        if self.left <= 0 or (self.user is not None and self.user != user) or self.direction not in ("both", direction):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        self.done += 1
        self._happened.set()
        return True


class Faults:
    """The fault proxy of a test server, `server.faults`. Each method arms one fault and returns it.

    A message is a websocket message. Only messages of the given user and direction count. After `after_frames` of these
    messages, a method changes the next one.
    """

    def __init__(self) -> None:
        self._to: list[tuple[str, int]] = []
        self._listener: asyncio.Server | None = None
        self._pipes: set[_Pipe] = set()
        self._armed: list[Fault] = []
        self._chaos: tuple[random.Random, float, tuple[Kind, ...]] | None = None
        self.counts: dict[Kind, int] = {}

    @property
    def url(self) -> str:
        """Address of the proxy. Clients that connect to this address experience the faults."""
        assert self._listener is not None
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}"

    def cut(
        self,
        *,
        after_frames: int = 0,
        user: str | None = None,
        direction: Direction = "both",
        times: int = 1,
        half: bool = False,
    ) -> Fault:
        """Reset the connection before a message.

        Args:
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".
            times: Number of connections to reset.
            half: Reset the connection in the middle of the message.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("cut", user, direction, after_frames, times, half=half))

    def stall(self, *, after_frames: int = 0, user: str | None = None, direction: Direction = "both") -> Fault:
        """Stall the connection in one direction until `release()`; after 60 s the connection is cut.

        Args:
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("stall", user, direction, after_frames, 1))

    def split(
        self,
        *,
        size_bytes: int = 1,
        after_frames: int = 0,
        user: str | None = None,
        direction: Direction = "both",
        times: int = 1,
    ) -> Fault:
        """Write messages in pieces.

        Args:
            size_bytes: Size of a piece.
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".
            times: Number of messages to split.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("split", user, direction, after_frames, times, amount=size_bytes))

    def duplicate(
        self, *, after_frames: int = 0, user: str | None = None, direction: Direction = "both", times: int = 1
    ) -> Fault:
        """Pass a message twice.

        Args:
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".
            times: Number of messages to duplicate.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("duplicate", user, direction, after_frames, times))

    def reorder(
        self, *, after_frames: int = 0, user: str | None = None, direction: Direction = "both", times: int = 1
    ) -> Fault:
        """Pass a message after the message that follows it.

        Args:
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".
            times: Number of messages to reorder.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("reorder", user, direction, after_frames, times))

    def drop(self, *, after_frames: int = 0, user: str | None = None, direction: Direction = "both", times: int = 1) -> Fault:
        """Lose a message.

        Args:
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".
            times: Number of messages to lose.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("drop", user, direction, after_frames, times))

    def delay(
        self, seconds: float, *, after_frames: int = 0, user: str | None = None, direction: Direction = "both", times: int = 1
    ) -> Fault:
        """Pass messages later, in the same order.

        Args:
            seconds: The delay of each message.
            after_frames: Number of messages that pass first.
            user: The user whose messages count, or None for all users.
            direction: "up" to the server, "down" from the server, or "both".
            times: Number of messages to delay.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return self._arm(Fault("delay", user, direction, after_frames, times, amount=seconds))

    @asynccontextmanager
    async def chaos(
        self, seed: int, *, rate: float, kinds: tuple[Kind, ...] = ("cut", "stall", "split", "duplicate", "drop")
    ) -> AsyncIterator[dict[Kind, int]]:
        """Apply random faults while the block runs, and yield the number of faults by kind.

        Args:
            seed: Seed of the random numbers; the same seed gives the same decisions.
            rate: Probability of a fault for each message, from 0 to 1.
            kinds: The kinds of faults to choose from.

        Raises:
            InvalidArgument: `rate` is not from 0 to 1, or a kind is unknown.
        """
        if not 0 <= rate <= 1:
            raise InvalidArgument(f"rate must be a probability from 0 to 1, not {rate}")
        if wrong := set(kinds) - set(get_args(Kind)):
            raise InvalidArgument(f"kinds must be some of {', '.join(get_args(Kind))}, not {', '.join(sorted(wrong))}")
        self._chaos = random.Random(seed), rate, kinds
        try:
            yield self.counts
        finally:
            self._chaos = None

    def cut_all(self) -> int:
        """Reset every connection now, and return their number."""
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.abort()
        return len(pipes)

    def clear(self) -> None:
        """Disarm all faults that have not happened yet, and release stalled messages."""
        for fault in self._armed:
            fault.left = 0
            fault.release()
        self._armed.clear()

    async def start(self, *urls: str) -> None:
        """Start the proxy, or change its servers.

        Args:
            *urls: URLs of the servers. Connections go to them in turns; a server that refuses a connection is skipped.

        Raises:
            OSError: No port is free.
        """
        ends = [url.removeprefix("ws://").rpartition(":") for url in urls]
        self._to = [(host, int(port)) for host, _, port in ends]
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Cut all connections and stop listening."""
        self.clear()
        if self._listener is not None:
            self._listener.close()
            await asyncio.gather(*(pipe.close() for pipe in list(self._pipes)))
            await self._listener.wait_closed()
            self._listener = None

    def _arm(self, fault: Fault) -> Fault:
        if fault.direction not in get_args(Direction):
            raise InvalidArgument(f"direction must be one of {', '.join(get_args(Direction))}, not {fault.direction!r}")
        if fault.skip < 0 or fault.left < 1 or fault.amount < 0:
            raise InvalidArgument("after_frames, seconds and size_bytes must be 0 or more, and times 1 or more")
        self._armed = [*(armed for armed in self._armed if armed.left > 0), fault]
        return fault

    def choose(self, user: str, direction: Direction) -> Fault | None:
        """Return the fault that applies to the next message of a user, if any."""
        for fault in self._armed:
            if fault._take_turn(user, direction):
                self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
                return fault
        if self._chaos is None or not user:
            return None
        rng, rate, kinds = self._chaos
        if rng.random() >= rate:
            return None
        kind = rng.choice(kinds)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        amount = rng.choice((1, 3, 1000)) if kind == "split" else 0.05
        if kind == "stall":
            kind = "delay"  # a delay ends without `release()`
        return Fault(kind, None, "both", 0, 1, amount=amount, half=rng.random() < 0.5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await self._connect()
        if server is None:
            writer.transport.abort()
            return
        pipe = _Pipe(self, (reader, writer), server)
        self._pipes.add(pipe)
        try:
            await pipe.run()
        finally:
            self._pipes.discard(pipe)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._to)):
            self._to.append(self._to.pop(0))
            try:
                return await asyncio.open_connection(*self._to[-1])
            except OSError:
                continue
        return None


class _Pipe:
    """A connection through the proxy."""

    def __init__(
        self,
        faults: Faults,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._faults = faults
        self._client, self._server = client, server
        self._user = ""
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass("up", self._client[0], self._server[1]))
                both.create_task(self._pass("down", self._server[0], self._client[1]))
        except* (OSError, ConnectionEnded):
            pass  # the end of one side ends the other
        finally:
            self.abort()

    def abort(self) -> None:
        self._client[1].transport.abort()
        self._server[1].transport.abort()

    async def close(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _pass(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = FrameReader(reader)
        writer.write(await source.handshake())
        held: bytes | None = None
        while True:
            message = await source.next()
            if not source.is_data:
                writer.write(message)
                continue
            if direction == "up" and not self._user:
                self._user = source.user()
            fault = self._faults.choose(self._user, direction)
            if fault is not None and fault.kind == "reorder" and held is None:
                held = message
                continue
            await self._send(fault, message, writer)
            if held is not None:
                await self._send(None, held, writer)
                held = None

    async def _send(self, fault: Fault | None, message: bytes, writer: asyncio.StreamWriter) -> None:
        match fault.kind if fault is not None else None:
            case "cut":
                assert fault is not None
                if fault.half:
                    writer.write(message[: len(message) // 2])
                    await writer.drain()
                raise ConnectionEnded
            case "drop":
                return
            case "duplicate":
                writer.write(message + message)
            case "stall":
                assert fault is not None
                async with asyncio.timeout(STALL_LIMIT_S):
                    await fault._released.wait()
                writer.write(message)
            case "delay":
                assert fault is not None
                await asyncio.sleep(fault.amount)
                writer.write(message)
            case "split":
                assert fault is not None
                size = max(1, int(fault.amount))
                for at in range(0, len(message), size):
                    writer.write(message[at : at + size])
                    if at % 64 == 0:
                        await asyncio.sleep(0)  # otherwise the kernel gets all pieces at once
            case _:
                writer.write(message)
        await writer.drain()
