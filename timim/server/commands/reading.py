"""What a user has read: a seq per conversation that only rises, told to all of the user's devices."""

from __future__ import annotations

from ...wire import messages as wire
from ...wire import status
from ...wire.codec import Reply
from ..store.base import group_timeline
from .table import TABLE, Call


async def mark_read(call: Call, timeline: str, seq: int, *, peer: str = "", group_id: str = "", system: bool = False) -> None:
    """Raise the caller's read seq and tell its other devices."""
    read = await call.services.store.set_read(call.user, timeline, seq, time=int(call.services.now()))
    notice = status.ReadNotice(peer=peer, group_id=group_id, system=int(system), read_seq=read)
    for session in call.services.fanout.of(call.user):
        if session is not call.session:
            session.notify(status.PushEvent(event=status.EVENT_READ, read=notice))


@TABLE.serve(wire.READ_GROUP)
async def read_group(call: Call, body: wire.ReadGroup) -> Reply:
    await call.services.directory.group_for(call.user, body.group_id)
    await mark_read(call, group_timeline(body.group_id), body.read_seq, group_id=body.group_id)
    return Reply()
