"""Relations (`sns`): friends and applications, friend groups, the blacklist. Each account of a list has its own result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from ...errors import InvalidArgument, TimimError
from ...ids import checked_user_id
from ...protocol import friends as wire
from ...protocol.codec import Reply
from ...protocol.notices import RelationContent
from ..social import friend_rules
from ..social.changesets import Plan, relation
from ..social.friend_rules import Person
from .profiles import acting
from .registry import TABLE, Call, decided

AT_ONCE = 100
PAGE = 100


async def _person(call: Call, user: str) -> Person:
    directory = call.services.directory
    await directory.account(checked_user_id(user))  # nobody's circle takes no place in memory
    circle = await directory.circle(user)
    return Person(await directory.account(user), circle)


async def _each(
    call: Call, account: str, users: Iterable[str], act: Callable[[Person, Person], tuple[Plan, int, str]]
) -> wire.FriendResultsReply:
    """Let `account` do one thing to each of these in turn; what is refused for one is not for the others."""
    reply = wire.FriendResultsReply()
    wanted = list(users)
    if len(wanted) > AT_ONCE:
        raise InvalidArgument(f"at most {AT_ONCE} accounts at once, not {len(wanted)}", code=30001)
    actor = acting(call, account)
    await _person(call, actor)
    for user in wanted:
        try:
            code, info = await decided(call, partial(_one, call, actor, user, act))
        except TimimError as exc:
            code, info = exc.code, exc.info
        reply.items.append(wire.FriendResult(account=user, code=code, info=info))
        if code:
            reply.failed.append(user)
    return reply


async def _one(call: Call, actor: str, user: str, act: Callable[[Person, Person], tuple[Plan, int, str]]) -> tuple[int, str]:
    peer = await _person(call, user)
    me = await _person(call, actor)
    plan, code, info = act(me, peer)
    if plan.changes or plan.notices:
        await call.services.plans.carry_out(plan)
    return code, info


@TABLE.serve(wire.ADD_FRIENDS)
async def add(call: Call, body: wire.AddFriendsRequest) -> wire.FriendResultsReply:
    wishes = {friend.account: friend for friend in body.friends}
    services = call.services

    def act(me: Person, peer: Person) -> tuple[Plan, int, str]:
        plan, done = friend_rules.added(
            me,
            peer,
            wishes[peer.user],
            both=body.type != wire.SINGLE,
            force=call.admin and bool(body.force),
            now=int(services.now()),
            limit=services.settings.friends,
        )
        return plan, 0 if done else wire.PENDING, "" if done else "the application waits for its answer"

    return await _each(call, body.account, wishes, act)


@TABLE.serve(wire.ANSWER_APPLICATIONS)
async def answer(call: Call, body: wire.AnswerApplicationsRequest) -> wire.FriendResultsReply:
    answers = {answer.account: answer for answer in body.answers}
    now, limit = int(call.services.now()), call.services.settings.friends

    def act(me: Person, peer: Person) -> tuple[Plan, int, str]:
        return friend_rules.answered(me, peer, answers[peer.user], now=now, limit=limit), 0, ""

    return await _each(call, body.account, answers, act)


@TABLE.serve(wire.DELETE_FRIENDS)
async def delete(call: Call, body: wire.DeleteFriendsRequest) -> wire.FriendResultsReply:
    both = body.type == wire.DELETE_BOTH
    return await _each(call, body.account, body.friends, lambda me, peer: (friend_rules.deleted(me, peer, both=both), 0, ""))


@TABLE.serve(wire.UPDATE_FRIENDS)
async def update(call: Call, body: wire.UpdateFriendsRequest) -> wire.FriendResultsReply:
    updates = {update.account: update.items for update in body.updates}
    return await _each(
        call, body.account, updates, lambda me, peer: (friend_rules.updated(me, peer.user, updates[peer.user]), 0, "")
    )


@TABLE.serve(wire.LIST_FRIENDS)
async def friends(call: Call, body: wire.ListFriendsRequest) -> wire.ListFriendsReply:
    circle = await call.services.directory.circle(acting(call, body.account))
    names = list(circle.friends)
    page = names[body.start_index : body.start_index + PAGE]
    more = body.start_index + PAGE < len(names)
    found = []
    for user in page:
        friend = circle.friends.get(user)
        if friend is None:
            continue  # deleted meanwhile
        account = await call.services.directory.account(user)
        values: dict[str, str | int | list[str]] = {
            "Tag_Profile_IM_Nick": account.nickname,
            "Tag_Profile_IM_Image": account.face_url,
            "Tag_SNS_IM_Remark": friend.remark,
            "Tag_SNS_IM_Group": list(friend.groups),
            "Tag_SNS_IM_AddSource": friend.source,
            "Tag_SNS_IM_AddWording": friend.wording,
            "Tag_SNS_IM_AddTime": friend.added,
        }
        items = [wire.FriendValueItem(tag=tag, value=value) for tag, value in values.items()]
        found.append(wire.FriendInfo(account=user, values=items))
    next_index = body.start_index + PAGE if more else 0
    return wire.ListFriendsReply(friends=found, complete=int(not more), start_index=next_index, total=len(names))


@TABLE.serve(wire.LIST_APPLICATIONS)
async def applications(call: Call, body: wire.ListApplicationsRequest) -> wire.ListApplicationsReply:
    circle = await call.services.directory.circle(acting(call, body.account))
    reply = wire.ListApplicationsReply()
    sides = ((wire.RECEIVED, circle.asked), (wire.SENT, circle.asking))
    for side, known in sides:
        if body.type not in (side, "Pendency_Type_Both"):
            continue
        for user, application in list(known.items()):
            account = await call.services.directory.account(user)
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


@TABLE.serve(wire.DELETE_APPLICATIONS)
async def delete_applications(call: Call, body: wire.DeleteApplicationsRequest) -> wire.FriendResultsReply:
    mine = body.type == wire.SENT
    return await _each(call, body.account, body.users, lambda me, peer: (friend_rules.withdrawn(me, peer, mine=mine), 0, ""))


@TABLE.serve(wire.REPORT_APPLICATIONS)
async def report(call: Call, body: wire.ReportApplicationsRequest) -> Reply:
    user = acting(call, body.account)
    await call.services.plans.carry_out(Plan([], [relation(user, RelationContent(push_type=friend_rules.READ))]))
    return Reply()


@TABLE.serve(wire.ADD_BLOCKED)
async def block(call: Call, body: wire.AccountsRequest) -> wire.FriendResultsReply:
    now = int(call.services.now())
    return await _each(call, body.account, body.users, lambda me, peer: (friend_rules.blocked(me, peer, now=now), 0, ""))


@TABLE.serve(wire.DELETE_BLOCKED)
async def unblock(call: Call, body: wire.AccountsRequest) -> wire.FriendResultsReply:
    return await _each(call, body.account, body.users, lambda me, peer: (friend_rules.unblocked(me, peer.user), 0, ""))


@TABLE.serve(wire.LIST_BLOCKED)
async def blacklist(call: Call, body: wire.ListBlockedRequest) -> wire.ListBlockedReply:
    circle = await call.services.directory.circle(acting(call, body.account))
    limit = max(1, min(body.max_limited, PAGE))
    items = [wire.BlockedItem(account=user, time=time) for user, time in circle.blocked.items()]
    after = body.start_index + limit
    return wire.ListBlockedReply(items=items[body.start_index : after], start_index=after if after < len(items) else 0)


@TABLE.serve(wire.ADD_FRIEND_GROUPS)
async def add_groups(call: Call, body: wire.FriendGroupsRequest) -> wire.FriendResultsReply:
    me = await _person(call, acting(call, body.account))
    plan = friend_rules.grouped(me, body.names, body.users)
    if plan.changes:
        await call.services.plans.carry_out(plan)
    return wire.FriendResultsReply(items=[wire.FriendResult(account=user) for user in body.users])


@TABLE.serve(wire.DELETE_FRIEND_GROUPS)
async def delete_groups(call: Call, body: wire.FriendGroupsRequest) -> wire.FriendResultsReply:
    me = await _person(call, acting(call, body.account))
    plan = friend_rules.ungrouped(me, body.names)
    if plan.changes:
        await call.services.plans.carry_out(plan)
    return wire.FriendResultsReply()


@TABLE.serve(wire.LIST_FRIEND_GROUPS)
async def list_groups(call: Call, body: wire.FriendGroupsRequest) -> wire.FriendGroupsReply:
    circle = await call.services.directory.circle(acting(call, body.account))
    reply = wire.FriendGroupsReply()
    for name in circle.friend_groups:
        if not body.names or name in body.names:
            friends = [user for user, friend in circle.friends.items() if name in friend.groups]
            reply.groups.append(wire.FriendGroupItem(name=name, number=len(friends), friends=friends))
    return reply
