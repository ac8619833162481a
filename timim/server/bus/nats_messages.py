"""What NATS carries of an event, and who must be told of a group's by a subject of their own.

Who came to a group a moment ago is on a node that may not have subscribed to the group yet. For as long, a group's hint goes
to the newcomers as well, each by the user's subject, and names them: nodes that hear it by the group's leave them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from .base import Event, Facts, Login

LOGIN = 0  # no Event has this number
NEWCOMER_S = 2.0  # a node needs milliseconds to subscribe, on a machine that is very busy up to a second


class Hint(msgspec.Struct, array_like=True):
    kind: int  # the Event number
    seq: int
    payload: bytes
    plain: bytes = b""  # the form for others
    newcomers: list[str] = []

    @classmethod
    def of(cls, event: Event) -> Hint:
        return cls(event.kind, event.seq, bytes(event.payload), bytes(event.plain or b""))

    @classmethod
    def of_login(cls, login: Login) -> Hint:
        return cls(LOGIN, 0, pack(login))

    @property
    def login(self) -> Login | None:
        """The login that it tells of, None for an event."""
        return _unpack_login(self.payload) if self.kind == LOGIN else None

    def event(self, users: Iterable[str]) -> Event:
        plain = msgspec.Raw(self.plain) if self.plain else None
        return Event(users, self.kind, msgspec.Raw(self.payload), plain=plain, seq=self.seq)


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Hint).decode
_unpack_login = msgspec.msgpack.Decoder(Login).decode
unpack_facts = msgspec.msgpack.Decoder(Facts).decode


class Newcomers:
    """Of each group, on any node, those who came less than NEWCOMER_S ago."""

    def __init__(self) -> None:
        self._until: dict[str, dict[str, float]] = {}

    def came(self, group_id: str, users: Iterable[str]) -> None:
        loop = asyncio.get_running_loop()
        self._until.setdefault(group_id, {}).update(dict.fromkeys(users, loop.time() + NEWCOMER_S))
        loop.call_later(NEWCOMER_S, self._forget, group_id)

    def among(self, group_id: str, users: Iterable[str]) -> list[str]:
        """Those of `users` who are newcomers."""
        came = self._until.get(group_id)
        return sorted(came.keys() & set(users)) if came else []

    def _forget(self, group_id: str) -> None:
        now = asyncio.get_running_loop().time()
        left = {user: until for user, until in self._until.get(group_id, {}).items() if until > now}
        if left:
            self._until[group_id] = left
        else:
            self._until.pop(group_id, None)
