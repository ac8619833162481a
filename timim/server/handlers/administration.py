"""Handlers of the administrator's commands: the end of a user's logins, and the outbox of callbacks.

An administrator logs in with a signature of an account that the settings `admin` and `admins` name, which only the app's
key can make.
"""

from __future__ import annotations

from ...errors import InvalidArgument, NoPermission
from ...ids import checked_user_id
from ...protocol import administration as wire
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

DEAD_LETTERS_AT_ONCE = 1000


@HANDLERS.serve(wire.END_LOGINS)
async def end_logins(context: RequestContext, body: wire.EndLoginsRequest) -> wire.EndLoginsReply:
    """End the logins of a user, and revoke the user's signatures if `Revoke` is 1."""
    require_admin(context)
    user = checked_user_id(body.user)
    await context.services.entities.account(user)
    revocations = context.services.revocations
    ended = await (revocations.revoke(user) if body.revoke else revocations.kick(user))
    return wire.EndLoginsReply(sessions=ended)


@HANDLERS.serve(wire.LIST_CALLBACKS, paged=True)
async def list_callbacks(context: RequestContext, body: wire.ListCallbacksRequest) -> wire.ListCallbacksReply:
    """Return the number of callbacks that wait for delivery, and the oldest dead letters."""
    require_admin(context)
    callbacks = context.services.store.callbacks
    dead = await callbacks.dead_letters(max(0, min(body.limit, DEAD_LETTERS_AT_ONCE)))
    return wire.ListCallbacksReply(
        counts=[
            wire.CallbackCount(command=command, waiting=waiting, dead=given_up)
            for command, waiting, given_up in await callbacks.counts()
        ],
        dead=[
            wire.DeadCallback(
                id=one.id,
                command=one.command,
                body=one.body.decode(),
                reason=one.reason,
                time=one.time,
                given_up=one.dead,
            )
            for one in dead
        ],
    )


@HANDLERS.serve(wire.REPLAY_CALLBACKS)
async def replay_callbacks(context: RequestContext, body: wire.ReplayCallbacksRequest) -> wire.ReplayCallbacksReply:
    """Deliver dead letters again. They get the whole time again until they are given up."""
    require_admin(context)
    if len(body.ids) > DEAD_LETTERS_AT_ONCE:
        raise InvalidArgument(
            f"Ids has {len(body.ids)} ids; the limit is {DEAD_LETTERS_AT_ONCE}; split the request", code=90011
        )
    services = context.services
    lanes = await services.store.callbacks.replay(body.ids, time=int(services.now()))
    services.integrations.on_replayed(lanes)
    return wire.ReplayCallbacksReply(replayed=len(lanes))


def require_admin(context: RequestContext) -> None:
    """Check that the caller is an administrator of the app.

    Raises:
        NoPermission: Another account calls (90009).
    """
    settings = context.services.settings
    if not context.admin and context.user not in settings.administrators:
        raise NoPermission(f"{context.user!r} is not an administrator of this app; log in as {settings.admin!r}", code=90009)
