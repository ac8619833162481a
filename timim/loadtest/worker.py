"""One process of clients: it takes orders on its standard input and answers each on its standard output.

Real clients, as any program has them: a message is delivered when a handler of `on_new_message` gets it. When the conductor
is gone, standard input ends, and so does the process.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path

from ..client import Client
from ..conversation import Conversation
from ..errors import InvalidArgument, TimimError
from ..events import ConnectionRestored
from ..message import Message
from ..usersig import sign_user
from ..util import rlimit
from ..util.tasks import together
from .accounting import Line
from .latency import Latencies
from .scenario import (
    MADE_WITH,
    Answer,
    Back,
    Begin,
    Cut,
    Done,
    End,
    Ended,
    Entered,
    Failed,
    Greet,
    Greeted,
    JoinGroups,
    MakeGroups,
    Order,
    Plan,
    Sent,
    Settle,
    Settled,
    encode,
    order,
)

LOGINS_AT_ONCE = 50
BACK_S = 120.0  # who is not back by then is told as missing
END_S = 60.0  # a message that is neither acked nor refused by then is given up
GREET_S = 2.0
EXAMPLES = 10  # of what was lost, told by each process
LOOK_S = 0.1  # between two looks whether all has come
FILES_EACH = 4  # a socket and, on disk, the database's three
FILES_BESIDES = 100
ORDER_LIMIT_BYTES = 64 * 1024 * 1024
now = time.monotonic  # one clock for all processes of a machine


class Worker:
    """The users of one process."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._mine = plan.users_of(number)
        self._clients: dict[int, Client] = {}
        self._members = [plan.members_of(group) for group in range(plan.groups)]
        self._groups: dict[int, list[int]] = defaultdict(list)  # user → groups
        for group, members in enumerate(self._members):
            for member in members:
                self._groups[member].append(group)
        self._lines: dict[int, dict[str, Line]] = {user: {} for user in self._mine}  # receiver → line's name → what came
        self._sent: dict[str, Sent] = {}
        self._refused: dict[int, int] = defaultdict(int)
        self._acks, self._deliveries = Latencies(), Latencies()
        self._hello = f"{plan.run} hello"
        self._greeted: set[tuple[int, str]] = set()  # user and the group that it heard
        self._heard = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(max(1, plan.in_flight // plan.processes))
        self._cut: dict[int, float] = {}  # who is not back yet, and when it was cut
        self._back = asyncio.Event()
        self._returns = Latencies()
        self._begun = self._last_ack = self._last_delivery = self._computed = 0.0

    async def obey(self, order: Order) -> Answer:
        match order:
            case Plan():
                return await self._enter()
            case MakeGroups():
                return await self._make_groups()
            case JoinGroups():
                return await self._join_groups()
            case Greet():
                return await self._greet()
            case Begin():
                self._begun, self._computed = now(), time.process_time()
                self._speaking = asyncio.create_task(self._speak(), name="timim load")
                return Done()
            case Cut(count=users):
                return await self._storm([user for user in self._mine if user < users])
            case End():
                return await self._end()
            case Settle(sent=sent, settle_s=settle_s):
                return await self._settle(sent, settle_s)

    # who takes part

    async def _enter(self) -> Entered:
        _room_for(len(self._mine))
        logins, slots = Latencies(), asyncio.Semaphore(LOGINS_AT_ONCE)

        async def enter(user: int) -> None:
            async with slots:
                client = self._clients[user] = self._client(user)
                begun = now()
                await client.login()
                logins.add(now() - begun)

        await together(*(enter(user) for user in self._mine))
        return Entered(logins.counts)

    async def close(self) -> None:
        """Log all out."""
        slots = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def leave(client: Client) -> None:
            async with slots:
                await client.close()

        await together(*(leave(client) for client in self._clients.values()))

    def _client(self, user: int) -> Client:
        plan, name = self._plan, self._plan.name(user)
        client = Client(
            plan.url_of(user),
            app_id=plan.app_id,
            user_id=name,
            user_sig=sign_user(plan.app_id, plan.key, name),
            data_dir=Path(plan.folder) / name if plan.on_disk else ":memory:",
        )
        client.on_new_message(self._hearer(user))

        @client.on(ConnectionRestored)
        def back(_: ConnectionRestored) -> None:
            if (cut := self._cut.pop(user, None)) is not None:
                self._returns.add(now() - cut)
                if not self._cut:
                    self._back.set()

        return client

    async def _make_groups(self) -> Done:
        plan = self._plan
        await together(
            *(
                _make(owner, plan.group_id(group), [plan.name(member) for member in members[1:MADE_WITH]])
                for group, members in enumerate(self._members)
                if (owner := self._clients.get(members[0])) is not None
            )
        )
        return Done()

    async def _join_groups(self) -> Done:
        for group, members in enumerate(self._members):
            for member in members[MADE_WITH:]:
                if (client := self._clients.get(member)) is not None:
                    await client.groups.join(self._plan.group_id(group))
        return Done()

    async def _greet(self) -> Greeted:
        """A client takes the first message of a group that it hears for the beginning: it is to be this one."""
        missing = {
            (user, self._plan.group_id(group))
            for user in self._mine
            for group in self._groups[user]
            if self._members[group][0] != user
        }
        owned = [
            (self._clients[of[0]], self._plan.group_id(group))
            for group, of in enumerate(self._members)
            if of[0] in self._clients
        ]
        await asyncio.gather(*(owner.group(group_id).send(self._hello) for owner, group_id in owned))
        try:
            async with asyncio.timeout(GREET_S):
                while missing - self._greeted:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            pass  # told by the number
        return Greeted(len(missing - self._greeted))

    # what they say

    async def _speak(self) -> None:
        lines = self._places()
        if not lines:
            return
        every_s = self._plan.processes / self._plan.rate if self._plan.rate else 0.0
        numbers: dict[str, count[int]] = defaultdict(count)
        for nth, (line, there) in enumerate(cycle(lines)):
            due = self._begun + nth * every_s if every_s else 0.0
            if due and (early_s := due - now()) > 0:
                await asyncio.sleep(early_s)
            await self._slots.acquire()
            # a message that had to wait for others is late by that: its time counts from when it was due
            sending = asyncio.create_task(self._send(line, there, next(numbers[line]), due or now()))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    def _places(self) -> list[tuple[str, Conversation]]:
        """Everybody's lines, in turns: first each one's first, then each one's second."""
        plan = self._plan
        of = [
            [(f"{user}>u{peer}", client.c2c(plan.name(peer))) for peer in plan.peers_of(user)]
            + [(f"{user}>g{group}", client.group(plan.group_id(group))) for group in self._groups[user]]
            for user, client in sorted(self._clients.items())
        ]
        most = max(map(len, of), default=0)
        return [lines[nth] for nth in range(most) for lines in of if nth < len(lines)]

    async def _send(self, line: str, there: Conversation, number: int, due: float) -> None:
        sent = self._sent.setdefault(line, Sent(0, []))
        sent.count = max(sent.count, number + 1)
        text = f"{self._plan.run} {line} {number} {due!r} "
        try:
            await there.send(text.ljust(self._plan.payload_bytes, "x"))
        except TimimError as exc:
            sent.failed.append(number)
            self._refused[exc.code] += 1
        except asyncio.CancelledError:
            sent.failed.append(number)
            raise
        else:
            self._last_ack = now()
            self._acks.add(self._last_ack - due)
        finally:
            self._slots.release()

    async def _end(self) -> Ended:
        busy = (time.process_time() - self._computed) / max(1e-9, now() - self._begun)
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait((self._speaking,))
            if not self._speaking.cancelled():
                self._speaking.result()
        if self._sending:
            await asyncio.wait(self._sending, timeout=END_S)
        left = list(self._sending)
        for sending in left:
            sending.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return Ended(self._sent, dict(self._refused), self._acks.counts, max(0.0, self._last_ack - self._begun), busy)

    # what they hear

    def _hearer(self, user: int) -> Callable[[list[Message]], None]:
        lines, run = self._lines[user], self._plan.run

        def hear(messages: list[Message]) -> None:
            at = now()
            for message in messages:
                if message.is_self or not message.text.startswith(run):
                    continue
                if message.text == self._hello:
                    assert message.conversation is not None
                    self._greeted.add((user, message.conversation.peer))
                    self._heard.set()
                    continue
                _, name, number, due, _ = message.text.split(" ", 4)
                line = lines.get(name)
                if line is None:
                    line = lines[name] = Line()
                line.hear(int(number))
                self._deliveries.add(at - float(due))
                self._last_delivery = at

        return hear

    def _receivers(self, line: str) -> list[int]:
        """Those in this process who hear a line."""
        sender, _, place = line.partition(">")
        hearers = self._members[int(place[1:])] if place[0] == "g" else [int(place[1:])]
        return [user for user in hearers if user in self._clients and user != int(sender)]

    async def _settle(self, sent: dict[str, Sent], settle_s: float) -> Settled:
        expected = [
            (user, name, self._lines[user].setdefault(name, Line()), of)
            for name, of in sent.items()
            for user in self._receivers(name)
        ]
        begun = now()
        while any(line.lost(of.count, of.failed) for _, _, line, of in expected):
            if now() - max(begun, self._last_delivery) > settle_s:
                break
            await asyncio.sleep(LOOK_S)
        lost = [(user, name, line.lost(of.count, of.failed)) for user, name, line, of in expected]
        lines = [line for of in self._lines.values() for line in of.values()]
        return Settled(
            delivered=sum(line.heard for line in lines),
            lost=sum(len(numbers) for _, _, numbers in lost),
            examples=[self._told(*some) for some in lost if some[2]][:EXAMPLES],
            repeated=sum(line.repeated for line in lines),
            disordered=sum(line.disordered for line in lines),
            deliveries=self._deliveries.counts,
            seconds=max(0.0, self._last_delivery - self._begun),
        )

    def _told(self, user: int, line: str, numbers: set[int]) -> str:
        """What somebody did not hear, in words that can be looked for in the server."""
        sender, _, place = line.partition(">")
        to = self._plan.group_id(int(place[1:])) if place[0] == "g" else self._plan.name(int(place[1:]))
        some = ", ".join(map(str, sorted(numbers)[:EXAMPLES]))
        return f"{self._plan.name(user)} did not get from {self._plan.name(int(sender))} to {to}: {some}"

    # what is done to them

    async def _storm(self, users: list[int]) -> Back:
        self._back.clear()
        self._returns = Latencies()
        self._cut = dict.fromkeys(users, now())
        for user in users:
            self._clients[user].engine.connection.cut()
        if users:
            try:
                async with asyncio.timeout(BACK_S):
                    await self._back.wait()
            except TimeoutError:
                pass  # told by the numbers
        away, self._cut = len(self._cut), {}
        return Back(len(users), len(users) - away, self._returns.counts)


async def work(number: int) -> None:
    """Obey until there are no more orders. The first is the plan."""
    reader = asyncio.StreamReader(limit=ORDER_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worker: Worker | None = None
    try:
        while line := await reader.readline():
            given = order(line)
            if isinstance(given, Plan):
                worker = Worker(given, number)
            assert worker is not None
            answer: Answer
            try:
                answer = await worker.obey(given)
            except TimimError as exc:
                answer = Failed(str(exc))
            sys.stdout.buffer.write(encode(answer) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        if worker is not None:
            await worker.close()


def _room_for(clients: int) -> None:
    """As many open files as they need. Raises InvalidArgument."""
    needed = clients * FILES_EACH + FILES_BESIDES
    if (limit := rlimit.raised(needed)) < needed:
        raise InvalidArgument(
            f"{clients} clients need {needed} open files, and a process here has {limit}: "
            "raise `ulimit -Hn`, or share them among more processes"
        )


async def _make(owner: Client, group_id: str, members: list[str]) -> None:
    await owner.groups.create("ChatRoom", id=group_id, name="load", members=members)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(work(int(sys.argv[1])))
