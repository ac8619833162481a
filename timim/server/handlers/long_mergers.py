"""Handlers of merged messages that are stored as media content (`im_long_msg`), and the addresses of that content in elems.

The web client names such content by its key alone. timim's client needs the URL, the size and the nested content as well.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ...elems import MergerElem
from ...errors import EmptyFile, InvalidElem, MediaGone, ProtocolError, TooLarge
from ...protocol import long_mergers as wire
from ...protocol.elems import split_body
from ...protocol.media import UUID, nested_media_uuids
from ...protocol.merger import unpack_merger
from ...protocol.merger_elem import LAYERS_LIMIT, RELAY_TYPE, validated_count
from ...protocol.raw_json import check_body
from ..messaging.history import PAGE_LIMIT_BYTES
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

MARK = b'"JsonMsgKey"'
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_content = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


@HANDLERS.serve(wire.SAVE_MERGER)
async def save(context: RequestContext, body: wire.SaveMergerRequest) -> wire.SaveMergerReply:
    """Store merged messages as content of the caller."""
    content = bytes(await _addressed_messages(context, body.messages, context.user, LAYERS_LIMIT))
    if len(content) > PAGE_LIMIT_BYTES:
        raise TooLarge(f"MsgList is {len(content)} bytes long; the limit is {PAGE_LIMIT_BYTES}; merge fewer messages")
    if not _count(content):
        raise EmptyFile("MsgList is empty; a merger has 1 message or more")
    uuid = uuids.uuid4().hex
    await context.services.uploads.receive_whole(context.user, uuid, "file", len(content), _once(content))
    return wire.SaveMergerReply(key=uuid, pb_key=uuid)


@HANDLERS.serve(wire.LOAD_MERGER, paged=True)
async def load(context: RequestContext, body: wire.LoadMergerRequest) -> wire.LoadMergerReply:
    """Return stored messages to a user who may read a message with their key."""
    return wire.LoadMergerReply(messages=msgspec.Raw(await _stored(context, body.key, context.user)))


async def addressed_body(context: RequestContext, body: msgspec.Raw, sender: str) -> msgspec.Raw:
    """Return the `MsgBody` of a sender's message, in which mergers that are named by a key have the address of their content.

    A malformed body is returned as it is, because the check of the message refuses it.

    Raises:
        MediaGone: The content does not exist, or the sender may not read it.
        InvalidElem: The content is no list of messages, or nested in too many layers.
    """
    if (context.session is not None and context.session.client.is_timim) or MARK not in bytes(body):
        return body
    try:
        check_body(bytes(body))
        return await _addressed_body(context, body, sender, LAYERS_LIMIT)
    except ProtocolError:
        return body


async def _addressed_body(context: RequestContext, body: msgspec.Raw, sender: str, layers: int) -> msgspec.Raw:
    members = split_body(body)
    parts: list[dict[str, Any]] = []
    for member in members:
        content = member.msg_content
        if member.msg_type == RELAY_TYPE and MARK in bytes(content):
            content = await _addressed_relay(context, content, sender, layers)
        parts.append({"MsgType": member.msg_type, "MsgContent": content})
    return msgspec.Raw(_encode(parts))


async def _addressed_relay(context: RequestContext, raw: msgspec.Raw, sender: str, layers: int) -> msgspec.Raw:
    if not layers:
        raise InvalidElem(f"{RELAY_TYPE} nests more than {LAYERS_LIMIT} layers, which is the limit", code=90010)
    try:
        content = _content.decode(raw)
        key = _text.decode(content.get("JsonMsgKey", b'""'))
        inline = content.get("MsgList")
    except (msgspec.MsgspecError, RecursionError):
        return raw  # the check of the message refuses it
    if inline is not None and bytes(inline) not in (b"[]", b"null"):
        content["MsgList"] = await _addressed_messages(context, inline, sender, layers - 1)
    elif UUID.match(key) and "TimelineUrl" not in content:
        stored = await _stored(context, key, sender)
        nested = max((e.layers for m in unpack_merger(stored) for e in m if isinstance(e, MergerElem)), default=0)
        facts = {
            "TimelineUrl": context.services.downloads.url(key),
            "TimelineSize": len(stored),
            "TimelineLayers": nested + 1,
            "TimelineMedia": nested_media_uuids(stored),
        }
        content |= {name: msgspec.Raw(_encode(value)) for name, value in facts.items()}
    return msgspec.Raw(_encode(content))


async def _addressed_messages(context: RequestContext, messages: msgspec.Raw, sender: str, layers: int) -> msgspec.Raw:
    if MARK not in bytes(messages):
        return messages
    try:
        check_body(bytes(messages))
        merged = _messages.decode(messages)
        for message in merged:
            body = message.get("MsgBody")
            if body is not None and MARK in bytes(body):
                message["MsgBody"] = await _addressed_body(context, body, sender, layers)
    except (msgspec.MsgspecError, RecursionError, ProtocolError) as exc:
        raise InvalidElem(f"MsgList: {str(exc)[:200]}", code=90010) from None
    return msgspec.Raw(_encode(merged))


async def _stored(context: RequestContext, key: str, user: str) -> bytes:
    downloads = context.services.downloads
    blob = await downloads.find(key, user)
    if blob.size > PAGE_LIMIT_BYTES:
        raise TooLarge(f"the messages are {blob.size} bytes long; a reply has {PAGE_LIMIT_BYTES}; download them by their URL")
    content = b"".join([chunk async for chunk in downloads.read(blob, 0, blob.size)])
    if not _count(content):
        raise MediaGone(f"the content {key} is no list of messages")
    return content


def _count(content: bytes) -> int:
    """Return the number of messages. Raises InvalidElem if the content is no list of messages, or has more than 300."""
    try:
        check_body(content)
        unpack_merger(content)
        return validated_count(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, ProtocolError) as exc:
        raise InvalidElem(f"MsgList: {str(exc)[:200]}", code=90010) from None


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
