"""Handler of the files with the messages of one hour (`open_msg_svc/get_history`).

A file is gzip of JSON. It is made when it is asked for, and stored as content of the administrator, so a repeated request gets
the same file until the content is removed as unused. Only one part of the messages is in memory.
"""

from __future__ import annotations

import asyncio
import calendar
import gzip
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from ...errors import InvalidArgument, ServerRefused
from ...protocol.codec import Body, Command, Door, Reply, encode
from ...protocol.entries import EntryState, decode_payload
from ..store.base import StoredEntry
from ..store.statistics import ZONE_S
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

DAYS = 7
HOUR_S = 3600
PAGE = 100
FILE_BYTES = 8 << 20  # of messages in one file; a longer hour has several files
WRONG_REQUEST, NO_FILE = 1001, 1004
TYPES = ("C2C", "Group")


class ArchiveRequest(Body):
    """Messages of an hour in Beijing time ("yyyymmddhh"), of C2C conversations or of groups."""

    type: str = msgspec.field(name="ChatType")
    hour: str = msgspec.field(name="MsgTime")


class ArchiveFile(msgspec.Struct, kw_only=True):
    """A file with messages: where it is until `ExpireTime` (Beijing time), and its sizes and hashes, plain and packed."""

    url: str = msgspec.field(name="URL")
    expires: str = msgspec.field(name="ExpireTime")
    size: int = msgspec.field(name="FileSize")
    md5: str = msgspec.field(name="FileMD5")
    packed_size: int = msgspec.field(name="GzipSize")
    packed_md5: str = msgspec.field(name="GzipMD5")


class ArchiveReply(Reply):
    """The files of the hour."""

    files: list[ArchiveFile] = msgspec.field(name="File", default_factory=list)


class ArchivedMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message in a file."""

    from_account: str = msgspec.field(name="From_Account")
    to_account: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    seq: int = msgspec.field(name="MsgSeq", default=0)
    random: int = msgspec.field(name="MsgRandom", default=0)
    time: int = msgspec.field(name="MsgTimestamp")
    body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


GET_ARCHIVE = Command("open_msg_svc.get_history", ArchiveRequest, ArchiveReply, doors=Door.REST)


@dataclass(frozen=True, slots=True)
class _Hour:
    """An hour, from `begin` to `end` (not included), in seconds since 1970, and the kind of its conversations."""

    begin: int
    end: int
    group: bool


@HANDLERS.serve(GET_ARCHIVE)
async def get_archive(context: RequestContext, body: ArchiveRequest) -> ArchiveReply:
    """Return files with the messages of an hour of the last 7 days that is over. Recalled messages are not in them."""
    hour = _hour_of(body, int(context.services.now()))
    reply, lines, size = ArchiveReply(), list[bytes](), 0
    async for line in _messages(context, hour):
        lines.append(line)
        size += len(line)
        if size >= FILE_BYTES:
            reply.files.append(await _file(context, lines))
            lines, size = [], 0
    if lines:
        reply.files.append(await _file(context, lines))
    if not reply.files:
        raise ServerRefused(f"there are no {body.type} messages of the hour {body.hour}", code=NO_FILE)
    return reply


def _hour_of(body: ArchiveRequest, now: int) -> _Hour:
    if body.type not in TYPES:
        raise InvalidArgument(f"ChatType must be {' or '.join(TYPES)}, not {body.type[:40]!r}", code=WRONG_REQUEST)
    digits = body.hour
    try:
        if len(digits) != len("yyyymmddhh") or not digits.isascii() or not digits.isdecimal():
            raise ValueError
        parts = time.strptime(digits, "%Y%m%d%H")
    except ValueError:
        raise InvalidArgument("MsgTime must have the form yyyymmddhh, in Beijing time", code=WRONG_REQUEST) from None
    begin = calendar.timegm(parts) - ZONE_S
    if begin + HOUR_S > now:
        raise ServerRefused(f"the hour {digits} is not over; ask again after it", code=NO_FILE)
    if begin < now - DAYS * 86_400:
        raise ServerRefused(f"the hour {digits} is more than {DAYS} days ago", code=NO_FILE)
    return _Hour(begin, begin + HOUR_S, body.type == "Group")


async def _messages(context: RequestContext, hour: _Hour) -> AsyncIterator[bytes]:
    """Yield the messages of an hour, conversation by conversation, each newest first."""
    timelines, after = context.services.store.timelines, ""
    while names := await timelines.active_since(hour.begin, after=after, group=hour.group, limit=PAGE):
        after = names[-1]
        for name in names:
            last = await timelines.seq_before(name, hour.end - 1, "")
            while last:
                page = await timelines.messages_before(name, last, 1, PAGE)
                found = [entry for entry in page.entries if entry.time >= hour.begin]
                for entry in found:
                    if (line := _line(entry)) is not None:
                        yield line
                last = page.first - 1 if len(found) == PAGE else 0


def _line(entry: StoredEntry) -> bytes | None:
    """Return a message as JSON, or None for a tip and for a recalled message."""
    payload = decode_payload(entry.tail)
    recalled = isinstance(payload.state, EntryState) and payload.state.recall_seq
    if recalled or not (payload.msg_random or payload.client_time):
        return None
    message = ArchivedMessage(
        from_account=payload.from_account,
        to_account=payload.to_account,
        group_id=payload.to_group_id,
        seq=payload.msg_seq or entry.seq,
        random=payload.msg_random,
        time=entry.time,
        body=payload.msg_body,
        cloud_custom_data=payload.cloud_custom_data,
    )
    return encode(message)


async def _file(context: RequestContext, lines: list[bytes]) -> ArchiveFile:
    services = context.services
    plain = b'{"MsgList":[' + b",".join(lines) + b"]}"
    packed = await asyncio.to_thread(gzip.compress, plain, 6, mtime=0)
    uuid = hashlib.blake2b(packed, digest_size=16).hexdigest()
    blob = await services.uploads.receive_whole(context.user, uuid, "file", len(packed), _one(packed))
    expires = int(services.now()) + services.downloads.url_s
    return ArchiveFile(
        url=services.downloads.signed_url(blob.uuid, context.user),
        expires=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(expires + ZONE_S)),
        size=len(plain),
        md5=_md5(plain),
        packed_size=len(packed),
        packed_md5=_md5(packed),
    )


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
