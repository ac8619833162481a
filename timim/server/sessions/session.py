"""Session of one logged-in device, with a bounded queue of outgoing frames.

Too many unread pushes close the session; the client reconnects and catches up by seq. Too many unread replies do not: the
client's next requests wait instead. Frames count as waiting until the socket takes them. Queued pushes are sent as one
`msg_push`, and a timim client gets queued frames in one websocket message, up to a size that any client accepts. Frames are
sent in the order in which they were queued.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import msgspec

from ...errors import AuthError, KickedOffline, ProtocolError, SignatureExpired
from ...protocol import tencent_events
from ...protocol.codec import encode
from ...protocol.frames import JOINED_BYTES, PUSH, Head, encode_frame, join_in_batches
from ...protocol.session import EVENT_C2C_NOTICE, SUB_KICKED, KickNotice, Push, PushEvent, RawEvent
from .auth import Login
from .waiting_bytes import PeerBytes, WaitingBytes

_numbers = itertools.count(1)
PUSH_BYTES = 512 * 1024  # of entries in one msg_push, after which the next one begins
READS_TOO_SLOWLY = "the client reads too slowly; it can reconnect and catch up"
STOPPING = "the server is stopping; reconnect, to another server if there is one"
LOST_DEVICE_SLOT = "another login took the device slot"
SUPERSEDED = "this device reconnected on another connection"
LOGGED_OUT = "logged out"
NO_HEARTBEAT = "no message or heartbeat"
SIGNATURE_ENDED = "the UserSig of this session has expired; log in with a new one"
SIGNATURE_REVOKED = "the UserSig of this session was revoked; log in with a new one"
ADMIN_ENDED = "an administrator ended this login"
LOGOUT_GRACE_S = 2.0  # round trip of a logout on a slow connection
EXPIRY_SLACK_S = 0.01  # a timer can fire a little early by the wall clock
CUT_S = 0.5  # from the end of a login by an administrator to the end of its socket


def _any_device() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Properties of a client, as given at its login. The defaults are those of a client that is not timim's.

    Attributes:
        first_request: Number of the login request; a timim client numbers its requests without gaps.
        is_timim: The client knows timim extensions.
        batch: The client accepts several frames in one websocket message.
        device: Permanent id of the device; a client without one gets a new id at each login.
        run: Id of this run of the client.
        attempt: Number of the login in this run.
        max_frame_bytes: Largest websocket message that the client accepts, in bytes; 0 if it did not say so.
        resumed: The login is an automatic reconnect.
    """

    first_request: int = 0
    is_timim: bool = False
    batch: bool = False
    device: str = field(default_factory=_any_device)
    platform: str = "web"
    run: str = ""
    attempt: int = 0
    max_frame_bytes: int = 0
    resumed: bool = False


