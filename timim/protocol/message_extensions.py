"""Bodies of the extensions of messages: keys with values that the users of a conversation set on a message."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated

import msgspec

from .codec import Command, Door, Reply
from .numbers import Int, at_most
from .reactions import SERVICE, MessageOfTwo
from .topics import TopicBody

EXTENSIONS_AT_ONCE = 20
ANY_VERSION = -1  # `Seq` of a change that is made whatever others have set (timim extension)
CONFLICT, TOO_MANY = 23001, 23002  # of one key


class ExtensionChange(enum.IntEnum):
    """The values of `OperateType`: set values, delete the values of keys, or delete all values."""

    SET = 1
    DELETE = 2
    CLEAR = 3


class ExtensionItem(msgspec.Struct, kw_only=True):
    """A key and its value, which is empty if it was deleted. `Seq` increases with each change of the message's extensions.

    In a request, `Seq` is the one that the sender knows, or 0 for a key that the sender does not know.
    """

    key: str = msgspec.field(name="Key")
    value: str = msgspec.field(name="Value", default="")
    version: Int = msgspec.field(name="Seq", default=0)


_Items = Annotated[list[ExtensionItem], at_most(EXTENSIONS_AT_ONCE)]


class ChangeC2CExtensionsRequest(MessageOfTwo, kw_only=True):
    """Set or delete up to 20 extensions of a C2C message, or delete all. `OperateType` is an ExtensionChange.

    `From_Account` is the sender of the message, whoever changes the extensions.
    """

    timeline_seq: Int = msgspec.field(name="TimelineSeq", default=0)  # names the message instead of MsgKey (timim extension)
    kind: Int = msgspec.field(name="OperateType", default=1)
    items: _Items = msgspec.field(name="ExtensionList", default_factory=list)


class ChangeGroupExtensionsRequest(TopicBody, kw_only=True):
    """Set or delete up to 20 extensions of a message of a group, or delete all. `OperateType` is an ExtensionChange."""

    seq: Int = msgspec.field(name="MsgSeq")
    kind: Int = msgspec.field(name="OperateType", default=1)
    items: _Items = msgspec.field(name="ExtensionList", default_factory=list)


class ExtensionResult(msgspec.Struct, kw_only=True):
    """The result of one key: 0, 23001 if another user has changed the key meanwhile, or 23002 if the message has too many.

    `Extension` is the present value of the key.
    """

    code: Int = msgspec.field(name="ErrorCode", default=0)
    info: str = msgspec.field(name="ErrorInfo", default="")
    extension: ExtensionItem = msgspec.field(name="Extension")


class ChangeExtensionsReply(Reply):
    """The results in the order of the request, and the seq of the last change."""

    results: list[ExtensionResult] = msgspec.field(name="ExtensionList", default_factory=list)
    latest: Int = msgspec.field(name="LatestSeq", default=0)
    same_latest: Int = msgspec.field(name="Seq", default=0)  # the name that the web client reads


class GetC2CExtensionsRequest(MessageOfTwo, kw_only=True):
    """A query for the extensions of a C2C message that were changed with a `Seq` from `startSeq` on."""

    timeline_seq: Int = msgspec.field(name="TimelineSeq", default=0)  # names the message instead of MsgKey (timim extension)
    start: Int = msgspec.field(name="startSeq", default=0)


class GetGroupExtensionsRequest(TopicBody, kw_only=True):
    """A query for the extensions of a message of a group that were changed with a `Seq` from `startSeq` on."""

    seq: Int = msgspec.field(name="MsgSeq")
    start: Int = msgspec.field(name="startSeq", default=0)


class ExtensionsReply(Reply):
    """The extensions in the order of their changes, deleted ones with an empty value. Those up to `ClearSeq` are deleted."""

    items: list[ExtensionItem] = msgspec.field(name="ExtensionList", default_factory=list)
    complete: Int = msgspec.field(name="CompleteFlag", default=1)
    latest: Int = msgspec.field(name="LatestSeq", default=0)
    cleared: Int = msgspec.field(name="ClearSeq", default=0)


class ExtensionsNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of extensions of a message, for users who are online (timim extension)."""

    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    seq: Int = msgspec.field(name="MsgSeq", default=0)
    user: str = msgspec.field(name="Operator_Account", default="")
    kind: Int = msgspec.field(name="OperateType", default=1)
    items: Sequence[ExtensionItem] = msgspec.field(name="ExtensionList", default_factory=list)


_START = {"startSeq": "StartSeq"}  # the names of the web client and of REST
CHANGE_C2C_EXTENSIONS = Command(f"{SERVICE}.set_key_values", ChangeC2CExtensionsRequest, ChangeExtensionsReply, doors=Door.BOTH)
CHANGE_GROUP_EXTENSIONS = Command(
    f"{SERVICE}.group_set_key_values", ChangeGroupExtensionsRequest, ChangeExtensionsReply, doors=Door.BOTH
)
GET_C2C_EXTENSIONS = Command(
    f"{SERVICE}.get_key_values", GetC2CExtensionsRequest, ExtensionsReply, doors=Door.BOTH, renamed=_START
)
GET_GROUP_EXTENSIONS = Command(
    f"{SERVICE}.group_get_key_values", GetGroupExtensionsRequest, ExtensionsReply, doors=Door.BOTH, renamed=_START
)
