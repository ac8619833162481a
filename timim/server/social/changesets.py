"""Changesets: row changes, and the notices that inform users of them.

Pure. The rules (group_rules.py, friend_rules.py) decide a changeset; apply.py stores it in one transaction and pushes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from ...elem_base import GroupNoticeType
from ...protocol import notices as wire
from ...protocol import session
from ...protocol.codec import encode
from ...protocol.entries import HAS_TOPICS, EntryGroupInfo, EntryPayload, encode_payload
from ..store.base import Change, StoredAccount, StoredGroup, group_timeline, system_timeline


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that becomes an entry. `kind` is the Event number of its push.

    The recipient is `user`, or everyone who is a member of `group` when the notice is published.
    """

    timeline: str
    sender: str
    kind: int
    tail: bytes
    content: bytes
    body: bytes
    user: str = ""
    group: StoredGroup | None = None

    def recipients(self, seq: int) -> Iterable[str]:
        """Return the users who get the notice with this seq."""
        return (self.user,) if self.group is None else users_who_see(self.group, seq)


def users_who_see(group: StoredGroup, seq: int) -> Iterable[str]:
    """Return the members who may see this seq. Newer members do not get earlier messages, except those of a topic."""
    if group.topic is not None:
        return tuple(group.members)
    return (user for user, member in group.members.items() if member.floor <= seq)


def group_facts(group: StoredGroup) -> EntryGroupInfo:
    """Return the facts about a group, or about a topic and its Community, that an entry has."""
    facts = EntryGroupInfo(group_id=group.community_id, group_name=group.name, group_type=group.type)
    if group.topic is not None:
        facts.topic_id = group.group_id
    facts.topics_flag = HAS_TOPICS if group.has_topics else 0
    return facts


@dataclass(slots=True)
class Changeset:
    """Row changes, and the notices that are appended after them, both in order.

    Attributes:
        changes: The changes.
        notices: The notices.
        unreported: The changes cause no callbacks, as those of an import.
        forced: A friendship was made without asking the other user.
        by_connection: Members of a live room come and go because their connections begin and end.
    """

    changes: list[Change] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    unreported: bool = False
    forced: bool = False
    by_connection: bool = False

    def change(self, *changes: Change) -> None:
        self.changes.extend(changes)

    def notify(self, *notices: Notice) -> None:
        self.notices.extend(notices)


def tip(group: StoredGroup, operator: StoredAccount, content: wire.GroupTipContent, member_num: int) -> Notice:
    """Build the tip for a change of a group. Its recipients are the members at the time of publishing."""
    member = group.members.get(operator.user_id)
    content.operator, content.member_num = operator.user_id, member_num
    facts = group_facts(group)
    facts.nick, facts.face_url = operator.nickname, operator.face_url
    if member is not None:
        facts.name_card, facts.role, facts.member_custom = member.name_card, member.role, member.custom
    body, packed = _packed(wire.TIP, content)
    tail = EntryPayload(
        from_account=operator.user_id,
        to_group_id=group.group_id,
        tiny_id=str(operator.tiny_id),
        nick=operator.nickname,
        face_url=operator.face_url,
        custom=operator.custom,
        group=facts,
        msg_body=msgspec.Raw(body),
    )
    return Notice(
        group_timeline(group.group_id),
        operator.user_id,
        session.EVENT_GROUP_TIP,
        encode_payload(tail),
        packed,
        body,
        group=group,
    )


def group_notice(
    user: str,
    group: StoredGroup,
    operator: str,
    report_type: GroupNoticeType,
    *,
    remark: str = "",
    msg_key: int = 0,
    user_field: str = "",
    users: Sequence[str] = (),
) -> Notice:
    """Build a notice about a group for one user's system timeline. The arguments are fields of wire.GroupNoticeContent."""
    content = wire.GroupNoticeContent(
        report_type=report_type,
        group_id=group.community_id,
        group_name=group.name,
        operator=operator,
        remark=remark,
        msg_key=msg_key,
        user_field=user_field,
        users=list(users),
    )
    facts = group_facts(group)
    body, packed = _packed(wire.GROUP_NOTICE, content)
    return _to(user, session.EVENT_GROUP_NOTICE, body, packed, group=facts, group_id=group.community_id)


def relation(user: str, content: wire.RelationContent) -> Notice:
    """Build a notice of changed relationships, or of a friend's profile, for one user's system timeline."""
    body, packed = _packed(wire.RELATION, content)
    kind = session.EVENT_PROFILE if content.profile else session.EVENT_RELATION
    return _to(user, kind, body, packed)


def _to(
    user: str,
    kind: int,
    body: bytes,
    packed: bytes,
    group: EntryGroupInfo | msgspec.UnsetType = msgspec.UNSET,
    group_id: str = "",
) -> Notice:
    tail = EntryPayload(
        from_account=wire.SYSTEM_ACCOUNT,
        to_account=user,
        to_group_id=group_id,
        group=group,
        msg_body=msgspec.Raw(body),
    )
    packed_tail = encode_payload(tail)
    return Notice(system_timeline(user), wire.SYSTEM_ACCOUNT, kind, packed_tail, packed, body, user=user)


def _packed(msg_type: str, content: msgspec.Struct) -> tuple[bytes, bytes]:
    packed = encode(content)
    return wire.server_elem_body(msg_type, packed), packed
