"""Elems, the parts of a message. An elem is frozen, so that it cannot change between `send()` and the wire.

Elems with content are made from a `path`, else from `data`, `file` or `image`. Sent and received ones have `uuid`, `size` and
`url`, and fetch the bytes at each call. `uuid` can be the key of a cache (Tencent IM SDK guide, 接收图片消息).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Protocol, Self, TypeAlias, get_args

from pydantic import AfterValidator, Field, PlainSerializer, PrivateAttr, model_validator

from .elem_base import (
    SEARCHED_MEMBERS,
    SERVER_ELEMS,
    BoundElem,
    Bytes,
    ContentElem,
    ContentKind,
    ContentSource,
    DataField,
    DownloadableElem,
    Elem,
    FieldNames,
    GroupNoticeElem,
    GroupTipElem,
    ImageArgument,
    ImageCompression,
    ImageType,
    PathField,
    PictureField,
    Progress,
    RelationElem,
    checked,
    named_after_its_file,
    optional_data,
    optional_path,
)
from .errors import InvalidArgument, InvalidElem, MediaError
from .util.contents import optional_picture

# fmt: off
__all__ = [
    "ELEM_TYPES", "SEARCHED_MEMBERS", "SERVER_ELEMS", "AnyElem", "BoundElem", "Bytes", "ContentElem", "ContentKind",
    "ContentSource", "CustomElem", "DownloadableElem", "Elem", "FaceElem", "FileElem", "GroupNoticeElem", "GroupTipElem",
    "ImageCompression", "ImageElem", "ImageType", "ImageVariant", "JsonValue", "LocationElem", "MergedMessage",
    "MergerElem", "MergerUnpacker", "Progress", "RelationElem", "SoundElem", "TextElem", "UnknownElem", "VideoElem",
]
# fmt: on

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""Value that JSON can represent."""


class TextElem(Elem):
    """Text. `size_bytes` is the length in UTF-8, which the limits count; `len(text)` counts code points."""

    wire_type = "TIMTextElem"
    wire_fields: ClassVar[FieldNames] = {"Text": "text"}
    search_field = "text"
    search_number = 1
    text: str

    @property
    def size_bytes(self) -> int:
        return len(self.text.encode())

    @property
    def push_text(self) -> str:
        return self.text


class FaceElem(Elem):
    """Sticker: an index into the program's own sticker set, or bytes, or both; timim does not interpret them."""

    wire_type = "TIMFaceElem"
    wire_fields: ClassVar[FieldNames] = {"Index": "index", "Data": "data"}
    search_number = 3
    index: Annotated[int, Field(ge=-(2**31), lt=2**32)] = 0
    data: Bytes = b""

    @property
    def push_text(self) -> str:
        return "[表情]"


class CustomElem(Elem):
    """Content in the program's own format. An offline push shows `desc`; `ext` and `sound` are for the push service."""

    wire_type = "TIMCustomElem"
    wire_fields: ClassVar[FieldNames] = {"Data": "data", "Desc": "desc", "Ext": "ext", "Sound": "sound"}
    search_field = "desc"
    search_number = 6
    data: Bytes = b""
    desc: str = ""
    ext: str = ""
    sound: str = ""

    @property
    def push_text(self) -> str:
        return self.desc


class LocationElem(Elem):
    """Location in degrees, latitude -90 to 90 and longitude -180 to 180."""

    wire_type = "TIMLocationElem"
    wire_fields: ClassVar[FieldNames] = {"Desc": "desc", "Latitude": "latitude", "Longitude": "longitude"}
    search_field = "desc"
    search_number = 7
    desc: str = ""
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]

    @property
    def push_text(self) -> str:
        return "[位置]"


class SoundElem(ContentElem):
    """Voice message with a `duration` in whole seconds; at most one in a message (Tencent IM SDK guide, 语音消息发送).

    `send()` reads a duration of 0 from WAV, MP3, M4A, AAC, AMR, OGG and FLAC content. A duration that surely differs from
    the content's by more than 1.1 seconds is corrected, with a warning in the log. Other content keeps the given duration.
    """

    wire_type = "TIMSoundElem"
    wire_fields: ClassVar[FieldNames] = {
        "UUID": "uuid",
        "Url": "url",
        "Size": "size",
        "Second": "duration",
        "Download_Flag": "download_flag",
    }
    content_kind: ClassVar[ContentKind] = "sound"
    search_number = 4
    duration: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def push_text(self) -> str:
        return "[语音]"


