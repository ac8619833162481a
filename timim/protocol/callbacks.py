"""The names of Tencent Chat's callbacks, by service, and the reasons why some of them are not made."""

from __future__ import annotations

__all__ = ["BEFORE", "CALLBACKS", "NOT_SERVED"]

STATE = "State.StateChange"
PROFILE = "Profile.CallbackPortraitSet"

BEFORE_ADD_FRIEND = "Sns.CallbackPrevFriendAdd"
BEFORE_ANSWER = "Sns.CallbackPrevFriendResponse"
FRIEND_ADDED = "Sns.CallbackFriendAdd"
FRIEND_DELETED = "Sns.CallbackFriendDelete"
BLOCKED = "Sns.CallbackBlackListAdd"
UNBLOCKED = "Sns.CallbackBlackListDelete"

FOLLOWED = "Follow.CallbackAfterFollowAdd"
UNFOLLOWED = "Follow.CallbackAfterFollowDelete"

BEFORE_C2C = "C2C.CallbackBeforeSendMsg"
AFTER_C2C = "C2C.CallbackAfterSendMsg"
C2C_READ = "C2C.CallbackAfterMsgReport"
C2C_RECALLED = "C2C.CallbackAfterMsgWithDraw"

BEFORE_CREATE = "Group.CallbackBeforeCreateGroup"
CREATED = "Group.CallbackAfterCreateGroup"
BEFORE_JOIN = "Group.CallbackBeforeApplyJoinGroup"
BEFORE_INVITE = "Group.CallbackBeforeInviteJoinGroup"
JOINED = "Group.CallbackAfterNewMemberJoin"
EXITED = "Group.CallbackAfterMemberExit"
BEFORE_GROUP = "Group.CallbackBeforeSendMsg"
AFTER_GROUP = "Group.CallbackAfterSendMsg"
GROUP_REFUSED = "Group.CallbackSendMsgException"
GROUP_FULL = "Group.CallbackAfterGroupFull"
DESTROYED = "Group.CallbackAfterGroupDestroyed"
INFO_CHANGED = "Group.CallbackAfterGroupInfoChanged"
GROUP_RECALLED = "Group.CallbackAfterRecallMsg"
MEMBER_CHANGED = "Group.CallbackAfterMemberFieldChanged"
ATTRIBUTES_CHANGED = "Group.CallbackAfterGroupAttrChanged"
GROUP_READ = "Group.CallbackAfterReadReceipt"
OWNER_CHANGED = "Group.CallbackAfterChangeGroupOwner"
MEMBER_STATE = "Group.CallbackOnMemberStateChange"

BEFORE_CREATE_TOPIC = "Group.CallbackBeforeCreateTopic"
TOPIC_CREATED = "Group.CallbackAfterCreateTopic"
TOPIC_DESTROYED = "Group.CallbackAfterTopicDestroyed"
TOPIC_CHANGED = "Group.CallbackAfterTopicInfoChanged"

BEFORE = frozenset(
    {BEFORE_ADD_FRIEND, BEFORE_ANSWER, BEFORE_C2C, BEFORE_CREATE, BEFORE_JOIN, BEFORE_INVITE, BEFORE_GROUP}
    | {BEFORE_CREATE_TOPIC}
)
AFTER = frozenset(
    {STATE, PROFILE, FRIEND_ADDED, FRIEND_DELETED, BLOCKED, UNBLOCKED, AFTER_C2C, C2C_READ, C2C_RECALLED, CREATED, JOINED}
    | {EXITED, AFTER_GROUP, GROUP_REFUSED, GROUP_FULL, DESTROYED, INFO_CHANGED, GROUP_RECALLED, MEMBER_CHANGED}
    | {ATTRIBUTES_CHANGED, GROUP_READ, OWNER_CHANGED, MEMBER_STATE, FOLLOWED, UNFOLLOWED}
    | {TOPIC_CREATED, TOPIC_DESTROYED, TOPIC_CHANGED}
)
CALLBACKS = BEFORE | AFTER

NOT_SERVED = {
    "Group.CallbackOnDailyGroupQuotaAlarm": "new groups of a day have no quota",
}
