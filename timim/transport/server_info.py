"""Values that the server gave this device at its last login."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ServerInfo:
    """Access to the server's media, filled by `Connection` at each login; empty before the first one.

    `token` is the access token of the login, `media_url` the address of the media API, and `media_limits` the most bytes
    of content by its kind, where the server's limits differ from Tencent's.
    """

    token: str = ""
    media_url: str = ""
    media_limits: dict[str, int] = field(default_factory=dict)
