"""Conversations that could not be synced: kept in the local store, and tried again after pauses that grow.

A failure of one conversation never stops the others. A conversation whose history fails stores nothing until a retry fetches
what it missed. Entries that cannot be decoded stay a gap in the history of a conversation that goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from ..errors import AuthError, ConnectionFailed, NotLoggedIn, ProtocolError, StorageError, TimimError, error_for
from ..events import ConversationSyncFailed
from ..ids import ConversationKey, ConversationType
from ..storage import LocalStore
from .conversations import ConversationIndex
from .dispatcher import Dispatcher

log = logging.getLogger(__name__)
FIRST_PAUSE_S = 2.0
PAUSE_LIMIT_S = 3600.0
ATTEMPT_LIMIT_S = 60.0  # of fetching; the rest is left to the retries, so that no conversation keeps others waiting
SEQS_LIMIT = 1000  # entries of one conversation that are tried again; later ones only stay a gap
_NAME = "sync-failures"  # of the value in the local store
LIST = ConversationKey(ConversationType.SYSTEM, "")  # stands for the conversation list itself


class SyncFailure(msgspec.Struct, array_like=True):
    """A conversation that could not be synced.

    Attributes:
        type: The type of the conversation.
        peer: The peer of the conversation; "" for the conversation list.
        since: The server's cursor from which the conversation has to be compared again.
        attempts: Number of failed attempts.
        retry_at: Unix time of the next attempt, in seconds.
        seqs: Entries that cannot be decoded; if empty, the whole conversation waits.
        code: The code of the error.
        info: The text of the error.
    """

    type: int
    peer: str
    since: int
    attempts: int
    retry_at: float
    seqs: list[int]
    code: int
    info: str

    @property
    def key(self) -> ConversationKey:
        return ConversationKey(ConversationType(self.type), self.peer)

    @property
    def error(self) -> TimimError:
        """The error of the last attempt."""
        return error_for(self.code, self.info)


def concerns_one_conversation(error: Exception) -> bool:
    """Return True for an error of one conversation, False for one of the connection, the login or the local store."""
    return not isinstance(error, ConnectionFailed | NotLoggedIn | AuthError | StorageError)


def attempt_limit() -> asyncio.Timeout:
    """Return the time limit of one attempt to fetch a conversation."""
    return asyncio.timeout(ATTEMPT_LIMIT_S)


def as_timim_error(error: Exception) -> TimimError:
    """Return the error, or a ProtocolError for one that timim does not know."""
    return error if isinstance(error, TimimError) else ProtocolError(f"the conversation cannot be decoded: {error!r}")


class SyncFailures:
    """The failures of one account. `now` is the wall clock of this device."""

    def __init__(
        self,
        store: LocalStore,
        conversations: ConversationIndex,
        dispatcher: Dispatcher,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._now = now
        self._failures: dict[ConversationKey, SyncFailure] = {}
        self._pushed: dict[ConversationKey, int] = {}  # the last pushed seq of conversations that wait
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Read the failures from the store. Raises StorageError."""
        packed = await self._store.meta.get(_NAME, "[]")
        self._failures = {failure.key: failure for failure in msgspec.json.decode(packed, type=list[SyncFailure])}
        for key, failure in self._failures.items():
            self._mark(key, failure.error)
        self._changed.set()

    def blocks(self, key: ConversationKey) -> bool:
        """Return True if only a retry may store messages of a conversation, because its history could not be fetched."""
        failure = self._failures.get(key)
        return failure is not None and not failure.seqs

    def note_pushed(self, key: ConversationKey, seq: int) -> None:
        """Note a pushed seq of a conversation that waits."""
        self._pushed[key] = max(self._pushed.get(key, 0), seq)

    async def fail(self, key: ConversationKey, error: Exception, *, since: int) -> float:
        """Store that a conversation failed as a whole; return the pause until the next attempt, in seconds."""
        known = self._failures.get(key)
        since = min(since, known.since) if known is not None and not known.seqs else since
        return await self._put(key, as_timim_error(error), since, [])

    async def defer(self, keys: Sequence[ConversationKey], *, since: int) -> None:
        """Store that conversations are left to the retries, because the time of the login, or of a fetch, is used up."""
        new = [key for key in keys if not self.blocks(key)]
        for key in new:
            self._failures[key] = SyncFailure(key.type.value, key.peer, since, 0, self._now(), [], 0, "not synced yet")
        if new:
            self._changed.set()
            await self._save()

    async def postpone(self, failure: SyncFailure) -> None:
        """Let a conversation that was fetched in part wait behind all others that are due."""
        self._failures[failure.key] = msgspec.structs.replace(failure, retry_at=self._now())
        await self._save()

    async def miss(self, key: ConversationKey, seqs: list[int], *, since: int = 0) -> None:
        """Store that entries of a conversation cannot be decoded."""
        known = self._failures.get(key)
        if known is not None and (not known.seqs or set(seqs) <= set(known.seqs)):
            return
        held = sorted({*seqs, *(known.seqs if known is not None else ())})[:SEQS_LIMIT]
        error = ProtocolError(f"{len(held)} messages of {key} cannot be decoded; they stay a gap in its history")
        await self._put(key, error, since, held)

    async def fail_again(self, failure: SyncFailure, error: Exception) -> None:
        """Store that another attempt failed."""
        await self._put(failure.key, as_timim_error(error), failure.since, failure.seqs)

    async def resolve(self, key: ConversationKey) -> int:
        """Store that a conversation is synced; return the last seq that was pushed while it waited, or 0."""
        if self._failures.pop(key, None) is not None:
            await self._save()
            self._mark(key, None)
        return self._pushed.pop(key, 0)

    async def next_due(self) -> SyncFailure:
        """Wait for the time of the next attempt of any conversation, and return its failure."""
        while True:
            self._changed.clear()
            waiting = [failure for failure in self._failures.values() if failure.key != LIST]
            first = min(waiting, key=lambda failure: failure.retry_at, default=None)
            wait_s = min(first.retry_at - self._now(), PAUSE_LIMIT_S) if first is not None else None
            if first is not None and wait_s is not None and wait_s <= 0:
                return first
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _put(self, key: ConversationKey, error: TimimError, since: int, seqs: list[int]) -> float:
        known = self._failures.get(key)
        attempts = known.attempts + 1 if known is not None else 1
        pause_s = float(min(FIRST_PAUSE_S * 2 ** min(attempts - 1, 30), PAUSE_LIMIT_S))
        retry_at = self._now() + pause_s
        failure = SyncFailure(key.type.value, key.peer, since, attempts, retry_at, seqs, error.code, error.info)
        self._failures[key] = failure
        self._changed.set()
        self._mark(key, error)
        await self._save()
        named = key if key != LIST else None
        log.warning("syncing %s failed %d times; trying again in %g s: %s", named or "the list", attempts, pause_s, error)
        self._dispatcher.deliver_event(ConversationSyncFailed(named, error, attempts, pause_s, tuple(seqs)))
        return pause_s

    def _mark(self, key: ConversationKey, error: TimimError | None) -> None:
        if key != LIST:
            self._conversations.get(key).sync_error = error

    async def _save(self) -> None:
        await self._store.meta.set(_NAME, msgspec.json.encode(list(self._failures.values())).decode())
