"""What is to be done, and what the conductor and its workers say to each other: one JSON object a line, each order one answer.

Who is whose peer, who is in which group and who logs in where follow from the numbers alone: no worker has to be told.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..errors import InvalidArgument

INITIAL_MEMBERS = 100  # members that a group is made with; the others join
MIN_PAYLOAD_BYTES = 64  # what a message says about itself fits into it
USERS_LIMIT = 100_000


class Scenario(msgspec.Struct, kw_only=True, tag=True):
    """`rate`: messages a second of all users together; 0: as many as `in_flight` at once lets through."""

    urls: Sequence[str]
    app_id: int
    key: str
    run: str  # names this run's accounts and groups, so that nothing of an earlier one is counted
    folder: str  # of all workers; where clients keep their messages when `on_disk`
    users: int = 100
    peers: int = 2
    groups: int = 0
    members: int = 10
    rate: float = 0.0
    in_flight: int = 64
    seconds: float = 10.0
    payload_bytes: int = 100
    storms: Sequence[int] = ()  # clients cut at once, each
    processes: int = 1
    on_disk: bool = False
    settle_s: float = 45.0  # a client finds by its heartbeat, within 30 s, that a push was lost

    def validate(self) -> None:
        """Raises InvalidArgument."""
        if not 2 <= self.users <= USERS_LIMIT:
            raise InvalidArgument(f"users are 2 to {USERS_LIMIT}, not {self.users}")
        if not 0 <= self.peers < self.users:
            raise InvalidArgument(f"{self.users} users can have 0 to {self.users - 1} peers each, not {self.peers}")
        if self.groups and not 2 <= self.members <= self.users:
            raise InvalidArgument(f"a group of {self.users} users has 2 to {self.users} members, not {self.members}")
        if not self.peers and not self.groups:
            raise InvalidArgument("nobody would have anybody to write to: give peers or groups")
        for name in ("in_flight", "processes"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"{name} must be 1 or more")
        if self.processes > self.users:
            raise InvalidArgument(f"{self.processes} processes cannot share {self.users} users")
        if self.rate < 0 or self.seconds <= 0 or self.settle_s <= 0:
            raise InvalidArgument("times must be more than 0, and the rate not negative")
        if self.payload_bytes < MIN_PAYLOAD_BYTES:
            raise InvalidArgument(f"a message has {MIN_PAYLOAD_BYTES} bytes or more, not {self.payload_bytes}")
        if wrong := [cut for cut in self.storms if not 1 <= cut <= self.users]:
            raise InvalidArgument(f"a storm cuts 1 to {self.users} clients, not {wrong[0]}")

    def user_id(self, user: int) -> str:
        return f"{self.run}-{user}"

    def group_id(self, group: int) -> str:
        return f"{self.run}-g{group}"

    def url_of(self, user: int) -> str:
        return self.urls[user % len(self.urls)]

    def users_of(self, worker: int) -> range | list[int]:
        """Each worker has users at every URL."""
        return [user for user in range(self.users) if user // len(self.urls) % self.processes == worker]

    def peers_of(self, user: int) -> list[int]:
        """The next ones on a ring: with several URLs, some at the same and some at another."""
        return [(user + step) % self.users for step in range(1, self.peers + 1)]

    def members_of(self, group: int) -> list[int]:
        """The first one owns it."""
        first = group * self.users // max(1, self.groups)
        return [(first + step) % self.users for step in range(self.members)]


class CreateGroups(msgspec.Struct, tag=True):
    """Who owns a group here makes it."""


class JoinGroups(msgspec.Struct, tag=True):
    """Who was not put in when it was made joins."""


class SendGreetings(msgspec.Struct, tag=True):
    """Owners say hello; answered when every member here heard its owners, or after a while."""


class StartSending(msgspec.Struct, tag=True):
    """Speak, until told to end."""


class CutConnections(msgspec.Struct, tag=True):
    """Cut the first `count` clients of all at once; answered when they are back."""

    count: int


class StopSending(msgspec.Struct, tag=True):
    """Say nothing more, and wait for what is under way."""


class AwaitDeliveries(msgspec.Struct, tag=True):
    """Wait for all that was sent by all workers: line → how many, and the numbers among them that were not accepted."""

    sent: dict[str, SentNumbers]
    settle_s: float


Command = Scenario | CreateGroups | JoinGroups | SendGreetings | StartSending | CutConnections | StopSending | AwaitDeliveries


class CommandDone(msgspec.Struct, tag=True):
    """Nothing to tell."""


class CommandFailed(msgspec.Struct, tag=True):
    """The run cannot go on."""

    why: str


class LoggedIn(msgspec.Struct, tag=True):
    logins: dict[int, int]  # `Latencies.counts`


class GreetingsReceived(msgspec.Struct, tag=True):
    missing: int  # memberships of those who did not hear the owner yet


class Reconnected(msgspec.Struct, tag=True):
    """After a cut: how many are online again, and the time that each needed."""

    cut: int
    back: int
    times: dict[int, int]


class SentNumbers(msgspec.Struct, array_like=True):
    """Of one line: how many were tried, and which were refused or given up."""

    count: int
    failed: list[int]


class SendingResult(msgspec.Struct, tag=True):
    sent: dict[str, SentNumbers]
    refused: dict[int, int]  # code → how many
    acks: dict[int, int]
    seconds: float  # from the first message to the last ack
    busy: float  # of the process's time, how much it computed: near 1, the clients were the bound


class DeliveryResult(msgspec.Struct, tag=True):
    delivered: int
    lost: int
    examples: list[str]  # of what was lost
    repeated: int
    disordered: int
    deliveries: dict[int, int]
    seconds: float  # from the first message to the last delivery


Reply = CommandDone | CommandFailed | LoggedIn | GreetingsReceived | Reconnected | SendingResult | DeliveryResult

encode = msgspec.json.Encoder().encode
decode_command = msgspec.json.Decoder(Command).decode
decode_reply = msgspec.json.Decoder(Reply).decode
