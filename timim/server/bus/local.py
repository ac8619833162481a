"""The bus of a server that is one process: a call."""

from __future__ import annotations

from collections.abc import Callable, Collection

from .base import Event, Invalidation, Listener, LoginAnnouncement


class LocalBus:
    """A bus without other nodes."""

    away = False

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._receivers: list[Callable[[Event], None]] = []

    def publish(self, event: Event, *, again: bool = False) -> None:
        if again:
            return  # whoever did not hear it logged in after that
        for receive in self._receivers:
            receive(event)

    def subscribe(self, receive: Callable[[Event], None]) -> None:
        """Hear events, and nothing else."""
        self._receivers.append(receive)

    def join(self, listener: Listener) -> None:
        self._listeners.append(listener)
        self._receivers.append(listener.receive)

    def announce(self, facts: Invalidation) -> None:
        """Do nothing: there is no other node."""

    def announce_login(self, login: LoginAnnouncement) -> None:
        """Do nothing: there is no other node."""

    async def online(self, users: Collection[str]) -> set[str]:
        return {user for user in users if any(listener.online(user) for listener in self._listeners)}

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def listen(self, user: str) -> None:
        """Do nothing: everything is heard here."""

    def unlisten(self, user: str) -> None:
        """Do nothing."""
