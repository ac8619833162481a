"""A deployment for tests: gateways on one PostgreSQL and one NATS, a balancer before them, and users who talk through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from timim import Client, Message, sign_user
from timim.testing import Faults, RunningServer, Watch
from timim.testing.server import checked_settings

THIS: Sequence[str] = RunningServer.program
WAIT_S = 60.0  # a busy machine, on which a part has to start
AT_ONCE: dict[str, Any] = {"reconnect_limit": 0.5, "timeout": 30.0}  # clients that come back soon, and wait long


class Deployment:
    """`gateways` are reached by way of `balancer`, in turns; one that refuses connections is passed over. Or by a `front`."""

    def __init__(self, settings: dict[str, object]) -> None:
        self.gateways: list[RunningServer] = []
        self.balancer = Faults()
        self.front = ""  # where clients connect to, when it is not the balancer
        self._settings = settings
        self._stack = AsyncExitStack()

    async def add(self, program: Sequence[str] = THIS, **settings: object) -> RunningServer:
        """One more gateway, running; these settings are its alone."""
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
        """SIGTERM; the exit status. New connections go to the others at once, as they refuse nobody."""
        self.gateways.remove(gateway)
        stopping = asyncio.create_task(gateway.stop())
        self._stack.push_async_callback(asyncio.wait, (stopping,))  # also when who asked for it does not wait
        status = await asyncio.shield(stopping)
        await self.balance()
        return status

    async def balance(self) -> None:
        """Over those that there are now."""
        await self.balancer.start(*(gateway.url for gateway in self.gateways))

    async def refuse(self) -> None:
        """New connections go to nobody; those that are there stay."""
        await self.balancer.start()

    def client(self, user: str, *, at: RunningServer | None = None, **options: Any) -> Client:
        """Comes by way of the front or the balancer, unless it is told where to go."""
        gateway = at or self.gateways[0]
        options = {"data_dir": ":memory:", **AT_ONCE, **options}
        signature = sign_user(gateway.app_id, gateway.secret_key, user)
        url = at.url if at is not None else self.front or self.balancer.url
        return Client(url, app_id=gateway.app_id, user_id=user, user_sig=signature, **options)

    async def close(self) -> None:
        try:
            await self.balancer.stop()
        finally:
            await self._stack.aclose()


async def metrics_of(*urls: str) -> dict[str, float]:
    """What the servers at these addresses show under `/metrics`, added up."""
    total: dict[str, float] = {}
    async with httpx2.AsyncClient() as http:
        for url in urls:
            text = (await http.get(url.replace("ws", "http", 1) + "/metrics")).text
            for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"):
                total[name] = total.get(name, 0.0) + float(value)
    return total


@asynccontextmanager
async def deployment(*programs: Sequence[str], **settings: object) -> AsyncIterator[Deployment]:
    """A gateway for each program; `database` and `bus` are settings."""
    await asyncio.to_thread(checked_settings, settings)
    running = Deployment({"group_messages_per_s": 0, **settings})
    try:
        for program in programs:
            await running.add(program)
        yield running
    finally:
        await running.close()


class Talk:
    """Pairs of users who talk all the time. `sent[n]`: what the n-th sender said, all of it acked but for the last."""

    def __init__(self, pairs: int) -> None:
        self.sent: list[list[str]] = [[] for _ in range(pairs)]
        self._heard = 0
        self._more = asyncio.Condition()

    async def note(self, messages: list[Message]) -> None:
        async with self._more:
            self._heard += len(messages)
            self._more.notify_all()

    async def goes_on(self, count: int = 50) -> None:
        """Wait until so many more messages have come, to all together."""
        async with asyncio.timeout(WAIT_S), self._more:
            wanted = self._heard + count
            await self._more.wait_for(lambda: self._heard >= wanted)


async def talked_through(running: Deployment, act: Callable[[Talk], Awaitable[None]], *, pairs: int = 4) -> None:
    """Pairs talk while `act` does something to the deployment: no call of `send` fails, all comes, once and in order."""
    talk, done = Talk(pairs), asyncio.Event()
    async with AsyncExitStack() as stack:
        users: dict[str, Client] = {}
        for n in range(pairs):
            pair = (f"s{n}", f"r{n}")
            for user in pair if n % 2 else reversed(pair):  # so each gateway gets some of both
                users[user] = await stack.enter_async_context(running.client(user))
        watches = [Watch(users[f"r{n}"]) for n in range(pairs)]
        for n in range(pairs):
            users[f"r{n}"].on_new_message(talk.note)

        async def say(n: int) -> None:
            while not done.is_set():
                talk.sent[n].append(f"{n}-{len(talk.sent[n])}")
                await users[f"s{n}"].c2c(f"r{n}").send(talk.sent[n][-1])

        async with asyncio.TaskGroup() as talking:
            for n in range(pairs):
                talking.create_task(say(n))
            await act(talk)
            done.set()
        for texts, watch in zip(talk.sent, watches, strict=True):
            await watch.upto(len(texts))
            assert [message.text for message in watch.messages if message.text] == texts
