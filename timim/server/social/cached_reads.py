"""The cached entities that a request has used, with their versions.

Another node may have changed such an entity before the request arrived. What the request stores is therefore checked by these
versions in the transaction that stores it, and before a refusal or an answer the versions are read again. An entity that the
request read from the store itself needs no check: the read saw every change that had returned before the request arrived.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Self

from ..store.base import VersionCheck, VersionedKind


class CachedReads:
    """The cached entities that one request has used: those of its task and of the tasks that it starts, within the context.

    A context within another one records its entities itself, and tells the outer one only that something was stored.

    Attributes:
        stored: The request has stored something, so it must not be executed again.
        notes: Results that the next execution of the request uses again.
    """

    __slots__ = ("_fresh", "_token", "_used", "notes", "stored")

    def __init__(self) -> None:
        self._used: dict[tuple[VersionedKind, str], int] = {}
        self._fresh: set[tuple[VersionedKind, str]] = set()
        self._token: Token[CachedReads | None] | None = None
        self.stored = False
        self.notes: dict[str, object] = {}

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._token is not None
        outer = self._token.old_value
        _CURRENT.reset(self._token)
        if self.stored and isinstance(outer, CachedReads):
            outer.stored = True

    def use(self, kind: VersionedKind, key: str, version: int) -> None:
        """Note that the request used a cached entity, unless the request read it from the store before."""
        if (kind, key) not in self._fresh:
            self._used.setdefault((kind, key), version)

    def read(self, kind: VersionedKind, key: str) -> None:
        """Note that the request read an entity from the store."""
        self._fresh.add((kind, key))
        self._used.pop((kind, key), None)

    def checks(self) -> tuple[VersionCheck, ...]:
        """Return the versions that must still be the current ones."""
        return tuple([VersionCheck(kind, key, version) for (kind, key), version in self._used.items()])

    def keys_by_kind(self) -> dict[VersionedKind, list[str]]:
        """Return the ids of the used entities."""
        keys: dict[VersionedKind, list[str]] = {kind: [] for kind in VersionedKind}
        for kind, key in self._used:
            keys[kind].append(key)
        return keys

    def clear(self) -> None:
        """Forget the used entities before the request is executed again."""
        self._used.clear()


_CURRENT: ContextVar[CachedReads | None] = ContextVar("timim cached reads", default=None)
current = _CURRENT.get


def current_checks() -> tuple[VersionCheck, ...]:
    """Return the versions that must be current when the request of this task stores something."""
    reads = current()
    return reads.checks() if reads is not None else ()


def note_stored() -> None:
    """Note that the request of this task has stored something."""
    if (reads := current()) is not None:
        reads.stored = True
