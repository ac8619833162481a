"""Settings of a server. Flags override environment variables (`TIMIM_…`), which override a TOML file and the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from ..protocol.callbacks import CALLBACKS, NOT_SERVED

BLOBS_FORM = "s3://bucket/prefix?endpoint=https://…&region=… or file:///folder"


@dataclass(frozen=True, slots=True)
class ContentLocation:
    """Place that stores media content: a bucket, a folder, or memory if neither is set."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""

    @classmethod
    def from_url(cls, url: str) -> ContentLocation:
        """Parse a URL of BLOBS_FORM.

        Raises:
            ValueError: The URL is invalid; the error does not repeat the URL, which may contain credentials.
        """
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("credentials are not allowed in the URL; set TIMIM_S3_ACCESS_KEY and TIMIM_S3_SECRET_KEY")
        if parts.scheme == "file" and not parts.netloc and not parts.query and parts.path.strip("/"):
            return cls(folder=Path(unquote(parts.path)))
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme != "s3" or not parts.netloc or parts.fragment or options.keys() - {"endpoint", "region"}:
            raise ValueError(f"must be a URL like {BLOBS_FORM}")
        prefix = unquote(parts.path.strip("/"))
        return cls(None, parts.netloc, prefix, options.get("endpoint", ""), options.get("region", ""))


