"""Delivery of the callbacks in the outbox, in the order of each lane."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ...protocol import callbacks as names
from ..store.base import Store, StoredCallback
from .delivery import Claim
from .webhooks import Webhook, WebhookFailed

log = logging.getLogger("timim.server")
PAGE = 50
CONVERSATIONS_LIMIT = 1000  # whose unread messages UnreadMsgNum counts
REASON_LIMIT = 500
_SUCCESS = msgspec.Raw(b"0")  # SendMsgResult of a message that was sent
_READERS = {  # the field of the account whose UnreadMsgNum a callback has
    names.AFTER_C2C: "To_Account",
    names.C2C_READ: "Report_Account",
    names.C2C_RECALLED: "To_Account",
}


class CallbackSource:
    """The callbacks of the outbox.

    Args:
        store: The store of the outbox.
        webhook: Client of the back end.
        commands: The callbacks to make; others that are in the outbox are deleted.
        now: The server's clock, in seconds since 1970.
        give_up_s: Age at which a callback whose delivery fails becomes a dead letter.
    """

    def __init__(
        self, store: Store, webhook: Webhook, commands: frozenset[str], *, now: Callable[[], float], give_up_s: float
    ) -> None:
        self._store = store
        self._webhook = webhook
        self._commands = commands
        self._now = now
        self._give_up_s = give_up_s

    async def open(self) -> None:
        """Begin; the outbox has nothing to prepare."""

    async def backlog(self, limit: int) -> list[str]:
        """Return lanes with callbacks to deliver. Raises StorageError."""
        return await self._store.callbacks.lanes(limit)

    async def deliver(self, key: str, claim: Claim) -> None:
        """Deliver the callbacks of a lane.

        Raises:
            WebhookFailed: The back end did not accept a callback, which is not too old yet.
            StorageError: The store failed, or the lock was lost.
        """
        while rows := await self._store.callbacks.next_of(key, PAGE):
            done: list[int] = []
            try:
                for row in rows:
                    claim.require_held()
                    if row.command not in self._commands or await self._accepts(row):
                        done.append(row.id)
            finally:
                if done:
                    await self._store.callbacks.remove(done)

    async def _accepts(self, row: StoredCallback) -> bool:
        """Make a callback. Return False if it failed and became a dead letter.

        Raises:
            WebhookFailed: It failed, and is tried again.
        """
        body: dict[str, object] = dict(msgspec.json.decode(row.body, type=dict[str, msgspec.Raw]))
        reader = body.get(_READERS.get(row.command, ""))
        if isinstance(reader, msgspec.Raw) and body.get("SendMsgResult", _SUCCESS) == _SUCCESS:
            user = msgspec.json.decode(reader, type=str)
            body["UnreadMsgNum"] = await self._store.conversations.unread_c2c(user, CONVERSATIONS_LIMIT)
        try:
            await self._webhook.call(row.command, body, client_ip=row.client_ip, platform=row.platform)
        except WebhookFailed as exc:
            now = self._now()
            if row.time > now - self._give_up_s:
                raise
            log.warning("gave up the callback %s after %s s; `timim webhooks` lists it: %s", row.command, self._give_up_s, exc)
            await self._store.callbacks.bury(row.id, time=int(now), reason=exc.info[:REASON_LIMIT])
            return False
        return True
