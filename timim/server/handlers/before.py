"""The callbacks before groups and relations change. Only requests of clients cause them, except creating a group."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import ServerRefused
from ...protocol import callbacks as names
from ...protocol import friends as sns
from ...protocol import groups, topics
from ..integrations.before import refusal
from ..social.reports import member_list
from .registry import RequestContext

__all__ = ["before_adding", "before_answering", "before_creating", "before_creating_topic", "before_inviting", "before_joining"]


def _event_time(context: RequestContext) -> int:
    return int(context.services.now() * 1000)


async def before_creating(context: RequestContext, body: groups.CreateGroupRequest, owner: str) -> None:
    """Ask the back end about a new group.

    Raises:
        ServerRefused: The back end refused it (10016, or its own code).
    """
    services = context.services
    if not services.integrations.before.wants(names.BEFORE_CREATE):
        return
    owned = await services.store.groups.owned_by_type(owner)
    fields = {
        "Operator_Account": context.user,
        "Owner_Account": owner,
        "Type": body.type,
        "Name": body.name,
        "CreateGroupNum": owned.get(body.type, 0),
        "CreatedGroupNum": owned,
        "MemberList": member_list(member.account for member in body.members),
        "EventTime": _event_time(context),
    }
    await services.integrations.before.ask(names.BEFORE_CREATE, fields)


async def before_creating_topic(context: RequestContext, body: topics.CreateTopicRequest) -> None:
    """Ask the back end about a new topic.

    Raises:
        ServerRefused: The back end refused it (10016, or its own code).
    """
    if not context.services.integrations.before.wants(names.BEFORE_CREATE_TOPIC):
        return
    fields = {
        "GroupId": body.group_id,
        "Operator_Account": context.user,
        "Name": body.name,
        "EventTime": _event_time(context),
    }
    await context.services.integrations.before.ask(names.BEFORE_CREATE_TOPIC, fields)


async def before_joining(context: RequestContext, group_id: str) -> None:
    """Ask the back end about a user who joins a group, or applies to it.

    Raises:
        UnknownGroup: The group does not exist.
        ServerRefused: The back end refused it (10016, or its own code).
    """
    services = context.services
    if context.admin or not services.integrations.before.wants(names.BEFORE_JOIN):
        return
    group = await services.entities.group(group_id)
    fields = {
        "GroupId": group.group_id,
        "Type": group.type,
        "Requestor_Account": context.user,
        "EventTime": _event_time(context),
    }
    await services.integrations.before.ask(names.BEFORE_JOIN, fields)


async def before_inviting(context: RequestContext, group_id: str, users: Iterable[str]) -> dict[str, ServerRefused]:
    """Ask the back end about users whom a member invites. Return the refusal of each user who cannot be invited.

    Raises:
        UnknownGroup: The group does not exist.
        ServerRefused: The back end refused all of them (10016, or its own code).
    """
    services = context.services
    if context.admin or not services.integrations.before.wants(names.BEFORE_INVITE):
        return {}
    group = await services.entities.group(group_id)
    fields = {
        "GroupId": group.group_id,
        "Type": group.type,
        "Operator_Account": context.user,
        "DestinationMembers": member_list(users),
        "EventTime": _event_time(context),
    }
    reply = await services.integrations.before.ask(names.BEFORE_INVITE, fields)
    return {user: refusal(names.BEFORE_INVITE, 1, reply.error_info) for user in reply.refused_members}


async def before_adding(context: RequestContext, body: sns.AddFriendsRequest) -> dict[str, ServerRefused]:
    """Ask the back end about users whom a user adds as friends. Return the refusal of each who cannot be added.

    Raises:
        ServerRefused: The back end refused all of them (38000, or its own code).
    """
    if context.admin or not context.services.integrations.before.wants(names.BEFORE_ADD_FRIEND):
        return {}
    items = [
        {
            "To_Account": friend.account,
            "Remark": friend.remark,
            "GroupName": friend.group,
            "AddSource": friend.source,
            "AddWording": friend.wording,
        }
        for friend in body.friends
    ]
    kind = "Add_Type_Single" if body.type == sns.SINGLE else "Add_Type_Both"
    fields = {"FriendItem": items, "AddType": kind, "ForceAddFlags": 0}
    return await _ask_sns(context, names.BEFORE_ADD_FRIEND, fields)


async def before_answering(context: RequestContext, body: sns.AnswerApplicationsRequest) -> dict[str, ServerRefused]:
    """Ask the back end about answers to applications. Return the refusal of each that cannot be given.

    Raises:
        ServerRefused: The back end refused all of them (38000, or its own code).
    """
    if context.admin or not context.services.integrations.before.wants(names.BEFORE_ANSWER):
        return {}
    items = [
        {"To_Account": one.account, "Remark": one.remark, "TagName": one.tag, "ResponseAction": one.action}
        for one in body.answers
    ]
    return await _ask_sns(context, names.BEFORE_ANSWER, {"ResponseFriendItem": items})


async def _ask_sns(context: RequestContext, command: str, fields: dict[str, object]) -> dict[str, ServerRefused]:
    accounts = {"Requester_Account": context.user, "From_Account": context.user, "EventTime": _event_time(context)}
    reply = await context.services.integrations.before.ask(command, accounts | fields)
    return {item.account: refusal(command, item.code, item.info) for item in reply.results if item.code}
