"""Events of actions and receipts for Tencent's clients; timim clients receive the entries.

The entry of an action has a seq like a message. A client that does not support actions receives these events instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..elem_base import RelationType
from ..ids import community_of
from . import session
from .conversation_list import TYPE_C2C, TYPE_GROUP, ConversationName
from .do_not_disturb import DoNotDisturbNotice
from .entries import HAS_TOPICS, EntryAction, EntryPayload, MessageActionKind, Reaction
from .follows import FollowNotice
from .group_state import Counter
from .labels import ConversationGroup, LabelsItem
from .message_extensions import ExtensionChange, ExtensionItem
from .notices import FriendApplicationItem
from .reactions import SHOWN_USERS, summary_of
from .statuses import StatusItem

_encode = msgspec.json.Encoder().encode
_EVENT_GROUP_STATE = 6  # of GroupTips
_EVENT_C2C_RECEIPT = 16
_EVENT_RECALL = 20  # of the messages that a guest reads
_EVENT_DO_NOT_DISTURB = 24
_PINNED, _UNPINNED = 16, 17
_TOPIC_CREATED, _TOPICS_DELETED, _MSG_FLAG = 17, 18, 20  # ReportType


def recall_event(target: EntryPayload, *, seq: int, time: int, recaller: str) -> msgspec.Raw:
    """Return the event for the recall of a message."""
    if target.to_group_id:
        return _raw(
            {
                "Event": session.EVENT_GROUP_NOTICE,
                "GroupTips": [_recall_tip(target, seq, time, recaller, "GroupWithdrawInfoArray")],
            }
        )
    info = _recall(target, target.msg_seq, time, recaller) | {"To_Account": target.to_account}
    notice = {"WithdrawC2cMsgNotify": {"C2cWithdrawInfoArray": [info]}}
    return _raw({"Event": session.EVENT_C2C_NOTICE, "C2cNotifyMsgArray": [notice]})


def guest_recall_event(target: EntryPayload, *, seq: int, time: int, recaller: str) -> msgspec.Raw:
    """Return the recall of a group message as guests of a live room read it among the messages."""
    return _raw({"Event": _EVENT_RECALL, **_recall_tip(target, seq, time, recaller, "RevokeMsgList")})


def _recall_tip(target: EntryPayload, seq: int, time: int, recaller: str, member: str) -> dict[str, Any]:
    info = _recall(target, seq, time, recaller) | _group(target.to_group_id)
    return {
        "ToGroupId": target.to_group_id,
        "MsgBody": {member: [info]},
        "RevokerInfo": {"Revoker_Account": recaller},
        "GroupInfo": _group(target.to_group_id),
    }


def _recall(target: EntryPayload, seq: int, time: int, recaller: str) -> dict[str, Any]:
    return {
        "From_Account": target.from_account,
        "MsgSeq": seq,
        "MsgRandom": target.msg_random,
        "MsgTimeStamp": time,
        "MsgClientTime": target.client_time,
        "TinyId": target.tiny_id,
        "RevokerInfo": {"Revoker_Account": recaller},
    }


def edit_event(target: EntryPayload, *, seq: int, time: int) -> msgspec.Raw:
    """Return the event for the edit of a message."""
    fields: dict[str, Any] = {
        "From_Account": target.from_account,
        "MsgSeq": seq if target.to_group_id else target.msg_seq,
        "MsgRandom": target.msg_random,
        "MsgTimeStamp": time,
        "MsgVersion": target.version,
        "MsgBody": target.msg_body,
        "CloudCustomData": target.cloud_custom_data,
    }
    if target.to_group_id:
        return _raw({"Event": session.EVENT_MESSAGE_ACTION, "GroupMsgModNotifys": [fields | _group(target.to_group_id)]})
    return _raw({"Event": session.EVENT_MESSAGE_ACTION, "C2cMsgModNotifys": [fields | {"To_Account": target.to_account}]})


def action_event(act: EntryAction, target: EntryPayload, *, seq: int, time: int, actor: str) -> msgspec.Raw | None:
    """Return the event for an action, or None if Tencent's protocol has no event for the action."""
    match act.kind:
        case MessageActionKind.RECALL:
            return recall_event(target, seq=seq, time=time, recaller=actor)
        case MessageActionKind.EDIT:
            return edit_event(target, seq=seq, time=time)
        case MessageActionKind.REACT:
            return reaction_event(act, target)
        case _:
            return None


