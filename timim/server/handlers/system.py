"""The caller's own system timeline (`timeline`): commands of timim's own, for what Tencent's wire has no history of."""

from __future__ import annotations

from ...protocol import messages as wire
from ...protocol.codec import Reply
from ..store.base import system_timeline
from .read_receipts import mark_read
from .registry import TABLE, Call


@TABLE.serve(wire.ROAM_SYSTEM)
async def roam(call: Call, body: wire.RoamSystemRequest) -> wire.RoamSystemReply:
    limit = max(1, min(body.max_cnt, call.services.settings.history_page))
    first, last = body.timeline_range
    page = await call.services.pages.system(call.user, max(1, first), last, limit, until=body.until)
    return wire.RoamSystemReply(
        messages=page.entries,
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )


@TABLE.serve(wire.READ_SYSTEM)
async def read(call: Call, body: wire.ReadSystemRequest) -> Reply:
    await mark_read(call, system_timeline(call.user), body.read_seq, system=True)
    return Reply()
