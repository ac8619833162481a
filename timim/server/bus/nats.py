"""The bus between nodes on NATS: a subject for each user, and each group, that has sessions on the node.

What is published is a hint. Whenever one may have been lost (NATS was away, a queue overflowed, another node says that it
lost its own, or its numbered beats have a hole), every session of this node is told to compare with the store; while NATS is
away, again and again.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import lru_cache

from msgspec.structs import replace
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from ...errors import TimimError
from ..metrics import BusMetrics
from .base import Event, Facts, Listener, Login
from .heartbeats import BEAT_S, Peers
from .nats_connection import ANSWER_S, Hear, NatsConnection, Tasks
from .nats_messages import NEWCOMER_S, Hint, Newcomers, pack, unpack, unpack_facts
from .presence_query import Questions

log = logging.getLogger("timim.server")

AWAY_COMPARE_S = 5.0  # while NATS is away, what other nodes posted is found this late
DOUBT_WITHIN_S = 0.1  # many nodes that lose the same NATS server tell their doubts at once: they count as one
PLACES_AT_ONCE = 8
NAMES = 16_384  # users and groups whose subjects are at hand
USERS_A_QUESTION = 1000


class NatsBus:
    """`places_of` tells a user's groups and the first seq that the user sees in each. The constructor does no I/O."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        prefix: str,
        places_of: Callable[[str], Awaitable[dict[str, int]]],
        metrics: BusMetrics | None = None,
    ) -> None:
        self._prefix = prefix
        self._places_of = places_of
        self._listeners: list[Listener] = []
        self._metrics = metrics or BusMetrics(CollectorRegistry())
        self._metrics.connected.set_function(lambda: not self.away)
        self._connection = NatsConnection(
            servers, on_away=self._went, on_back=self._came_back, on_loss=self._lost, metrics=self._metrics
        )
        self._peers = Peers(on_hole=self._doubt_soon, on_gone=self._gone, now=lambda: asyncio.get_running_loop().time())
        self._questions = Questions(
            self._peers.me,
            say=lambda message: self._connection.send(f"{prefix}.asked", message),
            tell=lambda node, message: self._connection.send(f"{prefix}.answer.{node}", message),
        )
        self._sessions: dict[str, int] = {}  # user → sessions here
        self._begun: dict[str, asyncio.Task[None]] = {}
        self._places: dict[str, set[str]] = {}  # user with sessions here → groups
        self._groups: dict[str, dict[str, int]] = {}  # group → users with sessions here → first seq seen
        self._moved: set[str] = set()  # users whose groups changed while they were read
        self._newcomers = Newcomers()
        self._tasks = Tasks()
        self._doubting: asyncio.TimerHandle | None = None
        self._tell_doubt = False
        self._was_here = False  # connected to NATS once

    @property
    def away(self) -> bool:
        return self._connection.away

    def join(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def start(self) -> None:
        """Connect; when NATS does not answer within ANSWER_S, the node serves without it until it does."""
        for name, hear in (
            ("facts", self._hear_facts),
            ("doubt", self._hear_doubt),
            ("beat", self._hear_beat),
            ("asked", self._hear_question),
            (f"answer.{self._peers.me}", self._hear_answer),
        ):
            await self._connection.enter(f"{self._prefix}.{name}", hear)
        self._tasks.begin(self._compare_while_away(), "timim nats watch")
        await self._connection.start()
        self._tasks.begin(self._beat(), "timim nats beat")

    async def stop(self) -> None:
        """Write what waits, say the last beat, and leave."""
        if self._doubting is not None:
            self._doubting.cancel()
        await self._tasks.end()
        self._connection.send(f"{self._prefix}.beat", self._peers.last_beat())
        await self._connection.stop()

    def publish(self, event: Event, *, again: bool = False) -> None:
        event = replace(event, users=tuple(event.users))
        self._receive(event)
        hint, alone = Hint.of(event), event.users
        if event.group:
            alone = hint.newcomers = self._newcomers.among(event.group, event.users)
            self._connection.send(self._subject("g", event.group), pack(hint))
        if alone:
            packed = pack(hint)
            for user in alone:
                self._connection.send(self._subject("u", user), packed)

    def announce(self, facts: Facts) -> None:
        self._move(facts)
        self._connection.send(f"{self._prefix}.facts", pack(facts))

    def arrived(self, login: Login) -> None:
        self._connection.send(self._subject("u", login.user), pack(Hint.of_login(login)))

    async def online(self, users: Collection[str]) -> set[str]:
        asked, found = list(users), set[str]()
        for at in range(0, len(asked), USERS_A_QUESTION):
            if not self.away:
                found |= await self._questions.ask(asked[at : at + USERS_A_QUESTION], self._peers.names)
        return found

    async def listen(self, user: str) -> None:
        count = self._sessions.get(user, 0)
        self._sessions[user] = count + 1
        if not count:
            self._begun[user] = self._tasks.begin(self._begin(user), f"timim nats listen {user}")
        await asyncio.wait((self._begun[user],), timeout=ANSWER_S)

    def unlisten(self, user: str) -> None:
        left = self._sessions.get(user, 0) - 1
        if left > 0:
            self._sessions[user] = left
            return
        self._sessions.pop(user, None)
        self._begun.pop(user, None)
        self._connection.leave(self._subject("u", user))
        self._settle(user, {})

    # what this node hears

    async def _begin(self, user: str) -> None:
        await self._connection.enter(self._subject("u", user), self._hear_user(user))
        await self._read_places(user)
        await self._connection.flush()

    async def _read_places(self, user: str) -> None:
        while user in self._sessions:
            self._moved.discard(user)
            try:
                places = await self._places_of(user)
            except TimimError as exc:
                log.warning("the groups of %s could not be read: %s", user, exc)
                return  # its devices find by comparing what they do not hear
            if user not in self._moved:
                for group_id in self._settle(user, places):
                    await self._connection.enter(self._subject("g", group_id), self._hear_group(group_id))
                return

    def _settle(self, user: str, places: dict[str, int]) -> list[str]:
        """This user hears these groups and no others; the groups that the node did not hear yet."""
        for group_id in self._places.get(user, set()) - places.keys():
            self._drop(group_id, user)
        new = [group_id for group_id in places if group_id not in self._groups]
        for group_id, floor in places.items():
            self._groups.setdefault(group_id, {})[user] = floor
        if places:
            self._places[user] = set(places)
        else:
            self._places.pop(user, None)
        return new

    def _drop(self, group_id: str, user: str) -> None:
        users = self._groups.get(group_id, {})
        users.pop(user, None)
        if not users and group_id in self._groups:
            del self._groups[group_id]
            self._connection.leave(self._subject("g", group_id))

    def _move(self, facts: Facts) -> None:
        """Members came and went: those with sessions here."""
        for group_id, users in facts.gone.items():
            for user in users:
                if user in self._sessions:
                    self._moved.add(user)
                    self._places.get(user, set()).discard(group_id)
                    self._drop(group_id, user)
        for group_id, floors in facts.came.items():
            self._newcomers.came(group_id, floors)
            here = {user: floor for user, floor in floors.items() if user in self._sessions}
            if not here:
                continue
            new = group_id not in self._groups
            for user, floor in here.items():
                self._moved.add(user)
                self._places.setdefault(user, set()).add(group_id)
                self._groups.setdefault(group_id, {})[user] = floor
            if new:
                self._tasks.begin(self._join_group(group_id, here), "timim nats group")

    async def _join_group(self, group_id: str, users: Iterable[str]) -> None:
        """What is posted there meanwhile comes to newcomers alone; when this takes too long for that, they compare."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._connection.enter(self._subject("g", group_id), self._hear_group(group_id))
        await self._connection.flush()
        if loop.time() - begun < NEWCOMER_S / 2:
            return
        for listener in self._listeners:
            listener.compare(users)

    def _hear_user(self, user: str) -> Hear:
        async def hear(message: Msg) -> None:
            hint = unpack(message.data)
            if (login := hint.login) is None:
                self._hear(hint.event((user,)))
            else:
                for listener in self._listeners:
                    listener.arrived(login)

        return hear

    def _hear_group(self, group_id: str) -> Hear:
        async def hear(message: Msg) -> None:
            places, hint = self._groups.get(group_id, {}), unpack(message.data)
            alone = set(hint.newcomers)
            self._hear(hint.event([user for user, floor in places.items() if floor <= hint.seq and user not in alone]))

        return hear

    def _hear(self, event: Event) -> None:
        self._metrics.received.inc()
        self._receive(event)

    def _receive(self, event: Event) -> None:
        for listener in self._listeners:
            listener.receive(event)

    async def _hear_facts(self, message: Msg) -> None:
        facts = unpack_facts(message.data)
        self._move(facts)
        for listener in self._listeners:
            listener.learn(facts)

    async def _hear_doubt(self, _: Msg) -> None:
        self._doubt_soon()

    async def _hear_beat(self, message: Msg) -> None:
        if self._peers.hear(message.data):
            self._connection.send(f"{self._prefix}.beat", self._peers.beat())

    async def _hear_question(self, message: Msg) -> None:
        self._questions.answer(message.data, lambda user: any(listener.online(user) for listener in self._listeners))

    async def _hear_answer(self, message: Msg) -> None:
        self._questions.hear(message.data)

    # what may have been lost

    def _went(self) -> None:
        self._doubt(away=True)

    def _came_back(self) -> None:
        self._peers.excuse()
        if self._was_here:
            self._metrics.reconnects.inc()
        if self._was_here or self._connection.lost:  # what this node published last may be lost as well
            self._connection.send(f"{self._prefix}.doubt", b"")
        self._was_here = True
        self._doubt(away=False)
        self._tasks.begin(self._read_all_places(), "timim nats places")

    def _lost(self, mine: bool) -> None:
        if not mine:
            self._metrics.overflows.inc()
        self._tell_doubt |= mine
        self._doubt_soon()

    def _doubt_soon(self) -> None:
        if self._doubting is None:
            self._doubting = asyncio.get_running_loop().call_later(DOUBT_WITHIN_S, self._doubt_now)

    def _doubt_now(self) -> None:
        self._doubting = None
        if self.away:
            return  # it is doubted all the while
        if self._tell_doubt:
            self._tell_doubt = False
            self._connection.send(f"{self._prefix}.doubt", b"")
        self._doubt(away=False)

    def _doubt(self, *, away: bool) -> None:
        self._metrics.compares.inc()
        for listener in self._listeners:
            listener.doubt(away=away)

    def _gone(self, silent: bool) -> None:
        for listener in self._listeners:
            listener.inherit()
        if silent:
            self._doubt_soon()  # it may have died before it told what it had stored

    async def _beat(self) -> None:
        while True:
            self._connection.send(f"{self._prefix}.beat", self._peers.beat())
            await asyncio.sleep(BEAT_S)
            if not self.away:
                self._peers.look()

    async def _read_all_places(self) -> None:
        slots = asyncio.Semaphore(PLACES_AT_ONCE)

        async def read(user: str) -> None:
            async with slots:
                await self._read_places(user)

        await asyncio.gather(*(read(user) for user in list(self._sessions)))

    async def _compare_while_away(self) -> None:
        while True:
            await asyncio.sleep(AWAY_COMPARE_S)
            if self.away:
                self._doubt(away=True)

    def _subject(self, kind: str, name: str) -> str:
        return f"{self._prefix}.{kind}.{_token(name)}"


@lru_cache(maxsize=NAMES)
def _token(name: str) -> str:
    """Any id as one token of a subject."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
