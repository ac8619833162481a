"""Handlers of user statuses: a text of each user, who is online, and subscriptions to the changes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from ...errors import InvalidArgument, LimitReached, TimimError, UnknownUser
from ...ids import checked_user_id
from ...protocol import session, tencent_events
from ...protocol import statuses as wire
from ...protocol.codec import Reply, encode
from ..bus.base import Event
from ..social.changesets import Changeset
from ..store.base import StoredAccount
from ..store.mutations import SetAccount
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

TEXT_LIMIT_BYTES = 256
QUERY_AT_ONCE = 500
SUBSCRIBE_AT_ONCE = 100
WATCHED_LIMIT = 200  # users whose status one account watches
PARAMETERS = 30001


@HANDLERS.serve(wire.SET_STATUS)
async def set_status(context: RequestContext, body: wire.SetStatusRequest) -> Reply:
    """Set the text of the caller's status, which stays until the caller sets another one."""
    if (size := len(body.text.encode())) > TEXT_LIMIT_BYTES:
        raise InvalidArgument(f"CustomStatus is {size} bytes long; the limit is {TEXT_LIMIT_BYTES}", code=PARAMETERS)
    account = await context.services.entities.account(context.user)
    if account.status == body.text:
        return Reply()
    await _store(context, replace(account, status=body.text))
    item = wire.status_item(context.user, body.text, online=True)
    origin = context.session.number if context.session is not None else 0
    payload, plain = msgspec.Raw(encode(item)), tencent_events.status_event(item)
    context.services.bus.publish(Event((context.user,), session.EVENT_STATUS, payload, origin, plain))
    context.services.bus.presence.send(context.user)
    return Reply()


@HANDLERS.serve(wire.GET_STATUSES, paged=True)
async def get_statuses(context: RequestContext, body: wire.StatusUsersRequest) -> wire.StatusesReply:
    """Return the status of each user."""
    users = _few(body.users, QUERY_AT_ONCE)
    found = await context.services.statuses.of(users)
    unknown = [user for user in users if user not in found]
    failed = [wire.FailedStatusItem(user=user, code=UnknownUser.code, info=f"there is no account {user!r}") for user in unknown]
    return wire.StatusesReply(items=list(found.values()), failed=failed)


@HANDLERS.serve(wire.SUBSCRIBE_STATUSES)
async def subscribe(context: RequestContext, body: wire.StatusUsersRequest) -> wire.StatusErrorsReply:
    """Watch the status of users, until the caller unsubscribes. A user who is watched already stays so."""
    reply, names = wire.StatusErrorsReply(), list[str]()
    for user in _few(body.users, SUBSCRIBE_AT_ONCE):
        try:
            names.append((await context.services.entities.account(checked_user_id(user))).user_id)
        except TimimError as exc:
            reply.failed.append(wire.FailedStatusItem(user=user, code=exc.code, info=exc.info))
    account = await context.services.entities.account(context.user)
    watched = tuple(dict.fromkeys((*account.watched, *names)))
    if len(watched) > WATCHED_LIMIT:
        info = f"{context.user!r} would watch {len(watched)} users; the limit is {WATCHED_LIMIT}: unsubscribe from some first"
        raise LimitReached(info, code=10014)
    await _watch(context, account, watched)
    return reply


@HANDLERS.serve(wire.UNSUBSCRIBE_STATUSES)
async def unsubscribe(context: RequestContext, body: wire.UnsubscribeStatusRequest) -> wire.StatusErrorsReply:
    """Stop watching the status of users, or of all users. A user who is not watched is no error."""
    gone = set() if body.all else set(_few(body.users, SUBSCRIBE_AT_ONCE))
    account = await context.services.entities.account(context.user)
    await _watch(context, account, () if body.all else tuple(user for user in account.watched if user not in gone))
    return wire.StatusErrorsReply()


async def _watch(context: RequestContext, account: StoredAccount, watched: tuple[str, ...]) -> None:
    if watched != account.watched:
        await _store(context, replace(account, watched=watched))
        await context.services.statuses.refresh(account.user_id)


async def _store(context: RequestContext, after: StoredAccount) -> None:
    after = replace(after, version=after.version + 1)
    await context.services.changesets.apply(Changeset([SetAccount(after)], unreported=True))


def _few(users: Sequence[str], limit: int) -> list[str]:
    if not 0 < len(users) <= limit:
        raise InvalidArgument(f"To_Account must have 1 to {limit} users, not {len(users)}", code=PARAMETERS)
    return list(dict.fromkeys(users))
