"""The outbox of callbacks: turns reports into rows, which are stored with their cause, and wakes the delivery after the commit.

A server that makes no callback builds no report and stores no row.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ...errors import TimimError
from ..store.base import NewCallback, Store
from .callers import Caller, current_caller

log = logging.getLogger("timim.server")


class CallbackReport(NamedTuple):
    """A callback that a change causes.

    Attributes:
        lane: Name of the timeline or of the user; callbacks of one lane are delivered in their order.
        command: The callback.
        body: The fields of its body, without those that every body has.
        placed: The body gets the seq and time of the entry with which the callback is stored.
        key: Beginning of the MsgKey of a C2C message.
    """

    lane: str
    command: str
    body: Mapping[str, object]
    placed: bool = False
    key: str = ""


def user_lane(user: str) -> str:
    """Return the lane of the callbacks about one user."""
    return "user\x1f" + user


class CallbackOutbox:
    """The callbacks of this node that are on their way into the store.

    Args:
        commands: The callbacks that the settings name.
        store: The store.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(self, commands: frozenset[str], store: Store, *, now: Callable[[], float]) -> None:
        self.commands = commands
        self._store = store
        self._now = now
        self._wake: Callable[[str], None] = lambda lane: None
        self._writes: set[asyncio.Task[None]] = set()

    def subscribe(self, wake: Callable[[str], None]) -> None:
        """Call `wake` with the lane of each callback that is stored from now on."""
        self._wake = wake

    def rows(self, reports: Iterable[CallbackReport], caller: Caller | None = None) -> tuple[NewCallback, ...]:
        """Return the rows of those reports that the settings name."""
        if not self.commands:
            return ()
        caller, now = caller or current_caller(), self._now()
        return tuple(
            NewCallback(
                report.lane,
                report.command,
                {"EventTime": int(now * 1000), **report.body, "TimimEventId": secrets.token_hex(8)},
                caller.client_ip,
                caller.platform,
                int(now),
                report.placed,
                report.key,
            )
            for report in reports
            if report.command in self.commands
        )

    def on_stored(self, rows: Sequence[NewCallback]) -> None:
        """Deliver callbacks that are committed now."""
        for row in rows:
            self._wake(row.lane)

    async def add(self, *reports: CallbackReport) -> None:
        """Store callbacks whose cause is not stored.

        Raises:
            StorageError: The store failed.
        """
        if rows := self.rows(reports):
            await self._store.callbacks.submit(rows)
            self.on_stored(rows)

    def add_later(self, report: CallbackReport, caller: Caller) -> None:
        """Store a callback in the background, in the order of the calls. An error of the store is logged."""
        if rows := self.rows((report,), caller):
            try:
                stored = self._store.callbacks.submit(rows)
            except TimimError as exc:
                log.warning("a callback %s was lost, because the store failed: %s", report.command, exc)
                return
            task = asyncio.create_task(self._finish(rows, stored), name="timim callback")
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _finish(self, rows: Sequence[NewCallback], stored: Awaitable[None]) -> None:
        try:
            await stored
        except TimimError as exc:
            log.warning("a callback %s was lost, because the store failed: %s", rows[0].command, exc)
        else:
            self.on_stored(rows)

    async def close(self) -> None:
        """Wait until the callbacks of the background are stored."""
        await asyncio.gather(*self._writes, return_exceptions=True)
