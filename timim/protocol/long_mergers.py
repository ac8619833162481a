"""Bodies of merged messages that the server stores under a key, because a message has no room for them (`im_long_msg`)."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply


class SaveMergerRequest(Body):
    """Messages to store: 1 to 300."""

    messages: msgspec.Raw = msgspec.field(name="MsgList", default=msgspec.Raw(b"[]"))


class SaveMergerReply(Reply):
    """The key of the stored messages, for the `JsonMsgKey` of a TIMRelayElem. `PbMsgKey` is the same key."""

    key: str = msgspec.field(name="JsonMsgKey", default="")
    pb_key: str = msgspec.field(name="PbMsgKey", default="")


class LoadMergerRequest(Body):
    """A query for stored messages by their key."""

    key: str = msgspec.field(name="JsonMsgKey", default="")


class LoadMergerReply(Reply):
    """The stored messages."""

    messages: msgspec.Raw = msgspec.field(name="MsgList", default=msgspec.Raw(b"[]"))


SAVE_MERGER = Command("im_long_msg.save_relay_json_msg", SaveMergerRequest, SaveMergerReply)
LOAD_MERGER = Command("im_long_msg.get_relay_json_msg", LoadMergerRequest, LoadMergerReply)
