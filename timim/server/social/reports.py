"""The callbacks that a changeset causes: derived from its row changes and from the cached values before them.

Pure. Every changeset passes through here, so a change causes its callbacks whichever handler decided it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...protocol import callbacks as names
from ...protocol import profiles
from ..store import mutations as ch
from ..store.base import Member, Relationships, StoredAccount, StoredGroup, StoredTopic, group_timeline
from .callers import Caller
from .changesets import Changeset
from .entity_cache import CachedValues
from .group_permissions import OWNER, join_option
from .outbox import CallbackReport, user_lane

Fields = dict[str, object]


def reports_of(
    changeset: Changeset, cached: CachedValues, caller: Caller, command: str, *, members_limit: int
) -> list[CallbackReport]:
    """Return the callbacks that a changeset causes.

    Args:
        changeset: The changeset, which the cache does not have yet.
        cached: The cached values.
        caller: The account and the client that caused the changes.
        command: The command of the request.
        members_limit: Maximum number of members of a group without a limit of its own.
    """
    reports: list[CallbackReport] = []
    changes = changeset.changes
    answered = {change.user for change in changes if isinstance(change, ch.RemoveGroupApplication)}
    pairs: dict[str, list[tuple[str, str]]] = {}
    for change in changes:
        match change:
            case ch.SetAccount(account):
                reports += _profile(cached.accounts.get(account.user_id), account, caller)
            case ch.InsertGroup(new):
                reports.append(_created(new, caller))
            case ch.SetGroup(after):
                reports += _group_changed(cached.groups.get(after.group_id), after, caller)
            case ch.DissolveGroup(group_id, users):
                reports += _destroyed(cached.groups.get(group_id), users)
            case ch.InsertMembers(group_id, members):
                group = cached.groups.get(group_id)
                if changeset.by_connection:
                    reports += _connected(group, "Online", members)
                else:
                    reports += _entered(group, members, answered, caller, members_limit)
            case ch.RemoveMembers(group_id, users):
                group = cached.groups.get(group_id)
                reports += _connected(group, "Offline", users) if changeset.by_connection else _left(group, users, caller)
            case ch.SetMember(group_id, user, member):
                reports += _member_changed(cached.groups.get(group_id), user, member, caller)
            case ch.InsertTopic(group_id, topic):
                reports += _topic_created(cached.groups.get(group_id), topic, caller)
            case ch.SetTopic(group_id, topic):
                reports += _topic_changed(cached.groups.get(group_id), topic, caller)
            case ch.RemoveTopics(group_id, topic_ids):
                reports += _topics_destroyed(cached.groups.get(group_id), topic_ids, caller)
            case ch.SetFriend(owner, peer):
                if peer not in cached.relationships.get(owner, Relationships()).friends:
                    pairs.setdefault(names.FRIEND_ADDED, []).append((owner, peer))
            case ch.RemoveFriend(owner, peer):
                pairs.setdefault(names.FRIEND_DELETED, []).append((owner, peer))
            case ch.SetBlocked(owner, peer):
                pairs.setdefault(names.BLOCKED, []).append((owner, peer))
            case ch.RemoveBlocked(owner, peer):
                pairs.setdefault(names.UNBLOCKED, []).append((owner, peer))
            case _:
                pass
    return [*reports, *_relations(pairs, caller, command, forced=changeset.forced)]


def member_list(users: Iterable[str]) -> list[dict[str, str]]:
    """Return user ids in the form of Tencent's lists of members."""
    return [{"Member_Account": user} for user in users]


def _profile(before: StoredAccount | None, after: StoredAccount, caller: Caller) -> Iterator[CallbackReport]:
    known = _tags(before) if before is not None else {}
    items = [{"Tag": tag, "Value": value} for tag, value in _tags(after).items() if known.get(tag) != value]
    items += [{"Tag": tag, "Value": ""} for tag in known.keys() - _tags(after).keys()]
    if items:
        body = {"Operator_Account": caller.user, "From_Account": after.user_id, "ProfileItem": items}
        yield CallbackReport(user_lane(after.user_id), names.PROFILE, body)


