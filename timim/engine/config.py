"""The settings of one client. Frozen: a client keeps them from its construction on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Settings of a client; `timim.Client` documents each one."""

    url: str
    app_id: int
    user_id: str
    folder: Path | None
    """Folder of this account; None keeps nothing on disk."""
    platform: str = "other"
    recent_contacts: bool = True
    resend: bool = True
    timeout_s: float = 10.0
    reconnect_limit_s: float = 30.0
    media_cache_bytes: int = 0
    now: Callable[[], float] = time.time

    @property
    def database(self) -> Path | None:
        """The file of the local store; None keeps it in memory."""
        return self.folder and self.folder / "messages.db"
