"""The base classes of elems, and the elems that only the server writes.

Elems with content are made from a `path` or from `data`; when both are given the path wins. pydantic's ValidationError is
translated to InvalidElem here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Protocol, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import InvalidElem, MediaError

__all__ = [
    "SERVER_ELEMS",
    "BoundElem",
    "Bytes",
    "ContentElem",
    "ContentKind",
    "ContentSource",
    "DownloadableElem",
    "Elem",
    "FieldNames",
    "GroupNoticeElem",
    "GroupNoticeType",
    "GroupTipElem",
    "GroupTipType",
    "ImageCompression",
    "ImageType",
    "Progress",
    "RelationElem",
    "RelationType",
]

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) while content moves; a progress callback that raises ends the transfer."""


ContentKind = Literal["image", "sound", "file", "video"]
"""How the server counts content: each kind has a limit of its own."""
SEARCHED_MEMBERS: Final = ("Text", "Desc", "FileName", "Title")
"""The members of a `MsgContent` that the search index holds. Another one needs a schema step of the index."""


class ContentSource(Protocol):
    """A place to fetch received content from; the client binds one to the elems of its messages."""

    async def read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """Return the content. Raises DownloadFailed, MediaGone, NetworkError."""

    async def download(self, uuid: str, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Fetch the content into `path`, all of it or nothing, and return `path`."""

    async def signed_url(self, uuid: str, url: str) -> str:
        """Return an address that anybody can open for a while."""


def _as_bytes(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("must be bytes, not str: encode it")
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


Bytes = Annotated[bytes, BeforeValidator(_as_bytes)]


FieldNames: TypeAlias = Mapping[str, str]
"""The attributes of an elem by their names on the wire."""

if TYPE_CHECKING:

    class PathField:
        """A field that holds a Path or None, and is given as a str too: pydantic converts it, type checkers do not know."""

        def __get__(self, elem: object, owner: type[object]) -> Path | None: ...
        def __set__(self, elem: object, value: str | Path | None) -> None: ...
else:
    PathField = Path | None


def optional_path() -> PathField:
    """Return the definition of a PathField that is None unless it is given."""
    return cast("PathField", Field(default=None))


def _first_fault(exc: ValidationError) -> str:
    first = exc.errors(include_url=False)[0]
    field, fault = ".".join(str(part) for part in first["loc"]) or "content", first["msg"]
    if first["type"] == "string_unicode":
        try:
            str(first["input"]).encode()
        except UnicodeEncodeError as not_text:
            fault = f"not valid Unicode: a lone surrogate at position {not_text.start}"
    return f"{field}: {fault}"


class Elem(BaseModel):
    """One part of a message. Raises InvalidElem (6016) when a field is wrong, naming the field.

    The class attributes are all that other modules need to know of a kind of elem: a new kind is a class with them, and a
    member of `AnyElem`.
    """

    wire_type: ClassVar[str] = ""
    """`MsgType` on the wire; empty for UnknownElem alone, which keeps the one it came with."""
    wire_fields: ClassVar[FieldNames] = {}
    """The members of `MsgContent`, in their order, and the attributes that they hold."""
    local_fields: ClassVar[FieldNames] = {}
    """More such members, which stand in this device's own outbox only and never on the wire."""
    content_fields: ClassVar[FieldNames] = {}
    """The fields that can hold content as bytes, and for each the field that holds the same content's path."""
    search_field: ClassVar[str] = ""
    """The field whose text can be searched for; its member on the wire is one of SEARCHED_MEMBERS."""
    search_number: ClassVar[int] = 0
    """The kind's number in the search index: never changed, and never used again. 0: it cannot be searched for."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    def __init__(self, **fields: object) -> None:
        try:
            self.__pydantic_validator__.validate_python(fields, self_instance=self)  # all that BaseModel's own does
        except ValidationError as exc:
            raise InvalidElem(f"{type(self).__name__}: {_first_fault(exc)}") from None

    @property
    def push_text(self) -> str:
        """The text that an offline push shows for this elem (source: F33; Tencent IM SDK guide, 自定义消息发送)."""
        return ""

    @property
    def search_text(self) -> str:
        """The text that a search can find; empty for an elem without one."""
        return str(getattr(self, self.search_field)) if self.search_field else ""

    @property
    def local_content(self) -> Path | bytes | None:
        """The content as this device has it, a path before bytes; None for an elem that was given none."""
        return None

    @property
    def needs_upload(self) -> bool:
        """True while content of this elem is not on the server yet, but has to be before the elem is sent."""
        return False


class BoundElem(Elem):
    """An elem some of whose content is fetched from the server."""

    _source: ContentSource | None = PrivateAttr(default=None)

    def bind(self, source: ContentSource) -> None:
        """Set the place that the content is fetched from; the client does this for every message it makes."""
        self._source = source

    async def _read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        return await self._bound(url).read(uuid, url, size_bytes, progress)

    async def _download(self, uuid: str, url: str, size: int, path: str | Path, progress: Progress | None) -> Path:
        return await self._bound(url).download(uuid, url, size, Path(path), progress)

    async def _signed_url(self, uuid: str, url: str) -> str:
        return await self._bound(url).signed_url(uuid, url)

    def _bound(self, url: str) -> ContentSource:
        if not url:
            raise MediaError("this elem was not sent or received yet: there is nothing to download")
        if self._source is None:
            raise MediaError("this elem does not belong to a client's message: there is nowhere to download from")
        return self._source


class DownloadableElem(BoundElem):
    """Content that has a name, a size in bytes and an address on the server, once it is there."""

    uuid: str = ""
    size: Annotated[int, Field(ge=0)] = 0
    url: str = Field(default="", repr=False)

    async def read(self, *, progress: Progress | None = None) -> bytes:
        """Fetch the content, at each call unless the client has a media cache.

        Raises DownloadFailed, MediaGone, NetworkError, and MediaError for an elem that was neither sent nor received.
        """
        return await self._read(self.uuid, self.url, self.size, progress)

    async def download(self, path: str | Path, *, progress: Progress | None = None) -> Path:
        """Fetch the content into `path`, and return `path`. A failed or cancelled download leaves no partial file.

        Raises as `read`, and MediaError when the file cannot be written.
        """
        return await self._download(self.uuid, self.url, self.size, path, progress)

    async def signed_url(self) -> str:
        """Return an address that anybody can open for an hour (the server's `media_url_s`), while this account may read it.

        `url` itself opens for logged-in clients only. Raises MediaGone, NetworkError.
        """
        return await self._signed_url(self.uuid, self.url)


class ContentElem(DownloadableElem):
    """A sound, file or video: it has content by path or data when it is sent, and uuid, size and url afterwards."""

    content_kind: ClassVar[ContentKind] = "file"
    download_flag: ClassVar[int] = 2  # Tencent's: the content is downloaded from its address
    local_fields: ClassVar[FieldNames] = {"LocalPath": "path"}
    content_fields: ClassVar[FieldNames] = {"data": "path"}
    path: PathField = optional_path()
    data: Bytes | None = Field(default=None, repr=False)

    @field_validator("path", mode="before")
    @classmethod
    def _path_is_a_path(cls, value: object) -> object:
        if isinstance(value, str) and not value:
            raise ValueError("must not be empty")
        return value

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.path is None and self.data is None and not self.uuid and not self.url:
            raise ValueError("give path= or data=")
        return self

    @property
    def local_content(self) -> Path | bytes | None:
        return self.data if self.path is None else self.path

    @property
    def needs_upload(self) -> bool:
        return not self.url


class ImageType(enum.IntEnum):
    """The three sizes of a picture, by the numbers of the Tencent IM SDK guide (the wire's own are 1, 3, 2)."""

    ORIGINAL = 0
    THUMB = 1
    LARGE = 2


class ImageCompression(enum.IntEnum):
    """How the original of a picture is sent: as it is, or as a smaller picture made from it (SetImageCompressLevel).

    HIGH, much compressed: the shorter side at most 960 pixels; HD: at most 1440. Never enlarged, never more bytes.
    """

    ORIGINAL = 0
    HIGH = 1
    HD = 2


class GroupTipType(enum.IntEnum):
    """The kind of change that a tip is about, by Tencent's OpType."""

    JOIN = 1
    QUIT = 2
    KICK = 3
    ADMIN_SET = 4
    ADMIN_CANCELLED = 5
    GROUP_INFO = 6
    MEMBER_INFO = 7


class GroupNoticeType(enum.IntEnum):
    """The kind of event that a notice is about, by Tencent's ReportType."""

    APPLIED = 1
    ACCEPTED = 2
    REFUSED = 3
    KICKED = 4
    DISSOLVED = 5
    CREATED = 6
    INVITED = 7
    QUIT = 8
    ADMIN_SET = 9
    ADMIN_CANCELLED = 10
    RECYCLED = 11
    INVITE_REQUESTED = 12
    INVITE_ACCEPTED = 13
    INVITE_REFUSED = 14
    READ_SYNC = 15
    CUSTOM = 255


class RelationType(enum.IntEnum):
    """The kind of change of a relation, by Tencent's PushType; FRIEND_CHANGED (remark, friend groups) is a timim extension."""

    FRIEND_ADDED = 1
    FRIEND_DELETED = 2
    APPLICATION_ADDED = 3
    APPLICATION_DELETED = 4
    BLACKLIST_ADDED = 5
    BLACKLIST_DELETED = 6
    APPLICATIONS_READ = 7
    PROFILE = 8
    FRIEND_CHANGED = 9


class GroupTipElem(Elem):
    """A change of a group, in the group's own conversation. Written by the server; nobody can send one.

    `type` is a GroupTipType, or a bare number that this version does not know. `users` are the members concerned;
    `changes` has the new values of the group, by Tencent's names (GroupName, Owner_Account …), and `member_changes` those of
    each member (ShutupTime in seconds, NameCard).
    """

    wire_type = "TIMGroupTipElem"
    search_number = 9
    type: GroupTipType | int
    operator: str = ""
    users: tuple[str, ...] = ()
    member_count: int = 0
    changes: Mapping[str, object] = Field(default_factory=dict)
    member_changes: Mapping[str, Mapping[str, object]] = Field(default_factory=dict)
    reason: str = ""

    @property
    def push_text(self) -> str:
        return "[群提示消息]"


class GroupNoticeElem(Elem):
    """A notice about a group to this user alone, in the system conversation. Written by the server.

    `users`: the users concerned, when that is not the operator (INVITE_REQUESTED: the invited users); `text`: the operator's
    words, such as an application's wording or a refusal's reason.
    """

    wire_type = "TIMGroupSystemNoticeElem"
    search_number = 10
    type: GroupNoticeType | int
    group_id: str = ""
    group_name: str = ""
    operator: str = ""
    users: tuple[str, ...] = ()
    text: str = ""
    user_field: str = ""

    @property
    def push_text(self) -> str:
        return "[群系统通知]"


class RelationElem(Elem):
    """A change of this user's relations, or a friend's new profile, in the system conversation. Written by the server.

    `users`: the users concerned; `wording`: an applicant's words; `profile`: the new values of a profile, by Tencent's tags.
    """

    wire_type = "TIMRelationElem"
    search_number = 11
    type: RelationType | int
    users: tuple[str, ...] = ()
    wording: str = ""
    source: str = ""
    profile: Mapping[str, str] = Field(default_factory=dict)
    profile_version: int = 0

    @property
    def push_text(self) -> str:
        return "[关系链变更]"


SERVER_ELEMS = (GroupTipElem, GroupNoticeElem, RelationElem)
"""The kinds that only the server writes."""
