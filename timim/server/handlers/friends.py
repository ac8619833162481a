"""Handlers of relationships (`sns`): friends, applications, friend groups, blacklist. Each account of a list has its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from ...elem_base import RelationType
from ...errors import InvalidArgument, NotFriends, TimimError
from ...ids import checked_user_id
from ...protocol import friends as wire
from ...protocol import session, tencent_events
from ...protocol.codec import Reply
from ...protocol.notices import FriendApplicationItem, RelationContent
from ..bus.base import Event
from ..social import friend_rules
from ..social.changesets import Changeset, relation
from ..social.friend_rules import Person
from ..store.base import StoredAccount, StoredFriend
from .before import before_adding, before_answering
from .profiles import acting
from .registry import HandlerRegistry, RequestContext, run_current

HANDLERS = HandlerRegistry()

AT_ONCE = 100
PAGE = 100


async def _person(context: RequestContext, user: str) -> Person:
    entities = context.services.entities
    await entities.account(checked_user_id(user))  # raises for an unknown user, whose relationships must not fill the cache
    relationships = await entities.relationships(user)
    return Person(await entities.account(user), relationships)


async def each(
    context: RequestContext,
    account: str,
    users: Iterable[str],
    act: Callable[[Person, Person], tuple[Changeset, int, str]],
    refused: Mapping[str, TimimError] | None = None,
    *,
    limit: int = AT_ONCE,
) -> wire.FriendResultsReply:
    """Apply one operation of `account` to each of `users` in turn, and return the result of each.

    Args:
        context: The request.
        account: The acting account; empty for the caller.
        users: The other users.
        act: Decides the changeset, code and text for the acting and the other person.
        refused: The errors of users for whom the operator's back end refused the operation.
        limit: Maximum number of users.

    Raises:
        InvalidArgument: There are more than `limit` users (30001).
        NoPermission: A caller who is no administrator names another account (90009).
    """
    reply = wire.FriendResultsReply()
    wanted = list(users)
    if len(wanted) > limit:
        raise InvalidArgument(f"the request has {len(wanted)} accounts; the limit is {limit}; split the request", code=30001)
    actor = acting(context, account)
    await _person(context, actor)
    for user in wanted:
        try:
            if refused and user in refused:
                raise refused[user]
            code, info = await run_current(context, partial(_one, context, actor, user, act))
        except TimimError as exc:
            code, info = exc.code, exc.info
        reply.items.append(wire.FriendResult(account=user, code=code, info=info))
        if code:
            reply.failed.append(user)
    return reply


async def _one(
    context: RequestContext, actor: str, user: str, act: Callable[[Person, Person], tuple[Changeset, int, str]]
) -> tuple[int, str]:
    peer = await _person(context, user)
    me = await _person(context, actor)
    changeset, code, info = act(me, peer)
    if changeset.changes or changeset.notices:
        await context.services.changesets.apply(changeset)
    return code, info


@HANDLERS.serve(wire.ADD_FRIENDS)
async def add(context: RequestContext, body: wire.AddFriendsRequest) -> wire.FriendResultsReply:
    """Add friends, or apply to users who want to approve."""
    wanted = {friend.account: friend for friend in body.friends}
    services = context.services

    def act(me: Person, peer: Person) -> tuple[Changeset, int, str]:
        changeset, done = friend_rules.added(
            me,
            peer,
            wanted[peer.user],
            both=body.type != wire.SINGLE,
            force=context.admin and bool(body.force),
            now=int(services.now()),
            limit=services.settings.friends,
        )
        return changeset, 0 if done else wire.PENDING, "" if done else "the application waits for the other user's answer"

    reply = await each(context, body.account, wanted, act, await before_adding(context, body))
    for result in reply.items:
        if result.code == wire.PENDING:
            await _show_application(context, acting(context, body.account), wanted[result.account])
    return reply


async def _show_application(context: RequestContext, user: str, asked: wire.NewFriend) -> None:
    """Show an application to the applicant's web clients, which list those that they know."""
    peer = await context.services.entities.account(asked.account)
    item = FriendApplicationItem(account=peer.user_id, nick=peer.nickname, source=asked.source, wording=asked.wording)
    item.time = int(context.services.now())
    event = tencent_events.own_application_event(user, item)
    context.services.bus.publish(Event((user,), session.EVENT_FOREIGN, msgspec.Raw(b"{}"), plain=event))


