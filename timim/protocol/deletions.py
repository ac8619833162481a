"""Bodies of deletions that concern one user: messages, histories and conversations, on all devices of the user."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply
from .conversation_list import TYPE_C2C
from .numbers import Int

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


class ListDeletionsRequest(Body):
    """A query for the deletions of this account after a number, oldest first."""

    after: Int = msgspec.field(name="After", default=0)


class ListDeletionsReply(Reply):
    """A page of the log. `complete` is 1 on the last page; `number` is the last number that the page covers."""

    items: list[DeletionItem] = msgspec.field(name="TimelineDeletions", default_factory=list)
    number: Int = msgspec.field(name="Number", default=0)
    complete: Int = msgspec.field(name="CompleteFlag", default=1)


CLEAR_HISTORY = Command("recentcontact.clear_msg", ClearHistoryRequest, DeletionReply)
LIST_DELETIONS = Command("timeline.deletions_get", ListDeletionsRequest, ListDeletionsReply)
