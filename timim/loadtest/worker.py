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
from ..util.tasks import gather_cancelling
from .accounting import SequenceTracker
from .latency import LatencyHistogram
from .scenario import (
    INITIAL_MEMBERS,
    AwaitDeliveries,
    Command,
    CommandDone,
    CommandFailed,
    CreateGroups,
    CutConnections,
    DeliveryResult,
    GreetingsReceived,
    JoinGroups,
    LoggedIn,
    Reconnected,
    Reply,
    Scenario,
    SendGreetings,
    SendingResult,
    SentNumbers,
    StartSending,
    StopSending,
    decode_command,
    encode,
)

LOGINS_AT_ONCE = 50
RECONNECT_LIMIT_S = 120.0  # who is not back by then is told as missing
ACK_LIMIT_S = 60.0  # a message that is neither acked nor refused by then is given up
GREET_S = 2.0
EXAMPLES = 10  # of what was lost, told by each process
POLL_S = 0.1  # between two looks whether all has come
FILES_EACH = 4  # a socket and, on disk, the database's three
FILES_BESIDES = 100
COMMAND_LIMIT_BYTES = 64 * 1024 * 1024
now = time.monotonic  # one clock for all processes of a machine


class LoadWorker:
    """The users of one process."""

    def __init__(self, plan: Scenario, number: int) -> None:
        self._plan = plan
        self._users = plan.users_of(number)
        self._clients: dict[int, Client] = {}
        self._members = [plan.members_of(group) for group in range(plan.groups)]
        self._groups: dict[int, list[int]] = defaultdict(list)  # user → groups
        for group, members in enumerate(self._members):
            for member in members:
                self._groups[member].append(group)
        self._trackers: dict[int, dict[str, SequenceTracker]] = {
            user: {} for user in self._users
        }  # receiver → line's name → what came
        self._sent: dict[str, SentNumbers] = {}
        self._refused: dict[int, int] = defaultdict(int)
        self._acks, self._deliveries = LatencyHistogram(), LatencyHistogram()
        self._greeting = f"{plan.run} hello"
        self._greeted: set[tuple[int, str]] = set()  # user and the group that it heard
        self._heard = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(max(1, plan.in_flight // plan.processes))
        self._cut_at: dict[int, float] = {}  # who is not back yet, and when it was cut
        self._all_back = asyncio.Event()
        self._reconnects = LatencyHistogram()
        self._begun = self._last_ack = self._last_delivery = self._computed = 0.0

    async def execute(self, order: Command) -> Reply:
        match order:
            case Scenario():
                return await self._log_in()
            case CreateGroups():
                return await self._create_groups()
            case JoinGroups():
                return await self._join_groups()
            case SendGreetings():
                return await self._send_greetings()
            case StartSending():
                self._begun, self._computed = now(), time.process_time()
                self._sender = asyncio.create_task(self._send_continuously(), name="timim load")
                return CommandDone()
            case CutConnections(count=users):
                return await self._cut_connections([user for user in self._users if user < users])
            case StopSending():
                return await self._stop_sending()
            case AwaitDeliveries(sent=sent, settle_s=settle_s):
                return await self._await_deliveries(sent, settle_s)

    # who takes part

    async def _log_in(self) -> LoggedIn:
        _raise_open_files_limit(len(self._users))
        logins, slots = LatencyHistogram(), asyncio.Semaphore(LOGINS_AT_ONCE)

        async def enter(user: int) -> None:
            async with slots:
                client = self._clients[user] = self._create_client(user)
                begun = now()
                await client.login()
                logins.add(now() - begun)

        await gather_cancelling(*(enter(user) for user in self._users))
        return LoggedIn(logins.counts)

    async def close(self) -> None:
        """Log all out."""
        slots = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def leave(client: Client) -> None:
            async with slots:
                await client.close()

        await gather_cancelling(*(leave(client) for client in self._clients.values()))

    def _create_client(self, user: int) -> Client:
        plan, name = self._plan, self._plan.user_id(user)
        client = Client(
            plan.url_of(user),
            app_id=plan.app_id,
            user_id=name,
            user_sig=sign_user(plan.app_id, plan.key, name),
            data_dir=Path(plan.folder) / name if plan.on_disk else ":memory:",
        )
        client.on_new_message(self._message_handler(user))

        @client.on(ConnectionRestored)
        def back(_: ConnectionRestored) -> None:
            if (cut := self._cut_at.pop(user, None)) is not None:
                self._reconnects.add(now() - cut)
                if not self._cut_at:
                    self._all_back.set()

        return client

    async def _create_groups(self) -> CommandDone:
        plan = self._plan
        await gather_cancelling(
            *(
                _create_group(owner, plan.group_id(group), [plan.user_id(member) for member in members[1:INITIAL_MEMBERS]])
                for group, members in enumerate(self._members)
                if (owner := self._clients.get(members[0])) is not None
            )
        )
        return CommandDone()

    async def _join_groups(self) -> CommandDone:
        for group, members in enumerate(self._members):
            for member in members[INITIAL_MEMBERS:]:
                if (client := self._clients.get(member)) is not None:
                    await client.groups.join(self._plan.group_id(group))
        return CommandDone()

    async def _send_greetings(self) -> GreetingsReceived:
        """A client takes the first message of a group that it hears for the beginning: it is to be this one."""
        missing = {
            (user, self._plan.group_id(group))
            for user in self._users
            for group in self._groups[user]
            if self._members[group][0] != user
        }
        owned = [
            (self._clients[of[0]], self._plan.group_id(group))
            for group, of in enumerate(self._members)
            if of[0] in self._clients
        ]
        await asyncio.gather(*(owner.group(group_id).send(self._greeting) for owner, group_id in owned))
        try:
            async with asyncio.timeout(GREET_S):
                while missing - self._greeted:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            pass  # told by the number
        return GreetingsReceived(len(missing - self._greeted))

    # what they say

    async def _send_continuously(self) -> None:
        lines = self._destinations()
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

    def _destinations(self) -> list[tuple[str, Conversation]]:
        """Everybody's lines, in turns: first each one's first, then each one's second."""
        plan = self._plan
        of = [
            [(f"{user}>u{peer}", client.c2c(plan.user_id(peer))) for peer in plan.peers_of(user)]
            + [(f"{user}>g{group}", client.group(plan.group_id(group))) for group in self._groups[user]]
            for user, client in sorted(self._clients.items())
        ]
        most = max(map(len, of), default=0)
        return [lines[nth] for nth in range(most) for lines in of if nth < len(lines)]

    async def _send(self, line: str, there: Conversation, number: int, due: float) -> None:
        sent = self._sent.setdefault(line, SentNumbers(0, []))
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

    async def _stop_sending(self) -> SendingResult:
        busy = (time.process_time() - self._computed) / max(1e-9, now() - self._begun)
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait((self._sender,))
            if not self._sender.cancelled():
                self._sender.result()
        if self._sending:
            await asyncio.wait(self._sending, timeout=ACK_LIMIT_S)
        left = list(self._sending)
        for sending in left:
            sending.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return SendingResult(self._sent, dict(self._refused), self._acks.counts, max(0.0, self._last_ack - self._begun), busy)

    # what they hear

    def _message_handler(self, user: int) -> Callable[[list[Message]], None]:
        lines, run = self._trackers[user], self._plan.run

        def hear(messages: list[Message]) -> None:
            at = now()
            for message in messages:
                if message.is_self or not message.text.startswith(run):
                    continue
                if message.text == self._greeting:
                    assert message.conversation is not None
                    self._greeted.add((user, message.conversation.peer))
                    self._heard.set()
                    continue
                _, name, number, due, _ = message.text.split(" ", 4)
                line = lines.get(name)
                if line is None:
                    line = lines[name] = SequenceTracker()
                line.record(int(number))
                self._deliveries.add(at - float(due))
                self._last_delivery = at

        return hear

    def _receivers(self, line: str) -> list[int]:
        """Those in this process who hear a line."""
        sender, _, place = line.partition(">")
        hearers = self._members[int(place[1:])] if place[0] == "g" else [int(place[1:])]
        return [user for user in hearers if user in self._clients and user != int(sender)]

    async def _await_deliveries(self, sent: dict[str, SentNumbers], settle_s: float) -> DeliveryResult:
        expected = [
            (user, name, self._trackers[user].setdefault(name, SequenceTracker()), of)
            for name, of in sent.items()
            for user in self._receivers(name)
        ]
        begun = now()
        while any(line.lost_below(of.count, of.failed) for _, _, line, of in expected):
            if now() - max(begun, self._last_delivery) > settle_s:
                break
            await asyncio.sleep(POLL_S)
        lost = [(user, name, line.lost_below(of.count, of.failed)) for user, name, line, of in expected]
        lines = [line for of in self._trackers.values() for line in of.values()]
        return DeliveryResult(
            delivered=sum(line.received for line in lines),
            lost=sum(len(numbers) for _, _, numbers in lost),
            examples=[self._describe_lost(*some) for some in lost if some[2]][:EXAMPLES],
            repeated=sum(line.repeated for line in lines),
            disordered=sum(line.disordered for line in lines),
            deliveries=self._deliveries.counts,
            seconds=max(0.0, self._last_delivery - self._begun),
        )

    def _describe_lost(self, user: int, line: str, numbers: set[int]) -> str:
        """What somebody did not hear, in words that can be looked for in the server."""
        sender, _, place = line.partition(">")
        to = self._plan.group_id(int(place[1:])) if place[0] == "g" else self._plan.user_id(int(place[1:]))
        some = ", ".join(map(str, sorted(numbers)[:EXAMPLES]))
        return f"{self._plan.user_id(user)} did not get from {self._plan.user_id(int(sender))} to {to}: {some}"

    # what is done to them

    async def _cut_connections(self, users: list[int]) -> Reconnected:
        self._all_back.clear()
        self._reconnects = LatencyHistogram()
        self._cut_at = dict.fromkeys(users, now())
        for user in users:
            self._clients[user].engine.connection.cut()
        if users:
            try:
                async with asyncio.timeout(RECONNECT_LIMIT_S):
                    await self._all_back.wait()
            except TimeoutError:
                pass  # told by the numbers
        away, self._cut_at = len(self._cut_at), {}
        return Reconnected(len(users), len(users) - away, self._reconnects.counts)


async def serve_commands(number: int) -> None:
    """Obey until there are no more orders. The first is the plan."""
    reader = asyncio.StreamReader(limit=COMMAND_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worker: LoadWorker | None = None
    try:
        while line := await reader.readline():
            given = decode_command(line)
            if isinstance(given, Scenario):
                worker = LoadWorker(given, number)
            assert worker is not None
            answer: Reply
            try:
                answer = await worker.execute(given)
            except TimimError as exc:
                answer = CommandFailed(str(exc))
            sys.stdout.buffer.write(encode(answer) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        if worker is not None:
            await worker.close()


def _raise_open_files_limit(clients: int) -> None:
    """As many open files as they need. Raises InvalidArgument."""
    needed = clients * FILES_EACH + FILES_BESIDES
    if (limit := rlimit.raise_nofile_limit(needed)) < needed:
        raise InvalidArgument(
            f"{clients} clients need {needed} open files, and a process here has {limit}: "
            "raise `ulimit -Hn`, or share them among more processes"
        )


async def _create_group(owner: Client, group_id: str, members: list[str]) -> None:
    await owner.groups.create("ChatRoom", id=group_id, name="load", members=members)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve_commands(int(sys.argv[1])))