class FileElem(ContentElem):
    """File; at most one in a message. `filename` is for display only: never use a received one as a path."""

    wire_type = "TIMFileElem"
    wire_fields: ClassVar[FieldNames] = {
        "UUID": "uuid",
        "Url": "url",
        "FileSize": "size",
        "FileName": "filename",
        "Download_Flag": "download_flag",
    }
    search_field = "filename"
    file_name_form = "{0.filename}"
    search_number = 5
    filename: str = ""

    _named = model_validator(mode="before")(named_after_its_file)

    @property
    def push_text(self) -> str:
        return "[文件]"


class VideoElem(ContentElem):
    """Video of `duration` whole seconds, with a still picture in `snapshot`: path, bytes, open file, or an image of Pillow.

    `send()` reads and corrects the duration as for SoundElem, from MP4, M4V, MOV and 3GP content.
    """

    wire_type = "TIMVideoFileElem"
    wire_fields: ClassVar[FieldNames] = {
        "VideoUUID": "uuid",
        "VideoUrl": "url",
        "VideoSize": "size",
        "VideoSecond": "duration",
        "VideoFormat": "format",
        "VideoDownloadFlag": "download_flag",
        "ThumbUUID": "snapshot_uuid",
        "ThumbUrl": "snapshot_url",
        "ThumbSize": "snapshot_size",
        "ThumbWidth": "snapshot_width",
        "ThumbHeight": "snapshot_height",
        "ThumbFormat": "snapshot_format",
        "ThumbDownloadFlag": "download_flag",
    }
    local_fields: ClassVar[FieldNames] = {"LocalPath": "path", "LocalSnapshot": "snapshot"}
    content_fields: ClassVar[FieldNames] = {"data": "path", "snapshot": "snapshot"}
    content_kind: ClassVar[ContentKind] = "video"
    file_name_form = "{0.uuid}.{0.format}"
    search_number = 8
    duration: Annotated[int, Field(ge=0, lt=2**31)] = 0
    format: str = ""
    snapshot: PictureField = optional_picture()
    snapshot_uuid: str = ""
    snapshot_url: str = Field(default="", repr=False)
    snapshot_size: int = 0
    snapshot_width: int = 0
    snapshot_height: int = 0
    snapshot_format: str = ""

    @checked(InvalidArgument)
    async def read_snapshot(self, *, progress: Progress | None = None) -> bytes:
        """Return the still picture, fetched from the server at each call.

        Raises:
            DownloadFailed: The content is incomplete or changed, or is on another server; call again, or give up.
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
            MediaError: The elem has no still picture, or was neither sent nor received.
        """
        return await self._read(self.snapshot_uuid, self.snapshot_url, self.snapshot_size, progress)

    @property
    def push_text(self) -> str:
        return "[视频]"


class MergedMessage(Protocol):
    """Message inside a MergerElem: a `Message` without a conversation."""

    @property
    def sender(self) -> str: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def elems(self) -> tuple[AnyElem, ...]: ...

    @property
    def text(self) -> str: ...


MergerUnpacker: TypeAlias = Callable[[bytes], Sequence[MergedMessage]]  # decodes the messages inside a merger


class MergerElem(BoundElem):
    """Merged messages, made by `conversation.forward(…)` or `timim.merge_messages(…)`.

    A merger has at most 300 messages, and at most 100 layers of mergers in mergers. `abstracts` are lines that summarize
    the content; `compatible_text` is for clients without support for mergers. Messages over 8 KB are stored on the server.
    """

    wire_type = "TIMRelayElem"
    search_field = "title"
    search_number = 12
    inline_limit_bytes: ClassVar[int] = 8 * 1024  # of the 12 KB of a body; the rest is for other elems
    title: str = ""
    abstracts: tuple[str, ...] = ()
    compatible_text: str = ""
    count: Annotated[int, Field(ge=0, le=300)] = 0
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    content: Bytes = Field(default=b"", repr=False)
    uuid: str = ""
    url: str = Field(default="", repr=False)
    size: Annotated[int, Field(ge=0)] = 0
    media: tuple[str, ...] = ()  # uuids of content in the messages, which readers of the merger may read
    layers_over_limit: bool = False
    _unpack: MergerUnpacker | None = PrivateAttr(default=None)

    def bind_unpacker(self, unfold: MergerUnpacker) -> None:
        """Set the function that decodes the messages; the client calls this for each message it makes."""
        self._unpack = unfold

    async def messages(self) -> Sequence[MergedMessage]:
        """Return the messages, oldest first; long ones are fetched from the server at each call.

        Raises:
            InvalidElem: The merger has more than 100 layers.
            ProtocolError: The content is malformed.
            DownloadFailed: The content is incomplete or changed, or is on another server; call again, or give up.
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
            MediaError: The elem does not belong to a client's message, or was neither sent nor received.
        """
        if self.layers_over_limit:
            raise InvalidElem("the merger has more than 100 layers, so that its messages cannot be read")
        if self._unpack is None:
            raise MediaError("the elem does not belong to a client's message; use the elems of a sent or received message")
        return self._unpack(self.content or await self._read(self.uuid, self.url, self.size, None))

    @property
    def needs_upload(self) -> bool:
        return len(self.content) > self.inline_limit_bytes

    @property
    def push_text(self) -> str:
        return "[聊天记录]"


