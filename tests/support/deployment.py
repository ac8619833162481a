"""A deployment for tests: gateways on one PostgreSQL and one NATS behind a load balancer, and users who talk through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest

from timim import Client, Conversation, Message, sign_user
from timim.testing import Faults, RunningServer
from timim.testing.server import check_settings

THIS: Sequence[str] = RunningServer.program
WAIT_S = 60.0  # a part may have to start on a busy machine
PATIENT: Mapping[str, Any] = {"timeout": 30.0}  # clients with a long timeout
AT_ONCE: Mapping[str, Any] = {**PATIENT, "reconnect_limit": 0.5}  # clients that also reconnect fast


class Deployment:
    """A deployment of `gateways` behind a `front`, or a round-robin `balancer` that skips gateways which refuse connections."""

    def __init__(self, settings: dict[str, object]) -> None:
        self.gateways: list[RunningServer] = []
        self.balancer = Faults()
        self.front = ""  # URL for clients, if not the balancer
        self.options = AT_ONCE  # options of clients
        self._settings = settings
        self._stack = AsyncExitStack()

    async def add(self, program: Sequence[str] = THIS, **settings: object) -> RunningServer:
        """Start another gateway with these settings of its own."""
        folder = Path(await asyncio.to_thread(self._stack.enter_context, TemporaryDirectory()))
        gateway = RunningServer(folder, self._settings | settings)
        gateway.program = program
        self._stack.push_async_callback(gateway.faults.stop)
        self._stack.push_async_callback(gateway.stop)
        await gateway.start()
        self.gateways.append(gateway)
        await self.balance()
        return gateway

    async def remove(self, gateway: RunningServer) -> int:
        """Stop a gateway with SIGTERM and return its exit status. The balancer uses the other gateways at once."""
        self.gateways.remove(gateway)
        stopping = asyncio.create_task(gateway.stop())
        self._stack.push_async_callback(asyncio.wait, (stopping,))  # also if the caller does not wait
        status = await asyncio.shield(stopping)
        await self.balance()
        return status

    async def balance(self) -> None:
        """Balance over the current gateways."""
        await self.balancer.start(*(gateway.url for gateway in self.gateways))

    async def refuse(self) -> None:
        """Refuse new connections. Existing ones stay open."""
        await self.balancer.start()

    def client(self, user: str, *, at: RunningServer | None = None, **options: Any) -> Client:
        """Create a client that connects through the front or the balancer, or directly to the gateway `at`."""
        gateway = at or self.gateways[0]
        options = {"data_dir": ":memory:", **self.options, **options}
        signature = sign_user(gateway.app_id, gateway.secret_key, user)
        url = at.url if at is not None else self.front or self.balancer.url
        return Client(url, app_id=gateway.app_id, user_id=user, user_sig=signature, **options)

    async def close(self) -> None:
        try:
            await self.balancer.stop()
        finally:
            await self._stack.aclose()


async def metrics_of(*urls: str) -> dict[str, float]:
    """Return the sums of the metrics of the servers at these addresses."""
    total: dict[str, float] = {}
    async with httpx2.AsyncClient() as http:
        for url in urls:
            text = (await http.get(url.replace("ws", "http", 1) + "/metrics")).text
            for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"):
                total[name] = total.get(name, 0.0) + float(value)
    return total


@asynccontextmanager
async def deployment(*programs: Sequence[str], **settings: object) -> AsyncIterator[Deployment]:
    """Start a gateway for each program. `database` and `bus` are settings."""
    await asyncio.to_thread(check_settings, settings)
    running = Deployment({"group_messages_per_s": 0, **settings})
    try:
        for program in programs:
            await running.add(program)
        yield running
    finally:
        await running.close()


class Pair:
    """A sender and a receiver. `begun` and `came` map each text to its monotonic time of sending and arrival."""

    def __init__(self, conversation: Conversation, changed: asyncio.Condition, *, pace_s: float) -> None:
        self.begun: dict[str, float] = {}
        self.came: dict[str, float] = {}
        self.heard: list[str] = []
        self._conversation = conversation
        self._changed = changed
        self._pace_s = pace_s
        self._last_word_from = float("inf")
        self._may_talk = asyncio.Event()
        self._ended = False

    @property
    def sent(self) -> list[str]:
        """Return the texts of the sent messages. While the pair talks, all but the last one are acknowledged."""
        return list(self.begun)

    async def talk(self) -> None:
        """Send messages until the end."""
        while not self._ended:
            text = f"{self._conversation.peer}-{len(self.begun)}"
            self.begun[text] = time.monotonic()
            await self._conversation.send(text)
            if self.begun[text] > self._last_word_from:
                self._may_talk.clear()
                await self._may_talk.wait()
            await asyncio.sleep(self._pace_s)

    def fall_silent(self) -> None:
        """Send one more message, then none until `go_on()`, so that no later message reveals a missing one."""
        self._last_word_from = time.monotonic()

    def go_on(self) -> None:
        self._last_word_from = float("inf")
        self._may_talk.set()

    def end(self) -> None:
        self._ended = True
        self.go_on()

    async def note(self, messages: list[Message]) -> None:
        now = time.monotonic()
        texts = [message.text for message in messages if message.text]  # without the tips of a group
        async with self._changed:
            self.heard += texts
            self.came.update(dict.fromkeys(texts, now))
            self._changed.notify_all()


class Talk:
    """Pairs of users who send messages continuously."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self._changed = asyncio.Condition()

    def add(self, conversation: Conversation, receiver: Client, *, pace_s: float) -> None:
        pair = Pair(conversation, self._changed, pace_s=pace_s)
        receiver.on_new_message(pair.note)
        self.pairs.append(pair)

    async def until(self, heard: Callable[[], object]) -> None:
        """Wait until a condition on the received messages is true."""
        async with self._changed:
            await self._changed.wait_for(heard)

    async def goes_on(self, count: int = 50) -> None:
        """Wait until this many more messages have arrived, in total."""

        def heard() -> int:
            return sum(len(pair.heard) for pair in self.pairs)

        wanted = heard() + count
        async with asyncio.timeout(WAIT_S):
            await self.until(lambda: heard() >= wanted)

    async def came_whole(self) -> None:
        """Check that every sent message arrives once and in order."""
        async with asyncio.timeout(WAIT_S):
            await self.until(lambda: all(pair.sent[-1] in pair.came for pair in self.pairs))
        for pair in self.pairs:
            if pair.heard != pair.sent:
                pytest.fail("\n".join(unified_diff(pair.sent, pair.heard, "sent", "heard", lineterm="")))