def _tags(account: StoredAccount) -> dict[str, str]:
    return {
        profiles.NICK: account.nickname,
        profiles.FACE: account.face_url,
        profiles.ALLOW: account.allow_type or profiles.NEED_CONFIRM,
        **account.details,
        **{profiles.CUSTOM + key: value for key, value in account.custom.items()},
    }


def group_fields(group: StoredGroup) -> Fields:
    """Return the fields that name a group, or a topic and its Community, in a callback."""
    fields: Fields = {"GroupId": group.community_id, "Type": group.type}
    return fields | {"TopicId": group.group_id} if group.topic is not None else fields


def _of(group: StoredGroup, command: str, body: Fields) -> CallbackReport:
    return CallbackReport(group_timeline(group.group_id), command, {**group_fields(group), **body})


def _created(group: StoredGroup, caller: Caller) -> CallbackReport:
    body: Fields = {
        "Operator_Account": caller.user,
        "Owner_Account": group.owner,
        "Name": group.name,
        "MemberList": member_list(group.members),
        "UserDefinedDataList": [{"Key": key, "Value": value} for key, value in group.custom.items()],
    }
    return _of(group, names.CREATED, body)


def _group_changed(before: StoredGroup | None, after: StoredGroup, caller: Caller) -> Iterator[CallbackReport]:
    if before is None:
        return
    operator: Fields = {"Operator_Account": caller.user}
    values = (
        ("Name", before.name, after.name),
        ("Introduction", before.introduction, after.introduction),
        ("Notification", before.notification, after.notification),
        ("FaceUrl", before.face_url, after.face_url),
        ("ApplyJoinOption", join_option(before), join_option(after)),
        ("MaxMemberNum", before.max_members, after.max_members),
        ("ShutUpAllMember", _on(before.muted_all), _on(after.muted_all)),
    )
    changed: Fields = {name: new for name, old, new in values if old != new}
    if before.custom != after.custom:
        changed["UserDefinedDataList"] = [{"Key": key, "Value": value} for key, value in after.custom.items()]
    if changed:
        yield _of(after, names.INFO_CHANGED, operator | changed)
    if before.attributes != after.attributes:
        yield _of(after, names.ATTRIBUTES_CHANGED, operator | _attributes(before.attributes, after.attributes))
    if before.owner != after.owner:
        owners: Fields = {"OldOwner_Account": before.owner, "NewOwner_Account": after.owner}
        yield _of(after, names.OWNER_CHANGED, operator | owners)


def _topic_created(group: StoredGroup | None, topic: StoredTopic, caller: Caller) -> Iterator[CallbackReport]:
    if group is not None:
        body: Fields = {"Operator_Account": caller.user, "Owner_Account": group.owner, "Name": topic.name}
        yield _of(group, names.TOPIC_CREATED, {**body, "TopicId": topic.topic_id, "UserDefinedDataList": []})


def _topic_changed(group: StoredGroup | None, after: StoredTopic, caller: Caller) -> Iterator[CallbackReport]:
    before = group.topics.get(after.topic_id) if group is not None else None
    if group is None or before is None:
        return
    values = (
        ("Name", before.name, after.name),
        ("Introduction", before.introduction, after.introduction),
        ("Notification", before.notification, after.notification),
        ("FaceUrl", before.face_url, after.face_url),
        ("CustomString", before.custom, after.custom),
        ("ShutUpAllMember", _on(before.muted_all), _on(after.muted_all)),
    )
    if changed := {name: new for name, old, new in values if old != new}:
        yield _of(group.in_topic(after), names.TOPIC_CHANGED, {"Operator_Account": caller.user, **changed})


def _topics_destroyed(group: StoredGroup | None, topic_ids: Sequence[str], caller: Caller) -> Iterator[CallbackReport]:
    if group is not None:
        body: Fields = {"Operator_Account": caller.user, "TopicIdList": [{"TopicId": one} for one in topic_ids]}
        yield _of(group, names.TOPIC_DESTROYED, body)


def _on(flag: bool) -> str:
    return "On" if flag else "Off"


