"""What a client tells besides messages; every event is a class. Subscribe with `client.on(ConnectionLost, …)`."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import TimimError


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The link is gone and the client is trying to get another; nothing queued is lost."""

    error: TimimError


@dataclass(frozen=True, slots=True)
class ConnectionRestored:
    """There is a link again, and what was missed is being fetched."""


@dataclass(frozen=True, slots=True)
class KickedOut:
    """This device's login was ended, or its signature is no longer good; log in again with a new one."""

    error: TimimError
