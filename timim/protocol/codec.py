"""Encoding and decoding of bodies. An invalid body raises ProtocolError, which names the field.

Structs decoded from JSON have no reference cycles, so they are not tracked by the garbage collector (`gc=False`), which
would otherwise take a tenth of a busy client's time.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from ..errors import ConnectionFailed, ProtocolError, ServerRefused, StorageError, TimimError, error_for
from .numbers import Int

_encoder = msgspec.json.Encoder()
GROUPS = "group_open_http_svc"
BIG_GROUPS = "million_group_open_http_svc"  # the same commands, by their service for Community groups
# commands of their own, which the web client sends beside those of the other groups
_OWN_OF_BIG_GROUPS = frozenset({f"{BIG_GROUPS}.get_joined_group_list", f"{BIG_GROUPS}.get_pendency"})
RETRY_LIMIT_S = 86_400.0  # of a pause that a server asks for


class Body(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The body of a request. Unknown fields are ignored, because other clients send more fields."""


class Reply(msgspec.Struct, kw_only=True, gc=False):
    """The body of a reply. `ErrorReason` and `RetryAfter` are timim extensions, more detailed than Tencent's error code."""

    action_status: str = msgspec.field(name="ActionStatus", default="OK")
    error_code: Int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")
    error_reason: str | msgspec.UnsetType = msgspec.field(name="ErrorReason", default=msgspec.UNSET)
    retry_after: float | msgspec.UnsetType = msgspec.field(name="RetryAfter", default=msgspec.UNSET)


B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
R_co = TypeVar("R_co", bound=Reply, covariant=True)
S = TypeVar("S", bound=msgspec.Struct)


class Door(enum.Flag):
    """The doors of a server: the websocket of users, and REST, which serves administrators."""

    WEBSOCKET = enum.auto()
    REST = enum.auto()
    BOTH = WEBSOCKET | REST


@dataclass(frozen=True, slots=True)
class Command(Generic[B, R]):
    """A command: `service.name` on the websocket, `POST /v4/service/name` over REST.

    Attributes:
        name: Service and name.
        body: The model of its request.
        reply: The model of its reply.
        doors: The doors that serve it.
        aliases: Other names of the command. Those of the service for Community groups are added to the given ones.
        required: Fields that REST requests must have, besides those that `body` requires.
        renamed: Fields of the models with another name. REST requests may have either, replies have both.
    """

    name: str
    body: type[B]
    reply: type[R]
    doors: Door = Door.WEBSOCKET
    aliases: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.service == GROUPS:
            names = (self.name, *self.aliases)
            big = tuple(BIG_GROUPS + name.removeprefix(GROUPS) for name in names if name.startswith(GROUPS + "."))
            object.__setattr__(self, "aliases", (*self.aliases, *(name for name in big if name not in _OWN_OF_BIG_GROUPS)))

    @property
    def service(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    def request(self, body: B) -> Request[R]:
        """Return a request of this command with a body."""
        return Request(self.name, body, self.reply)


@dataclass(frozen=True, slots=True)
class Request(Generic[R_co]):
    """A command with its body."""

    name: str
    body: Body
    reply: type[R_co]


@cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


def decode(kind: type[S], raw: bytes | msgspec.Raw) -> S:
    """Decode `raw` as a `kind`. Raises ProtocolError, which names the invalid field."""
    try:
        decoded: S = _decoder(kind).decode(raw)
        return decoded
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        why = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)[:200]
        raise ProtocolError(f"{kind.__name__}: {why}") from None


def decode_reply(kind: type[R], raw: bytes | msgspec.Raw) -> R:
    """Decode a reply. Raises the ServerRefused or AuthError of its ErrorCode, or ProtocolError."""
    try:
        reply = decode(kind, raw)
    except ProtocolError:
        reply = None  # a refusal may lack required fields
    if reply is None or reply.error_code or reply.action_status not in ("OK", ""):
        refusal = decode(Reply, raw)
        if refusal.error_code or refusal.action_status not in ("OK", ""):
            raise _refused(refusal)
        return decode(kind, raw)
    return reply


def _refused(refusal: Reply) -> TimimError:
    """Return the error of a refusal. Errors that only this device can find, such as a lost connection, have no code here."""
    retry_after = min(max(0.0, refusal.retry_after), RETRY_LIMIT_S) if refusal.retry_after else None
    error = error_for(refusal.error_code, refusal.error_info, reason=refusal.error_reason or "", retry_after=retry_after)
    if isinstance(error, ConnectionFailed | StorageError):
        return ServerRefused(error.info, code=error.code, retry_after=retry_after)
    return error


def encode(body: msgspec.Struct) -> bytes:
    """Encode a body as JSON text."""
    return _encoder.encode(body)
