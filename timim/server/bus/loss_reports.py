"""Reports of possible losses on the bus, after which other nodes and all sessions of this node compare their seqs."""

from __future__ import annotations

import asyncio

from ..metrics import BusMetrics
from .base import Listener
from .nats_connection import NatsConnection
from .nats_messages import Subjects

REPORT_WITHIN_S = 0.1  # many nodes that lose the same NATS server report at the same time: their reports are merged


class LossReports:
    """Detected losses that have not been reported to the listeners yet."""

    def __init__(self, connection: NatsConnection, subjects: Subjects, listeners: list[Listener], metrics: BusMetrics) -> None:
        self._connection = connection
        self._subject = subjects.losses
        self._listeners = listeners
        self._metrics = metrics
        self._timer: asyncio.TimerHandle | None = None
        self._tell_others = False

    def stop(self) -> None:
        """Cancel the pending report."""
        if self._timer is not None:
            self._timer.cancel()

    def report_soon(self, *, tell_others: bool = False) -> None:
        """Report a loss, in one report with those of the next REPORT_WITHIN_S; if `tell_others`, to other nodes too."""
        self._tell_others |= tell_others
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REPORT_WITHIN_S, self._report_now)

    def report(self, *, away: bool) -> None:
        """Let all sessions compare their seqs with the store. If `away`, events are being lost until the next call."""
        self._metrics.compares.inc()
        for listener in self._listeners:
            listener.on_possible_loss(away=away)

    def tell_others(self) -> None:
        """Notify the other nodes that hints of this node may be lost."""
        self._connection.send(self._subject, b"")

    def _report_now(self) -> None:
        self._timer = None
        if self._connection.away:
            return  # reported periodically during the outage
        if self._tell_others:
            self._tell_others = False
            self.tell_others()
        self.report(away=False)
