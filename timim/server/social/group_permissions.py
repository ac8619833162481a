"""Who may do what in a group: one table of act × type of group → roles. Pure.

Invariant: every command that changes or reads a group asks this table, and the test's matrix is made from it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from ...errors import AlreadyMember, NoPermission, NotAMember, OwnerCannotQuit
from ..store.base import StoredGroup

OWNER, ADMIN, MEMBER, STRANGER = "Owner", "Admin", "Member", "Stranger"
KINDS: Mapping[str, str] = {  # TIM's names of a type, old and new, and the one that the rules use
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
JOINING_FIXED = frozenset({"Work", "AVChatRoom"})  # the type itself says how one comes in
HISTORY_FROM_BEFORE = frozenset({"Meeting"})  # who joins reads what was said before


class Permission(enum.Enum):
    """What one does in a group. ASK_IN: ask the admins to let somebody in."""

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
}
PERMISSIONS: Mapping[tuple[Permission, str], frozenset[str]] = {
    (act, kind): frozenset(_ROLES[letter] for letter in letters)
    for act, row in _ROWS.items()
    for kind, letters in zip(_COLUMNS, row, strict=True)
}


def is_allowed(role: str, type: str, act: Permission) -> bool:
    """Whether a role may do this in a group of this type."""
    return role in PERMISSIONS[act, KINDS.get(type, type)]


def role_of(group: StoredGroup, user: str) -> str:
    """Owner, Admin, Member or Stranger."""
    member = group.members.get(user)
    return member.role if member is not None else STRANGER


def require(group: StoredGroup, user: str, act: Permission) -> None:
    """Require a permission. Raises NotAMember, OwnerCannotQuit (10009) or NoPermission (10007)."""
    role = role_of(group, user)
    if role == STRANGER:
        raise NotAMember(f"{user!r} is not in group {group.group_id!r}")
    if not is_allowed(role, group.type, act):
        if act is Permission.QUIT and role == OWNER:
            raise OwnerCannotQuit(f"the owner of a {group.type} group cannot quit: pass it on, or dissolve it")
        raise NoPermission(f"{user!r} is {role} of a {group.type} group, and may not {act.value} there")


def require_over(group: StoredGroup, user: str, act: Permission, target: str) -> None:
    """Require a permission over another member: nobody has one over the owner, nor an admin over admins."""
    require(group, user, act)
    if target == user:
        raise NoPermission(f"{user!r} may not {act.value} on itself")
    mine, theirs = role_of(group, user), role_of(group, target)
    if theirs == OWNER or (theirs == ADMIN and mine != OWNER):
        raise NoPermission(f"{user!r} is {mine}, and may not {act.value} the {theirs} {target!r}")


def join_option(group: StoredGroup) -> str:
    """How one comes in by itself: FreeAccess, NeedPermission or DisableApply."""
    kind = KINDS[group.type]
    return JOINING[kind] if kind in JOINING_FIXED else group.apply_option or JOINING[kind]


def require_joinable(group: StoredGroup, user: str) -> str:
    """`joining(group)` for who may try. Raises AlreadyMember (10013), NoPermission (10007)."""
    if user in group.members:
        raise AlreadyMember(f"{user!r} is in group {group.group_id!r} already")
    how = join_option(group)
    if how == CLOSED:
        raise NoPermission(f"nobody joins group {group.group_id!r} by itself: ask a member to invite you")
    return how
