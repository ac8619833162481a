"""The bus of a server with a single node: events are delivered by function calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from .base import Event, Invalidation, Listener, LoginAnnouncement, PresenceReports


class LocalBus:
    """A bus without other nodes."""

    away = False

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._receivers: list[Callable[[Event], None]] = []
        self.presence: PresenceReports = _LocalPresence(self._listeners)

    def publish(self, event: Event, *, again: bool = False) -> None:
        if again:
            return  # a user who did not receive the event has logged in since, and has fetched the entry
        for receive in self._receivers:
            receive(event)

    def subscribe(self, receive: Callable[[Event], None]) -> None:
        """Call `receive` for each event. Other reports of the bus are not passed on."""
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

    async def platforms(self, users: Collection[str]) -> dict[str, set[str]]:
        return {user: {name for listener in self._listeners for name in listener.platforms(user)} for user in users}

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def listen(self, user: str) -> None:
        """Do nothing: events of all users are delivered."""

    def unlisten(self, user: str) -> None:
        """Do nothing."""


class _LocalPresence:
    """The reports of changed statuses at the only node, which hears all of them."""

    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners

    def send(self, user: str) -> None:
        for listener in self._listeners:
            listener.on_presence(user)

    async def watch(self, users: Iterable[str]) -> None:
        """Do nothing: all reports are delivered."""

    def unwatch(self, user: str) -> None:
        """Do nothing: all reports are delivered."""
