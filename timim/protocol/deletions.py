"""Bodies of deletions that concern one user: messages, histories and conversations, on all devices of the user."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Door, Reply
from .conversation_list import TYPE_C2C
from .numbers import Int, at_most
from .topics import TopicBody

MESSAGES_AT_ONCE = 30
CONVERSATIONS_AT_ONCE = 100


class DeletionItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A deletion in a conversation (timim extension).

    `number` is the last number of the user's log that this item has, and `before` the last number before the item: a device
    that knows another one reads the log.
    """

    number: Int = msgspec.field(name="Number")
    before: Int = msgspec.field(name="Before", default=0)
    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    seqs: list[Int] = msgspec.field(name="Seqs", default_factory=list)  # deleted messages
    cleared_seq: Int = msgspec.field(name="ClearedSeq", default=0)  # all messages up to this seq are deleted
    unlisted_seq: Int = msgspec.field(name="UnlistedSeq", default=0)  # only a later message lists the conversation again


class DeletionReply(Reply):
    """The deletions that a request has made; empty if all was deleted before (timim extension)."""

    deletions: list[DeletionItem] = msgspec.field(name="TimelineDeletions", default_factory=list)


class ClearHistoryRequest(Body, kw_only=True):
    """A conversation whose messages up to now are deleted for the user: `Type` 1 and To_Account, or 2 and ToGroupid."""

    account: str = msgspec.field(name="From_Account", default="")
    type: Int = msgspec.field(name="Type", default=TYPE_C2C)
    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupid", default="")


class DeleteC2CMessagesRequest(Body, kw_only=True):
    """Up to 30 messages with a user, by their MsgKey (`MsgSeq_MsgRandom_MsgTime`) or seq (timim extension)."""

    account: str = msgspec.field(name="From_Account", default="")
    peer: str = msgspec.field(name="To_Account")
    msg_keys: Annotated[list[str], at_most(MESSAGES_AT_ONCE)] = msgspec.field(name="MsgKeyList", default_factory=list)
    seqs: Annotated[list[Int], at_most(MESSAGES_AT_ONCE)] = msgspec.field(name="TimelineSeqs", default_factory=list)


class DeleteC2CMessagesReply(DeletionReply):
    """The deletions, and the keys that name no message of the conversation."""

    invalid_keys: list[str] = msgspec.field(name="InvalidMsgKeyList", default_factory=list)


class DeleteGroupMessagesRequest(TopicBody, kw_only=True):
    """Up to 30 messages of a group or a topic, by their seqs, which the web client sends as text."""

    account: str = msgspec.field(name="Deleter_Account", default="")
    seqs: Annotated[list[Int | str], at_most(MESSAGES_AT_ONCE, least=1)] = msgspec.field(name="Seqs", default_factory=list)


class DeletedContact(msgspec.Struct, kw_only=True):
    """A conversation to delete: `Type` 1 and To_Account, or 2 and ToGroupid."""

    type: Int = msgspec.field(name="Type", default=TYPE_C2C)
    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupid", default="")


class DeleteConversationsRequest(Body, kw_only=True):
    """Conversations that leave the list of the user; `ClearRamble` 1 also deletes their messages up to now."""

    account: str = msgspec.field(name="From_Account", default="")
    items: Annotated[list[DeletedContact], at_most(CONVERSATIONS_AT_ONCE, least=1)] = msgspec.field(
        name="ContactItem", default_factory=list
    )
    clear: Int = msgspec.field(name="ClearRamble", default=0)


class DeletedContactResult(DeletedContact, kw_only=True):
    """The result of a conversation; 0 if it was deleted."""

    code: Int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class DeleteConversationsReply(DeletionReply):
    """The results in the order of the request, and the deletions."""

    items: list[DeletedContactResult] = msgspec.field(name="ResultItem", default_factory=list)


class ListDeletionsRequest(Body):
    """A query for the deletions of this account after a number, oldest first."""

    after: Int = msgspec.field(name="After", default=0)


class ListDeletionsReply(Reply):
    """A page of the log. `complete` is 1 on the last page; `number` is the last number that the page covers."""

    items: list[DeletionItem] = msgspec.field(name="TimelineDeletions", default_factory=list)
    number: Int = msgspec.field(name="Number", default=0)
    complete: Int = msgspec.field(name="CompleteFlag", default=1)


CLEAR_HISTORY = Command("recentcontact.clear_msg", ClearHistoryRequest, DeletionReply)
DELETE_CONVERSATIONS = Command("recentcontact.batch_delete", DeleteConversationsRequest, DeleteConversationsReply)
DELETE_C2C_MESSAGES = Command(
    "openim.delete_c2c_msg_ramble",
    DeleteC2CMessagesRequest,
    DeleteC2CMessagesReply,
    doors=Door.BOTH,
    required=("From_Account",),
    renamed={"From_Account": "Operator_Account", "To_Account": "Peer_Account"},
)
DELETE_GROUP_MESSAGES = Command("group_open_http_svc.delete_group_ramble_msg_by_seq", DeleteGroupMessagesRequest, DeletionReply)
LIST_DELETIONS = Command("timeline.deletions_get", ListDeletionsRequest, ListDeletionsReply)
