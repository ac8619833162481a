"""The record of which stored messages the handlers have handled.

A message is recorded as unhandled in the transaction that stores it, and as handled after its handlers have returned, in
batches. A crash in between delivers it again. Attempts after the first are stored before they begin, so that a message that
ends the program each time becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from ..errors import StorageError
from ..message import Message, MessageStatus
from ..storage import HandlingRow, LocalStore
from .config import ClientConfig

__all__ = ["HandlingRecord"]

log = logging.getLogger(__name__)
BATCH_S = 0.02  # handled messages are written together after this time


class HandlingRecord:
    """The messages of one account that its handlers have not handled yet, and its dead letters."""

    def __init__(self, config: ClientConfig, store: LocalStore) -> None:
        self.account: str = config.account
        self.max_attempts: int = config.max_attempts
        self._table = store.handling
        self._messages = store.messages
        self._has_rows = False  # since the client was created, a message was recorded as unhandled, or found so
        self._handled: list[int] = []  # local_ids to write
        self._timer: asyncio.TimerHandle | None = None
        self._writes: set[asyncio.Future[None]] = set()

    def expect_rows(self) -> None:
        """Note that messages are stored with a record from now on."""
        self._has_rows = True

    def set_handled(self, *messages: Message) -> None:
        """Note that messages need no handler any more. The note is written with others, within BATCH_S."""
        if not self._has_rows:
            return  # no message has a record
        self._handled += [message.local_id for message in messages if message.local_id and not message.is_self]
        if self._handled and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._handled:
            return
        handled, self._handled = self._handled, []
        try:
            writing = self._table.remove(handled)
        except StorageError as exc:
            self._keep(handled, exc)
            return
        self._writes.add(writing)
        writing.add_done_callback(lambda done: self._on_written(done, handled))

    def _on_written(self, writing: asyncio.Future[None], handled: Sequence[int]) -> None:
        self._writes.discard(writing)
        if not writing.cancelled() and (error := writing.exception()) is not None:
            self._keep(handled, error)

    def _keep(self, handled: Sequence[int], error: BaseException) -> None:
        log.warning("storing that %d messages were handled failed; trying again with the next ones: %s", len(handled), error)
        self._handled += handled

    async def flush(self) -> None:
        """Write all notes now, and wait until they are on disk. A failure is logged, and the messages are delivered again."""
        self._write()
        if self._writes:
            await asyncio.wait(self._writes)

    async def load(self) -> list[tuple[Message, int]]:
        """Return the unhandled messages in the order of each conversation, each with its next attempt. Raises StorageError."""
        await self.flush()
        rows = await self._table.rows(dead=False)
        if not rows:
            return []
        self._has_rows = True
        unhandled: list[tuple[Message, int]] = []
        for message in await self._messages.in_handling(dead=False):
            row = rows.get(message.local_id)
            if message.status is MessageStatus.DELETED:
                self.set_handled(message)
            else:
                unhandled.append((message, (row.attempts if row is not None else 1) + 1))
        return unhandled

    async def begin(self, message: Message) -> None:
        """Store that a further attempt at a message begins, before its handlers are called."""
        try:
            await self._table.begin(message.local_id, message._attempt)
        except StorageError as exc:
            log.warning("storing attempt %d at message %s failed: %s", message._attempt, message.msg_id, exc)

    async def revive(self, message: Message, deliver: Callable[[Sequence[Message]], None]) -> bool:
        """Give a dead letter to `deliver` as a message to handle; return False if it is none. Raises StorageError."""
        if not await self._table.revive(message.local_id):
            return False
        self._has_rows = True
        message._attempt, message._redelivered = 1, True
        deliver([message])
        return True

    async def bury(self, message: Message, error: str) -> None:
        """Store a message as a dead letter."""
        try:
            await self._table.bury(message.local_id, HandlingRow(message._attempt - 1, error, time.time()))
        except StorageError as exc:
            log.warning("storing the dead letter %s failed; the next login delivers it again: %s", message.msg_id, exc)
