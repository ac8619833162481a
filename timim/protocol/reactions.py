"""Bodies of reactions in Tencent's form (`openim_msg_ext_http_svc`). timim's own client sends `timeline.react`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .codec import Body, Command, Reply
from .entries import Reaction
from .numbers import Int
from .topics import TopicBody

SERVICE = "openim_msg_ext_http_svc"
SHOWN_USERS = 10  # of a reaction in a summary; the others are listed by `*_iterate`


class MessageOfTwo(Body, kw_only=True):
    """A C2C message by its sender, its receiver and its `MsgKey`, `{MsgSeq}_{MsgRandom}_{MsgTime}`."""

    from_account: str = msgspec.field(name="From_Account", default="")
    to_account: str = msgspec.field(name="To_Account", default="")
    msg_key: str = msgspec.field(name="MsgKey")


class MessageOfGroup(TopicBody, kw_only=True):
    """A message of a group by its seq."""

    seq: Int = msgspec.field(name="MsgSeq")


class ReactC2CRequest(MessageOfTwo, kw_only=True):
    """Add or remove the sender's reaction to a C2C message."""

    reaction: str = msgspec.field(name="Reaction")


class ReactGroupRequest(MessageOfGroup, kw_only=True):
    """Add or remove the sender's reaction to a message of a group."""

    reaction: str = msgspec.field(name="Reaction")


class ReactionsC2CRequest(Body, kw_only=True):
    """A query for the reactions to up to 20 messages of a C2C conversation, each with its first `Count` users."""

    from_account: str = msgspec.field(name="From_Account", default="")
    to_account: str = msgspec.field(name="To_Account", default="")
    msg_keys: list[str] = msgspec.field(name="MsgKeyList", default_factory=list)
    count: Int = msgspec.field(name="Count", default=SHOWN_USERS)


class ReactionsGroupRequest(TopicBody, kw_only=True):
    """A query for the reactions to up to 20 messages of a group, each with its first `Count` users."""

    seqs: list[Int] = msgspec.field(name="MsgSeqList", default_factory=list)
    count: Int = msgspec.field(name="Count", default=SHOWN_USERS)


class ReactionSummary(msgspec.Struct, kw_only=True):
    """A reaction to a message: the number of its users, the first ones, and whether the asking account is one of them."""

    reaction: str = msgspec.field(name="Reaction")
    count: int = msgspec.field(name="Count")
    users: Sequence[str] = msgspec.field(name="Reaction_Account", default=())
    mine: int | msgspec.UnsetType = msgspec.field(name="ReactedByMe", default=msgspec.UNSET)


class MessageReactions(msgspec.Struct, kw_only=True):
    """The reactions to one message, which has the name of the request."""

    msg_key: str | msgspec.UnsetType = msgspec.field(name="MsgKey", default=msgspec.UNSET)
    seq: int | msgspec.UnsetType = msgspec.field(name="MsgSeq", default=msgspec.UNSET)
    reactions: list[ReactionSummary] = msgspec.field(name="MsgReactionSummary", default_factory=list)


class ReactionsReply(Reply):
    """The reactions to the messages, in the order of the request."""

    messages: list[MessageReactions] = msgspec.field(name="ResultList", default_factory=list)


class ReactingUsersC2CRequest(MessageOfTwo, kw_only=True):
    """A query for the users of a reaction to a C2C message."""

    reaction: str = msgspec.field(name="Reaction")


class ReactingUsersGroupRequest(MessageOfGroup, kw_only=True):
    """A query for the users of a reaction to a message of a group, from `NextSeq` of the last reply on."""

    reaction: str = msgspec.field(name="Reaction")
    next_seq: Int = msgspec.field(name="NextSeq", default=0)
    count: Int = msgspec.field(name="Count", default=100)


class ReactingUsersReply(Reply):
    """A page of users. `NextSeq` is 0 on the last page."""

    users: list[str] = msgspec.field(name="Reaction_Account", default_factory=list)
    next_seq: Int = msgspec.field(name="NextSeq", default=0)


REACT_C2C = Command(f"{SERVICE}.reaction_add", ReactC2CRequest, Reply)
UNREACT_C2C = Command(f"{SERVICE}.reaction_del", ReactC2CRequest, Reply)
REACT_GROUP = Command(f"{SERVICE}.group_reaction_add", ReactGroupRequest, Reply)
UNREACT_GROUP = Command(f"{SERVICE}.group_reaction_del", ReactGroupRequest, Reply)
REACTIONS_C2C = Command(f"{SERVICE}.reaction_multi_stat", ReactionsC2CRequest, ReactionsReply)
REACTIONS_GROUP = Command(f"{SERVICE}.group_reaction_multi_stat", ReactionsGroupRequest, ReactionsReply)
REACTING_USERS_C2C = Command(f"{SERVICE}.reaction_iterate", ReactingUsersC2CRequest, ReactingUsersReply)
REACTING_USERS_GROUP = Command(f"{SERVICE}.group_reaction_iterate", ReactingUsersGroupRequest, ReactingUsersReply)


def summary_of(reaction: Reaction, shown: int, *, user: str = "") -> ReactionSummary:
    """Return the summary of a reaction with its first users, for a user if one is given."""
    users = reaction.users
    mine = int(user in users) if user else msgspec.UNSET
    return ReactionSummary(reaction=reaction.reaction, count=len(users), users=users[:shown], mine=mine)