def _attributes(before: Mapping[str, str], after: Mapping[str, str]) -> Fields:
    gone = [key for key in before if key not in after]
    new = {key: value for key, value in after.items() if before.get(key) != value}
    match bool(gone), bool(new), bool(after):
        case True, False, False:
            kind = "clear"
        case True, False, True:
            kind = "delete"
        case False, _, _:
            kind = "modify"
        case _:
            kind = "set"
    changed = {**new, **dict.fromkeys(gone, "")}
    return {"OptionType": kind, "GroupAttr": [{"key": key, "value": value} for key, value in changed.items()]}


def _destroyed(group: StoredGroup | None, users: Sequence[str]) -> Iterator[CallbackReport]:
    if group is not None:
        body: Fields = {"Owner_Account": group.owner, "Name": group.name, "MemberList": member_list(users)}
        yield _of(group, names.DESTROYED, body)


def _entered(
    group: StoredGroup | None, members: Mapping[str, Member], answered: set[str], caller: Caller, limit: int
) -> Iterator[CallbackReport]:
    if group is None:
        return

    def applied(user: str) -> bool:
        application = group.applications.get(user) if user in answered else None
        return user == caller.user if application is None else not application.inviter

    for kind, users in (
        ("Apply", [user for user in members if applied(user)]),
        ("Invited", [user for user in members if not applied(user)]),
    ):
        if users:
            body: Fields = {"JoinType": kind, "Operator_Account": caller.user, "NewMemberList": member_list(users)}
            yield _of(group, names.JOINED, body)
    if len(group.members) + len(members) >= min(limit, group.max_members or limit):
        yield CallbackReport(group_timeline(group.group_id), names.GROUP_FULL, {"GroupId": group.group_id})


def _left(group: StoredGroup | None, users: Sequence[str], caller: Caller) -> Iterator[CallbackReport]:
    if group is not None:
        kind = "Quit" if tuple(users) == (caller.user,) and not caller.admin else "Kicked"
        body: Fields = {"ExitType": kind, "Operator_Account": caller.user, "ExitMemberList": member_list(users)}
        yield _of(group, names.EXITED, body)


def _connected(group: StoredGroup | None, event: str, users: Iterable[str]) -> Iterator[CallbackReport]:
    if group is not None:
        yield _of(group, names.MEMBER_STATE, {"EventType": event, "MemberList": member_list(users)})


def _member_changed(group: StoredGroup | None, user: str, after: Member, caller: Caller) -> Iterator[CallbackReport]:
    before = group.members.get(user) if group is not None else None
    if group is None or before is None:
        return
    changed: Fields = {}
    if after.role != before.role and OWNER not in (after.role, before.role):  # a transfer has its own callback
        changed["Role"] = after.role
    if after.name_card != before.name_card:
        changed["NameCard"] = after.name_card
    if after.muted_until != before.muted_until:
        changed["ShutUpUntil"] = after.muted_until
    if after.custom != before.custom:
        changed["AppMemberDefinedData"] = [{"Key": key, "Value": value} for key, value in after.custom.items()]
    if changed:
        yield _of(group, names.MEMBER_CHANGED, {"Operator_Account": caller.user, "Modified_Account": user, **changed})


def _relations(
    pairs: Mapping[str, Sequence[tuple[str, str]]], caller: Caller, command: str, *, forced: bool
) -> Iterator[CallbackReport]:
    for name, found in pairs.items():
        lane = user_lane(found[0][0])
        if name != names.FRIEND_ADDED:
            items = [{"From_Account": owner, "To_Account": peer} for owner, peer in found]
            yield CallbackReport(lane, name, {"PairList": items})
            continue
        initiator = found[0][0] if caller.admin else caller.user
        body: Fields = {
            "PairList": [{"From_Account": owner, "To_Account": peer, "Initiator_Account": initiator} for owner, peer in found],
            "ClientCmd": command,
            "Admin_Account": caller.user if caller.admin else "",
            "ForceFlag": int(forced),
        }
        yield CallbackReport(lane, name, body)
