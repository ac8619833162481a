"""Values that the server sent to this device at the last login."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ServerInfo:
    """Access to the server's media API, set by `Connection` at each login and empty before the first one.

    Attributes:
        token: The access token of the login.
        media_url: The URL of the media API.
        media_limits: The maximum size in bytes by kind of content, where the server's limits differ from Tencent's.
    """

    token: str = ""
    media_url: str = ""
    media_limits: dict[str, int] = field(default_factory=dict)
