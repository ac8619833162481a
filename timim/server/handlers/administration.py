"""Handlers of the administrator's commands: the end of a user's logins.

The administrator logs in with a signature of the account that the setting `admin` names, which only the app's key can make.
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
    """Check that the caller is the administrator of the app.

    Raises:
        NoPermission: Another account calls (90009).
    """
    if not context.admin and context.user != context.services.settings.admin:
        admin = context.services.settings.admin
        raise NoPermission(f"{context.user!r} is not the administrator of this app; log in as {admin!r}", code=90009)