class Session:
    """One logged-in device.

    Attributes:
        sends_refused: A message was refused by a rate limit. Later messages are refused too, which keeps their order, until the
            client says that it begins again with the first one.
        kicked_platforms: Platforms of the devices on this node whose logins the login of this one ended.
        refusal: The error that answers each further request: this login has ended, and its socket is about to be closed.

    `_out` queues encoded frames and lists of push events. None in the queue skips one push number.

    Args:
        login: The login of the device.
        tiny_id: Number of the user.
        client: Properties of the client.
        queue_bytes: Maximum size of the waiting pushes.
        reply_bytes: Maximum size of the waiting replies with those that are prepared; one reply may be larger.
        now: The server's clock, in seconds since 1970.
        waiting: Count of all bytes that wait for the client; by default one without limits.
    """

    __slots__ = (  # tens of thousands of sessions may be idle
        "_expiry",
        "_finished",
        "_last_request",
        "_now",
        "_out",
        "_out_bytes",
        "_push_bytes",
        "_push_limit_bytes",
        "_pushes_written",
        "_queue_bytes",
        "_reply_bytes",
        "_reply_limit",
        "_reserved_bytes",
        "_taken",
        "_waiting",
        "_wake",
        "_written_pushes",
        "_written_replies",
        "client",
        "close_code",
        "closed_because",
        "closing",
        "drain_limit_s",
        "kicked_platforms",
        "login",
        "number",
        "refusal",
        "sends_refused",
        "started_at",
        "tiny_id",
        "user",
    )

    def __init__(
        self,
        login: Login,
        tiny_id: str,
        client: ClientInfo,
        *,
        queue_bytes: int,
        reply_bytes: int = 1 << 62,
        now: Callable[[], float],
        waiting: PeerBytes | None = None,
    ) -> None:
        self.number = next(_numbers)
        self.login = login
        self.user = login.user
        self.tiny_id = tiny_id
        self.client = client
        self.started_at = now()
        self.closed_because = ""
        self.close_code = 0  # of the close frame; 0 for the code that belongs to the reason
        self.refusal: AuthError | None = None
        self.sends_refused = False
        self.kicked_platforms: list[str] = []
        self._expiry: asyncio.TimerHandle | None = None
        self.drain_limit_s = math.inf  # for requests in progress when the session is closed
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finished = False
        self._queue_bytes = queue_bytes
        self._reply_limit = reply_bytes
        self._now = now
        self._out: list[bytes | list[RawEvent | msgspec.Raw] | None] = []
        self._out_bytes = 0  # of pushes only
        self._push_bytes = 0  # of the push that is last in the queue
        self._push_limit_bytes = min(PUSH_BYTES, client.max_frame_bytes // 2 or PUSH_BYTES)
        self._reply_bytes = 0
        self._reserved_bytes = 0  # of replies that are being prepared
        self._written_pushes = self._written_replies = 0  # bytes that `next_messages` returned and that are being written
        self._waiting = waiting or WaitingBytes().open(lambda reason: None)
        self._taken = asyncio.Event()
        self._last_request = client.first_request
        self._pushes_written = 0
        self._wake = asyncio.Event()

    def reply(self, frame: bytes) -> None:
        """Queue an encoded frame."""
        if self._waiting.closed:
            return
        self._out.append(frame)
        self._reply_bytes += len(frame)
        self._waiting.add(len(frame))
        self._wake.set()

    def try_reserve(self, size: int) -> bool:
        """Keep room for a reply of this size, unless it does not fit with the waiting replies into `reply_bytes`."""
        if (used := self._reply_bytes + self._reserved_bytes) and used + size > self._reply_limit:
            return False
        self._reserved_bytes += size
        return True

    async def reserve(self, size: int) -> None:
        """Wait until a reply of this size fits with the waiting replies into `reply_bytes`, and keep the room for it."""
        while not self.try_reserve(size):
            self._taken.clear()
            await self._taken.wait()

    def release(self, size: int) -> None:
        """Release room that was reserved, once the reply is queued."""
        self._reserved_bytes -= size
        self._taken.set()

    def push(self, kind: int, payload: msgspec.Raw) -> None:
        """Queue an entry for the next msg_push. A session that is being closed ignores it and catches up by seq."""
        if self.closed_because:
            return
        events = self._open_push()
        last = events[-1] if events else None
        if not isinstance(last, PushEvent) or last.event != kind:
            last = PushEvent(event=kind)
            events.append(last)
        last.items().append(payload)
        self._grow(len(bytes(payload)))

    def notify(self, event: RawEvent | msgspec.Raw) -> None:
        """Queue an event that is no entry of a timeline. A session that is being closed ignores it."""
        if self.closed_because:
            return
        self._open_push().append(event)
        self._grow(len(bytes(event)) if isinstance(event, msgspec.Raw) else 64)

    def announce_gap(self) -> None:
        """Make a timim client compare its seqs with the server, by skipping the number of one push."""
        if self.client.batch and not self.closed_because and None not in self._out:
            self._out.append(None)
            self._grow(64)

    def follows(self, seq: int) -> bool:
        """Return True for the next request of a timim client, and False for a duplicate of an earlier one.

        Raises:
            ProtocolError: A request was lost; answering the later ones would change their order.
        """
        if seq > self._last_request + 1:
            raise ProtocolError(f"request {self._last_request + 1} was lost: request {seq} follows {self._last_request}")
        follows = seq > self._last_request
        self._last_request = max(seq, self._last_request)
        return follows

    @property
    def pushes(self) -> int:
        """Number of the last push that is queued."""
        return self._pushes_written + sum(2 if item is None else isinstance(item, list) for item in self._out)

    def close(self, why: str, *, code: int = 0) -> None:
        """Ask the endpoint to end the session. Only the reason of the first call is used."""
        if not self.closed_because:
            self.closed_because, self.close_code = why, code
        if not self.closing.done():
            self.closing.set_result(None)

    def kick(self, why: str, reason: str = LOST_DEVICE_SLOT, *, grace_s: float = LOGOUT_GRACE_S) -> None:
        """End the login, and notify the client of it; a client that is not timim's has `grace_s` to log out, and no more.

        Args:
            why: The text for the user.
            reason: The reason of the close.
            grace_s: Time in which the client can log out, in seconds.
        """
        if self.refusal is not None:
            return
        notice = KickNotice(reason=why)
        notices = [tencent_events.kick_event(notice)]
        self.notify(PushEvent(event=EVENT_C2C_NOTICE, sub_msg_type=SUB_KICKED, kick=notice, notices=notices))
        self.refusal = KickedOffline(why)
        if self.client.is_timim:
            self.close(reason)
        else:  # other clients log out first, and notify their users only after the reply
            asyncio.get_running_loop().call_later(grace_s, self.close, reason)

    def watch_signature(self) -> None:
        """Close the session when its signature ends, until `unwatch_signature`."""
        left_s = max(0.0, self.login.expires_at - self._now())
        self._expiry = asyncio.get_running_loop().call_later(left_s + EXPIRY_SLACK_S, self._on_expiry)

    def unwatch_signature(self) -> None:
        """Forget the end of the signature, because the session has ended."""
        if self._expiry is not None:
            self._expiry.cancel()

    def _on_expiry(self) -> None:
        if not self.expire():  # the wall clock was set back
            self.watch_signature()

    def expire(self) -> bool:
        """Close the session if the signature of its login has expired; return True if so."""
        if self._now() <= self.login.expires_at:
            return False
        self.refusal = self.refusal or SignatureExpired(SIGNATURE_ENDED)
        self.close(SIGNATURE_ENDED)
        return True

    def finish(self) -> None:
        """Close the socket once all queued frames are written; nothing may be queued after this call."""
        self._finished = True
        self._wake.set()

    async def next_messages(self) -> list[bytes]:
        """Wait for queued frames, and return them as websocket messages; an empty list means to close the socket."""
        self._note_written()
        while not self._out:
            if self._finished:
                return []
            self._wake.clear()
            await self._wake.wait()
        out, self._out = self._out, []
        self._written_pushes, self._written_replies = self._out_bytes, self._reply_bytes
        frames = [item if isinstance(item, bytes) else self._encode_push(item) for item in out]
        if not self.client.batch:
            return frames
        return join_in_batches(frames, limit_bytes=min(JOINED_BYTES, self.client.max_frame_bytes or JOINED_BYTES))

    def _note_written(self) -> None:
        """Release the bytes of the messages that `next_messages` returned before."""
        if self._written_pushes or self._written_replies:
            self._out_bytes -= self._written_pushes
            self._reply_bytes -= self._written_replies
            self._waiting.add(-self._written_pushes - self._written_replies)
            self._written_pushes = self._written_replies = 0
            self._taken.set()

    def _open_push(self) -> list[RawEvent | msgspec.Raw]:
        if not self._out or not isinstance(self._out[-1], list) or self._push_bytes > self._push_limit_bytes:
            self._out.append([])
            self._push_bytes = 0
        last = self._out[-1]
        assert isinstance(last, list)
        return last

    def _grow(self, size: int) -> None:
        self._out_bytes += size
        self._push_bytes += size
        self._waiting.add(size)
        if self._out_bytes > self._queue_bytes:
            self._out.clear()
            self._waiting.add(self._written_pushes + self._written_replies - self._out_bytes - self._reply_bytes)
            self._out_bytes, self._reply_bytes = self._written_pushes, self._written_replies
            self.close(READS_TOO_SLOWLY)
        self._wake.set()

    def _encode_push(self, events: list[RawEvent | msgspec.Raw] | None) -> bytes:
        self._pushes_written += 1 if events is not None else 2
        seq = self._pushes_written  # lets the client detect lost and duplicate pushes
        need_ack = 0 if self.client.batch else 1
        push: Push[msgspec.Raw] = Push(session_data=str(seq), need_ack=need_ack, events=cast(list[RawEvent], events or []))
        return encode_frame(Head(PUSH, seq=seq, time=int(self._now())), encode(push))

    def __repr__(self) -> str:
        return f"<Session {self.number} {self.user}{' closing' if self.closed_because else ''}>"
