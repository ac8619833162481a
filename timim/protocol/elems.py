"""Elems to `MsgBody` JSON and back. What cannot be understood becomes an UnknownElem, byte for byte; nothing raises.

Bytes (face and custom data) travel as a plain string where they are UTF-8, as every client sends them; otherwise as
base64 with `DataEncoding: "base64"` beside them (ours: other clients see the base64).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..elems import (
    AnyElem,
    CustomElem,
    FaceElem,
    FileElem,
    GroupNoticeElem,
    GroupTipElem,
    ImageCompression,
    ImageElem,
    ImageType,
    ImageVariant,
    LocationElem,
    MergerElem,
    RelationElem,
    SoundElem,
    TextElem,
    UnknownElem,
    VideoElem,
)
from ..errors import InvalidElem, ProtocolError
from . import notice_elems
from .merger_elem import RELAY_TYPE, decode_relay, encode_relay

WIRE_IMAGE_TYPE = {ImageType.ORIGINAL: 1, ImageType.LARGE: 2, ImageType.THUMB: 3}
_LOCAL_FIELDS = frozenset({"LocalPath", "LocalSnapshot", "LocalCompression", "LocalStrip"})
IMAGE_TYPE = {wire: kind for kind, wire in WIRE_IMAGE_TYPE.items()}


class WireElem(msgspec.Struct, gc=False):
    """One member of `MsgBody`, its content still as it came."""

    msg_type: str = msgspec.field(name="MsgType")
    msg_content: msgspec.Raw = msgspec.field(name="MsgContent", default=msgspec.Raw(b"{}"))


class TextContent(msgspec.Struct, gc=False):
    """`MsgContent` of a TIMTextElem."""

    text: str = msgspec.field(name="Text")


class _TextMember(msgspec.Struct, gc=False, tag_field="MsgType", tag="TIMTextElem"):
    """The member of `MsgBody` that most bodies consist of, read in one go."""

    content: TextContent = msgspec.field(name="MsgContent")


_TEXT = b'[{"MsgType":"TIMTextElem",'
_text_decoder = msgspec.json.Decoder(list[_TextMember])
_body_decoder = msgspec.json.Decoder(list[WireElem])
_content_decoder = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def split_body(body: bytes | msgspec.Raw) -> list[WireElem]:
    """The members of a `MsgBody`. Raises ProtocolError when it is no array of elems."""
    try:
        return _body_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError(f"MsgBody: {str(exc)[:200]}") from None


def decode_body(body: bytes | msgspec.Raw) -> tuple[AnyElem, ...]:
    """The elems of a `MsgBody`; one that this version does not know, or cannot read, as UnknownElem.

    Where content lies on this disk is not taken from it: a peer must not name files here.
    """
    body = bytes(body)
    if body.startswith(_TEXT):
        try:
            return tuple([TextElem(text=member.content.text) for member in _text_decoder.decode(body)])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidElem):
            pass  # not only text
    return tuple([decode_elem(elem.msg_type, bytes(elem.msg_content)) for elem in split_body(body)])


def decode_own_body(body: bytes) -> tuple[AnyElem, ...]:
    """The elems of a body of this device's own outbox, which may say where content lies on this disk."""
    return tuple([decode_elem(elem.msg_type, bytes(elem.msg_content), local=True) for elem in split_body(body)])


def decode_elem(msg_type: str, content: bytes, *, local: bool = False) -> AnyElem:
    """One elem; never raises."""
    if msg_type == RELAY_TYPE:
        try:
            return decode_relay(content)
        except (msgspec.MsgspecError, InvalidElem, UnicodeDecodeError, RecursionError):
            return UnknownElem(MsgType=msg_type, content=content)
    read = _READERS.get(msg_type)
    if read is not None:
        try:
            fields = _content_decoder.decode(content)
            if not local and not _LOCAL_FIELDS.isdisjoint(fields):
                fields = {name: value for name, value in fields.items() if name not in _LOCAL_FIELDS}
            return read(fields)
        except (msgspec.MsgspecError, InvalidElem, LookupError, TypeError, ValueError, RecursionError):
            pass  # not what its type promises: kept as it came
    return UnknownElem(MsgType=msg_type, content=content)


