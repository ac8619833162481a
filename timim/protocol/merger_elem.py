"""`TIMRelayElem`, messages forwarded as one: inline (`MsgList`), or as content on the server (`JsonMsgKey`).

The bytes of inline messages are preserved.
"""

from __future__ import annotations

import msgspec

from ..elems import MergerElem
from ..errors import InvalidElem
from .numbers import Int

RELAY_TYPE = MergerElem.wire_type
MESSAGES_LIMIT = 300
LAYERS_LIMIT = 100
_NOTHING = msgspec.Raw(b"[]")


class RelayContent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`MsgContent` of a TIMRelayElem. `LayersOverLimit` is 1 if the messages are nested too deeply to be fetched."""

    title: str = msgspec.field(name="Title", default="")
    abstracts: list[str] = msgspec.field(name="AbstractList", default_factory=list)
    compatible_text: str = msgspec.field(name="CompatibleText", default="")
    count: Int = msgspec.field(name="MsgNum", default=0)
    version: Int = msgspec.field(name="Version", default=0)
    layers: Int = msgspec.field(name="TimelineLayers", default=1)  # nested mergers, including this one
    over: Int | bool = msgspec.field(name="LayersOverLimit", default=0)
    key: str = msgspec.field(name="JsonMsgKey", default="")
    pb_key: str = msgspec.field(name="PbMsgKey", default="")
    url: str = msgspec.field(name="TimelineUrl", default="")
    size: Int = msgspec.field(name="TimelineSize", default=0)
    media: list[str] = msgspec.field(name="TimelineMedia", default_factory=list)  # content to which those messages refer
    messages: msgspec.Raw = msgspec.field(name="MsgList", default=_NOTHING)


_decode = msgspec.json.Decoder(RelayContent).decode
_count = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def encode_relay(elem: MergerElem) -> bytes:
    """Return the elem as a member of `MsgBody`."""
    content = RelayContent(
        title=elem.title,
        abstracts=list(elem.abstracts),
        compatible_text=elem.compatible_text,
        count=elem.count,
        version=1,
        layers=elem.layers,
        over=int(elem.layers_over_limit),
        key=elem.uuid,
        url=elem.url,
        size=elem.size,
        media=list(elem.media),
        messages=_NOTHING if elem.url else msgspec.Raw(elem.content or b"[]"),
    )
    return b'{"MsgType":"%b","MsgContent":%b}' % (RELAY_TYPE.encode(), _encode(content))


def decode_relay(content: bytes) -> MergerElem:
    """Return the merger of a `MsgContent`. Raises InvalidElem, msgspec.MsgspecError."""
    relay = _decode(content)
    inline = bytes(relay.messages)
    count = validated_count(inline)
    over = bool(relay.over) or relay.layers > LAYERS_LIMIT
    return MergerElem.received(
        title=relay.title,
        abstracts=tuple(relay.abstracts),
        compatible_text=relay.compatible_text,
        count=relay.count or count,
        layers=LAYERS_LIMIT if over else relay.layers,
        content=inline if count else b"",
        uuid=relay.key if relay.url else "",
        url=relay.url,
        size=relay.size,
        media=tuple(relay.media),
        layers_over_limit=over,
    )


def validate_relay(content: bytes | msgspec.Raw) -> None:
    """Raise InvalidElem for a merger with too many messages or layers."""
    try:
        relay = _decode(content)
        validated_count(bytes(relay.messages))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidElem(f"{RELAY_TYPE}: {str(exc)[:200]}", code=90010) from None
    if relay.layers > LAYERS_LIMIT:
        raise InvalidElem(f"{RELAY_TYPE} nests {relay.layers} layers; the limit is {LAYERS_LIMIT}", code=90010)


def validated_count(messages: bytes) -> int:
    """Return the number of messages in a `MsgList`. Raises InvalidElem past 300."""
    count = len(_count(messages))
    if count > MESSAGES_LIMIT:
        raise InvalidElem(f"MsgList has {count} messages; the limit is {MESSAGES_LIMIT}", code=90010)
    return count