def reaction_event(act: EntryAction, target: EntryPayload) -> msgspec.Raw:
    """Return the event that the users of a reaction to a message have changed."""
    now = next((one for one in act.reactions if one.reaction == act.reaction), Reaction(reaction=act.reaction))
    notice = message_name(target) | {"MsgReactionSummary": [summary_of(now, SHOWN_USERS)]}
    return _raw({"Event": session.EVENT_MESSAGE_ACTION, "MsgReactionNotifyList": [notice]})


def own_reaction_event(act: EntryAction, target: EntryPayload) -> msgspec.Raw:
    """Return the event that this account has added or removed a reaction on another device."""
    notice = message_name(target) | {"Reaction": act.reaction, "OperateType": 2 if act.removed else 1}
    return _raw({"Event": session.EVENT_MESSAGE_ACTION, "MsgReactionNotify": notice})


def extensions_event(target: EntryPayload, kind: ExtensionChange, items: Sequence[ExtensionItem], latest: int) -> msgspec.Raw:
    """Return the event that extensions of a message were set or deleted; all up to `latest` if the kind is CLEAR."""
    name = {"MsgClientTime": target.client_time, "MsgRandom": target.msg_random}
    changed: dict[str, Any] = {"ClearMsgSeq": latest} if kind is ExtensionChange.CLEAR else {"MsgKeyValue": items}
    field = {ExtensionChange.SET: "SetKVInfo", ExtensionChange.DELETE: "DeleteKVInfo", ExtensionChange.CLEAR: "ClearKVInfo"}
    notice = {
        "ExtensionGroupMsgInfo" if target.to_group_id else "ExtensionC2cMsgInfo": name,
        "TinyId": target.tiny_id,
        "MsgOptType": int(kind),
        field[kind]: [changed],
        "MsgLastSeq": latest,
    }
    return _raw({"Event": session.EVENT_EXTENSIONS, "MsgExtensionNotify": notice})


def own_application_event(user: str, item: FriendApplicationItem) -> msgspec.Raw:
    """Return the event that this account has applied to become a friend."""
    change = {"PushType": int(RelationType.APPLICATION_ADDED), "From_Account": user, "PendencyAdd": [item]}
    return _raw({"Event": session.EVENT_RELATION, "FriendListMod": [change]})


def message_name(target: EntryPayload) -> dict[str, Any]:
    """Return the name of a message in events of reactions: the numbers from which the web client makes its id."""
    name = {"TinyId": target.tiny_id, "MsgClientTime": target.client_time, "MsgRandom": target.msg_random}
    return {"GroupMsgInfo" if target.to_group_id else "C2CMsgInfo": name}


def peer_read_event(peer: str, time: int) -> msgspec.Raw:
    """Return the event that a peer has read all messages up to a time."""
    receipt = {"C2cReadedReceipt": {"To_Account": peer, "UinPairReadArray": [{"LastReadTime": time}]}}
    return _raw({"Event": session.EVENT_C2C_NOTICE, "C2cNotifyMsgArray": [receipt]})


def c2c_read_event(peer: str, time: int) -> msgspec.Raw:
    """Return the event that this account has read a conversation on another device."""
    notice = {"ReadC2cMsgNotify": {"UinPairReadArray": [{"From_Account": peer, "LastReadTime": time}]}}
    return _raw({"Event": session.EVENT_C2C_NOTICE, "C2cNotifyMsgArray": [notice]})


def group_read_event(group_id: str, seq: int) -> msgspec.Raw:
    """Return the event that this account has read a group's messages on another device."""
    body = {"GroupReadInfoArray": [_group(group_id) | {"LastReadMsgSeq": seq}]}
    tip = {"ToGroupId": group_id, "MsgBody": body, "GroupInfo": _group(group_id)}
    return _raw({"Event": session.EVENT_GROUP_NOTICE, "GroupTips": [tip]})


def group_state_event(group_id: str, body: dict[str, Any]) -> msgspec.Raw:
    """Return an event of a group's state, which is no entry of its timeline."""
    return _raw(
        {
            "Event": _EVENT_GROUP_STATE,
            "GroupTips": [{"ToGroupId": group_id, "MsgBody": body, "GroupInfo": _group(group_id)}],
        }
    )