class ImageVariant(DownloadableElem):
    """One size of a sent or received picture, with its pixels, bytes and url known before any download."""

    type: ImageType
    width: int
    height: int
    size: int


Images = Annotated[
    Mapping[ImageType, ImageVariant], AfterValidator(lambda images: MappingProxyType(dict(images))), PlainSerializer(dict)
]


class ImageElem(DownloadableElem, ImageArgument):
    """Picture, given as `path`, `data` (bytes), `file` (open) or `image` (of Pillow); `send()` sets `images` (three sizes).

    `uuid`, `size`, `url`, `read()` and `download()` are those of the original; each of `images` has its own.
    The original is sent unchanged, with the metadata of the camera. `strip_location=True` removes GPS, XMP, comments and EXIF
    except the orientation without changing pixels, from JPEG, PNG and WebP (Tencent IM SDK guide, 图片消息发送).

    Raises:
        InvalidElem: There is no content, or a field is wrong.
        FileMissing: At `send()`, there is no file at the path (7004).
        EmptyFile: At `send()`, the content has 0 bytes (7006).
        TooLarge: At `send()`, the content is over its size limit (7005).
        NotAnImage: At `send()`, the content is no supported picture (6031).
        MediaError: At `send()`, the location cannot be removed from this format (6022).
    """

    wire_type = "TIMImageElem"
    wire_fields: ClassVar[FieldNames] = {"UUID": "uuid", "ImageFormat": "image_format"}  # and its variants
    local_fields: ClassVar[FieldNames] = {
        "LocalPath": "path",
        "LocalCompression": "compression",
        "LocalStrip": "strip_location",
    }
    content_fields: ClassVar[FieldNames] = {"data": "path"}
    search_number = 2
    path: PathField = optional_path()
    data: DataField = optional_data("image", "file")
    compression: ImageCompression = ImageCompression.ORIGINAL
    strip_location: bool = False
    image_format: int = 255
    images: Images = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.path is None and self.data is None and not self.images:
            raise ValueError("give path= or data=")
        if original := self.images.get(ImageType.ORIGINAL):
            self.__dict__ |= {"uuid": self.uuid or original.uuid, "size": original.size, "url": original.url}
        return self

    def bind(self, source: ContentSource) -> None:
        super().bind(source)
        for variant in self.images.values():
            variant.bind(source)

    @property
    def local_content(self) -> Path | bytes | None:
        return self.data if self.path is None else self.path

    @property
    def needs_upload(self) -> bool:
        return not self.images

    @property
    def _file_name(self) -> str:
        return super()._file_name + {1: ".jpg", 2: ".gif", 3: ".png", 4: ".bmp"}.get(self.image_format, "")

    @property
    def push_text(self) -> str:
        return "[图片]"


class UnknownElem(Elem):
    """Elem of a type that this version does not know; `content` is the exact JSON text as received.

    Storing and forwarding keep each byte.
    """

    MsgType: str
    content: Bytes

    @property
    def MsgContent(self) -> JsonValue:  # noqa: N802  TIM's own name for it
        """The content as Python objects, decoded at each access; ValueError if the content is not JSON."""
        content: JsonValue = json.loads(self.content)
        return content

    @property
    def search_text(self) -> str:
        """The text that the search index contains for this elem."""
        try:
            content = self.MsgContent
        except (ValueError, RecursionError):
            return ""
        members = [content.get(name) for name in SEARCHED_MEMBERS] if isinstance(content, dict) else []
        return "\n".join(text for text in members if isinstance(text, str) and text)


AnyElem = (
    TextElem
    | ImageElem
    | FaceElem
    | SoundElem
    | FileElem
    | CustomElem
    | LocationElem
    | VideoElem
    | MergerElem
    | GroupTipElem
    | GroupNoticeElem
    | RelationElem
    | UnknownElem
)
"""Union of all kinds of elem, closed for `match`."""

ELEM_TYPES: tuple[type[AnyElem], ...] = get_args(AnyElem)
"""The members of `AnyElem`."""
