"""Handlers of the administrator's commands: the end of a user's logins.

An administrator logs in with a signature of an account that the settings `admin` and `admins` name, which only the app's
key can make.
"""

from __future__ import annotations

from ...errors import NoPermission
from ...ids import checked_user_id
from ...protocol import administration as wire
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()


@HANDLERS.serve(wire.END_LOGINS)
async def end_logins(context: RequestContext, body: wire.EndLoginsRequest) -> wire.EndLoginsReply:
    """End the logins of a user, and revoke the user's signatures if `Revoke` is 1."""
    require_admin(context)
    user = checked_user_id(body.user)
    await context.services.entities.account(user)
    revocations = context.services.revocations
    ended = await (revocations.revoke(user) if body.revoke else revocations.kick(user))
    return wire.EndLoginsReply(sessions=ended)


def require_admin(context: RequestContext) -> None:
    """Check that the caller is an administrator of the app.

    Raises:
        NoPermission: Another account calls (90009).
    """
    settings = context.services.settings
    if not context.admin and context.user not in settings.administrators:
        raise NoPermission(f"{context.user!r} is not an administrator of this app; log in as {settings.admin!r}", code=90009)
