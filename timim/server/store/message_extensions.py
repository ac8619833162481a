"""Extensions of messages in SQL. A row is a key of a message; the key "" has the last change, and the one that deleted all.

The row of a deleted key stays with an empty value, so that a client which knows an earlier change learns of the deletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ...errors import UnknownMessage
from . import versions
from .operation import Execute, ExecuteMany, Operation, SqlEngine
from .version_checks import VersionCheck

_HEAD = ""
ANY = -1  # a version that agrees with all


class StoredExtension(NamedTuple):
    """A key, its value, which is empty if it was deleted, and the number of the change that set it."""

    key: str
    value: str
    version: int


class StoredExtensions(NamedTuple):
    """The extensions of a message in the order of their changes, the last change, and the one that deleted all."""

    items: list[StoredExtension]
    latest: int = 0
    cleared: int = 0


class ChangedExtensions(NamedTuple):
    """The result of a change: the present extension of each named key, the keys that were refused, and the last change."""

    items: list[StoredExtension]
    conflicts: frozenset[str]
    too_many: frozenset[str]
    changed: bool
    latest: int


class MessageExtensionStore:
    """The extensions of messages. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def of(self, timeline: str, seq: int) -> StoredExtensions:
        """Return the extensions of a message."""
        return await self._engine.read(partial(of, timeline, seq))

    async def change(
        self, timeline: str, seq: int, items: Sequence[StoredExtension], *, limit: int, checks: Sequence[VersionCheck] = ()
    ) -> ChangedExtensions:
        """Set values, or delete those that are empty, of keys that have the given versions or the version ANY.

        Args:
            timeline: The timeline.
            seq: The message.
            items: The new values, each with the version that the caller knows.
            limit: Maximum number of keys with a value, and of keys without one.
            checks: Versions of other entities from which the change was decided.

        Raises:
            UnknownMessage: There is no such timeline.
            StaleRead: A version of `checks` is no longer the current one.
        """
        return await self._engine.write(partial(change, timeline, seq, tuple(items), limit, tuple(checks)))

    async def clear(self, timeline: str, seq: int, *, checks: Sequence[VersionCheck] = ()) -> int:
        """Delete all values, and return the number of the last change.

        Raises:
            UnknownMessage: There is no such timeline.
            StaleRead: A version of `checks` is no longer the current one.
        """
        return await self._engine.write(partial(clear, timeline, seq, tuple(checks)))


def of(timeline: str, seq: int) -> Operation[StoredExtensions]:
    """Select the extensions of a message."""
    rows = yield Execute(
        "SELECT e.key, e.value, e.version FROM message_extensions e WHERE e.timeline=(SELECT id FROM timelines WHERE name=?)"
        " AND e.seq=? ORDER BY e.version, e.key",
        (timeline, seq),
    )
    items = [StoredExtension(*row) for row in rows]
    head = next((one for one in items if one.key == _HEAD), StoredExtension(_HEAD, "0", 0))
    return StoredExtensions([one for one in items if one.key != _HEAD], head.version, int(head.value))


def change(
    timeline: str, seq: int, items: tuple[StoredExtension, ...], limit: int, checks: tuple[VersionCheck, ...]
) -> Operation[ChangedExtensions]:
    """Change keys one after the other. Raises UnknownMessage, StaleRead."""
    line = yield from _locked(timeline, checks)
    before = yield from of(timeline, seq)
    now = {one.key: one for one in before.items}
    latest, conflicts, too_many = before.latest, set[str](), set[str]()
    for key, value, version in items:
        known = now.get(key, StoredExtension(key, "", 0))
        if version not in (ANY, known.version):
            conflicts.add(key)
        elif value and not known.value and not _has_room(now, key, limit):
            too_many.add(key)
        elif value != known.value:
            latest += 1
            now[key] = StoredExtension(key, value, latest)
    fresh = [one for one in now.values() if one.version > before.latest]
    if fresh:
        yield from _write(line, seq, [*fresh, StoredExtension(_HEAD, str(before.cleared), latest)])
    present = [now.get(key, StoredExtension(key, "", 0)) for key, _, _ in items]
    return ChangedExtensions(present, frozenset(conflicts), frozenset(too_many), bool(fresh), latest)


def clear(timeline: str, seq: int, checks: tuple[VersionCheck, ...]) -> Operation[int]:
    """Delete the rows of a message but its head. Raises UnknownMessage, StaleRead."""
    line = yield from _locked(timeline, checks)
    before = yield from of(timeline, seq)
    if not before.items:
        return before.latest
    yield Execute("DELETE FROM message_extensions WHERE timeline=? AND seq=?", (line, seq))
    yield from _write(line, seq, [StoredExtension(_HEAD, str(before.latest), before.latest)])
    return before.latest


def _has_room(now: dict[str, StoredExtension], key: str, limit: int) -> bool:
    values = sum(1 for one in now.values() if one.value)
    return values < limit and (key in now or len(now) < 2 * limit)


def _locked(timeline: str, checks: tuple[VersionCheck, ...]) -> Operation[int]:
    """Lock the row of a timeline until the commit, and return its id."""
    yield from versions.require_current(checks)
    rows = yield Execute("UPDATE timelines SET act_seq=act_seq WHERE name=? RETURNING id", (timeline,))
    if not rows:
        raise UnknownMessage("the conversation has no messages")
    return int(rows[0][0])


def _write(line: int, seq: int, items: Sequence[StoredExtension]) -> Operation[None]:
    yield ExecuteMany(
        "INSERT INTO message_extensions(timeline, seq, key, value, version) VALUES(?,?,?,?,?)"
        " ON CONFLICT(timeline, seq, key) DO UPDATE SET value=excluded.value, version=excluded.version",
        [(line, seq, *one) for one in items],
    )