class Settings(BaseSettings):
    """Settings of a server, each with its unit and its limits.

    A setting is given as an argument, as the environment variable `TIMIM_` and its name in capitals, or in `timim.toml`; the
    first of these counts. The defaults of limits are those of Tencent Chat, unless a description says otherwise.

    Raises:
        ValidationError: A setting is unknown or has an invalid value; the error names it.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="TIMIM_", toml_file="timim.toml", extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` listens on all interfaces."""
    port: int = Field(default=8700, ge=0, le=65535)
    """Port to listen on; 0 chooses a free port."""
    tls_cert: Path | None = None
    """PEM file with the certificate of the server and its chain, which turns on TLS (`wss://`). SIGHUP reads it again."""
    tls_key: Path | None = None
    """PEM file with the private key of the certificate; not needed if `tls_cert` has the key too."""
    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks of proxies, separated by commas, whose `Forwarded` or `X-Forwarded-For` names the client."""
    proxy_protocol: bool = False
    """Connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2."""
    data_dir: Path | None = Path("timim-data")
    """Folder of the SQLite database, the media content, `app.json` and `address.json`, which one process at a time uses.

    None keeps everything in memory, for tests.
    """
    public_url: str = ""
    """HTTP address at which clients reach the server, if not `http://host:port`: `https://chat.example.com` of a proxy."""
    app_id: int | None = None
    """SDKAppID, the number of the application; without it the first start generates one and stores it with the data."""
    secret_key: str | None = Field(default=None, repr=False)
    """Key that signs users (UserSig); without it the first start generates one and stores it with the data."""
    previous_secret_key: str = Field(default="", repr=False)
    """Key that is accepted besides `secret_key` while a new key replaces an old one; empty for none."""
    admin: str = "administrator"
    """User id of the app's administrator."""
    admins: str = ""
    """User ids of further administrators, separated by commas; all of them may use the REST API."""

    database: str = Field(default="", repr=False)
    """URL of PostgreSQL (`postgresql://…`), which replaces the SQLite file in the data folder."""
    database_replica: str = Field(default="", repr=False)
    """URL of a PostgreSQL replica, from which history is read."""
    database_connections: int = Field(default=8, ge=2)
    """Maximum number of connections of one node to PostgreSQL; at least 2."""
    bus: str = Field(default="", repr=False)
    """URLs of NATS (`nats://…`), separated by commas, which connects the nodes that share a database."""

    max_message_bytes: int = 12 * 1024
    """Maximum size of a message: MsgBody, CloudCustomData and OfflinePushInfo together; clients learn it at login."""
    max_frame_bytes: int = 1024 * 1024
    """Maximum size of a websocket message from a client; clients learn it at login."""
    hello_interval_s: int = 60
    """Interval of heartbeats that the server asks clients for at login."""
    login_timeout_s: float = 5.0
    """Time in which a new connection must log in before the server closes it."""
    idle_timeout_s: float = 150.0  # two heartbeats and a half: one lost heartbeat is noise, two are a dead peer
    """Time without any message from a client, after which its session is closed: two and a half heartbeats."""
    session_queue_bytes: int = 8 * 1024 * 1024
    """Maximum size of the pushes that wait for a slow client, after which its session is closed."""
    session_reply_bytes: int = Field(default=2 * 1024 * 1024, ge=0)
    """Maximum size of the replies that wait for a client or are made; more requests of the session wait. 0 means one reply."""
    connection_waiting_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Maximum number of bytes that wait for the client of one session; a connection over it is cut. 0 sets no limit."""
    stranger_waiting_bytes: int = Field(default=1024 * 1024, ge=0)
    """Maximum number of bytes that wait for a peer that is not logged in; a connection over it is cut. 0 sets no limit."""
    total_waiting_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Maximum number of bytes that wait for all peers of a node; over it, the peers with the most are cut. 0 sets no limit."""
    least_bytes_per_s: int = Field(default=1024, ge=0)
    """Least rate at which a peer reads what waits for it, and sends an upload, in bytes a second. 0 sets no limit."""
    least_rate_s: float = Field(default=8.0, gt=0)
    """Window in which a peer must reach the least rate; after a window below it, the connection is cut or the upload ends."""
    close_s: float = Field(default=2.0, gt=0)
    """Time in which a peer must answer the close of a websocket, and take the last bytes of a connection that is closed."""
    request_head_s: float = Field(default=8.0, ge=0)
    """Time in which the head of an HTTP request must arrive; after it the connection is cut. 0 sets no limit."""
    max_request_head_bytes: int = Field(default=32 * 1024, ge=1024)
    """Maximum size of the head of an HTTP request: its URL and its header fields."""
    connections_per_address: int = Field(default=512, ge=0)
    """Maximum number of connections of one address; more of them are cut. 0 sets no limit."""
    connections_per_subnet: int = Field(default=4096, ge=0)
    """Maximum number of connections of one subnet: a /24 of IPv4, a /64 of IPv6. 0 sets no limit."""
    new_connections_per_s: float = Field(default=50.0, ge=0)
    """Average rate of new connections of one address, with a burst of 10 s, and 8 times as many of a subnet; more are cut.

    Behind a proxy without connections that stay open, each HTTP request is one. 0 sets no limit.
    """
    violation_pause_s: float = Field(default=60.0, ge=0)
    """Longest time in which an address that broke a limit of frames or heads gets no new connection. The first is 1 s.

    It doubles with each further violation until there is none for as long. Open connections stay. 0 sets no pause.
    """
    requests_before_login: int = Field(default=32, ge=1)
    """Maximum number of requests of a connection before its login."""
    control_frames_per_s: float = Field(default=20.0, ge=0)
    """Maximum rate of websocket pings, pongs and empty fragments of one connection, with a burst of 10 s. 0 sets no limit."""
    fragments_per_message: int = Field(default=1024, ge=0)
    """Maximum number of fragments of one websocket message from a client. 0 sets no limit."""
    devices: Literal["all", "platform", "one"] = "all"
    """Devices of one user that may be online together: `all` of them, one of each `platform`, or `one`."""
    requests_in_flight: int = 256
    """Maximum number of requests of one session that are processed at once; more of them wait in the socket."""
    history_page: int = 200
    """Maximum number of messages in one page of history."""
    requests_in_flight_shared: int = Field(default=8, ge=1)
    """Maximum number of requests of one user that a node processes at once while other users send requests too."""
    rest_requests_per_s: float = Field(default=0.0, ge=0)
    """Average rate of REST requests of one administrator on one node; 0 sets no limit. More are refused (60007)."""
    rest_app_requests_per_s: float = Field(default=0.0, ge=0)
    """Average rate of REST requests of all administrators together on one node; 0 sets no limit. More are refused (60011)."""
    user_requests_per_s: float = Field(default=200.0, ge=0)
    """Average rate of requests of one user on one node, messages included; 0 sets no limit. More are refused (60007)."""
    user_bytes_per_s: float = Field(default=1024 * 1024.0, ge=0)
    """Average rate of bytes in the requests of one user on one node: 1 MiB/s; 0 sets no limit. More are refused (60007)."""
    user_burst_s: float = Field(default=10.0, gt=0)
    """Length of the burst that a user may send after a quiet time, in seconds of the average rates."""
    stranger_messages_per_min: float = Field(default=60.0, ge=0)
    """Average rate of one user's C2C messages to users who never wrote to this user and are no friends; 0 sets no limit.

    More are refused (60007). Raise it for a server with bots that write to many users who do not answer.
    """
    stranger_burst: int = Field(default=200, ge=1)
    """Number of messages to strangers that a user may send at once after a quiet time."""
    group_messages_per_s: float = Field(default=40.0, ge=0)
    """Average rate of messages in one group on one node; 0 sets no limit. Low priorities are refused first (10023)."""
    group_burst_s: float = Field(default=10.0, gt=0)
    """Length of the burst that a group may send after a quiet time, in seconds of the average rate."""
    group_members: int = 100_000
    """Maximum number of members of a group; a group can have a lower limit."""
    live_room_grace_s: float = Field(default=30.0, ge=0)
    """Time from the end of a user's last connection until the user has left the live rooms (AVChatRooms)."""
    live_room_guests: int = Field(default=0, ge=0)
    """Maximum number of connections of a node that read live rooms (AVChatRooms) without a login; 0 refuses such guests."""
    friends: int = 1000
    """Maximum number of friends of a user."""
    max_image_bytes: int = 28 * 1024 * 1024
    """Maximum size of an image: 28 MiB."""
    max_sound_bytes: int = 28 * 1024 * 1024
    """Maximum size of a sound: 28 MiB."""
    max_file_bytes: int = 100 * 1024 * 1024
    """Maximum size of a file: 100 MiB."""
    max_video_bytes: int = 100 * 1024 * 1024
    """Maximum size of a video: 100 MiB."""
    media_url_s: int = Field(default=3600, gt=0)
    """Time for which a signed URL of media content is valid."""
    media_grace_s: float = Field(default=7 * 86400.0, ge=0)
    """Time after which media content that no message refers to is removed: 7 days."""
    media_upload_idle_s: float = Field(default=86400.0, ge=0)
    """Time without progress after which an unfinished upload is removed: 1 day."""
    media_sweep_s: float = Field(default=600.0, gt=0)
    """Interval between two searches for content that can be removed."""
    media_open_uploads: int = 64
    """Maximum number of unfinished uploads of one account."""
    media_unnamed_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=1)
    """Maximum size of one account's unfinished uploads and content that no message refers to, together: 2 GiB."""
    media_receiving: int = 64
    """Maximum number of uploads that a node receives at once; each of them uses up to 8 MiB of memory."""
    media_receiving_per_user: int = 8
    """Maximum number of uploads that a node receives from one account at once."""
    media_receiving_per_address: int = Field(default=32, ge=0)
    """Maximum number of uploads that a node receives at once from one address, or one /64 of IPv6. 0 sets no limit."""
    blobs: str = Field(default="", repr=False)
    """URL of the place that stores media content: `s3://bucket/prefix?endpoint=https://…&region=…` or `file:///folder`.

    It replaces `s3_bucket` and its neighbours. Credentials are given by `s3_access_key` and `s3_secret_key`.
    """
    s3_bucket: str = ""
    """S3 bucket that stores media content; an empty name stores it in the data folder."""
    s3_prefix: str = ""
    """Prefix of the keys in the bucket."""
    s3_endpoint: str = ""
    """URL of an S3-compatible server; an empty one means Amazon S3."""
    s3_region: str = ""
    """Region of the bucket."""
    s3_access_key: str = ""
    """Access key id of the bucket."""
    s3_secret_key: str = Field(default="", repr=False)
    """Secret access key of the bucket."""
    friends_only: bool = False
    """Refuse C2C messages between users who are not friends (codes 20009 to 20011)."""
    webhook_url: str = ""
    """URL of the operator's back end, which receives the callbacks of `webhook_commands`; the server fetches no other URL."""
    webhook_token: str = Field(default="", repr=False)
    """Key that signs the callbacks; an empty one leaves them unsigned."""
    webhook_commands: str = ""
    """Callbacks to make, separated by commas, such as `C2C.CallbackBeforeSendMsg,State.StateChange`; empty makes none."""
    webhook_timeout_s: float = Field(default=2.0, gt=0)
    """Time limit of a callback before an event, during which the client that causes it waits."""
    webhook_required: bool = False
    """Refuse events, instead of accepting them, while the back end does not respond to the callback before them."""
    translator: str = ""
    """Async function that translates texts, as `module:function`; without one, translations are refused."""
    transcriber: str = ""
    """Async function that converts voice to text, as `module:function`; without one, conversions are refused."""
    provider_timeout_s: float = Field(default=10.0, gt=0)
    """Time limit of a translation, and of a conversion of voice to text."""
    push_url: str = ""
    """URL of the operator's back end that receives offline pushes."""
    push_token: str = Field(default="", repr=False)
    """Key that signs offline pushes; an empty one leaves them unsigned."""
    push_timeout_s: float = Field(default=5.0, gt=0)
    """Time limit of an offline push, and of a callback after an event."""
    push_give_up_s: float = Field(default=86_400.0, gt=0)
    """Age at which an offline push is skipped, and a callback after an event becomes a dead letter: 1 day."""
    recall_window_s: float = Field(default=120.0, ge=0)
    """Time after sending in which a sender can recall a message."""
    reactions_per_message: int = Field(default=10, ge=1)
    """Maximum number of different reactions to a message."""
    users_per_reaction: int = Field(default=100, ge=1)
    """Maximum number of users with the same reaction to a message."""
    mentions_per_message: int = Field(default=30, ge=1)
    """Maximum number of users that a message mentions."""
    drafts_per_user: int = Field(default=200, ge=1)
    """Maximum number of conversations of a user that have a draft."""
    marked_conversations: int = Field(default=10_000, ge=1)
    """Maximum number of conversations of a user that were ever pinned, muted, labelled or given a draft."""
    groups_per_owner: int = Field(default=500, ge=1)
    """Maximum number of groups of one owner; a user who has as many creates no further one."""
    receipt_group_members: int = Field(default=200, ge=1)
    """Maximum number of members of a group whose messages can request read receipts."""
    synchronous: str = "FULL"
    """SQLite's `synchronous` pragma; anything less than FULL may lose messages when the power fails."""
    new_epoch: bool = False
    """Make clients fetch their history again; set it for one start after a back-up was restored."""
    drain_s: float = 5.0
    """Time for requests in progress to end when the server stops."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Least level of the lines that `timim serve` logs on standard error; other packages log from `warning` on."""
    open_metrics: bool = False
    """Serve `/metrics` to every host instead of this machine alone."""

    @property
    def administrators(self) -> tuple[str, ...]:
        """User ids of all administrators, `admin` first."""
        further = (name.strip() for name in self.admins.split(","))
        return tuple(dict.fromkeys((self.admin, *(name for name in further if name))))

    @property
    def media_limits(self) -> dict[str, int]:
        """Maximum size in bytes by kind of content."""
        return {
            "image": self.max_image_bytes,
            "sound": self.max_sound_bytes,
            "file": self.max_file_bytes,
            "video": self.max_video_bytes,
        }

    @property
    def content(self) -> ContentLocation:
        """Place that stores media content."""
        if self.blobs:
            return ContentLocation.from_url(self.blobs)
        if self.s3_bucket:
            return ContentLocation(None, self.s3_bucket, self.s3_prefix, self.s3_endpoint, self.s3_region)
        return ContentLocation(self.data_dir and self.data_dir / "media")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for name in value.split(","):
            if name.strip():
                ip_network(name.strip())
        return value

    @model_validator(mode="after")
    def _tls_fits(self) -> Self:
        if self.tls_cert and self.proxy_protocol:
            raise ValueError("tls_cert and proxy_protocol exclude each other; let the proxy end TLS")
        return self

    @field_validator("blobs")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value:
            ContentLocation.from_url(value)
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.blobs and self.s3_bucket:
            raise ValueError("blobs and s3_bucket exclude each other; set one of them")
        return self

    @field_validator("webhook_url", "push_url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment):
            raise ValueError("must be a URL like https://host/path, without a fragment")
        return value

    @field_validator("webhook_commands")
    @classmethod
    def _known(cls, value: str) -> str:
        unknown = {name.strip() for name in value.split(",") if name.strip()} - CALLBACKS
        if not_served := sorted(unknown & NOT_SERVED.keys()):
            reasons = "; ".join(f"{name} is known but not made, because {NOT_SERVED[name]}" for name in not_served)
            raise ValueError(f"{reasons}; leave it out")
        if unknown:
            raise ValueError(f"unknown callback {', '.join(sorted(unknown))}; the server knows {', '.join(sorted(CALLBACKS))}")
        return value

    @property
    def callbacks(self) -> frozenset[str]:
        """Callbacks to make; empty if `webhook_url` is not set."""
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
        """Return the sources in the order of their precedence: arguments, environment, TOML file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