def counters_event(group_id: str, counters: list[Counter], seq: int) -> msgspec.Raw:
    """Return the event that counters of a group have new values."""
    info = {"Type": 0, "GroupCounterSeq": seq, "GroupCounter": counters}
    return group_state_event(group_id, {"GroupCounterInfo": [info]})


def attributes_event(group_id: str, seq: int) -> msgspec.Raw:
    """Return the event that attributes of a group have changed; the client reads them again."""
    option = {"AttrMainSeq": seq, "PushChangedAttrValFlag": 0, "OpType": 1}
    return group_state_event(group_id, {"MsgGroupNewInfo": {"GroupAttrOption": option}})


def group_pin_event(target: EntryPayload, entry: msgspec.Raw, *, seq: int, time: int, user: str, pinned: bool) -> msgspec.Raw:
    """Return the event that a message of a group was pinned or unpinned for all members."""
    body: dict[str, Any] = {"OpType": _PINNED if pinned else _UNPINNED, "MsgOperatorMemberExtraInfo": {"UserId": user}}
    if pinned:
        body["PinnedMsg"] = entry
    else:
        body["SdkGroupMessageId"] = {
            "MsgClientTime": target.client_time,
            "MsgRandom": target.msg_random,
            "SenderTinyId": target.tiny_id,
            "ServerTime": time,
            "MsgSeq": seq,
        }
    return group_state_event(target.to_group_id, body)


def group_receipt_event(target: EntryPayload, notice: session.ReceiptNotice) -> msgspec.Raw:
    """Return the event that members have read a message of a group."""
    counts = {"MsgSeq": notice.seq, "ReadNum": notice.readers, "UnreadNum": notice.others}
    name = {"TinyId": target.tiny_id, "MsgClientTime": target.client_time, "MsgRandom": target.msg_random}
    body = {"GroupMsgReceiptList": [name | counts]}
    tip = {"ToGroupId": notice.group_id, "MsgBody": body, "GroupInfo": {"GroupId": notice.group_id}}
    return _raw({"Event": session.EVENT_GROUP_NOTICE, "GroupTips": [tip]})


def c2c_receipt_event(target: EntryPayload, reader: str, time: int) -> msgspec.Raw:
    """Return the event that a user has read a C2C message which requested a receipt."""
    name = {"TinyId": target.tiny_id, "MsgClientTime": target.client_time, "MsgRandom": target.msg_random}
    return _raw({"Event": _EVENT_C2C_RECEIPT, "Peer_Account": reader, "PeerReadTime": time, "C2cMsgInfo": [name]})


def follow_event(notice: FollowNotice, *, nick: str, face_url: str) -> msgspec.Raw:
    """Return the event that a user, with this profile, was added to a list of followers or followed users, or removed."""
    change = {
        "From_Account": notice.account,
        "From_AccountNick": nick,
        "From_AccountHeadurl": face_url,
        "FollowDiffList": [{"IsAdd": notice.added, "FollowType": notice.list}],
    }
    return _raw({"Event": session.EVENT_FOLLOW, "FollowChangeList": [change]})


def topic_created_event(group_id: str, topic_id: str) -> msgspec.Raw:
    """Return the event that a topic was created in a Community."""
    return _notice_event(group_id, _group(topic_id), {"ReportType": _TOPIC_CREATED})


def topics_deleted_event(group_id: str, topic_ids: Sequence[str]) -> msgspec.Raw:
    """Return the event that topics of a Community were deleted."""
    about = {"GroupId": group_id, "MillionGroupFlag": HAS_TOPICS}
    return _notice_event(group_id, about, {"ReportType": _TOPICS_DELETED, "TopicIdArray": topic_ids})


def msg_flag_event(group_id: str, flag: str) -> msgspec.Raw:
    """Return the event that this account has muted or unmuted a group or a topic on another device."""
    return _notice_event(group_id, _group(group_id), {"ReportType": _MSG_FLAG, "MsgFlag": flag})


def _notice_event(group_id: str, about: dict[str, Any], body: dict[str, Any]) -> msgspec.Raw:
    tip = {"ToGroupId": group_id, "GroupInfo": about, "MsgBody": body}
    return _raw({"Event": session.EVENT_GROUP_NOTICE, "GroupTips": [tip]})


def _group(group_id: str) -> dict[str, Any]:
    """Return the members that name a group, or a topic and its Community."""
    if not (community := community_of(group_id)):
        return {"GroupId": group_id}
    return {"GroupId": community, "TopicId": group_id, "MillionGroupFlag": HAS_TOPICS}


