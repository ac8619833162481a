"""Base classes of elems, and the elems that only the server writes.

Elems with content are made from a `path` or from `data`; `path` takes precedence. `Elem` translates pydantic's
ValidationError to InvalidElem.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Protocol, Self, TypeAlias, cast

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from .errors import InvalidArgument, InvalidElem, MediaError
from .util.arguments import Bytes, FilePath, LocalPath, checked, described_fault, text_fault
from .util.contents import DataField, FileArgument, ImageArgument, PictureField, named_after_its_file, optional_data
from .util.files import file_target
from .util.models import FrozenModel
from .util.names import safe_name

# Not one name a line: the list would be as long as a class.
# fmt: off
__all__ = [
    "SERVER_ELEMS", "BoundElem", "Bytes", "ContentElem", "ContentKind", "ContentSource", "DataField", "DownloadableElem",
    "Elem", "FieldNames", "GroupNoticeElem", "GroupNoticeType", "GroupTipElem", "GroupTipType", "ImageArgument",
    "ImageCompression", "ImageType", "LocalPath", "PathField", "PictureField", "Progress", "RelationElem", "RelationType",
    "checked", "named_after_its_file", "optional_data", "optional_path",
]
# fmt: on

Progress = Callable[[int, int], None]
"""Callback of a transfer, called with (bytes done, bytes in all). An error of the callback ends the transfer."""


ContentKind = Literal["image", "sound", "file", "video"]
"""Kind of content; the server has a size limit for each kind."""
SEARCHED_MEMBERS: Final = ("Text", "Desc", "FileName", "Title")
"""Members of a `MsgContent` that the search index contains. Another member needs a schema step of the index."""


class ContentSource(Protocol):
    """Source of received content. The client gives one to each elem with content in its messages."""

    async def read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """Return the content.

        Raises:
            DownloadFailed: The content is incomplete or changed, or is on another server.
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
        """

    async def download(self, uuid: str, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Fetch the whole content into `path`, and return `path`.

        Raises:
            MediaError: The file cannot be written.
            DownloadFailed: The content is incomplete or changed, or is on another server.
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
        """

    async def signed_url(self, uuid: str, url: str) -> str:
        """Return an address that anybody can open for a limited time.

        Raises:
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
        """


FieldNames: TypeAlias = Mapping[str, str]
"""Attributes of an elem by their names on the wire."""


if TYPE_CHECKING:

    class PathField:
        """Field that holds a Path or None and can be set to a str, which pydantic converts; for type checkers only."""

        def __get__(self, elem: object, owner: type[object]) -> Path | None: ...
        def __set__(self, elem: object, value: str | Path | None) -> None: ...
else:
    PathField = LocalPath | None


def optional_path() -> PathField:
    """Return the definition of a PathField that is None unless it is given."""
    return cast("PathField", Field(default=None))


class Elem(FrozenModel):
    """One part of a message, frozen. Base class of all elems.

    To add a kind of elem, define a subclass with these class attributes and add it to `AnyElem`.

    Raises:
        InvalidElem: A field is wrong (6016); the text names the field and its limit.
    """

    wire_type: ClassVar[str] = ""
    """`MsgType` on the wire; empty for UnknownElem, which has the type that it was received with."""
    wire_fields: ClassVar[FieldNames] = {}
    """Members of `MsgContent`, in order, and the attribute of each."""
    local_fields: ClassVar[FieldNames] = {}
    """Further members that only this device's outbox stores; they are never sent."""
    content_fields: ClassVar[FieldNames] = {}
    """Fields for content as bytes, and for each of them the field for the path of the content."""
    search_field: ClassVar[str] = ""
    """Field whose text can be searched for; its member on the wire is one of SEARCHED_MEMBERS."""
    search_number: ClassVar[int] = 0
    """Permanent number of the kind in the search index, never reused; 0 if the kind cannot be searched for."""

    def __init__(self, *unnamed: object, **fields: Any) -> None:
        if unnamed:
            names = ("path=…", "data=…") if "path" in type(self).model_fields else (f"{next(iter(type(self).model_fields))}=…",)
            raise InvalidElem(f"{type(self).__name__}: give each field by its name, such as {' or '.join(names)}")
        for name, value in fields.items():
            odd = value.__class__ is str and not (value.isascii() and "\0" not in value)  # half the time of a call
            if odd and name not in self.content_fields.values() and (fault := text_fault(value)):
                raise InvalidElem(f"{type(self).__name__}: {name}: {fault}")
        try:
            self.__pydantic_validator__.validate_python(fields, self_instance=self)  # as BaseModel.__init__ does
        except ValidationError as exc:
            raise self._invalid(exc) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic needs no call of it for JSON

    @classmethod
    def received(cls, **fields: object) -> Self:
        """Return an elem from the wire, where texts of other programs can hold NUL.

        Raises:
            InvalidElem: A field is wrong; the text names the field and its limit.
        """
        elem = cls.__new__(cls)
        try:
            elem.__pydantic_validator__.validate_python(fields, self_instance=elem)
        except ValidationError as exc:
            raise cls._invalid(exc) from None
        return elem

    @classmethod
    def _invalid(cls, exc: ValidationError) -> InvalidElem:
        fault = exc.errors(include_url=False)[0]
        field, *steps = fault["loc"] or ("content",)
        field = f"{field}{''.join(f'[{step}]' for step in steps if isinstance(step, int))}"
        return InvalidElem(f"{cls.__name__}: {field}: {described_fault(fault)}")

    @property
    def push_text(self) -> str:
        """The text that an offline push shows for this elem (Tencent IM SDK guide, 自定义消息发送)."""
        return ""

    @property
    def search_text(self) -> str:
        """The text that a search can find; empty for an elem without one."""
        return str(getattr(self, self.search_field)) if self.search_field else ""

    @property
    def local_content(self) -> Path | bytes | None:
        """The content on this device, as a path if there is one, else as bytes; None if there is none."""
        return None

    @property
    def needs_upload(self) -> bool:
        """True if content of this elem has to be uploaded before the elem is sent."""
        return False


