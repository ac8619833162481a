"""The settings of one client, which do not change after construction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Literal, TypedDict

from ..transport.network import DIRECT, NetworkOptions, ProxySetting
from .handler_slots import CONCURRENCY

MAX_ATTEMPTS = 3  # of the handlers of one message


Platform = Literal["desktop", "mobile", "pad", "web", "other"]


class ClientOptions(TypedDict, total=False):
    """Arguments of Client that do not name the server and the account."""

    data_dir: str | Path | None
    recent_contacts: bool
    catch_up_groups: bool | None
    resend: bool
    timeout: float
    reconnect_limit: float
    platform: Platform
    media_cache_bytes: int
    concurrency: int
    max_attempts: int
    proxy: ProxySetting
    ssl: SSLContext | None
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Settings of a client; `timim.Client` documents each one."""

    url: str
    app_id: int
    user_id: str
    folder: Path | None
    """Folder of this account; None stores nothing on disk."""
    platform: str = "other"
    recent_contacts: bool = True
    catch_up_groups: bool | None = None
    resend: bool = True
    timeout_s: float = 10.0
    reconnect_limit_s: float = 30.0
    media_cache_bytes: int = 0
    concurrency: int = CONCURRENCY
    max_attempts: int = MAX_ATTEMPTS
    network: NetworkOptions = DIRECT
    now: Callable[[], float] = time.time

    @property
    def account(self) -> str:
        """The name of this account in the local store and in its errors."""
        return f"user {self.user_id!r} of app {self.app_id}"

    @property
    def database(self) -> Path | None:
        """The file of the local store; None for a store in memory."""
        return self.folder and self.folder / "messages.db"


def account_folder(data_dir: str | Path | None, app_id: int, user_id: str) -> Path | None:
    """Return the folder of one account; None for ":memory:", which stores nothing on disk.

    `data_dir` None means the platform's folder for application data.
    """
    if data_dir == ":memory:":
        return None
    if data_dir is None:
        from platformdirs import user_data_path

        base = user_data_path("timim", appauthor=False)
    else:
        base = Path(data_dir)
    return base / str(app_id) / user_id.encode().hex()