@HANDLERS.serve(wire.ANSWER_APPLICATIONS)
async def answer(context: RequestContext, body: wire.AnswerApplicationsRequest) -> wire.FriendResultsReply:
    """Accept or reject applications."""
    answers = {answer.account: answer for answer in body.answers}
    now, limit = int(context.services.now()), context.services.settings.friends

    def act(me: Person, peer: Person) -> tuple[Changeset, int, str]:
        return friend_rules.answered(me, peer, answers[peer.user], now=now, limit=limit), 0, ""

    return await each(context, body.account, answers, act, await before_answering(context, body))


@HANDLERS.serve(wire.DELETE_FRIENDS)
async def delete(context: RequestContext, body: wire.DeleteFriendsRequest) -> wire.FriendResultsReply:
    """Remove friends."""
    both = body.type == wire.DELETE_BOTH
    return await each(context, body.account, body.friends, lambda me, peer: (friend_rules.deleted(me, peer, both=both), 0, ""))


@HANDLERS.serve(wire.UPDATE_FRIENDS)
async def update(context: RequestContext, body: wire.UpdateFriendsRequest) -> wire.FriendResultsReply:
    """Change remarks and friend groups of friends."""
    updates = {update.account: update.items for update in body.updates}
    return await each(
        context, body.account, updates, lambda me, peer: (friend_rules.updated(me, peer.user, updates[peer.user]), 0, "")
    )


@HANDLERS.serve(wire.LIST_FRIENDS, paged=True)
async def friends(context: RequestContext, body: wire.ListFriendsRequest) -> wire.ListFriendsReply:
    """Return a page of the friend list."""
    relationships = await context.services.entities.relationships(acting(context, body.account))
    names = list(relationships.friends)
    page = names[body.start_index : body.start_index + PAGE]
    more = body.start_index + PAGE < len(names)
    found = []
    for user in page:
        friend = relationships.friends.get(user)
        if friend is None:
            continue  # deleted while this page was read
        account = await context.services.entities.account(user)
        values = friend_values(account, friend)
        items = [wire.FriendValueItem(tag=tag, value=value) for tag, value in values.items()]
        found.append(wire.FriendInfo(account=user, values=items))
    next_index = body.start_index + PAGE if more else 0
    return wire.ListFriendsReply(friends=found, complete=int(not more), start_index=next_index, total=len(names))


def friend_values(account: StoredAccount, friend: StoredFriend) -> dict[str, str | int | list[str]]:
    """Return the facts about a friend by Tencent's tags."""
    return {
        "Tag_Profile_IM_Nick": account.nickname,
        "Tag_Profile_IM_Image": account.face_url,
        "Tag_SNS_IM_Remark": friend.remark,
        "Tag_SNS_IM_Group": list(friend.groups),
        "Tag_SNS_IM_AddSource": friend.source,
        "Tag_SNS_IM_AddWording": friend.wording,
        "Tag_SNS_IM_AddTime": friend.added,
    }


@HANDLERS.serve(wire.LIST_APPLICATIONS, paged=True)
async def applications(context: RequestContext, body: wire.ListApplicationsRequest) -> wire.ListApplicationsReply:
    """Return received and sent applications."""
    relationships = await context.services.entities.relationships(acting(context, body.account))
    reply = wire.ListApplicationsReply()
    sides = ((wire.RECEIVED, relationships.received_requests), (wire.SENT, relationships.sent_requests))
    for side, known in sides:
        if body.type not in (side, "Pendency_Type_Both"):
            continue
        for user, application in list(known.items()):
            account = await context.services.entities.account(user)
            reply.items.append(
                wire.PendingApplication(
                    account=user,
                    type=side,
                    time=application.time,
                    source=application.source,
                    wording=application.wording,
                    nick=account.nickname,
                    face_url=account.face_url,
                )
            )
    return reply


@HANDLERS.serve(wire.DELETE_APPLICATIONS)
async def delete_applications(context: RequestContext, body: wire.DeleteApplicationsRequest) -> wire.FriendResultsReply:
    """Withdraw sent applications, or remove received ones."""
    mine = body.type == wire.SENT
    return await each(context, body.account, body.users, lambda me, peer: (friend_rules.withdrawn(me, peer, mine=mine), 0, ""))


