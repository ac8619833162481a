"""Handlers of followed users (`follow`). Both users get each change of their lists, while they are online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ...errors import InvalidArgument, TimimError
from ...ids import checked_user_id
from ...protocol import callbacks, session, tencent_events
from ...protocol import follows as wire
from ...protocol.codec import encode
from ...protocol.friends import FriendResult
from ...protocol.profiles import FACE, NICK
from ..bus.base import Event
from ..social.outbox import CallbackReport, user_lane
from ..store.base import StoredAccount
from ..store.follows import FollowTie
from .profiles import acting
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

AT_ONCE = 100
PAGE = 500
FOLLOWING_LIMIT = 1000  # users whom one user follows


@HANDLERS.serve(wire.FOLLOW)
async def follow(context: RequestContext, body: wire.FollowRequest) -> wire.FollowResultsReply:
    """Follow users."""
    return await _each(context, body.account, [item.account for item in body.items], added=True)


@HANDLERS.serve(wire.UNFOLLOW)
async def unfollow(context: RequestContext, body: wire.FollowUsersRequest) -> wire.FollowResultsReply:
    """Stop following users."""
    return await _each(context, body.account, body.users, added=False)


async def _each(context: RequestContext, account: str, users: Sequence[str], *, added: bool) -> wire.FollowResultsReply:
    me, reply = acting(context, account), wire.FollowResultsReply()
    for user in _few(users):
        result = FriendResult(account=user)
        try:
            await _one(context, me, user, added=added)
        except TimimError as exc:
            result.code, result.info = exc.code, exc.info
        reply.items.append(result)
    return reply


async def _one(context: RequestContext, me: str, user: str, *, added: bool) -> None:
    entities, follows = context.services.entities, context.services.store.follows
    if user == me:
        raise InvalidArgument("users cannot follow themselves", code=30001)
    mine, theirs = await entities.account(me), await entities.account(checked_user_id(user))
    outbox = context.services.integrations.outbox
    body = {"From_Account": me, "FollowList": [{"To_Account": user}]}
    report = CallbackReport(user_lane(me), callbacks.FOLLOWED if added else callbacks.UNFOLLOWED, body)
    reports = outbox.rows((report,))
    if added:
        tie = await follows.add(me, user, time=int(context.services.now()), limit=FOLLOWING_LIMIT, reports=reports)
    else:
        tie = await follows.remove(me, user, reports=reports)
    if tie is None:
        return
    outbox.on_stored(reports)
    for owner, other, list in _changed_lists(mine, theirs, tie):
        notice = wire.FollowNotice(account=other.user_id, list=list, added=int(added))
        plain = tencent_events.follow_event(notice, nick=other.nickname, face_url=other.face_url)
        payload = msgspec.Raw(encode(notice))
        context.services.bus.publish(Event((owner.user_id,), session.EVENT_FOLLOW, payload, plain=plain))


def _changed_lists(
    mine: StoredAccount, theirs: StoredAccount, tie: FollowTie
) -> Iterator[tuple[StoredAccount, StoredAccount, wire.FollowList]]:
    """Yield the owner of each list that has changed, the user who was added or removed, and the list."""
    yield mine, theirs, wire.FollowList.FOLLOWING
    yield theirs, mine, wire.FollowList.FOLLOWERS
    if tie.followed:  # the other one follows back
        yield mine, theirs, wire.FollowList.MUTUAL
        yield theirs, mine, wire.FollowList.MUTUAL


@HANDLERS.serve(wire.LIST_FOLLOWS, paged=True)
async def list_follows(context: RequestContext, body: wire.ListFollowsRequest) -> wire.ListFollowsReply:
    """Return a page of followers, of followed users, or of those in both lists."""
    me, store = acting(context, body.account), context.services.store.follows
    count = max(1, min(body.count, PAGE))
    if body.list == wire.FollowList.FOLLOWERS:
        found = await store.followers(me, body.cursor, count + 1)
    elif body.list in (wire.FollowList.FOLLOWING, wire.FollowList.MUTUAL):
        found = await store.following(me, body.cursor, count + 1, mutual=body.list == wire.FollowList.MUTUAL)
    else:
        raise InvalidArgument(f"FollowType must be 1, 2 or 3, not {body.list}", code=30001)
    reply = wire.ListFollowsReply(next=found[count - 1].user if len(found) > count else "")
    for one in found[:count]:
        account = await context.services.entities.account(one.user)
        profile = [
            wire.FollowProfileField(tag=NICK, value=account.nickname),
            wire.FollowProfileField(tag=FACE, value=account.face_url),
        ]
        reply.items.append(wire.FollowedUser(account=one.user, time=one.time, profile=profile))
    return reply


@HANDLERS.serve(wire.COUNT_FOLLOWS)
async def count_follows(context: RequestContext, body: wire.FollowUsersRequest) -> wire.FollowCountsReply:
    """Return the numbers of followers and followed users of some users."""
    acting(context, body.account)
    reply = wire.FollowCountsReply()
    for user in _few(body.users):
        counts = await context.services.store.follows.counts(checked_user_id(user))
        reply.items.append(
            wire.FollowCountsItem(account=user, followers=counts.followers, following=counts.following, mutual=counts.mutual)
        )
    return reply


@HANDLERS.serve(wire.CHECK_FOLLOWS)
async def check_follows(context: RequestContext, body: wire.FollowUsersRequest) -> wire.CheckFollowsReply:
    """Return for each user the list of the caller in which the user is."""
    users = [checked_user_id(user) for user in _few(body.users)]
    ties = await context.services.store.follows.ties(acting(context, body.account), users)
    items = [wire.FollowTieItem(account=user, list=_list_of(tie)) for user, tie in zip(users, ties, strict=True)]
    return wire.CheckFollowsReply(items=items)


def _list_of(tie: FollowTie) -> wire.FollowList:
    if tie.follows and tie.followed:
        return wire.FollowList.MUTUAL
    if tie.follows:
        return wire.FollowList.FOLLOWING
    return wire.FollowList.FOLLOWERS if tie.followed else wire.FollowList.NONE


def _few(users: Sequence[str]) -> Sequence[str]:
    if not 0 < len(users) <= AT_ONCE:
        raise InvalidArgument(f"the request must have 1 to {AT_ONCE} users, not {len(users)}", code=30001)
    return users
