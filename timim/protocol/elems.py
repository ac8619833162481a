"""Conversion of elems to `MsgBody` JSON and back. An elem that cannot be decoded becomes an UnknownElem, byte for byte.

The elem classes name their members; only types with irregular JSON have code here. Bytes (face and custom data) are encoded
as a string if they are UTF-8, as all clients do; otherwise as base64 with `DataEncoding: "base64"` beside them (a timim
extension; other clients show the base64).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..elems import (
    ELEM_TYPES,
    SERVER_ELEMS,
    AnyElem,
    FileElem,
    ImageElem,
    ImageType,
    ImageVariant,
    MergerElem,
    TextElem,
    UnknownElem,
)
from ..errors import InvalidElem, ProtocolError
from .merger_elem import decode_relay, encode_relay
from .notice_elems import GROUP_NOTICE, RELATION, TIP, decode_group_notice, decode_relation, decode_tip

WIRE_IMAGE_TYPE = {ImageType.ORIGINAL: 1, ImageType.LARGE: 2, ImageType.THUMB: 3}
IMAGE_TYPE = {wire: kind for kind, wire in WIRE_IMAGE_TYPE.items()}


class WireElem(msgspec.Struct, gc=False):
    """A member of `MsgBody` with undecoded content."""

    msg_type: str = msgspec.field(name="MsgType")
    msg_content: msgspec.Raw = msgspec.field(name="MsgContent", default=msgspec.Raw(b"{}"))


class TextContent(msgspec.Struct, gc=False):
    """`MsgContent` of a TIMTextElem."""

    text: str = msgspec.field(name="Text")


class _TextMember(msgspec.Struct, gc=False, tag_field="MsgType", tag=TextElem.wire_type):
    """A text elem of `MsgBody`. Has a decoder of its own, because most messages are texts."""

    content: TextContent = msgspec.field(name="MsgContent")


_TEXT = b'[{"MsgType":"%b",' % TextElem.wire_type.encode()
_KINDS = {kind.wire_type: kind for kind in ELEM_TYPES if kind.wire_type}
_MEMBERS = {  # for each elem type: the members of `MsgContent`, their fields, and whether a field has bytes
    kind: [
        (member, field, kind.model_fields[field].annotation is bytes)
        for member, field in kind.wire_fields.items()
        if field in kind.model_fields
    ]
    for kind in ELEM_TYPES
}
_text_decoder = msgspec.json.Decoder(list[_TextMember])
_raw_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_body_decoder = msgspec.json.Decoder(list[WireElem])
_content_decoder = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def split_body(body: bytes | msgspec.Raw) -> list[WireElem]:
    """Return the members of a `MsgBody`. Raises ProtocolError if it is not an array of elems."""
    try:
        return _body_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError(f"MsgBody: {str(exc)[:200]}") from None


def decode_body(body: bytes | msgspec.Raw) -> tuple[AnyElem, ...]:
    """Return the elems of a `MsgBody`; an unknown or invalid elem, or a body that is no array of elems, is an UnknownElem.

    Local paths are ignored, because a peer must not refer to files of this device.
    """
    body = bytes(body)
    if body.startswith(_TEXT):
        try:
            return tuple([TextElem.received(text=member.content.text) for member in _text_decoder.decode(body)])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidElem):
            pass  # not all members are text
    try:
        members = split_body(body)
    except ProtocolError:
        return tuple([_lenient_elem(member) for member in _raw_members(body)])
    return tuple([decode_elem(elem.msg_type, bytes(elem.msg_content)) for elem in members])


def _raw_members(body: bytes) -> list[bytes]:
    """Return the members of an array of JSON, or the whole body if it is no such array."""
    try:
        return [bytes(raw) for raw in _raw_decoder.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return [body]


def _lenient_elem(member: bytes) -> AnyElem:
    """Return an elem of a body in which at least one member is malformed."""
    try:
        elems = split_body(b"[%b]" % member)
    except ProtocolError:
        elems = []
    if len(elems) != 1:  # no JSON, such as the empty body of a damaged row
        return UnknownElem(MsgType="", content=member)
    return decode_elem(elems[0].msg_type, bytes(elems[0].msg_content))


def decode_own_body(body: bytes) -> tuple[AnyElem, ...]:
    """Return the elems of a body that this device stored, which may have local paths. Raises ProtocolError."""
    return tuple([decode_elem(elem.msg_type, bytes(elem.msg_content), local=True) for elem in split_body(body)])


def decode_elem(msg_type: str, content: bytes, *, local: bool = False) -> AnyElem:
    """Return one elem; an UnknownElem with the original bytes if the content does not match its type."""
    kind = _KINDS.get(msg_type)
    if kind is not None:
        try:
            if kind is MergerElem:
                return decode_relay(content)
            members = _content_decoder.decode(content)
            decode = _DECODERS.get(msg_type)
            return decode(members, local) if decode is not None else kind.received(**_fields_in(kind, members, local))
        except (msgspec.MsgspecError, InvalidElem, LookupError, TypeError, ValueError, RecursionError):
            pass
    return UnknownElem.received(MsgType=msg_type, content=content)


def encode_body(elems: Sequence[AnyElem], *, local: bool = False) -> bytes:
    """Return `MsgBody` JSON. `local` adds local paths for storing a message; these are never sent."""
    return b"[%b]" % b",".join([encode_elem(elem, local=local) for elem in elems])


def encode_elem(elem: AnyElem, *, local: bool = False) -> bytes:
    """Return one member of `MsgBody`. Raises InvalidElem for elems that only the server sends."""
    if type(elem) is TextElem:  # most elems are texts, and this takes half the time
        return _encode(_TextMember(TextContent(elem.text)))
    encode = _ENCODERS.get(elem.wire_type, _encode_members)
    return encode(elem, local)


def _encode_members(elem: AnyElem, local: bool) -> bytes:
    content = _members(elem)
    if local:
        content |= _local_members(elem)
    return _encode({"MsgType": elem.wire_type, "MsgContent": content})


def _members(elem: AnyElem) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member, field in elem.wire_fields.items():
        value = getattr(elem, field)
        if isinstance(value, bytes):
            members |= _encode_bytes(member, value)
        else:
            members[member] = value
    return members


def _fields_in(kind: type[AnyElem], members: dict[str, Any], local: bool) -> dict[str, Any]:
    """Return the fields of an elem from its `MsgContent`; unknown members are ignored."""
    fields = {
        field: _decode_bytes(member, members) if holds_bytes else members[member]
        for member, field, holds_bytes in _MEMBERS[kind]
        if member in members
    }
    if local:
        for member, field in kind.local_fields.items():
            if value := members.get(member):
                fields[field] = os.fsdecode(_decode_bytes(member, members)) if isinstance(value, str) else value
    return fields


def _local_members(elem: AnyElem) -> dict[str, str | int]:
    """Return the members that are only stored locally: the path of the content, and the options for sending it."""
    members: dict[str, str | int] = {}
    for member, field in elem.local_fields.items():
        value = getattr(elem, field)
        if isinstance(value, Path):
            members |= _encode_bytes(member, os.fsencode(value))  # a file name can be no UTF-8
        elif isinstance(value, int):
            members[member] = value
    return members


def _encode_bytes(member: str, data: bytes) -> dict[str, str]:
    try:
        return {member: data.decode()}
    except UnicodeDecodeError:
        return {member: base64.b64encode(data).decode(), f"{member}Encoding": "base64"}


def _decode_bytes(member: str, members: dict[str, Any]) -> bytes:
    data = members[member]
    if members.get(f"{member}Encoding") != "base64":
        return str(data).encode()
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise InvalidElem(f"{member} is not base64") from None


def _encode_image(elem: ImageElem, local: bool) -> bytes:
    variants = [_encode_variant(variant) for variant in elem.images.values()]
    content = {**_members(elem), "ImageInfoArray": variants}
    if local:
        content |= _local_members(elem)
    return _encode({"MsgType": elem.wire_type, "MsgContent": content})


def _encode_unknown(elem: UnknownElem, local: bool) -> bytes:
    return b'{"MsgType":%b,"MsgContent":%b}' % (_encode(elem.MsgType), elem.content)


def _encode_merger(elem: MergerElem, local: bool) -> bytes:
    return encode_relay(elem)


def _refuse(elem: AnyElem, local: bool) -> bytes:
    raise InvalidElem(f"only the server sends {type(elem).__name__}")


def _encode_variant(variant: ImageVariant) -> dict[str, Any]:
    return {
        "Type": WIRE_IMAGE_TYPE[variant.type],
        "Size": variant.size,
        "Width": variant.width,
        "Height": variant.height,
        "URL": variant.url,
        "UUID": variant.uuid,
    }


def _decode_image(members: dict[str, Any], local: bool) -> ImageElem:
    images = {
        IMAGE_TYPE[info["Type"]]: ImageVariant.received(
            type=IMAGE_TYPE[info["Type"]],
            width=info.get("Width", 0),
            height=info.get("Height", 0),
            size=info.get("Size", 0),
            url=info.get("URL", ""),
            uuid=info.get("UUID", ""),
        )
        for info in members["ImageInfoArray"]
    }
    return ImageElem.received(images=images, **_fields_in(ImageElem, members, local))


def _decode_file(members: dict[str, Any], local: bool) -> FileElem:
    elem = FileElem.received(**_fields_in(FileElem, members, local))
    # the local path, not the name that the sender gave to the file
    return elem if members.get("FileName") else elem.model_copy(update={"filename": ""})


# by wire type, the elem types with irregular JSON; others need no row in these two tables
_ENCODERS: dict[str, Callable[[Any, bool], bytes]] = {
    ImageElem.wire_type: _encode_image,
    MergerElem.wire_type: _encode_merger,
    UnknownElem.wire_type: _encode_unknown,
    **{kind.wire_type: _refuse for kind in SERVER_ELEMS},
}
_DECODERS: dict[str, Callable[[dict[str, Any], bool], AnyElem]] = {
    ImageElem.wire_type: _decode_image,
    FileElem.wire_type: _decode_file,
    TIP: lambda members, local: decode_tip(members),
    GROUP_NOTICE: lambda members, local: decode_group_notice(members),
    RELATION: lambda members, local: decode_relation(members),
}
