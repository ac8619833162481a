"""The parts that a message is made of. An elem is frozen: it cannot change between `send()` and the wire.

Elems with content (image, sound, file, video) are made from a `path` or from `data`; when both are given the path
wins. Once sent, or received, they carry `uuid`, `size` and `url`, and `read()` and `download()` fetch the bytes anew at
each call: keep the bytes that you need; `uuid` is a key that never changes (source: section "接收图片消息").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeAlias, get_args

from pydantic import Field, PrivateAttr, field_validator, model_validator

from .elem_base import (
    SEARCHED_MEMBERS,
    SERVER_ELEMS,
    BoundElem,
    Bytes,
    ContentElem,
    ContentKind,
    ContentSource,
    DownloadableElem,
    Elem,
    FieldNames,
    GroupNoticeElem,
    GroupTipElem,
    ImageCompression,
    ImageType,
    PathField,
    Progress,
    RelationElem,
    optional_path,
)
from .errors import InvalidElem, MediaError

__all__ = [
    "ELEM_TYPES",
    "SEARCHED_MEMBERS",
    "SERVER_ELEMS",
    "AnyElem",
    "BoundElem",
    "Bytes",
    "ContentElem",
    "ContentKind",
    "ContentSource",
    "CustomElem",
    "DownloadableElem",
    "Elem",
    "FaceElem",
    "FileElem",
    "GroupNoticeElem",
    "GroupTipElem",
    "ImageCompression",
    "ImageElem",
    "ImageType",
    "ImageVariant",
    "JsonValue",
    "LocationElem",
    "MergedMessage",
    "MergerElem",
    "MergerUnpacker",
    "Progress",
    "RelationElem",
    "SoundElem",
    "TextElem",
    "UnknownElem",
    "VideoElem",
]

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""A value that JSON can hold."""


class TextElem(Elem):
    """Text. `size_bytes` is its length in UTF-8, which the limits count; `len(text)` counts code points."""

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
    """A sticker: an index into a package of yours, or bytes of yours, or both; timim passes them through untouched."""

    wire_type = "TIMFaceElem"
    wire_fields: ClassVar[FieldNames] = {"Index": "index", "Data": "data"}
    search_number = 3
    index: Annotated[int, Field(ge=-(2**31), lt=2**32)] = 0
    data: Bytes = b""

    @property
    def push_text(self) -> str:
        return "[表情]"


class CustomElem(Elem):
    """Content of your own kind. `desc` is shown by an offline push; `ext` and `sound` go to the push service."""

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
    """A place: degrees, latitude -90 to 90 and longitude -180 to 180."""

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
    """Speech; `duration` in whole seconds. One per message (source: 语音消息发送).

    A duration of 0 is read from the content at `send()`: WAV, MP3, M4A, AAC, AMR, OGG, FLAC. A duration that differs from the
    content's by more than a second and a tenth is corrected, and a warning is logged. For other content it stays as given.
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
    """A file. `filename` is for display and is not checked: never use a received one as a path. One per message."""

    wire_type = "TIMFileElem"
    wire_fields: ClassVar[FieldNames] = {
        "UUID": "uuid",
        "Url": "url",
        "FileSize": "size",
        "FileName": "filename",
        "Download_Flag": "download_flag",
    }
    search_field = "filename"
    search_number = 5
    filename: str = ""

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_path(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.get("filename") and value.get("path"):
            return {**value, "filename": Path(value["path"]).name}
        return value

    @property
    def push_text(self) -> str:
        return "[文件]"


class VideoElem(ContentElem):
    """A film of `duration` whole seconds, with a still picture: `snapshot` is a path or bytes of an image.

    `duration` is filled in and corrected as SoundElem's, from MP4, M4V, MOV and 3GP.
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
    search_number = 8
    duration: Annotated[int, Field(ge=0, lt=2**31)] = 0
    format: str = ""
    snapshot: Path | Bytes | None = Field(default=None, repr=False)
    snapshot_uuid: str = ""
    snapshot_url: str = Field(default="", repr=False)
    snapshot_size: int = 0
    snapshot_width: int = 0
    snapshot_height: int = 0
    snapshot_format: str = ""

    async def read_snapshot(self, *, progress: Progress | None = None) -> bytes:
        """Fetch the still picture, at each call. Raises DownloadFailed, MediaGone, NetworkError."""
        return await self._read(self.snapshot_uuid, self.snapshot_url, self.snapshot_size, progress)

    @property
    def push_text(self) -> str:
        return "[视频]"


