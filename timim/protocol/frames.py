"""Frames of websocket messages. Invalid bytes raise ProtocolError and no other exception.

A frame is `{"head": {…}, "body": {…}}` in UTF-8 JSON, in a binary websocket message. Two timim endpoints that agreed on it
at login join all queued frames to one message, as a JSON array. Bodies stay raw bytes, and the handler of the command
decodes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..errors import ProtocolError

PUSH = "im_open_push.msg_push"
VERSION = "v4"
MAX_FRAMES = 1024  # in one websocket message
JOINED_FRAMES = 512  # that a writer joins to one websocket message
JOINED_BYTES = 1024 * 1024  # that a writer joins, if the reader accepts as much


class Head(msgspec.Struct, omit_defaults=True, gc=False):
    """The head of a request or a reply. After the login, `a2` and `tinyid` replace `identifier` and `usersig`."""

    servcmd: str
    seq: int = 0
    ver: str = VERSION
    platform: int = 0
    websdkappid: int = 0
    websdkversion: str = ""
    status_instid: int = 0
    sdkappid: int = 0
    contenttype: str = ""
    reqtime: int = 0
    identifier: str = ""
    usersig: str = ""
    a2: str = ""
    tinyid: str = ""
    cs: int = 0
    time: int = 0

    def __repr__(self) -> str:  # keep signatures and tokens out of logs and tracebacks
        return f"Head({self.servcmd} seq={self.seq})"


class Frame(msgspec.Struct, gc=False):
    """A request, reply or push. `body` is JSON text."""

    head: Head
    body: msgspec.Raw = msgspec.Raw(b"{}")

    def __repr__(self) -> str:
        return f"Frame({self.head.servcmd} seq={self.head.seq} {len(bytes(self.body))} bytes)"


_decoder = msgspec.json.Decoder(Frame | list[Frame], strict=False)
_encode_head = msgspec.json.Encoder().encode


def decode_frames(message: bytes) -> list[Frame]:
    """Decode the frames of a websocket message: one, or an array. Raises ProtocolError."""
    try:
        decoded = _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError(f"not a frame: {_reason(exc)}") from None
    frames = decoded if isinstance(decoded, list) else [decoded]
    if not 0 < len(frames) <= MAX_FRAMES:
        raise ProtocolError(f"a message must have 1 to {MAX_FRAMES} frames, not {len(frames)}")
    return frames


def encode_frame(head: Head, body: bytes) -> bytes:
    """Encode a frame as JSON text. `body` must be a JSON object."""
    return b'{"head":%b,"body":%b}' % (_encode_head(head), body)


def join_frames(frames: Sequence[bytes]) -> bytes:
    """Join encoded frames to one websocket message; several frames need the agreement of both endpoints."""
    return frames[0] if len(frames) == 1 else b"[" + b",".join(frames) + b"]"


def join_in_batches(frames: Sequence[bytes], *, limit_bytes: int = JOINED_BYTES) -> list[bytes]:
    """Join encoded frames, in order, to websocket messages of at most `JOINED_FRAMES` frames and `limit_bytes` bytes.

    A frame that is longer than the limit is a message of its own.
    """
    messages: list[bytes] = []
    first, size = 0, 2  # the brackets
    for i, frame in enumerate(frames):
        if i > first and (size + len(frame) > limit_bytes or i - first == JOINED_FRAMES):
            messages.append(join_frames(frames[first:i]))
            first, size = i, 2
        size += len(frame) + 1
    messages.append(join_frames(frames[first:]))
    return messages


def _reason(exc: Exception) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)[:200]
