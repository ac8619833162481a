"""Messages forwarded as one: packing messages into a merger, and unpacking them.

A merged message has content, a sender and a time, as its forwarder states them. It is not an entry of a conversation.
"""

from __future__ import annotations

import msgspec

from ..elems import MergerElem
from ..errors import InvalidArgument, InvalidElem, ProtocolError
from ..ids import ConversationType, format_msg_id, parse_msg_id
from ..message import Message, MessageFields, MessageStatus, SenderProfile, check_forwardable
from ..util.arguments import Items, Text, checked
from .elems import decode_body, encode_body
from .merger_elem import LAYERS_LIMIT, MESSAGES_LIMIT
from .numbers import Int

ABSTRACTS, ABSTRACT_LIMIT = 3, 100  # number of lines, and characters of one line


class MergedEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One member of `MsgList`."""

    from_account: str = msgspec.field(name="From_Account", default="")
    to_account: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    client_time: Int = msgspec.field(name="MsgClientTime", default=0)
    source: Int = msgspec.field(name="TimelineMsgSource", default=0)  # third part of the msg_id (timim extension)
    time: Int = msgspec.field(name="MsgTimeStamp", default=0)
    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody", default=msgspec.Raw(b"[]"))


_decode = msgspec.json.Decoder(list[MergedEntry]).decode
_encode = msgspec.json.Encoder().encode


@checked(InvalidArgument)
def merge_messages(
    messages: Items[Message], *, title: Text, abstracts: Items[Text] | None = None, compatible_text: Text = ""
) -> MergerElem:
    """Return a merger of messages, in the given order.

    Args:
        messages: 1 to 300 messages that were sent or received.
        title: The title that receivers show.
        abstracts: Lines that receivers show; None takes the texts of the first messages.
        compatible_text: A text for clients that cannot show mergers; the title by default.

    Raises:
        InvalidArgument: There are 0 or more than 300 messages, or one was recalled or not sent.
        InvalidElem: Mergers are nested in more than 100 layers.
    """
    if not 0 < len(messages) <= MESSAGES_LIMIT:
        raise InvalidArgument(f"a merger must have 1 to {MESSAGES_LIMIT} messages, not {len(messages)}")
    layers = 1 + max((elem.layers for m in messages for elem in m if isinstance(elem, MergerElem)), default=0)
    if layers > LAYERS_LIMIT:
        raise InvalidElem(f"mergers may be nested in at most {LAYERS_LIMIT} layers, not {layers}")
    content = _encode([_entry(message) for message in messages])
    if abstracts is None:
        abstracts = [f"{_name(m)}: {m.push_text}"[:ABSTRACT_LIMIT] for m in messages[:ABSTRACTS]]
    return MergerElem(
        title=title,
        abstracts=tuple(abstracts),
        compatible_text=compatible_text or title,
        count=len(messages),
        layers=layers,
        content=content,
    )


def unpack_merger(content: bytes) -> list[Message]:
    """Return the messages in a merger's content, not bound to a client. Raises ProtocolError for invalid content."""
    try:
        entries = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError(f"MsgList: {str(exc)[:200]}") from None
    return [_message(entry) for entry in entries[:MESSAGES_LIMIT]]


def _name(message: Message) -> str:
    return (message.sender_profile.nickname if message.sender_profile else "") or message.sender


def _entry(message: Message) -> MergedEntry:
    check_forwardable(message)
    key, profile = message.key, message.sender_profile
    name = parse_msg_id(message.msg_id)
    return MergedEntry(
        from_account=message.sender,
        to_account=key.peer if key is not None and key.type is ConversationType.C2C and message.is_self else "",
        group_id=key.peer if key is not None and key.type is ConversationType.GROUP else "",
        msg_seq=message.seq,
        msg_random=name.random,
        client_time=name.client_time,
        source=name.source,
        time=message.timestamp,
        nick=profile.nickname if profile else "",
        face_url=profile.face_url if profile else "",
        cloud_custom_data=message.cloud_custom_data,
        msg_body=msgspec.Raw(encode_body(message.elems)),
    )


def _message(entry: MergedEntry) -> Message:
    message = blank_message()
    message._cloud_custom_data = entry.cloud_custom_data
    message.load_body(bytes(entry.msg_body), decode_body)
    message._sender, message._timestamp = entry.from_account, entry.time
    message._msg_id = format_msg_id(entry.client_time, entry.msg_random, entry.source)
    message._status, message._is_self = MessageStatus.SUCCEEDED, False
    message._sender_profile = SenderProfile(entry.from_account, entry.nick, entry.face_url)
    return message


def blank_message() -> Message:
    """Return a message without a msg_id, time and content, which the caller sets; half the time of `Message()`."""
    message = Message.__new__(Message)
    MessageFields.__init__(message, "")
    return message
