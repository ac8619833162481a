"""Handlers of the time in which an account gets no offline pushes. Its devices that are online get each change."""

from __future__ import annotations

import msgspec

from ...errors import InvalidArgument
from ...protocol import do_not_disturb as wire
from ...protocol import session, tencent_events
from ...protocol.codec import Body, Reply, encode
from ..bus.base import Event
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()


@HANDLERS.serve(wire.SET_DO_NOT_DISTURB)
async def set_do_not_disturb(context: RequestContext, body: wire.SetDoNotDisturbRequest) -> Reply:
    """Set or end the time without offline pushes."""
    quiet = None
    if body.level == wire.QUIET:
        if not 0 <= body.end - body.start <= wire.DAY_S and body.daily:
            raise InvalidArgument(f"a daily time must be 0 to {wire.DAY_S} s long, not {body.end - body.start}", code=90001)
        if body.end < body.start:
            raise InvalidArgument("EndTime is before StartTime", code=90001)
        quiet = wire.DoNotDisturb(body.start, body.end, body.daily > 0)
    elif body.level != wire.NOTIFY:
        raise InvalidArgument(f"Level must be {wire.NOTIFY} or {wire.QUIET}, not {body.level}", code=90001)
    await context.services.store.do_not_disturb.put(context.user, quiet)
    notice = _notice(quiet)
    origin = context.session.number if context.session else 0
    plain = tencent_events.do_not_disturb_event(notice)
    payload = msgspec.Raw(encode(notice))
    context.services.bus.publish(Event((context.user,), session.EVENT_DO_NOT_DISTURB, payload, origin, plain))
    return Reply()


@HANDLERS.serve(wire.GET_DO_NOT_DISTURB)
async def get_do_not_disturb(context: RequestContext, body: Body) -> wire.DoNotDisturbReply:
    """Return the time without offline pushes."""
    now = _notice(await context.services.store.do_not_disturb.get(context.user))
    return wire.DoNotDisturbReply(level=now.level, start=now.start, end=now.end, daily=now.daily)


def _notice(quiet: wire.DoNotDisturb | None) -> wire.DoNotDisturbNotice:
    if quiet is None:
        return wire.DoNotDisturbNotice()
    return wire.DoNotDisturbNotice(level=wire.QUIET, start=quiet.start, end=quiet.end, daily=int(quiet.daily))