def status_event(item: StatusItem) -> msgspec.Raw:
    """Return the event that the status of a user has changed: of this account, or of one that it watches."""
    return _raw({"Event": session.EVENT_STATUS, "UserStatusList": [item]})


def pin_event(item: dict[str, Any], *, pinned: bool) -> msgspec.Raw:
    """Return the event that this account has pinned or unpinned a conversation on another device."""
    change = {"PushType": 2 if pinned else 3, "RecentContactTopItem": {"RecentContactList": [item]}}
    return _raw({"Event": session.EVENT_CONVERSATION_SETTINGS, "RecentContactMod": [change]})


def conversation_deleted_event(peer: str, group_id: str) -> msgspec.Raw:
    """Return the event that this account has deleted a conversation on another device."""
    name = ConversationName(type=TYPE_GROUP if group_id else TYPE_C2C, to_account=peer, group_id=group_id)
    return _contacts_event(1, {"RecentContactDeleteItem": {"RecentContactList": [_contact(name)]}})


def marks_event(items: list[LabelsItem]) -> msgspec.Raw:
    """Return the event that this account has changed marks or custom data of conversations on another device."""
    changed = [
        {"RecentContactItem": _contact(one), "OptType": 3, "StandardMark": one.marks, "CustomMark": one.custom} for one in items
    ]
    return _contacts_event(4, {"RecentContactMarkContact": {"RecentContactMarkContactItem": changed}})


def conversation_group_created_event(group: ConversationGroup, inside: list[ConversationName]) -> msgspec.Raw:
    """Return the event that this account has created a conversation group on another device."""
    item = {"MsgGroupItem": group, "MsgRecentContactItem": [_contact(one) for one in inside]}
    return _contacts_event(5, {"RecentContactCreateContactGroup": {"MsgContactGroupContactItem": [item]}})


def conversation_group_deleted_event(group: ConversationGroup) -> msgspec.Raw:
    """Return the event that this account has deleted a conversation group on another device."""
    return _contacts_event(6, {"RecentContactDelContactGroup": {"MsgGroupItem": [group]}})


def conversation_group_renamed_event(group: ConversationGroup, old: str) -> msgspec.Raw:
    """Return the event that this account has renamed a conversation group on another device."""
    change = {"UpdateGroupType": 1, "GroupId": group.number, "GroupName": group.name, "OldGroupName": old}
    return _contacts_event(7, {"RecentContactUpdateContactGroup": {"UpdateType": 1, "MsgUpdateGroup": change}})


def conversation_group_filled_event(group: ConversationGroup, changes: list[tuple[int, ConversationName]]) -> msgspec.Raw:
    """Return the event that this account has put conversations into a group (1), or taken them out (2), on another device."""
    items = [{"ContactOptType": operation, "RecentContactItem": _contact(one)} for operation, one in changes]
    change = {
        "UpdateGroupType": 2,
        "GroupId": group.number,
        "GroupName": group.name,
        "OldGroupName": group.name,
        "RecentContactUpdateGroupItem": items,
    }
    return _contacts_event(7, {"RecentContactUpdateContactGroup": {"UpdateType": 1, "MsgUpdateGroup": change}})


def do_not_disturb_event(notice: DoNotDisturbNotice) -> msgspec.Raw:
    """Return the event that this account has changed its time without offline pushes on another device."""
    return _raw({"Event": _EVENT_DO_NOT_DISTURB} | msgspec.to_builtins(notice))


def _contact(name: ConversationName) -> dict[str, Any]:
    """Return a conversation as the web client reads it in events."""
    if name.group_id:
        return {"Type": TYPE_GROUP, "GroupId": name.group_id, "ToGroupId": name.group_id}
    return {"Type": TYPE_C2C, "To_Account": name.to_account, "UserId": name.to_account}


def _contacts_event(kind: int, change: dict[str, Any]) -> msgspec.Raw:
    return _raw({"Event": session.EVENT_CONVERSATION_SETTINGS, "RecentContactMod": [{"PushType": kind} | change]})


def _raw(event: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(_encode(event))


def kick_event(kick: session.KickNotice) -> msgspec.Raw:
    """Return the event that the server ends a session, as a member of C2cNotifyMsgArray."""
    return _raw({"SubMsgType": session.SUB_KICKED, "KickoutMsgNotify": kick})
