"""Permissions in groups: one table that maps a permission and a group type to roles. Pure functions.

Invariant: every command that changes or reads a group checks this table, and the test's matrix is generated from it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from ...errors import AlreadyMember, NoPermission, NotAMember, OwnerCannotQuit
from ..store.base import StoredGroup

OWNER, ADMIN, MEMBER, STRANGER = "Owner", "Admin", "Member", "Stranger"
KINDS: Mapping[str, str] = {  # Tencent's old and new names of a type → the name that the rules use
    "Private": "Work",
    "Work": "Work",
    "Public": "Public",
    "ChatRoom": "Meeting",
    "Meeting": "Meeting",
    "AVChatRoom": "AVChatRoom",
    "Community": "Community",
}
FREE, BY_APPROVAL, CLOSED = "FreeAccess", "NeedPermission", "DisableApply"
JOINING: Mapping[str, str] = {
    "Work": CLOSED,
    "Public": BY_APPROVAL,
    "Meeting": FREE,
    "AVChatRoom": FREE,
    "Community": FREE,
}
JOINING_FIXED = frozenset({"Work", "AVChatRoom"})  # types whose join option cannot be changed
HISTORY_FROM_BEFORE = frozenset({"Meeting"})  # types whose new members see earlier messages


class Permission(enum.Enum):
    """An operation in a group. ASK_IN is a request to the admins to admit another user."""

    READ = "read"
    SPEAK = "speak"
    INVITE = "invite"
    ASK_IN = "ask in"
    APPROVE = "approve"
    KICK = "kick"
    MUTE = "mute"
    CARD = "set another's card"
    EDIT = "edit"
    SET_ADMIN = "set admins"
    TRANSFER = "pass ownership"
    QUIT = "quit"
    DISSOLVE = "dissolve"
    RECALL = "recall others' messages"
    MENTION_ALL = "mention all"
    PIN = "pin messages"
    TOPICS = "create, change or delete topics"


_ROLES = {"O": OWNER, "A": ADMIN, "M": MEMBER}
_COLUMNS = ("Work", "Public", "Meeting", "AVChatRoom", "Community")
_ROWS: Mapping[Permission, tuple[str, str, str, str, str]] = {
    #               Work   Public Meeting AVChatRoom Community
    Permission.READ: ("OM", "OAM", "OAM", "OM", "OAM"),
    Permission.SPEAK: ("OM", "OAM", "OAM", "OM", "OAM"),
    Permission.INVITE: ("OM", "OA", "OAM", "", "OAM"),
    Permission.ASK_IN: ("", "M", "", "", ""),
    Permission.APPROVE: ("", "OA", "OA", "", "OA"),
    Permission.KICK: ("O", "OA", "OA", "", "OA"),
    Permission.MUTE: ("", "OA", "OA", "O", "OA"),
    Permission.CARD: ("O", "OA", "OA", "", "OA"),
    Permission.EDIT: ("OM", "OA", "OA", "O", "OA"),
    Permission.SET_ADMIN: ("", "O", "O", "", "O"),
    Permission.TRANSFER: ("O", "O", "O", "", "O"),
    Permission.QUIT: ("OM", "AM", "AM", "M", "AM"),
    Permission.DISSOLVE: ("", "O", "O", "O", "O"),
    Permission.RECALL: ("O", "OA", "OA", "O", "OA"),
    Permission.MENTION_ALL: ("O", "OA", "OA", "O", "OA"),
    Permission.PIN: ("O", "OA", "OA", "O", "OA"),
    Permission.TOPICS: ("", "", "", "", "OA"),
}
PERMISSIONS: Mapping[tuple[Permission, str], frozenset[str]] = {
    (act, kind): frozenset(_ROLES[letter] for letter in letters)
    for act, row in _ROWS.items()
    for kind, letters in zip(_COLUMNS, row, strict=True)
}


def is_allowed(role: str, type: str, act: Permission) -> bool:
    """Return True if a role has a permission in groups of this type."""
    return role in PERMISSIONS[act, KINDS.get(type, type)]


def role_of(group: StoredGroup, user: str) -> str:
    """Return the role of a user: Owner, Admin, Member or Stranger."""
    member = group.members.get(user)
    return member.role if member is not None else STRANGER


def require(group: StoredGroup, user: str, act: Permission) -> None:
    """Check that a user has a permission in a group. Raises NotAMember, OwnerCannotQuit (10009) or NoPermission (10007)."""
    role = role_of(group, user)
    if role == STRANGER:
        raise NotAMember(f"{user!r} is not in group {group.group_id!r}")
    if not is_allowed(role, group.type, act):
        if act is Permission.QUIT and role == OWNER:
            text = f"the owner of a {group.type} group cannot quit; transfer the ownership, or dissolve the group"
            raise OwnerCannotQuit(text)
        raise NoPermission(f"{user!r} may not {act.value} in a {group.type} group as {role}")


def require_over(group: StoredGroup, user: str, act: Permission, target: str) -> None:
    """Check that a user has a permission over another member.

    No member has a permission over the owner, and no admin over another admin.

    Raises:
        NotAMember: The user is not a member of the group.
        NoPermission: The user has no such permission over `target` (10007).
    """
    require(group, user, act)
    if target == user:
        raise NoPermission(f"{user!r} may not {act.value} on their own account")
    mine, theirs = role_of(group, user), role_of(group, target)
    if theirs == OWNER or (theirs == ADMIN and mine != OWNER):
        raise NoPermission(f"{user!r} may not {act.value} as {mine}: {target!r} is {theirs}")


def is_live(group: StoredGroup) -> bool:
    """Return True for a live room: an AVChatRoom, whose members go when their connections end."""
    return group.type == "AVChatRoom"


def require_not_banned(group: StoredGroup, user: str, now: int) -> None:
    """Check that a user is not banned from a live room. Raises NoPermission (10007)."""
    if (until := group.bans.get(user, 0)) > now:
        raise NoPermission(f"{user!r} is banned from group {group.group_id!r} for {until - now} more seconds")


def join_option(group: StoredGroup) -> str:
    """Return the group's option for users who want to join: FreeAccess, NeedPermission or DisableApply."""
    kind = KINDS[group.type]
    return JOINING[kind] if kind in JOINING_FIXED else group.apply_option or JOINING[kind]


def require_joinable(group: StoredGroup, user: str) -> str:
    """Return `join_option(group)` if the user may apply. Raises AlreadyMember (10013), NoPermission (10007)."""
    if user in group.members:
        raise AlreadyMember(f"{user!r} is already a member of group {group.group_id!r}")
    how = join_option(group)
    if how == CLOSED:
        raise NoPermission(f"group {group.group_id!r} accepts no applications; ask a member for an invitation")
    return how
