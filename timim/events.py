"""What a client tells besides messages; every event is a class. Subscribe with `client.on(ConnectionLost, …)`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import TimimError


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The link is gone and the client is trying to get another; nothing queued is lost."""

    error: TimimError


@dataclass(frozen=True, slots=True)
class ConnectionRestored:
    """There is a link again, and what was missed has been fetched."""


@dataclass(frozen=True, slots=True)
class KickedOut:
    """This device's login was ended, or its signature is no longer good; log in again with a new one."""

    error: TimimError


@dataclass(frozen=True, slots=True)
class HistoryReset:
    """The server is of another epoch: it was restored from a back-up, and may have lost what came after that.

    What this device knew of completeness is dropped and asked for anew; its messages stay.
    """

    epoch: str


@dataclass(frozen=True, slots=True)
class StoreSetAside:
    """The local store was not whole. It lies at `path` now, with what was unsent; a fresh one is filled by the server."""

    path: Path
