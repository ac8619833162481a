"""One process of clients. It reads commands from standard input and writes the reply of each to standard output.

The clients are those of any program: a message is delivered when a handler of `on_new_message` gets it. When the coordinator
ends, standard input ends, and so does this process.
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

from timim import Client, ConnectionRestored, Conversation, InvalidArgument, Message, TimimError, sign_user

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
RECONNECT_LIMIT_S = 120.0  # a client that has not reconnected in this time is reported
ACK_LIMIT_S = 60.0  # a message that is neither acked nor refused in this time is given up
GREET_S = 2.0
EXAMPLES = 10  # of lost messages, reported by each process
POLL_S = 0.1  # between two checks for missing messages
FILES_EACH = 4  # a socket, and three files of a database on disk
FILES_BESIDES = 100
COMMAND_LIMIT_BYTES = 64 * 1024 * 1024
now = time.monotonic  # one clock for all processes of a machine


class LoadWorker:
    """The clients of one process, and the account of their messages.

    A stream, the messages of one user to one conversation, is named `3>u7` or `3>g2`.
    """

    def __init__(self, scenario: Scenario, number: int) -> None:
        self._scenario = scenario
        self._users = scenario.users_of(number)
        self._clients: dict[int, Client] = {}
        self._members = [scenario.members_of(group) for group in range(scenario.groups)]
        self._groups: dict[int, list[int]] = defaultdict(list)  # user → groups
        for group, members in enumerate(self._members):
            for member in members:
                self._groups[member].append(group)
        # receiver → name of the stream → the numbers received
        self._trackers: dict[int, dict[str, SequenceTracker]] = {user: {} for user in self._users}
        self._sent: dict[str, SentNumbers] = {}
        self._refused: dict[int, int] = defaultdict(int)
        self._acks, self._deliveries = LatencyHistogram(), LatencyHistogram()
        self._greeting = f"{scenario.run} hello"
        self._greeted: set[tuple[int, str]] = set()  # user and the group whose greeting it received
        self._heard = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(max(1, scenario.in_flight // scenario.processes))
        self._cut_at: dict[int, float] = {}  # disconnected client → time of the cut
        self._all_back = asyncio.Event()
        self._reconnects = LatencyHistogram()
        self._begun = self._last_ack = self._last_delivery = self._computed = 0.0

    async def execute(self, command: Command) -> Reply:
        """Execute a command of the coordinator."""
        match command:
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

    # logins and groups

    async def _log_in(self) -> LoggedIn:
        _raise_open_files_limit(len(self._users))
        logins, slots = LatencyHistogram(), asyncio.Semaphore(LOGINS_AT_ONCE)

        async def log_in(user: int) -> None:
            async with slots:
                client = self._clients[user] = self._create_client(user)
                begun = now()
                await client.login()
                logins.add(now() - begun)

        await gather_cancelling(*(log_in(user) for user in self._users))
        return LoggedIn(logins.counts)

    async def close(self) -> None:
        """Log all users out."""
        slots = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def log_out(client: Client) -> None:
            async with slots:
                await client.close()

        await gather_cancelling(*(log_out(client) for client in self._clients.values()))

    def _create_client(self, user: int) -> Client:
        scenario, name = self._scenario, self._scenario.user_id(user)
        client = Client(
            scenario.url_of(user),
            app_id=scenario.app_id,
            user_id=name,
            user_sig=sign_user(scenario.app_id, scenario.key, name),
            data_dir=Path(scenario.folder) / name if scenario.on_disk else ":memory:",
        )
        client.on_new_message(self._message_handler(user))

        @client.on(ConnectionRestored)
        def on_restored(_: ConnectionRestored) -> None:
            if (cut := self._cut_at.pop(user, None)) is not None:
                self._reconnects.add(now() - cut)
                if not self._cut_at:
                    self._all_back.set()

        return client

    async def _create_groups(self) -> CommandDone:
        scenario = self._scenario
        await gather_cancelling(
            *(
                _create_group(
                    owner, scenario.group_id(group), [scenario.user_id(member) for member in members[1:INITIAL_MEMBERS]]
                )
                for group, members in enumerate(self._members)
                if (owner := self._clients.get(members[0])) is not None
            )
        )
        return CommandDone()

    async def _join_groups(self) -> CommandDone:
        for group, members in enumerate(self._members):
            for member in members[INITIAL_MEMBERS:]:
                if (client := self._clients.get(member)) is not None:
                    await client.groups.join(self._scenario.group_id(group))
        return CommandDone()

    async def _send_greetings(self) -> GreetingsReceived:
        """Send one message to each group, because a client's history of a group begins with the first received message."""
        missing = {
            (user, self._scenario.group_id(group))
            for user in self._users
            for group in self._groups[user]
            if self._members[group][0] != user
        }
        owned = [
            (self._clients[of[0]], self._scenario.group_id(group))
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
            pass  # reported by the number
        return GreetingsReceived(len(missing - self._greeted))

    # sending

    async def _send_continuously(self) -> None:
        streams = self._destinations()
        if not streams:
            return
        every_s = self._scenario.processes / self._scenario.rate if self._scenario.rate else 0.0
        numbers: dict[str, count[int]] = defaultdict(count)
        for nth, (stream, conversation) in enumerate(cycle(streams)):
            due = self._begun + nth * every_s if every_s else 0.0
            if due and (early_s := due - now()) > 0:
                await asyncio.sleep(early_s)
            await self._slots.acquire()
            # measure from the scheduled time, so that waiting for other messages counts as latency
            sending = asyncio.create_task(self._send(stream, conversation, next(numbers[stream]), due or now()))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    def _destinations(self) -> list[tuple[str, Conversation]]:
        """Return the streams of all users in turns: the first one of each user, then the second one of each."""
        scenario = self._scenario
        streams_of = [
            [(f"{user}>u{peer}", client.c2c(scenario.user_id(peer))) for peer in scenario.peers_of(user)]
            + [(f"{user}>g{group}", client.group(scenario.group_id(group))) for group in self._groups[user]]
            for user, client in sorted(self._clients.items())
        ]
        most = max(map(len, streams_of), default=0)
        return [streams[nth] for nth in range(most) for streams in streams_of if nth < len(streams)]

    async def _send(self, stream: str, conversation: Conversation, number: int, due: float) -> None:
        sent = self._sent.setdefault(stream, SentNumbers(0, []))
        sent.attempted = max(sent.attempted, number + 1)
        text = f"{self._scenario.run} {stream} {number} {due!r} "
        try:
            await conversation.send(text.ljust(self._scenario.payload_bytes, "x"))
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

    # receiving

    def _message_handler(self, user: int) -> Callable[[list[Message]], None]:
        trackers, run = self._trackers[user], self._scenario.run

        def on_messages(messages: list[Message]) -> None:
            at = now()
            for message in messages:
                if message.is_self or not message.text.startswith(run):
                    continue
                if message.text == self._greeting:
                    self._greeted.add((user, message.conversation.peer))
                    self._heard.set()
                    continue
                _, name, number, due, _ = message.text.split(" ", 4)
                tracker = trackers.get(name)
                if tracker is None:
                    tracker = trackers[name] = SequenceTracker()
                tracker.record(int(number))
                self._deliveries.add(at - float(due))
                self._last_delivery = at

        return on_messages

    def _receivers_of(self, stream: str) -> list[int]:
        """Return the users of this process that receive a stream."""
        sender, _, to = stream.partition(">")
        receivers = self._members[int(to[1:])] if to[0] == "g" else [int(to[1:])]
        return [user for user in receivers if user in self._clients and user != int(sender)]

    async def _await_deliveries(self, sent: dict[str, SentNumbers], settle_s: float) -> DeliveryResult:
        expected = [
            (user, name, self._trackers[user].setdefault(name, SequenceTracker()), numbers)
            for name, numbers in sent.items()
            for user in self._receivers_of(name)
        ]
        begun = now()
        while any(tracker.lost_below(numbers.attempted, numbers.failed) for _, _, tracker, numbers in expected):
            if now() - max(begun, self._last_delivery) > settle_s:
                break
            await asyncio.sleep(POLL_S)
        lost = [
            (user, name, tracker.lost_below(numbers.attempted, numbers.failed)) for user, name, tracker, numbers in expected
        ]
        trackers = [tracker for each in self._trackers.values() for tracker in each.values()]
        return DeliveryResult(
            delivered=sum(tracker.received for tracker in trackers),
            lost=sum(len(missing) for _, _, missing in lost),
            examples=[self._describe_lost(*some) for some in lost if some[2]][:EXAMPLES],
            repeated=sum(tracker.repeated for tracker in trackers),
            disordered=sum(tracker.disordered for tracker in trackers),
            deliveries=self._deliveries.counts,
            seconds=max(0.0, self._last_delivery - self._begun),
        )

    def _describe_lost(self, user: int, stream: str, numbers: set[int]) -> str:
        """Return a description of lost messages, with the ids of the accounts and groups on the server."""
        sender, _, receiver = stream.partition(">")
        number = int(receiver[1:])
        to = self._scenario.group_id(number) if receiver[0] == "g" else self._scenario.user_id(number)
        some = ", ".join(map(str, sorted(numbers)[:EXAMPLES]))
        return f"{self._scenario.user_id(user)} did not receive from {self._scenario.user_id(int(sender))} to {to}: {some}"

    # storms

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
                pass  # reported by the numbers
        away, self._cut_at = len(self._cut_at), {}
        return Reconnected(len(users), len(users) - away, self._reconnects.counts)


async def serve_commands(number: int) -> None:
    """Execute commands until there are no more; the first one is the scenario."""
    reader = asyncio.StreamReader(limit=COMMAND_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worker: LoadWorker | None = None
    try:
        while line := await reader.readline():
            command = decode_command(line)
            if isinstance(command, Scenario):
                worker = LoadWorker(command, number)
            assert worker is not None
            reply: Reply
            try:
                reply = await worker.execute(command)
            except TimimError as exc:
                reply = CommandFailed(str(exc))
            sys.stdout.buffer.write(encode(reply) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        if worker is not None:
            await worker.close()


def _raise_open_files_limit(clients: int) -> None:
    """Raise the limit of open files to the number that the clients need.

    Raises:
        InvalidArgument: The system's hard limit is lower.
    """
    needed = clients * FILES_EACH + FILES_BESIDES
    if (limit := rlimit.raise_nofile_limit(needed)) < needed:
        raise InvalidArgument(
            f"{clients} clients need {needed} open files; the limit of a process is {limit}; "
            "raise `ulimit -Hn`, or use more processes"
        )


async def _create_group(owner: Client, group_id: str, members: list[str]) -> None:
    await owner.groups.create("ChatRoom", id=group_id, name="load", members=members)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve_commands(int(sys.argv[1])))
