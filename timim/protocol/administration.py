"""Bodies of commands for the administrator of an app (timim extensions)."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply
from .numbers import Int


class EndLoginsRequest(Body, kw_only=True):
    """The end of all logins of a user. `Revoke` 1 also revokes the signatures made until now."""

    user: str = msgspec.field(name="UserID")
    revoke: Int = msgspec.field(name="Revoke", default=0)


class EndLoginsReply(Reply):
    """The number of sessions that ended on the node that replies."""

    sessions: Int = msgspec.field(name="TimelineSessions", default=0)


END_LOGINS = Command("timeline.end_logins", EndLoginsRequest, EndLoginsReply)
