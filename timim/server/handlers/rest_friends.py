"""Handlers of relationships over REST (`sns`): checks of friends and blacklists, some friends, the end of all friendships."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec

from ...errors import InvalidArgument, TimimError
from ...protocol import friends as wire
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.numbers import Int, at_most
from ..social import friend_rules
from ..social.changesets import Changeset
from ..social.friend_rules import Person
from ..store.base import StoredFriend
from .friends import AT_ONCE, delete, each, friend_values
from .profiles import acting, profile_items
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

PARAMETERS, NO_FRIEND = 30001, 31704


class DeleteAllRequest(Body):
    """The account whose friends are deleted, from its list alone or from both."""

    account: str = msgspec.field(name="From_Account")
    type: str = msgspec.field(name="DeleteType", default="Delete_Type_Single")


class ImportedFriend(msgspec.Struct, kw_only=True):
    """A friend to add, with the time at which the friendship began; now if it is 0."""

    account: str = msgspec.field(name="To_Account")
    remark: str = msgspec.field(name="Remark", default="")
    groups: list[str] = msgspec.field(name="GroupName", default_factory=list)
    source: str = msgspec.field(name="AddSource", default="")
    wording: str = msgspec.field(name="AddWording", default="")
    time: Int = msgspec.field(name="AddTime", default=0)


class ImportFriendsRequest(Body):
    """Friends to add to the list of an account, without asking them."""

    account: str = msgspec.field(name="From_Account")
    friends: Annotated[list[ImportedFriend], at_most(wire.CHECKED_AT_ONCE)] = msgspec.field(
        name="AddFriendItem", default_factory=list
    )


DELETE_ALL = Command("sns.friend_delete_all", DeleteAllRequest, Reply, doors=Door.REST)
IMPORT_FRIENDS = Command("sns.friend_import", ImportFriendsRequest, wire.FriendResultsReply, doors=Door.REST)


@HANDLERS.serve(wire.CHECK_FRIENDS)
async def check_friends(context: RequestContext, body: wire.CheckRequest) -> wire.CheckFriendsReply:
    """Report who has whom as a friend."""
    items = await _relations(context, body, "CheckResult_Type_", "NoRelation")
    return wire.CheckFriendsReply(items=items, failed=[item.account for item in items if item.code])


@HANDLERS.serve(wire.CHECK_BLOCKED)
async def check_blocked(context: RequestContext, body: wire.CheckRequest) -> wire.CheckBlockedReply:
    """Report who has whom on the blacklist."""
    items = await _relations(context, body, "BlackCheckResult_Type_", "NO")
    return wire.CheckBlockedReply(items=items, failed=[item.account for item in items if item.code])


async def _relations(context: RequestContext, body: wire.CheckRequest, prefix: str, none: str) -> list[wire.CheckedRelation]:
    """Return the relation of an account to others: friendship, or the blacklist if `none` is "NO"."""
    account = acting(context, body.account)
    if not 0 < len(body.users) <= wire.CHECKED_AT_ONCE:
        raise InvalidArgument(
            f"To_Account must have 1 to {wire.CHECKED_AT_ONCE} accounts, not {len(body.users)}", code=PARAMETERS
        )
    types = [prefix + "Single", prefix + "Both"]
    if body.type not in types:
        raise InvalidArgument(f"CheckType must be {' or '.join(types)}, not {body.type[:40]!r}", code=PARAMETERS)
    entities = context.services.entities
    await entities.account(account)
    found: list[wire.CheckedRelation] = []
    for user in body.users:
        try:
            await entities.account(user)
            mine, theirs = await entities.relationships(account), await entities.relationships(user)
        except TimimError as exc:
            found.append(wire.CheckedRelation(account=user, code=exc.code, info=exc.info))
            continue
        has = user in (mine.blocked if none == "NO" else mine.friends)
        had = body.type == types[1] and account in (theirs.blocked if none == "NO" else theirs.friends)
        name = {(True, True): "BothWay", (True, False): "AWithB", (False, True): "BWithA"}.get((has, had), none)
        found.append(wire.CheckedRelation(account=user, relation=prefix + name))
    return found


@HANDLERS.serve(wire.GET_FRIENDS, paged=True)
async def get_friends(context: RequestContext, body: wire.GetFriendsRequest) -> wire.GetFriendsReply:
    """Return some friends with their profiles."""
    if not 0 < len(body.users) <= AT_ONCE:
        raise InvalidArgument(f"To_Account must have 1 to {AT_ONCE} accounts, not {len(body.users)}", code=PARAMETERS)
    entities, reply = context.services.entities, wire.GetFriendsReply()
    relationships = await entities.relationships(acting(context, body.account))
    for user in body.users:
        friend = relationships.friends.get(user)
        if friend is None:
            reply.items.append(wire.FriendItem(account=user, code=NO_FRIEND, info=f"{user!r} is not a friend"))
            reply.failed.append(user)
            continue
        account = await entities.account(user)
        values = {item.tag: item.value for item in profile_items(account)} | friend_values(account, friend)
        items = [wire.FriendValueItem(tag=tag, value=value) for tag, value in values.items()]
        reply.items.append(
            wire.FriendItem(account=user, values=[one for one in items if not body.tags or one.tag in body.tags])
        )
    return reply


@HANDLERS.serve(DELETE_ALL)
async def delete_all(context: RequestContext, body: DeleteAllRequest) -> Reply:
    """Delete all friends of an account."""
    relationships = await context.services.entities.relationships(acting(context, body.account))
    friends = list(relationships.friends)
    for begin in range(0, len(friends), AT_ONCE):
        some = friends[begin : begin + AT_ONCE]
        await delete(context, wire.DeleteFriendsRequest(account=body.account, friends=some, type=body.type))
    return Reply()


@HANDLERS.serve(IMPORT_FRIENDS)
async def import_friends(context: RequestContext, body: ImportFriendsRequest) -> wire.FriendResultsReply:
    """Add friends to the list of an account, with the times at which they became friends."""
    wanted = {friend.account: friend for friend in body.friends}
    now, limit = int(context.services.now()), context.services.settings.friends

    def act(me: Person, peer: Person) -> tuple[Changeset, int, str]:
        one = wanted[peer.user]
        if not 0 <= one.time <= now:
            raise InvalidArgument(f"AddTime must be 0 to {now}, which is now, not {one.time}", code=PARAMETERS)
        friend = StoredFriend(one.remark, tuple(dict.fromkeys(one.groups)), one.source, one.wording, one.time or now)
        return (
            replace(friend_rules.imported(me, peer, friend, limit=limit), unreported=True),
            0,
            "",
        )  # imports cause no callback

    return await each(context, body.account, wanted, act, limit=wire.CHECKED_AT_ONCE)
