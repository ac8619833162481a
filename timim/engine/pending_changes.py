"""Changes of conversations by this device: stored first, then sent until the server accepts or refuses them.

Invariant: for each setting of a conversation at most one request is on its way, so the server gets its changes in order.
See docs/explanation/message_actions.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ..errors import (
    AuthError,
    ConnectionFailed,
    InvalidArgument,
    NotLoggedIn,
    RateLimited,
    ServerFault,
    ServerRefused,
    StorageError,
    TimimError,
)
from ..ids import ConversationKey, ConversationSetting
from ..protocol.backoff import Backoff
from ..storage import ConversationFlags, LocalStore, PendingChange, UnreadState
from ..transport.connection import Connection
from .config import ClientConfig
from .conversation_settings import ConversationSettings
from .conversations import ConversationIndex

T = TypeVar("T")
log = logging.getLogger(__name__)
READS_AT_ONCE = 500  # read seqs in one request
RESENT_AT_ONCE = 8  # requests that send changes again, at the same time
READS = None  # the sender of all read seqs, which share requests
SenderName = tuple[ConversationKey, ConversationSetting] | None


@dataclass(slots=True, eq=False)
class _Sender:
    """The task that sends the changes of one setting of a conversation, or all read seqs.

    Attributes:
        again: Changes may be stored that the task has not read from the store.
        fresh: The user is making a change now; otherwise the changes are sent again.
        round: Ends when all changes that are stored now have been sent, or could not be sent.
        waiting: Number of calls that wait, by conversation.
        refused: The errors of refused changes that calls wait for.
    """

    again: bool = True
    fresh: bool = False
    task: asyncio.Task[None] | None = None
    round: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    waiting: Counter[ConversationKey] = field(default_factory=Counter)
    refused: dict[ConversationKey, TimimError] = field(default_factory=dict)


class PendingChanges:
    """Stores the changes of one account's conversations, and sends them now, after a failure, and with the next login."""

    def __init__(
        self,
        config: ClientConfig,
        store: LocalStore,
        connection: Connection,
        conversations: ConversationIndex,
        settings: ConversationSettings,
    ) -> None:
        self._user_id = config.user_id
        self._now = config.now
        self._store = store
        self._connection = connection
        self._conversations = conversations
        self.settings: ConversationSettings = settings
        self._senders: dict[SenderName, _Sender] = {}
        self._slots = asyncio.Semaphore(RESENT_AT_ONCE)
        self._backoff = Backoff(first_s=2.0)
        self._left = False  # changes were not accepted while the connection is up
        self._retrying: asyncio.Task[None] | None = None

    async def set_pinned(self, key: ConversationKey, pinned: bool) -> None:
        """Pin or unpin a conversation on all devices. Raises the errors that `Conversation.set_pinned` documents."""
        await self._set(key, ConversationSetting.PINNED, int(self._connection.server_time()) if pinned else 0)

    async def set_muted(self, key: ConversationKey, muted: bool) -> None:
        """Mute or unmute a conversation on all devices. Raises the errors that `Conversation.set_muted` documents."""
        await self._set(key, ConversationSetting.MUTED, int(muted))

    async def set_draft(self, key: ConversationKey, draft: str) -> None:
        """Set the draft on all devices. Raises the errors that `Conversation.set_draft` documents."""
        await self._set(key, ConversationSetting.DRAFT, draft)

    async def _set(self, key: ConversationKey, setting: ConversationSetting, value: int | str) -> None:
        stored = self._store.changes.set_flag(key, setting, value, made_at=self._now())
        stored.add_done_callback(partial(self._on_flag_stored, key, setting))
        await asyncio.shield(stored)
        await self._wait((key, setting), [key])

    async def mark_read(self, reads: Sequence[tuple[ConversationKey, int]]) -> None:
        """Mark conversations as read up to the given seqs, on all devices.

        Raises the errors that `Conversation.mark_read` documents.
        """
        if not reads:
            return
        stored = self._store.changes.set_read(reads, made_at=self._now())
        stored.add_done_callback(partial(self._on_reads_stored, reads))
        await asyncio.shield(stored)
        await self._wait(READS, [key for key, _ in reads])

    def _on_flag_stored(
        self, key: ConversationKey, setting: ConversationSetting, stored: asyncio.Future[ConversationFlags]
    ) -> None:
        """Show the new value and send it, also if the caller was cancelled."""
        if stored.cancelled() or stored.exception() is not None:
            return  # the caller gets the error
        self._conversations.apply_flags(key, stored.result())
        if self._connection.online:
            self._wake((key, setting), fresh=True)

    def _on_reads_stored(self, reads: Sequence[tuple[ConversationKey, int]], stored: asyncio.Future[list[UnreadState]]) -> None:
        """Show the new unread counts and send the read seqs, also if the caller was cancelled."""
        if stored.cancelled() or stored.exception() is not None:
            return  # the caller gets the error
        for (key, seq), unread in zip(reads, stored.result(), strict=True):
            self._conversations.apply_read(key, seq, unread.counts)
        if self._connection.online:
            self._wake(READS, fresh=True)

    async def _wait(self, name: SenderName, keys: Sequence[ConversationKey]) -> None:
        """Wait until a sender has sent what is stored now; raise the first refusal of one of these conversations."""
        sender = self._senders.get(name)
        if sender is None:
            return  # there is no connection
        sender.waiting.update(keys)
        try:
            await asyncio.wait((sender.round,))
            errors = [error for key in keys if (error := sender.refused.get(key)) is not None]
        finally:
            sender.waiting.subtract(keys)
            for key in keys:
                if not sender.waiting[key]:
                    sender.refused.pop(key, None)
                    del sender.waiting[key]
        if errors:
            raise errors[0]

    async def send_all(self, *, limit_s: float | None = None) -> None:
        """Send all pending changes again, and wait for the end of the attempts, at most `limit_s` seconds.

        Attempts that take longer go on. The server gets the age of each change, and keeps a later one of another device.

        Raises:
            StorageError: The local store cannot be read.
        """
        changes = await self._store.changes.all()
        if not changes:
            return
        log.debug("sending %d changes of %s's conversations again", len(changes), self._user_id)
        tasks = {self._wake(_name_of(change), fresh=False) for change in changes}
        await asyncio.wait(tasks, timeout=limit_s)

    async def close(self) -> None:
        """End all attempts; call this method after the connection is stopped, which ends the requests."""
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
            self._retrying = None
        while tasks := [sender.task for sender in self._senders.values() if sender.task is not None]:
            await asyncio.wait(tasks)

    def _wake(self, name: SenderName, *, fresh: bool) -> asyncio.Task[None]:
        """Let a sender read the pending changes, and return its task."""
        sender = self._senders.get(name)
        if sender is None:
            sender = self._senders[name] = _Sender()
        sender.again = True
        sender.fresh = sender.fresh or fresh
        if sender.task is None:
            sender.task = asyncio.create_task(self._send_until_accepted(name, sender), name=f"timim changes {name or 'read'}")
        return sender.task

    async def _send_until_accepted(self, name: SenderName, sender: _Sender) -> None:
        """Send the changes of one sender, also those that are made meanwhile. Errors of one attempt leave them pending."""
        ended: list[asyncio.Future[None]] = []
        try:
            while sender.again:
                fresh, sender.again, sender.fresh = sender.fresh, False, False
                ended.append(sender.round)
                sender.round = asyncio.get_running_loop().create_future()
                changes = await (self._store.changes.of(*name) if name is not None else self._store.changes.reads())
                async with nullcontext() if fresh else self._slots:
                    for first in range(0, len(changes), READS_AT_ONCE):
                        await self._send(sender, changes[first : first + READS_AT_ONCE], fresh=fresh)
                ended.pop().set_result(None)
        except (ConnectionFailed, NotLoggedIn, AuthError) as exc:
            log.debug("sending changes of %s was interrupted; the next login sends them again: %s", self._user_id, exc)
        except TimimError as exc:
            level = logging.ERROR if isinstance(exc, StorageError) else logging.DEBUG
            log.log(level, "sending changes of %s failed; they are sent again: %s", self._user_id, exc)
            self._retry_later()
        except Exception:
            log.exception("sending changes of %s failed; they are sent again", self._user_id)
            self._retry_later()
        finally:
            del self._senders[name]
            for waiting in (*ended, sender.round):
                waiting.set_result(None)

    async def _send(self, sender: _Sender, changes: Sequence[PendingChange], *, fresh: bool) -> None:
        """Send one change, or several read seqs; if these are refused, send each of them alone."""
        try:
            if changes[0].setting is ConversationSetting.READ:
                await self.settings.send_reads(changes)
            else:
                await self.settings.send_flag(changes[0], age_ms=0 if fresh else self._age_ms(changes[0]))
        except (ServerRefused, InvalidArgument) as exc:
            if len(changes) > 1:
                for change in changes:
                    await self._send(sender, [change], fresh=fresh)
                return
            if not _is_final(exc):
                raise
            await self._refuse(sender, changes[0], exc)
        else:
            for change in changes:
                sender.refused.pop(change.key, None)

    async def _refuse(self, sender: _Sender, change: PendingChange, error: TimimError) -> None:
        log.info("the server refused to change %s of %s: %s", change.setting.value, change.key, error)
        await self.settings.take_back(change)
        if sender.waiting[change.key] > 0:
            sender.refused[change.key] = error
        else:
            self.settings.on_refused(change, error)

    def _age_ms(self, change: PendingChange) -> int:
        """Return the time since a change by the clock of this device, which may differ from the server's."""
        return max(1, int((self._now() - change.made_at) * 1000))

    def _retry_later(self) -> None:
        self._left = True
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry(), name="timim changes retry")

    async def _retry(self) -> None:
        """Send all changes again after pauses that grow, while the connection is up and some are left."""
        failures = 0
        while self._left:
            await asyncio.sleep(self._backoff.wait_s(failures, _random))
            failures += 1
            if not self._connection.online:
                return  # the sync after the next connect sends them
            self._left = False
            try:
                await self.send_all()
            except StorageError:
                log.exception("reading the changes of %s failed; trying again", self._user_id)
                self._left = True


def _name_of(change: PendingChange) -> SenderName:
    return READS if change.setting is ConversationSetting.READ else (change.key, change.setting)


def _is_final(error: TimimError) -> bool:
    """Return True if the server refuses the change itself, so that sending it again is of no use."""
    if isinstance(error, RateLimited | ServerFault) or error.retry_after is not None:
        return False
    return not (isinstance(error, InvalidArgument) and error.code == InvalidArgument.code)  # raised by this client: too busy


_random = random.Random()
