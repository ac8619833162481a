"""A deployment whose parts may die, and pairs of users who talk through it: who loses a gateway comes back to another."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from tests.gateways import Deployment, deployment
from tests.services import Nats, NatsCluster, Postgres
from timim import Client, Conversation, Message
from timim.testing import RunningServer, Watch

Part = Literal["gateway", "nats", "postgres", "bus", "three"]  # bus: all NATS servers; three: one of each of the first three
PACE_S = 0.05  # between two messages of a pair


@dataclass(frozen=True, slots=True)
class Death:
    """`at`: when the part was killed; `over`: when what the others cannot stand in for answers again. Both monotonic."""

    part: Part
    at: float
    over: float
    restarting: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Cluster:
    """A deployment, and what it stands on."""

    nats: NatsCluster
    gateways: Deployment
    postgres: Postgres

    @property
    def servers(self) -> list[RunningServer]:
        return self.gateways.gateways

    def client(self, user: str) -> Client:
        """Not yet logged in; goes to any gateway, and comes back as the clients of users do."""
        return self.gateways.client(user, reconnect_limit=30.0)

    async def kill(self, part: Part, rng: random.Random, *, away_s: float = 0.0) -> Death:
        """Kill a part as by kill -9, and start it again: what others stand in for while they serve, else at once.

        `away_s`: how long all NATS servers stay away.
        """
        at = time.monotonic()
        match part:
            case "gateway":
                server = rng.choice(self.servers)
                await server.crash()
                return Death(part, at, at, asyncio.create_task(server.start()))
            case "nats":
                one = rng.choice(self.nats.servers)
                await asyncio.to_thread(one.stop)
                return Death(part, at, at, asyncio.create_task(asyncio.to_thread(one.start)))
            case "postgres":
                await asyncio.to_thread(self.postgres.stop, signal.SIGQUIT)
                await asyncio.to_thread(self.postgres.start)
            case "three":
                server, one = rng.choice(self.servers), rng.choice(self.nats.servers)
                await server.crash()
                await asyncio.gather(asyncio.to_thread(one.stop), asyncio.to_thread(self.postgres.stop, signal.SIGQUIT))
                await asyncio.to_thread(self.postgres.start)  # a gateway does not start without it
                over = time.monotonic()
                return Death(part, at, over, asyncio.create_task(_started(server, one)))
            case "bus":
                await asyncio.to_thread(self.nats.stop)
                await asyncio.sleep(away_s)  # what is tested is this time
                await asyncio.to_thread(self.nats.start)
        return Death(part, at, time.monotonic())


async def _started(server: RunningServer, nats: Nats) -> None:
    await asyncio.gather(server.start(), asyncio.to_thread(nats.start))


@asynccontextmanager
async def mortal(
    postgres: Postgres, database: str, *, gateways: int = 3, program: Sequence[str] = RunningServer.program
) -> AsyncIterator[Cluster]:
    """So many gateways and three NATS servers, on an empty database of this PostgreSQL."""
    url = await asyncio.to_thread(postgres.database, database)
    nats = await asyncio.to_thread(NatsCluster, 3)
    try:
        async with deployment(*[program] * gateways, database=url, bus=nats.url) as running:
            yield Cluster(nats, running, postgres)
    finally:
        await asyncio.to_thread(nats.close)


class Pair:
    """Somebody who talks in a conversation, and who hears it.

    A `shy` one falls silent after the first word that it says after a death, until told to go on: no later message shows that
    this one is missing.
    """

    def __init__(self, talk: Conversation, receiver: Client, *, shy: bool) -> None:
        self.shy = shy
        self.sent: list[str] = []
        self.begun: dict[str, float] = {}
        self.came: dict[str, float] = {}
        self.watch = Watch(receiver)
        self._conversation = talk
        self._death_at = float("inf")
        self._may_talk = asyncio.Event()
        self._news = asyncio.Condition()
        receiver.on_new_message(self._note)

    async def talk(self) -> None:
        """For as long as the task lives."""
        while True:
            text = f"{self._conversation.peer}-{len(self.sent)}"
            self.begun[text] = time.monotonic()
            self.sent.append(text)
            await self._conversation.send(text)
            if self.shy and self.begun[text] > self._death_at:
                self._may_talk.clear()
                await self._may_talk.wait()
            await asyncio.sleep(PACE_S)

    def expect_death(self) -> None:
        self._death_at = time.monotonic()

    def go_on(self) -> None:
        self._death_at = float("inf")
        self._may_talk.set()

    async def recovered(self, death: Death) -> float:
        """Seconds from the end of the outage until something was thrown that was said since: by a shy one, its last word."""
        since = death.at if self.shy else death.over

        def later() -> list[float]:
            return [came for text, came in self.came.items() if self.begun[text] >= since]

        async with self._news:
            await self._news.wait_for(later)
        return max(0.0, min(later()) - death.over)

    async def heard(self) -> list[str]:
        """All that came, once the last word did."""
        await self.watch.message(lambda message: message.text == self.sent[-1])
        return [message.text for message in self.watch.messages if message.text]  # without the tips of a group

    async def _note(self, messages: list[Message]) -> None:
        async with self._news:
            self.came.update((message.text, time.monotonic()) for message in messages if message.text)
            self._news.notify_all()


@dataclass(slots=True)
class Story:
    """What deaths cost, in seconds: `recoveries` of each pair by what died; `lateness` of each message besides the outages."""

    recoveries: dict[Part, list[float]] = field(default_factory=dict)
    lateness: list[float] = field(default_factory=list)

    @property
    def all_recoveries(self) -> list[float]:
        return [seconds for several in self.recoveries.values() for seconds in several]

    def tell(self) -> str:
        lines = [f"{part}: recovery of {len(took)} pairs, {_figures(took)}" for part, took in self.recoveries.items()]
        lines.append(f"all: recovery of {len(self.all_recoveries)} pairs, {_figures(self.all_recoveries)}")
        return "\n".join([*lines, f"{len(self.lateness)} messages: late besides the outage, {_figures(self.lateness)}"])


async def outlived(
    cluster: Cluster, deaths: Sequence[Part], rng: random.Random, *, pairs: int, limit_s: float, away_s: float = 0.3
) -> Story:
    """Pairs talk, half of them in groups, while parts die one by one; what was said comes whole, once and in order.

    Raises TimeoutError when a pair has not recovered `limit_s` after an outage.
    """
    story, outages = Story(), []
    async with AsyncExitStack() as stack:
        talking = []
        for n in range(pairs):
            receiver = await stack.enter_async_context(cluster.client(f"r{n}"))
            sender = await stack.enter_async_context(cluster.client(f"s{n}"))
            talk = sender.c2c(f"r{n}")
            if n % 4 >= 2:
                talk = sender.group((await sender.groups.create("Public", name=f"g{n}", members=[f"r{n}"])).id)
            talking.append(Pair(talk, receiver, shy=n % 2 == 0))
        tasks = [asyncio.create_task(pair.talk()) for pair in talking]
        try:
            for part in deaths:
                await asyncio.sleep(0.3 + 0.5 * rng.random())  # some messages pass in between
                for pair in talking:
                    pair.expect_death()
                death = await cluster.kill(part, rng, away_s=away_s)
                outages.append(death)
                async with asyncio.timeout(limit_s):
                    story.recoveries.setdefault(part, []).extend(await asyncio.gather(*(p.recovered(death) for p in talking)))
                for pair in talking:
                    pair.go_on()
                if death.restarting is not None:
                    await death.restarting
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)
        for pair in talking:
            assert await pair.heard() == pair.sent
            story.lateness += [_lateness(pair.begun[text], pair.came[text], outages) for text in pair.sent]
    return story


def _lateness(begun: float, came: float, deaths: Sequence[Death]) -> float:
    return came - begun - sum(max(0.0, min(came, death.over) - max(begun, death.at)) for death in deaths)


def _figures(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"p50 {percentile(ordered, 50):.2f} s, p99 {percentile(ordered, 99):.2f} s, longest {ordered[-1]:.2f} s"


def percentile(seconds: Sequence[float], percent: int) -> float:
    return sorted(seconds)[min(len(seconds) - 1, len(seconds) * percent // 100)]