@HANDLERS.serve(wire.REPORT_APPLICATIONS)
async def report(context: RequestContext, body: wire.ReportApplicationsRequest) -> Reply:
    """Notify the devices of an account that its applications were seen."""
    user = acting(context, body.account)
    await context.services.changesets.apply(
        Changeset([], [relation(user, RelationContent(push_type=RelationType.APPLICATIONS_READ))])
    )
    return Reply()


@HANDLERS.serve(wire.ADD_BLOCKED)
async def block(context: RequestContext, body: wire.AccountsRequest) -> wire.FriendResultsReply:
    """Add users to the blacklist."""
    now = int(context.services.now())
    return await each(context, body.account, body.users, lambda me, peer: (friend_rules.blocked(me, peer, now=now), 0, ""))


@HANDLERS.serve(wire.DELETE_BLOCKED)
async def unblock(context: RequestContext, body: wire.AccountsRequest) -> wire.FriendResultsReply:
    """Remove users from the blacklist."""
    return await each(context, body.account, body.users, lambda me, peer: (friend_rules.unblocked(me, peer.user), 0, ""))


@HANDLERS.serve(wire.LIST_BLOCKED, paged=True)
async def blacklist(context: RequestContext, body: wire.ListBlockedRequest) -> wire.ListBlockedReply:
    """Return a page of the blacklist."""
    relationships = await context.services.entities.relationships(acting(context, body.account))
    limit = max(1, min(body.max_limited, PAGE))
    items = [wire.BlockedItem(account=user, time=time) for user, time in relationships.blocked.items()]
    after = body.start_index + limit
    return wire.ListBlockedReply(items=items[body.start_index : after], start_index=after if after < len(items) else 0)


@HANDLERS.serve(wire.ADD_FRIEND_GROUPS)
async def add_groups(context: RequestContext, body: wire.FriendGroupsRequest) -> wire.FriendResultsReply:
    """Create friend groups, and put friends into them."""
    me = await _person(context, acting(context, body.account))
    changeset = friend_rules.grouped(me, body.names, body.users)
    if changeset.changes:
        await context.services.changesets.apply(changeset)
    return wire.FriendResultsReply(items=[wire.FriendResult(account=user) for user in body.users])


@HANDLERS.serve(wire.DELETE_FRIEND_GROUPS)
async def delete_groups(context: RequestContext, body: wire.FriendGroupsRequest) -> wire.FriendResultsReply:
    """Delete friend groups, without removing the friends."""
    me = await _person(context, acting(context, body.account))
    changeset = friend_rules.ungrouped(me, body.names)
    if changeset.changes:
        await context.services.changesets.apply(changeset)
    return wire.FriendResultsReply()


@HANDLERS.serve(wire.UPDATE_FRIEND_GROUP)
async def update_group(context: RequestContext, body: wire.UpdateFriendGroupRequest) -> wire.UpdateFriendGroupReply:
    """Rename a friend group, and put friends into it or take them out of it."""
    if len(body.changes) > AT_ONCE:
        raise InvalidArgument(f"UpdateGroupItem has {len(body.changes)} accounts; the limit is {AT_ONCE}", code=30001)
    wanted = {change.account: change.type == wire.ADD_TO_GROUP for change in body.changes}
    me = await _person(context, acting(context, body.account))
    changeset = friend_rules.regrouped(me, body.old_name, body.new_name or body.old_name, wanted)
    if changeset.changes:
        await context.services.changesets.apply(changeset)
    friends = me.relationships.friends
    results = [wire.FriendGroupResult(account=change.account, type=change.type) for change in body.changes]
    for result in results:
        if result.account not in friends:
            result.code, result.info = NotFriends.code, f"{result.account!r} is not a friend"
    return wire.UpdateFriendGroupReply(items=results)


@HANDLERS.serve(wire.LIST_FRIEND_GROUPS)
async def list_groups(context: RequestContext, body: wire.FriendGroupsRequest) -> wire.FriendGroupsReply:
    """Return friend groups with their friends."""
    relationships = await context.services.entities.relationships(acting(context, body.account))
    reply = wire.FriendGroupsReply()
    for name in relationships.friend_groups:
        if not body.names or name in body.names:
            friends = [user for user, friend in relationships.friends.items() if name in friend.groups]
            reply.groups.append(wire.FriendGroupItem(name=name, number=len(friends), friends=friends))
    return reply