async def talk_during(
    running: Deployment, act: Callable[[Talk], Awaitable[None]], *, pairs: int = 4, groups: bool = False, pace_s: float = 0.0
) -> Talk:
    """Let pairs talk while `act` changes the deployment; check that no send fails and every message arrives once, in order.

    Args:
        running: The deployment.
        act: The change, which runs while the pairs talk.
        pairs: Number of pairs.
        groups: Let half of the pairs talk in groups.
        pace_s: Pause between an ack and the next message.
    """
    talk = Talk()
    async with AsyncExitStack() as stack:
        for n in range(pairs):
            users: dict[str, Client] = {}
            for user in "sr" if n % 2 else "rs":  # each gateway gets senders and receivers
                users[user] = await stack.enter_async_context(running.client(f"{user}{n}"))
            conversation = users["s"].c2c(f"r{n}")
            if groups and n % 4 >= 2:
                conversation = (await users["s"].groups.create("Public", name=f"g{n}", members=[f"r{n}"])).conversation
            talk.add(conversation, users["r"], pace_s=pace_s)
        async with asyncio.TaskGroup() as talking:
            for pair in talk.pairs:
                talking.create_task(pair.talk())
            await act(talk)
            for pair in talk.pairs:
                pair.end()
        await talk.came_whole()
    return talk