class BoundElem(Elem):
    """Elem with content that can be fetched from the server."""

    _source: ContentSource | None = PrivateAttr(default=None)

    def bind(self, source: ContentSource) -> None:
        """Set the source of the content; the client calls this for each message it makes."""
        self._source = source

    async def _read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        return await self._bound(url).read(uuid, url, size_bytes, progress)

    def _bound(self, url: str) -> ContentSource:
        if not url:
            raise MediaError("the elem has no content on a server; use the elems of a sent or received message")
        if self._source is None:
            raise MediaError("the elem does not belong to a client's message; use the elems of a sent or received message")
        return self._source


class DownloadableElem(BoundElem):
    """Content with a name (`uuid`), a size in bytes and an address on the server, set after the upload."""

    file_name_form: ClassVar[str] = "{0.uuid}"
    """Name of a file that is downloaded into a folder."""
    uuid: str = ""
    size: Annotated[int, Field(ge=0)] = 0
    url: str = Field(default="", repr=False)

    @checked(InvalidArgument)
    async def read(self, *, progress: Progress | None = None) -> bytes:
        """Return the content, fetched from the server at each call unless the client has a media cache.

        Cancelling ends the transfer.

        Raises:
            DownloadFailed: The content is incomplete or changed, or is on another server; call again, or give up.
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
            MediaError: The elem was neither sent nor received.
        """
        return await self._read(self.uuid, self.url, self.size, progress)

    @checked(InvalidArgument)
    async def download(self, path: FilePath, *, progress: Progress | None = None) -> Path:
        """Fetch the content into the file `path`, and return the path.

        In a folder the file is called as its sender called it, made safe, else after its uuid; it never replaces another. A
        failed or cancelled download leaves no partial file, and does not change an existing file at `path`.

        Raises:
            DownloadFailed: The content is incomplete or changed, or is on another server; call again, or give up.
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
            MediaError: The file cannot be written, or the elem was neither sent nor received.
        """
        try:
            async with file_target(Path(path), self._file_name) as target:
                return await self._bound(self.url).download(self.uuid, self.url, self.size, target, progress)
        except OSError as exc:
            raise MediaError(f"cannot write in {path}: {exc.strerror}") from exc

    @property
    def _file_name(self) -> str:
        return safe_name(self.file_name_form.format(self), safe_name(self.uuid, "content"))

    async def signed_url(self) -> str:
        """Return an address that anybody can open for an hour (the server's `media_url_s`).

        The address works as long as this account may read the content. `url` works for logged-in clients only.

        Raises:
            MediaGone: The server no longer has the content, or this account may not read it.
            NetworkError: The server did not answer.
            MediaError: The elem was neither sent nor received.
        """
        return await self._bound(self.url).signed_url(self.uuid, self.url)


class ContentElem(DownloadableElem, FileArgument):
    """Sound, file or video, given as a path or as data; the upload sets `uuid`, `size` and `url`."""

    content_kind: ClassVar[ContentKind] = "file"
    download_flag: ClassVar[int] = 2  # Tencent's: the content is downloaded from its address
    local_fields: ClassVar[FieldNames] = {"LocalPath": "path"}
    content_fields: ClassVar[FieldNames] = {"data": "path"}
    path: PathField = optional_path()
    data: DataField = optional_data("file")

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
    """Size of a picture, by the numbers of the Tencent IM SDK guide (1, 3 and 2 on the wire)."""

    ORIGINAL = 0
    THUMB = 1
    LARGE = 2


class ImageCompression(enum.IntEnum):
    """Compression of the original of a picture before it is sent (SetImageCompressLevel).

    ORIGINAL sends the bytes unchanged. HIGH limits the shorter side to 960 pixels, HD to 1440. A picture is never enlarged,
    and never sent with more bytes than its original.
    """

    ORIGINAL = 0
    HIGH = 1
    HD = 2


class GroupTipType(enum.IntEnum):
    """Kind of change in a GroupTipElem, by Tencent's OpType."""

    JOIN = 1
    QUIT = 2
    KICK = 3
    ADMIN_SET = 4
    ADMIN_CANCELLED = 5
    GROUP_INFO = 6
    MEMBER_INFO = 7
    TOPIC_INFO = 8


class GroupNoticeType(enum.IntEnum):
    """Kind of event in a GroupNoticeElem, by Tencent's ReportType."""

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
    BANNED = 21
    CUSTOM = 255


class RelationType(enum.IntEnum):
    """Kind of change in a RelationElem, by Tencent's PushType.

    FRIEND_CHANGED (remark, friend groups) is a timim extension.
    """

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
    """Change of a group, in the group's conversation. Only the server writes this elem.

    `type` is a GroupTipType, or a number that this version does not know. `users` are the members concerned; `changes` has
    the new values of the group or topic by Tencent's names (GroupName, Owner_Account …), and `member_changes` those of each
    member (ShutupTime in seconds, NameCard).
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
    """Notice about a group to this user, in the system conversation. Only the server writes this elem.

    `operator` is the user who acted, `users` the users concerned if they differ (the invited users for INVITE_REQUESTED),
    and `text` the operator's text, such as the wording of an application or the reason of a refusal.
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
    """Change of this user's relations or of a friend's profile, in the system conversation. Only the server writes this elem.

    `users` are the users concerned, `wording` is the text of an application, and `profile` has the new values of a profile
    by Tencent's tags.
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
"""Classes of the elems that only the server writes."""