def encode_body(elems: Sequence[AnyElem], *, local: bool = False) -> bytes:
    """`MsgBody` JSON. `local` adds where content lies on this disk, for the outbox; the wire never says it."""
    return b"[%b]" % b",".join(encode_elem(elem, local=local) for elem in elems)


def encode_elem(elem: AnyElem, *, local: bool = False) -> bytes:
    """One member of `MsgBody`."""
    match elem:
        case UnknownElem():
            return b'{"MsgType":%b,"MsgContent":%b}' % (_encode(elem.MsgType), elem.content)
        case TextElem():
            return _elem("TIMTextElem", {"Text": elem.text})
        case FaceElem():
            return _elem("TIMFaceElem", {"Index": elem.index, **_bytes_out(elem.data)})
        case CustomElem():
            content = {**_bytes_out(elem.data), "Desc": elem.desc, "Ext": elem.ext, "Sound": elem.sound}
            return _elem("TIMCustomElem", content)
        case LocationElem():
            place = {"Desc": elem.desc, "Latitude": elem.latitude, "Longitude": elem.longitude}
            return _elem("TIMLocationElem", place)
        case SoundElem():
            sound = {"UUID": elem.uuid, "Url": elem.url, "Size": elem.size, "Second": elem.duration}
            return _elem("TIMSoundElem", {**sound, "Download_Flag": 2, **_local(elem.path, local)})
        case FileElem():
            file = {"UUID": elem.uuid, "Url": elem.url, "FileSize": elem.size, "FileName": elem.filename}
            return _elem("TIMFileElem", {**file, "Download_Flag": 2, **_local(elem.path, local)})
        case ImageElem():
            return _elem("TIMImageElem", _image_out(elem, local))
        case VideoElem():
            return _elem("TIMVideoFileElem", _video_out(elem, local))
        case MergerElem():
            return encode_relay(elem)
        case GroupTipElem() | GroupNoticeElem() | RelationElem():
            raise InvalidElem(f"{type(elem).__name__} is the server's own: nobody can send it")


def _elem(msg_type: str, content: dict[str, Any]) -> bytes:
    return _encode({"MsgType": msg_type, "MsgContent": content})


def _local(path: Path | None, local: bool) -> dict[str, str]:
    return {"LocalPath": str(path)} if local and path is not None else {}


def _local_in(content: dict[str, Any]) -> dict[str, Any]:
    return {"path": content["LocalPath"]} if content.get("LocalPath") else {}


def _bytes_out(data: bytes) -> dict[str, str]:
    try:
        return {"Data": data.decode()}
    except UnicodeDecodeError:
        return {"Data": base64.b64encode(data).decode(), "DataEncoding": "base64"}


def _bytes_in(content: dict[str, Any]) -> bytes:
    data = content.get("Data", "")
    if content.get("DataEncoding") != "base64":
        return str(data).encode()
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as exc:
        raise InvalidElem(f"Data is not base64: {exc}") from None


def _image_out(elem: ImageElem, local: bool) -> dict[str, Any]:
    variants = [
        {
            "Type": WIRE_IMAGE_TYPE[v.type],
            "Size": v.size,
            "Width": v.width,
            "Height": v.height,
            "URL": v.url,
            "UUID": v.uuid,
        }
        for v in elem.images.values()
    ]
    content = {"UUID": elem.uuid, "ImageFormat": elem.image_format, "ImageInfoArray": variants}
    if local:
        content |= {**_local(elem.path, local), "LocalCompression": int(elem.compression), "LocalStrip": elem.strip_location}
    return content


