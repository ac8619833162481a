"""The bus of a server that is one process: a call."""

from __future__ import annotations

from collections.abc import Callable, Collection

from .base import Event, Facts, Listener, Login


class LocalBus:
    away = False

    def __init__(self) -> None:
        self._receivers: list[Callable[[Event], None]] = []

    def publish(self, event: Event, *, again: bool = False) -> None:
        if again:
            return  # who was not told logged in after that
        for receive in self._receivers:
            receive(event)

    def subscribe(self, receive: Callable[[Event], None]) -> None:
        """Hear events, and nothing else."""
        self._receivers.append(receive)

    def join(self, listener: Listener) -> None:
        self._receivers.append(listener.receive)

    def announce(self, facts: Facts) -> None:
        """There is nobody else."""

    def arrived(self, login: Login) -> None:
        """There is nobody else."""

    async def online(self, users: Collection[str]) -> set[str]:
        return set()

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def listen(self, user: str) -> None:
        """Everything is heard here."""

    def unlisten(self, user: str) -> None:
        """Nothing to do."""
