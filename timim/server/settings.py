"""The operator's settings: flags over environment (`TIMIM_…`) over a TOML file over these defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

CALLBACKS = frozenset(
    {
        "C2C.CallbackBeforeSendMsg",
        "C2C.CallbackAfterSendMsg",
        "Group.CallbackBeforeSendMsg",
        "Group.CallbackAfterSendMsg",
        "State.StateChange",
    }
)


BLOBS_FORM = "s3://bucket/prefix?endpoint=https://…&region=… or file:///folder"


@dataclass(frozen=True, slots=True)
class ContentLocation:
    """Where content is kept: in a bucket, in a folder, or, without both, in memory."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""

    @classmethod
    def from_url(cls, url: str) -> ContentLocation:
        """Parse a URL of BLOBS_FORM. Raises ValueError, which does not repeat the URL: somebody may put a key there."""
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("no key in it, please: those are TIMIM_S3_ACCESS_KEY and TIMIM_S3_SECRET_KEY")
        if parts.scheme == "file" and not parts.netloc and not parts.query and parts.path.strip("/"):
            return cls(folder=Path(unquote(parts.path)))
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme != "s3" or not parts.netloc or parts.fragment or options.keys() - {"endpoint", "region"}:
            raise ValueError(f"must be like {BLOBS_FORM}")
        prefix = unquote(parts.path.strip("/"))
        return cls(None, parts.netloc, prefix, options.get("endpoint", ""), options.get("region", ""))


class Settings(BaseSettings):
    """All settings. `data_dir` None keeps everything in memory (tests). Limits are Tencent Chat's unless said."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="TIMIM_", toml_file="timim.toml", extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8700, ge=0, le=65535)
    data_dir: Path | None = Path("timim-data")
    public_url: str = ""  # how clients reach the server, when it is not http://host:port
    app_id: int | None = None  # made at the first start when not given
    secret_key: str | None = Field(default=None, repr=False)
    admin: str = "administrator"

    database: str = Field(default="", repr=False)  # postgresql://…: instead of the data folder's SQLite file
    database_replica: str = Field(default="", repr=False)  # a PostgreSQL that follows it, for history
    database_connections: int = Field(default=8, ge=2)
    bus: str = Field(default="", repr=False)  # nats://…, several with commas: how nodes on one database hear of each other

    max_message_bytes: int = 12 * 1024
    max_frame_bytes: int = 1024 * 1024
    hello_interval_s: int = 60
    login_timeout_s: float = 5.0  # a socket that has not logged in by then is closed
    idle_timeout_s: float = 150.0  # two heartbeats and a half: one lost is noise, two a dead peer
    session_queue_bytes: int = 8 * 1024 * 1024  # what a slow reader may have waiting before it is closed
    devices: Literal["all", "platform", "one"] = "all"  # of one user, online at once: all, one of each platform, one
    requests_in_flight: int = 256  # of one session; more wait in the socket
    history_page: int = 200
    group_messages_per_s: float = Field(default=40.0, ge=0)  # of one group, on average; 0: no limit
    group_burst_s: float = Field(default=10.0, gt=0)  # so many seconds' worth may come at once after a quiet time
    group_members: int = 100_000  # a group may say less
    friends: int = 1000
    max_image_bytes: int = 28 * 1024 * 1024
    max_sound_bytes: int = 28 * 1024 * 1024
    max_file_bytes: int = 100 * 1024 * 1024
    max_video_bytes: int = 100 * 1024 * 1024
    media_url_s: int = Field(default=3600, gt=0)  # how long a signed address of content is good
    media_grace_s: float = Field(default=7 * 86400.0, ge=0)  # content that no message names is kept so long
    media_upload_idle_s: float = Field(default=86400.0, ge=0)  # an upload that does not go on is kept so long
    media_sweep_s: float = Field(default=600.0, gt=0)  # between two looks for what may go
    media_open_uploads: int = 64  # unfinished ones of one account
    media_receiving: int = 64  # uploads received at once; each holds up to 8 MiB in memory
    media_receiving_per_user: int = 8
    blobs: str = Field(default="", repr=False)  # where content is kept, as BLOBS_FORM says; empty: as the next settings say
    s3_bucket: str = ""  # content is kept in this bucket; empty: in the data folder
    s3_prefix: str = ""
    s3_endpoint: str = ""  # of an S3-compatible server; empty: Amazon's
    s3_region: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = Field(default="", repr=False)
    friends_only: bool = False  # C2C messages between friends only (20009 to 20011)
    webhook_url: str = ""  # the operator's back end, told of what webhook_commands names; nothing else is ever fetched
    webhook_token: str = Field(default="", repr=False)  # signs what it is told; empty: unsigned
    webhook_commands: str = ""  # separated by commas, like "C2C.CallbackBeforeSendMsg,State.StateChange"
    webhook_timeout_s: float = Field(default=2.0, gt=0)  # of a callback that a sender waits for
    webhook_required: bool = False  # what the back end does not answer for is refused, not let through
    push_url: str = ""  # where offline pushes go
    push_token: str = Field(default="", repr=False)
    push_timeout_s: float = Field(default=5.0, gt=0)  # of a call that nobody waits for
    push_give_up_s: float = Field(default=86_400.0, gt=0)  # older news is of no use
    recall_window_s: float = Field(default=120.0, ge=0)  # in which a sender can take a message back
    reactions_per_message: int = Field(default=10, ge=1)  # different ones
    users_per_reaction: int = Field(default=100, ge=1)
    mentions_per_message: int = Field(default=30, ge=1)
    receipt_group_members: int = Field(default=200, ge=1)  # a larger group's messages ask for no receipts
    synchronous: str = "FULL"
    new_epoch: bool = False  # for one start, after restoring a back-up: clients ask for their history anew
    drain_s: float = 5.0
    open_metrics: bool = False  # /metrics for everybody who reaches the port, not for this machine alone

    @property
    def media_limits(self) -> dict[str, int]:
        """Bytes at most, by kind of content."""
        return {
            "image": self.max_image_bytes,
            "sound": self.max_sound_bytes,
            "file": self.max_file_bytes,
            "video": self.max_video_bytes,
        }

    @property
    def content(self) -> ContentLocation:
        if self.blobs:
            return ContentLocation.from_url(self.blobs)
        if self.s3_bucket:
            return ContentLocation(None, self.s3_bucket, self.s3_prefix, self.s3_endpoint, self.s3_region)
        return ContentLocation(self.data_dir and self.data_dir / "media")

    @field_validator("blobs")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value:
            ContentLocation.from_url(value)
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.blobs and self.s3_bucket:
            raise ValueError("content has one place: give blobs or s3_bucket")
        return self

    @field_validator("webhook_url", "push_url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment):
            raise ValueError("must be an address like https://host/path")
        return value

    @field_validator("webhook_commands")
    @classmethod
    def _known(cls, value: str) -> str:
        if unknown := {name.strip() for name in value.split(",") if name.strip()} - CALLBACKS:
            raise ValueError(f"knows {', '.join(sorted(CALLBACKS))}, not {', '.join(sorted(unknown))}")
        return value

    @property
    def callbacks(self) -> frozenset[str]:
        """The callbacks to make; none without a webhook_url."""
        named = (name.strip() for name in self.webhook_commands.split(",")) if self.webhook_url else ()
        return frozenset(name for name in named if name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