class MergedMessage(Protocol):
    """A message inside a MergerElem: a `Message` that belongs to no conversation."""

    sender: str
    timestamp: int

    @property
    def elems(self) -> tuple[AnyElem, ...]: ...

    @property
    def text(self) -> str: ...


class MergerUnpacker(Protocol):
    """Makes messages of a merger's content; the client binds one to the elems of its messages."""

    def __call__(self, content: bytes) -> Sequence[MergedMessage]: ...


class MergerElem(BoundElem):
    """Messages forwarded as one: made by `conversation.forward(…)` or `timim.merge_messages(…)`.

    At most 300 messages, and 100 layers of mergers in mergers. `abstracts` are lines that show its content;
    `compatible_text` is for clients that do not know mergers. `messages()` returns the messages; those that are too long for a
    message's body are content on the server, and fetched at each call.
    """

    wire_type = "TIMRelayElem"
    search_field = "title"
    search_number = 12
    inline_limit_bytes: ClassVar[int] = 8 * 1024  # of its messages, in a body of 12 KB: the rest is for other elems
    title: str = ""
    abstracts: tuple[str, ...] = ()
    compatible_text: str = ""
    count: Annotated[int, Field(ge=0, le=300)] = 0
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    content: Bytes = Field(default=b"", repr=False)
    uuid: str = ""
    url: str = Field(default="", repr=False)
    size: Annotated[int, Field(ge=0)] = 0
    media: tuple[str, ...] = ()  # content that the messages name, by uuid: a reader of this may read that
    layers_over_limit: bool = False
    _unpack: MergerUnpacker | None = PrivateAttr(default=None)

    def bind_unpacker(self, unfold: MergerUnpacker) -> None:
        """Set the function that makes messages of the content; the client does this for every message it makes."""
        self._unpack = unfold

    async def messages(self) -> Sequence[MergedMessage]:
        """Return the messages, oldest first.

        Raises InvalidElem when they are nested too deeply, DownloadFailed, MediaGone, NetworkError, and MediaError for an elem
        that does not belong to a client's message.
        """
        if self.layers_over_limit:
            raise InvalidElem("this merger holds more than 100 layers of others: its content is not to be had")
        if self._unpack is None:
            raise MediaError("this elem does not belong to a client's message: there is nothing to unfold it with")
        return self._unpack(self.content or await self._read(self.uuid, self.url, self.size, None))

    @property
    def needs_upload(self) -> bool:
        return len(self.content) > self.inline_limit_bytes

    @property
    def push_text(self) -> str:
        return "[聊天记录]"


class ImageVariant(DownloadableElem):
    """One size of a sent or received picture: its pixels, bytes and url are known before any download."""

    type: ImageType
    width: int
    height: int
    size: int


class ImageElem(BoundElem):
    """A picture by path or data; after success `images` holds its three variants and `uuid` its lasting name.

    The original is sent byte for byte, with its camera's metadata. `strip_location=True` sends it without them (GPS, EXIF
    but for the orientation, XMP, comments), its pixels untouched; JPEG, PNG and WebP only, else MediaError 6022 at `send()`.

    Sending needs only `path` (relative to the working directory) or `data`. Raises at `send()`: FileMissing 7004,
    EmptyFile 7006, TooLarge 7005, NotAnImage 6031 (source: 图片消息发送).
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
    data: Bytes | None = Field(default=None, repr=False)
    compression: ImageCompression = ImageCompression.ORIGINAL
    strip_location: bool = False
    uuid: str = ""
    image_format: int = 255
    images: Mapping[ImageType, ImageVariant] = Field(default_factory=dict)

    @field_validator("images", mode="after")
    @classmethod
    def _images_do_not_change(cls, value: Mapping[ImageType, ImageVariant]) -> Mapping[ImageType, ImageVariant]:
        return MappingProxyType(dict(value))

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.path is None and self.data is None and not self.images:
            raise ValueError("give path= or data=")
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
    def push_text(self) -> str:
        return "[图片]"


class UnknownElem(Elem):
    """An elem of a type that this version does not know, as it came: `content` is its exact JSON text.

    It survives storing and forwarding byte for byte, and never raises.
    """

    MsgType: str
    content: bytes

    @property
    def MsgContent(self) -> JsonValue:  # noqa: N802  TIM's own name for it
        """The content as Python objects, decoded at each call."""
        import json

        content: JsonValue = json.loads(self.content)
        return content

    @property
    def search_text(self) -> str:
        """The text of the members that the search index holds of any type of elem."""
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
"""Every kind of elem that a message can hold; a closed set for `match`."""

ELEM_TYPES: tuple[type[AnyElem], ...] = get_args(AnyElem)
"""The members of `AnyElem`."""
