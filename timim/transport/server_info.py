"""Values that the server sent to this device at the last login."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ServerInfo:
    """Limits of the server, and access to its media API, set by `Connection` at each login and empty before the first one.

    Attributes:
        token: The access token of the login.
        media_url: The URL of the media API.
        media_limits: The maximum size in bytes by kind of content, where the server's limits differ from Tencent's.
        max_message_bytes: The maximum size of a message in bytes, all its parts together; 0 if the server did not state it.
    """

    token: str = field(default="", repr=False)  # a log of this object must not open the account
    media_url: str = ""
    media_limits: dict[str, int] = field(default_factory=dict)
    max_message_bytes: int = 0
