"""The encoding of events on NATS, the subjects, and the newcomers of groups.

The node of a user who has just joined a group may not have subscribed to the group yet. For NEWCOMER_S a group's hint is
therefore sent to each newcomer's own subject as well. The hint contains the newcomers, so that nodes which receive it on
the group's subject leave them out.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from .base import Event, Invalidation, LoginAnnouncement

NAMES = 16_384  # users and groups whose subjects are cached
LOGIN = 0  # no Event has this number
NEWCOMER_S = 2.0  # a node subscribes within milliseconds, on a very busy machine within a second


class Hint(msgspec.Struct, array_like=True):
    """A notification between nodes: an event, or a login."""

    kind: int  # the Event number
    seq: int
    payload: bytes
    plain: bytes = b""  # the push for clients without timim's extensions
    newcomers: list[str] = []

    @classmethod
    def of(cls, event: Event) -> Hint:
        return cls(event.kind, event.seq, bytes(event.payload), bytes(event.plain or b""))

    @classmethod
    def of_login(cls, login: LoginAnnouncement) -> Hint:
        return cls(LOGIN, 0, pack(login))

    @property
    def login(self) -> LoginAnnouncement | None:
        """The announced login, or None if the hint is an event."""
        return _unpack_login(self.payload) if self.kind == LOGIN else None

    def event(self, users: Iterable[str]) -> Event:
        plain = msgspec.Raw(self.plain) if self.plain else None
        return Event(users, self.kind, msgspec.Raw(self.payload), plain=plain, seq=self.seq)


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Hint).decode
_unpack_login = msgspec.msgpack.Decoder(LoginAnnouncement).decode
unpack_facts = msgspec.msgpack.Decoder(Invalidation).decode


class Newcomers:
    """The users, on any node, who joined a group less than NEWCOMER_S ago."""

    def __init__(self) -> None:
        self._until: dict[str, dict[str, float]] = {}

    def add(self, group_id: str, users: Iterable[str]) -> None:
        loop = asyncio.get_running_loop()
        self._until.setdefault(group_id, {}).update(dict.fromkeys(users, loop.time() + NEWCOMER_S))
        loop.call_later(NEWCOMER_S, self._forget, group_id)

    def among(self, group_id: str, users: Iterable[str]) -> list[str]:
        """Return those of `users` who are newcomers of the group, sorted."""
        came = self._until.get(group_id)
        return sorted(came.keys() & set(users)) if came else []

    def _forget(self, group_id: str) -> None:
        now = asyncio.get_running_loop().time()
        left = {user: until for user, until in self._until.get(group_id, {}).items() if until > now}
        if left:
            self._until[group_id] = left
        else:
            self._until.pop(group_id, None)


class Subjects:
    """The NATS subjects of one app."""

    def __init__(self, prefix: str) -> None:
        self.invalidations = f"{prefix}.facts"
        self.losses = f"{prefix}.doubt"
        self.heartbeats = f"{prefix}.beat"
        self.questions = f"{prefix}.asked"
        self._prefix = prefix

    def user(self, user: str) -> str:
        """Return the subject of a user's hints."""
        return f"{self._prefix}.u.{_token(user)}"

    def group(self, group_id: str) -> str:
        """Return the subject of a group's hints."""
        return f"{self._prefix}.g.{_token(group_id)}"

    def presence(self, user: str) -> str:
        """Return the subject of reports that a user's status may have changed."""
        return f"{self._prefix}.s.{_token(user)}"

    def answers(self, node_id: str) -> str:
        """Return the NATS subject on which a node receives the answers to its presence queries."""
        return f"{self._prefix}.answer.{node_id}"


@lru_cache(maxsize=NAMES)
def _token(name: str) -> str:
    """Encode an id as one token of a NATS subject."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
