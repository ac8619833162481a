"""Rules of live rooms (AVChatRooms): members without a connection, bans and marks. Pure functions, without await."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ...elem_base import GroupNoticeType, GroupTipType
from ...errors import LimitReached, NoPermission
from ...protocol import notices as wire
from ..store import mutations as ch
from ..store.base import StoredGroup
from .changesets import Changeset, group_notice, tip
from .group_permissions import OWNER, Permission, is_live, require, require_over, role_of
from .group_rules import Actor, removal

BANS_LIMIT = 1000  # of one room
MARKED_LIMIT = 1000  # members of one room
MARKS_LIMIT = 10  # of one member


def disconnected(actor: Actor, group: StoredGroup, users: Iterable[str]) -> Changeset:
    """Remove members of a live room who have no connection any more, except its owner. `actor` is one of them."""
    gone = [user for user in users if user in group.members and group.members[user].role != OWNER]
    changeset = Changeset(by_connection=True)
    if gone:
        changeset.change(*removal(group, gone))
        content = wire.GroupTipContent(op_type=GroupTipType.QUIT, users=gone)
        changeset.notify(tip(group, actor.account, content, len(group.members) - len(gone)))
    return changeset


def banned(actor: Actor, group: StoredGroup, users: Iterable[str], ban_s: int, reason: str) -> Changeset:
    """Ban users from a live room, and remove those who are in it.

    Raises:
        NotAMember: The user who bans is not in the room.
        NoPermission: The group is no live room, this user does not own it, or a user to ban owns it.
        LimitReached: The room has too many bans.
    """
    users = list(dict.fromkeys(users))
    _require_owner(actor, group)
    for user in users:
        if not actor.admin:
            require_over(group, actor.user, Permission.MUTE, user)
        elif role_of(group, user) == OWNER:
            raise NoPermission(f"{user!r} owns the group, and cannot be banned from it")
    bans = _valid(group, actor.now) | dict.fromkeys(users, actor.now + ban_s)
    if len(bans) > BANS_LIMIT:
        raise LimitReached(f"the live room would have {len(bans)} bans; the limit is {BANS_LIMIT}; end some first", code=10014)
    gone = [user for user in users if user in group.members]
    marks = {user: numbers for user, numbers in group.marks.items() if user not in gone}
    after = replace(group, bans=bans, marks=marks)
    changeset = Changeset([ch.SetGroup(after)])
    if gone:
        changeset.change(*removal(after, gone))
        content = wire.GroupTipContent(op_type=GroupTipType.KICK, users=gone, reason=reason)
        changeset.notify(tip(group, actor.account, content, len(group.members) - len(gone)))
        changeset.notify(*(group_notice(user, group, actor.user, GroupNoticeType.BANNED, remark=reason) for user in gone))
    return changeset


def unbanned(actor: Actor, group: StoredGroup, users: Iterable[str]) -> Changeset:
    """End bans. Users who are not banned are ignored. Raises NotAMember, NoPermission."""
    _require_owner(actor, group)
    bans = _valid(group, actor.now)
    for user in users:
        bans.pop(user, None)
    return Changeset([ch.SetGroup(replace(group, bans=bans))] if bans != group.bans else [])


def marked(actor: Actor, group: StoredGroup, wanted: Mapping[str, Sequence[int]], *, clear: bool) -> Changeset:
    """Set or clear marks of members. Users who are not in the room are ignored.

    Raises:
        NotAMember: The user who marks is not in the room.
        NoPermission: The group is no live room, or this user does not own it.
        LimitReached: A member would have too many marks, or the room too many marked members.
    """
    _require_owner(actor, group)
    after = dict(group.marks)
    for user, marks in wanted.items():
        if user in group.members:
            known = set(after.pop(user, ()))
            if numbers := known.difference(marks) if clear else known.union(marks):
                after[user] = sorted(numbers)
            if len(numbers) > MARKS_LIMIT:
                raise LimitReached(f"{user!r} would have {len(numbers)} marks; the limit is {MARKS_LIMIT}", code=10014)
    if len(after) > MARKED_LIMIT:
        raise LimitReached(f"{len(after)} members would have marks; the limit is {MARKED_LIMIT}; clear some first", code=10014)
    return Changeset([ch.SetGroup(replace(group, marks=after))] if after != group.marks else [])


def _require_owner(actor: Actor, group: StoredGroup) -> None:
    if not is_live(group):
        raise NoPermission(f"group {group.group_id!r} is a {group.type} group; only an AVChatRoom has bans and marks")
    if not actor.admin:
        require(group, actor.user, Permission.MUTE)


def _valid(group: StoredGroup, now: int) -> dict[str, int]:
    return {user: until for user, until in group.bans.items() if until > now}
