"""Handlers of the caller's system timeline (`timeline`): a timim extension, because Tencent has no history of notices."""

from __future__ import annotations

from ...ids import SYSTEM_PEER, ConversationKey, ConversationType
from ...protocol import messages as wire
from ...protocol.codec import Reply
from ..store.base import system_timeline
from .read_receipts import mark_read
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()
_SYSTEM = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


@HANDLERS.serve(wire.ROAM_SYSTEM, paged=True)
async def roam(context: RequestContext, body: wire.RoamSystemRequest) -> wire.RoamSystemReply:
    """Return a page of the caller's system timeline."""
    limit = max(1, min(body.max_cnt, context.services.settings.history_page))
    first, last = body.timeline_range
    page = await context.services.history.page(context.user, _SYSTEM, max(1, first), last, limit, until=body.until)
    return wire.RoamSystemReply(
        messages=page.entries,
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )


@HANDLERS.serve(wire.READ_SYSTEM)
async def read(context: RequestContext, body: wire.ReadSystemRequest) -> Reply:
    """Mark the system conversation as read up to a seq."""
    await mark_read(context, system_timeline(context.user), body.read_seq, system=True)
    return Reply()
