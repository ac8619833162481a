"""The bus of a server that is one process: a call."""

from __future__ import annotations

from collections.abc import Callable

from .base import Event


class LocalBus:
    def __init__(self) -> None:
        self._receivers: list[Callable[[Event], None]] = []

    def publish(self, event: Event) -> None:
        for receive in self._receivers:
            receive(event)

    def subscribe(self, receive: Callable[[Event], None]) -> None:
        self._receivers.append(receive)