def _image_in(content: dict[str, Any]) -> ImageElem:
    uuid = content.get("UUID", "")
    images = {
        IMAGE_TYPE[info["Type"]]: ImageVariant(
            type=IMAGE_TYPE[info["Type"]],
            width=info.get("Width", 0),
            height=info.get("Height", 0),
            size=info.get("Size", 0),
            url=info.get("URL", ""),
            uuid=info.get("UUID", ""),
        )
        for info in content["ImageInfoArray"]
    }
    return ImageElem(
        uuid=uuid,
        image_format=content.get("ImageFormat", 255),
        images=images,
        compression=ImageCompression(content.get("LocalCompression", 0)),
        strip_location=bool(content.get("LocalStrip")),
        **_local_in(content),
    )


def _video_out(elem: VideoElem, local: bool) -> dict[str, Any]:
    content: dict[str, Any] = {
        "VideoUUID": elem.uuid,
        "VideoUrl": elem.url,
        "VideoSize": elem.size,
        "VideoSecond": elem.duration,
        "VideoFormat": elem.format,
        "VideoDownloadFlag": 2,
        "ThumbUUID": elem.snapshot_uuid,
        "ThumbUrl": elem.snapshot_url,
        "ThumbSize": elem.snapshot_size,
        "ThumbWidth": elem.snapshot_width,
        "ThumbHeight": elem.snapshot_height,
        "ThumbFormat": elem.snapshot_format,
        "ThumbDownloadFlag": 2,
        **_local(elem.path, local),
    }
    if local and isinstance(elem.snapshot, Path):
        content["LocalSnapshot"] = str(elem.snapshot)
    return content


def _video_in(content: dict[str, Any]) -> VideoElem:
    return VideoElem(
        uuid=content.get("VideoUUID", ""),
        url=content.get("VideoUrl", ""),
        size=content.get("VideoSize", 0),
        duration=content.get("VideoSecond", 0),
        format=content.get("VideoFormat", ""),
        snapshot=Path(content["LocalSnapshot"]) if content.get("LocalSnapshot") else None,
        snapshot_uuid=content.get("ThumbUUID", ""),
        snapshot_url=content.get("ThumbUrl", ""),
        snapshot_size=content.get("ThumbSize", 0),
        snapshot_width=content.get("ThumbWidth", 0),
        snapshot_height=content.get("ThumbHeight", 0),
        snapshot_format=content.get("ThumbFormat", ""),
        **_local_in(content),
    )


def _sound_in(content: dict[str, Any]) -> SoundElem:
    return SoundElem(
        uuid=content.get("UUID", ""),
        url=content.get("Url", ""),
        size=content.get("Size", 0),
        duration=content.get("Second", 0),
        **_local_in(content),
    )


def _file_in(content: dict[str, Any]) -> FileElem:
    elem = FileElem(
        uuid=content.get("UUID", ""),
        url=content.get("Url", ""),
        size=content.get("FileSize", 0),
        filename=content.get("FileName", ""),
        **_local_in(content),
    )
    # a path here is where this device keeps it: not the name that its sender gave it
    return elem if content.get("FileName") else elem.model_copy(update={"filename": ""})


def _face_in(content: dict[str, Any]) -> FaceElem:
    return FaceElem(index=content.get("Index", 0), data=_bytes_in(content))


def _custom_in(content: dict[str, Any]) -> CustomElem:
    return CustomElem(
        data=_bytes_in(content),
        desc=content.get("Desc", ""),
        ext=content.get("Ext", ""),
        sound=content.get("Sound", ""),
    )


def _location_in(content: dict[str, Any]) -> LocationElem:
    return LocationElem(desc=content.get("Desc", ""), latitude=content["Latitude"], longitude=content["Longitude"])


_READERS: dict[str, Callable[[dict[str, Any]], AnyElem]] = {
    "TIMTextElem": lambda content: TextElem(text=content["Text"]),
    "TIMFaceElem": _face_in,
    "TIMCustomElem": _custom_in,
    "TIMLocationElem": _location_in,
    "TIMSoundElem": _sound_in,
    "TIMFileElem": _file_in,
    "TIMImageElem": _image_in,
    "TIMVideoFileElem": _video_in,
    notice_elems.TIP: notice_elems.decode_tip,
    notice_elems.GROUP_NOTICE: notice_elems.decode_group_notice,
    notice_elems.RELATION: notice_elems.decode_relation,
}
