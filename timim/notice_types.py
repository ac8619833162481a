"""What the server's own messages tell, by TIM's numbers. A number that is not here is one of a later version."""

from __future__ import annotations

import enum


class GroupTipType(enum.IntEnum):
    """What a tip tells, by TIM's OpType."""

    JOIN = 1
    QUIT = 2
    KICK = 3
    ADMIN_SET = 4
    ADMIN_CANCELLED = 5
    GROUP_INFO = 6
    MEMBER_INFO = 7


class GroupNoticeType(enum.IntEnum):
    """What a notice tells, by TIM's ReportType."""

    APPLIED = 1
    ACCEPTED = 2
    REFUSED = 3
    KICKED = 4
    DISSOLVED = 5
    CREATED = 6
    INVITED = 7
    QUIT = 8
    ADMIN_SET = 9
    ADMIN_CANCELLED = 10
    RECYCLED = 11
    INVITE_REQUESTED = 12
    INVITE_ACCEPTED = 13
    INVITE_REFUSED = 14
    READ_SYNC = 15
    CUSTOM = 255


class RelationType(enum.IntEnum):
    """What changed among relations, by TIM's PushType; FRIEND_CHANGED (remark, friend groups) is timim's own."""

    FRIEND_ADDED = 1
    FRIEND_DELETED = 2
    APPLICATION_ADDED = 3
    APPLICATION_DELETED = 4
    BLACKLIST_ADDED = 5
    BLACKLIST_DELETED = 6
    APPLICATIONS_READ = 7
    PROFILE = 8
    FRIEND_CHANGED = 9
