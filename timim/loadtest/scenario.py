"""The scenario of a load test, and the commands and replies between its coordinator and its workers.

Commands and replies are one JSON object a line, and each command has one reply. Peers, group members and the server of each
user follow from the scenario's numbers alone, so every worker computes them for itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from timim import InvalidArgument

INITIAL_MEMBERS = 100  # members that a group is created with; the others join
MIN_PAYLOAD_BYTES = 64  # the header of a message (run, stream, number, time) fits into this size
USERS_LIMIT = 100_000


class Scenario(msgspec.Struct, kw_only=True, tag=True):
    """Parameters of a load test.

    Attributes:
        run: Prefix of the accounts and groups of this run, so that nothing of an earlier run is counted.
        folder: Folder of all workers; clients store their messages there when `on_disk`.
        rate: Messages a second of all users together; 0 for as many as `in_flight` allows.
        in_flight: Messages of all users together that wait for their acknowledgement at once, at the most.
        storms: For each storm, the number of clients whose connections are cut at once.
        settle_s: Time without a delivery after which a missing message counts as lost.
    """

    urls: Sequence[str]
    app_id: int
    key: str
    run: str
    folder: str
    users: int = 100
    peers: int = 2
    groups: int = 0
    members: int = 10
    rate: float = 0.0
    in_flight: int = 64
    seconds: float = 10.0
    payload_bytes: int = 100
    storms: Sequence[int] = ()
    processes: int = 1
    on_disk: bool = False
    settle_s: float = 45.0  # a client finds by its heartbeat, within 30 s, that a push was lost

    def validate(self) -> None:
        """Check that the scenario is possible.

        Raises:
            InvalidArgument: A parameter is out of its range; the error names the parameter and its limits.
        """
        if not 2 <= self.users <= USERS_LIMIT:
            raise InvalidArgument(f"users must be 2 to {USERS_LIMIT}, not {self.users}")
        if not 0 <= self.peers < self.users:
            raise InvalidArgument(f"peers must be 0 to {self.users - 1} for {self.users} users, not {self.peers}")
        if self.groups and not 2 <= self.members <= self.users:
            raise InvalidArgument(f"members must be 2 to {self.users} for {self.users} users, not {self.members}")
        if not self.peers and not self.groups:
            raise InvalidArgument("peers and groups are both 0, so there are no receivers; set one of them")
        for name in ("in_flight", "processes"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.processes > self.users:
            raise InvalidArgument(f"processes must be at most {self.users}, the number of users, not {self.processes}")
        if self.rate < 0 or self.seconds <= 0 or self.settle_s <= 0:
            raise InvalidArgument("seconds and settle_s must be more than 0, and rate 0 or more")
        if self.payload_bytes < MIN_PAYLOAD_BYTES:
            raise InvalidArgument(f"payload_bytes must be {MIN_PAYLOAD_BYTES} or more, not {self.payload_bytes}")
        if wrong := [cut for cut in self.storms if not 1 <= cut <= self.users]:
            raise InvalidArgument(f"storms must cut 1 to {self.users} clients, not {wrong[0]}")

    def user_id(self, user: int) -> str:
        """Return the account of a user."""
        return f"{self.run}-{user}"

    def group_id(self, group: int) -> str:
        """Return the id of a group."""
        return f"{self.run}-g{group}"

    def url_of(self, user: int) -> str:
        """Return the server URL of a user."""
        return self.urls[user % len(self.urls)]

    def users_of(self, worker: int) -> range | list[int]:
        """Return the users of a worker, which are spread over all URLs."""
        return [user for user in range(self.users) if user // len(self.urls) % self.processes == worker]

    def peers_of(self, user: int) -> list[int]:
        """Return the next users on a ring as a user's peers; if there are several URLs, some peers use another server."""
        return [(user + step) % self.users for step in range(1, self.peers + 1)]

    def members_of(self, group: int) -> list[int]:
        """Return the members of a group; the first one is its owner."""
        first = group * self.users // max(1, self.groups)
        return [(first + step) % self.users for step in range(self.members)]


class CreateGroups(msgspec.Struct, tag=True):
    """Create the groups whose owner is a user of this worker."""


class JoinGroups(msgspec.Struct, tag=True):
    """Let the remaining members join their groups."""


class SendGreetings(msgspec.Struct, tag=True):
    """Let owners greet their groups. The reply follows when all members of this worker were greeted, or after GREET_S."""


class StartSending(msgspec.Struct, tag=True):
    """Send messages until StopSending."""


class CutConnections(msgspec.Struct, tag=True):
    """Cut the connections of the first `count` users at once. The reply follows when their clients have reconnected."""

    count: int


class StopSending(msgspec.Struct, tag=True):
    """Stop sending, and wait for the messages that are under way."""


class AwaitDeliveries(msgspec.Struct, tag=True):
    """Wait until all messages of all workers are delivered. `sent` maps the name of a stream to its sent numbers."""

    sent: dict[str, SentNumbers]
    settle_s: float


Command = Scenario | CreateGroups | JoinGroups | SendGreetings | StartSending | CutConnections | StopSending | AwaitDeliveries


class CommandDone(msgspec.Struct, tag=True):
    """The command was executed, and has no result."""


class CommandFailed(msgspec.Struct, tag=True):
    """The command could not be executed, so the run cannot go on."""

    reason: str


class LoggedIn(msgspec.Struct, tag=True):
    """Report that all users of the worker are logged in, with the counts of their login times."""

    logins: dict[int, int]


class GreetingsReceived(msgspec.Struct, tag=True):
    """Number of members of this worker who have not received the greeting of their group's owner."""

    missing: int


class Reconnected(msgspec.Struct, tag=True):
    """Numbers of clients that were cut and that are online again. `times` is a histogram of their reconnection times."""

    cut: int
    back: int
    times: dict[int, int]


class SentNumbers(msgspec.Struct, array_like=True):
    """Numbers sent in one stream: the count of attempts, and the numbers that were refused or given up."""

    attempted: int
    failed: list[int]


class SendingResult(msgspec.Struct, tag=True):
    """Messages that the users of one worker have sent."""

    sent: dict[str, SentNumbers]
    refused: dict[int, int]  # code → count
    acks: dict[int, int]
    seconds: float  # from the first message to the last ack
    busy: float  # CPU use of the process; near 1, the clients limited the rate


class DeliveryResult(msgspec.Struct, tag=True):
    """Messages that the users of one worker have received."""

    delivered: int
    lost: int
    examples: list[str]  # lost messages
    repeated: int
    disordered: int
    deliveries: dict[int, int]
    seconds: float  # from the first message to the last delivery


Reply = CommandDone | CommandFailed | LoggedIn | GreetingsReceived | Reconnected | SendingResult | DeliveryResult

encode = msgspec.json.Encoder().encode
decode_command = msgspec.json.Decoder(Command).decode
decode_reply = msgspec.json.Decoder(Reply).decode
