"""Live rooms (AVChatRooms): the reply to joining."""

from __future__ import annotations

import msgspec

from ...protocol import group_members as wire
from ...protocol.entries import decode_payload
from ...protocol.notice_elems import TIP
from ...protocol.session import EVENT_GROUP_MESSAGE
from ..store.base import StoredEntry, StoredGroup, group_timeline
from .registry import RequestContext

RECENT = 20  # messages in the reply to joining
SEARCHED = 100  # entries in which they are found, because tips of joining are most entries of some rooms
_EVENT = b'{"Event":%d,' % EVENT_GROUP_MESSAGE  # without it, Tencent's client skips a message
_TIP = f'"MsgType":"{TIP}"'.encode()


async def live_reply(context: RequestContext, group: StoredGroup, *, recent: bool) -> wire.JoinGroupReply:
    """Return the reply to a user who is in a live room now, with `recent` messages of the room."""
    reply = wire.JoinGroupReply(live=1, live_key=group.group_id, messages=[])
    if recent:
        services = context.services
        page = await services.store.timelines.messages_before(group_timeline(group.group_id), 1 << 62, 1, SEARCHED)
        shown = [entry for entry in page.entries if _is_shown(entry)][:RECENT]
        entries = [services.history.render(entry, group=True) for entry in shown]
        reply.messages = [msgspec.Raw(_EVENT + bytes(entry)[1:]) for entry in entries]
    return reply


def _is_shown(entry: StoredEntry) -> bool:
    """Return True for a message of a user that was not recalled."""
    payload = decode_payload(entry.tail)
    return not payload.placeholder and _TIP not in bytes(payload.msg_body)[:80]
