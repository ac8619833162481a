"""Bodies of the media API (a timim extension), and the references of elems to content.

The server reads references from the elems themselves. Clients cannot declare them separately.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..elems import ELEM_TYPES, AnyElem, ImageElem, MergerElem
from ..errors import ProtocolError
from .codec import Body, Reply
from .elems import WireElem, split_body
from .numbers import Int

UUID = re.compile(r"[0-9a-f]{32}\Z")
NESTED_LIMIT = 100  # Tencent's limit of nested mergers


class BeginUpload(Body, kw_only=True):
    """`POST {media}`: begin an upload, or query its offset. The request is idempotent.

    `Upload` is an id of 32 hexadecimal digits that the client chooses; `Hash` is the content's SHA-256, in hexadecimal.
    """

    upload: str = msgspec.field(name="Upload")
    kind: str = msgspec.field(name="Kind")
    size: Int = msgspec.field(name="Size")
    hash: str = msgspec.field(name="Hash")


class UploadReply(Reply):
    """The state of an upload: the server has `Offset` bytes. `UUID` and `Url` are set when the upload is complete."""

    offset: Int = msgspec.field(name="Offset", default=0)
    uuid: str = msgspec.field(name="UUID", default="")
    url: str = msgspec.field(name="Url", default="")
    size: Int = msgspec.field(name="Size", default=0)


class SignedUrlReply(Reply):
    """`GET {media}/{uuid}/url`: a URL that works without a login for `ExpiresIn` seconds."""

    url: str = msgspec.field(name="Url", default="")
    expires_in: Int = msgspec.field(name="ExpiresIn", default=0)


class MediaRef(NamedTuple):
    """Content to which an elem refers. `on_this_server`: the elem claims that this server has the content."""

    uuid: str
    on_this_server: bool


class _PictureRef(msgspec.Struct):
    uuid: str = msgspec.field(name="UUID", default="")
    url: str = msgspec.field(name="URL", default="")


class _ImageRefs(msgspec.Struct):
    uuid: str = msgspec.field(name="UUID", default="")
    url: str = msgspec.field(name="Url", default="")
    pictures: list[_PictureRef] = msgspec.field(name="ImageInfoArray", default_factory=list)


class _MergedBody(msgspec.Struct):
    body: msgspec.Raw = msgspec.field(name="MsgBody", default=msgspec.Raw(b"[]"))


class _RelayRefs(msgspec.Struct):
    key: str = msgspec.field(name="JsonMsgKey", default="")
    url: str = msgspec.field(name="TimelineUrl", default="")
    media: list[str] = msgspec.field(name="TimelineMedia", default_factory=list)
    messages: list[_MergedBody] = msgspec.field(name="MsgList", default_factory=list)


_image = msgspec.json.Decoder(_ImageRefs)
_relay = msgspec.json.Decoder(_RelayRefs)


def media_refs(members: Sequence[WireElem], media_url: str) -> list[MediaRef]:
    """Return the content to which these elems refer, each once, including merged messages.

    Elems that clients cannot decode are ignored.
    """
    found: dict[str, bool] = {}
    for uuid, url in _iter_refs(members, NESTED_LIMIT):
        here = uuid_from_url(url, media_url)
        name, on_this_server = (uuid, bool(here) or not url) if UUID.match(uuid) else (here, True)
        if name:
            found[name] = found.get(name, False) or on_this_server
    return [MediaRef(uuid, on_this_server) for uuid, on_this_server in found.items()]


def nested_media_uuids(messages: bytes) -> tuple[str, ...]:
    """Return the uuids of content in a merger's `MsgList`, each once; for a list that is uploaded as content."""
    relay = WireElem(MergerElem.wire_type, msgspec.Raw(b'{"MsgList":%b}' % messages))
    return tuple(dict.fromkeys(uuid for uuid, _ in _iter_refs([relay], NESTED_LIMIT + 1) if UUID.match(uuid)))


def uuid_from_url(url: str, media_url: str) -> str:
    """Return the uuid in a URL of this server's media API; empty for other URLs."""
    if not media_url or not url.startswith(media_url + "/"):
        return ""
    name = url[len(media_url) + 1 :].partition("?")[0].partition("/")[0]
    return name if UUID.match(name) else ""


def _iter_refs(members: Sequence[WireElem], layers: int) -> Iterator[tuple[str, str]]:
    for member in members:
        try:
            if member.msg_type == ImageElem.wire_type:
                yield from _image_refs(_image.decode(member.msg_content))
            elif (decoder := _REFS.get(member.msg_type)) is not None:
                yield from _content_refs(decoder.decode(member.msg_content))
            elif member.msg_type == MergerElem.wire_type and layers:
                relay = _relay.decode(member.msg_content)
                if relay.url:
                    yield relay.key, relay.url
                    yield from ((uuid, "") for uuid in relay.media)
                for merged in relay.messages:
                    yield from _iter_refs(split_body(merged.body), layers - 1)
        except (msgspec.MsgspecError, ProtocolError, UnicodeDecodeError, RecursionError):
            continue  # receivers decode this elem as UnknownElem and fetch no content


def _image_refs(image: _ImageRefs) -> Iterator[tuple[str, str]]:
    if not image.pictures:
        yield image.uuid, image.url
        return
    for picture in image.pictures:
        yield picture.uuid, picture.url
    # the elem's uuid is that of the original, except for elems of some other clients
    if all(picture.uuid != image.uuid for picture in image.pictures):
        yield image.uuid, image.pictures[0].url


def _content_refs(refs: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """Yield pairs of uuid and URL from a struct of `_refs_decoder`, in which each uuid is followed by its URL."""
    values = msgspec.structs.astuple(refs)
    yield from zip(values[::2], values[1::2], strict=True)


def _refs_decoder(kind: type[AnyElem]) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder for the members of an elem type that name content: each uuid, followed by its URL."""
    members = {field: member for member, field in kind.wire_fields.items()}
    names = [name for uuid in members if uuid.endswith("uuid") for name in (uuid, uuid.removesuffix("uuid") + "url")]
    fields = [(name, str, msgspec.field(name=members[name], default="")) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct(f"{kind.__name__}Refs", fields))


_REFS = {kind.wire_type: _refs_decoder(kind) for kind in ELEM_TYPES if kind.content_fields and kind is not ImageElem}
MEDIA_ELEMS = frozenset((*_REFS, ImageElem.wire_type, MergerElem.wire_type))  # elems that can refer to content
