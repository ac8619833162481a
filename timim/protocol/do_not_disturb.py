"""Bodies of the time in which an account gets no offline pushes, Tencent's "do not disturb" for all conversations."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .codec import Body, Command, Reply
from .numbers import Stored

DAY_S = 86_400
NOTIFY, QUIET = 0, 2  # of `Level`


@dataclass(frozen=True, slots=True)
class DoNotDisturb:
    """Time without offline pushes: from `start` until before `end`, in server seconds; with `daily`, again every 24 hours."""

    start: int
    end: int
    daily: bool = True


class SetDoNotDisturbRequest(Body):
    """The time without offline pushes: `Level` 2, its begin and end, and `IsRepeated` 1 for every day. `Level` 0 ends it."""

    level: Stored = msgspec.field(name="Level", default=NOTIFY)
    start: Stored = msgspec.field(name="StartTime", default=0)
    end: Stored = msgspec.field(name="EndTime", default=0)
    daily: Stored = msgspec.field(name="IsRepeated", default=0)


class DoNotDisturbReply(Reply):
    """The time without offline pushes, as in the request."""

    level: Stored = msgspec.field(name="Level", default=NOTIFY)
    start: Stored = msgspec.field(name="StartTime", default=0)
    end: Stored = msgspec.field(name="EndTime", default=0)
    daily: Stored = msgspec.field(name="IsRepeated", default=0)


class DoNotDisturbNotice(msgspec.Struct, kw_only=True):
    """The time without offline pushes, which another device of this account has changed (timim extension)."""

    level: Stored = msgspec.field(name="Level", default=NOTIFY)
    start: Stored = msgspec.field(name="StartTime", default=0)
    end: Stored = msgspec.field(name="EndTime", default=0)
    daily: Stored = msgspec.field(name="IsRepeated", default=0)


def quiet_time(body: DoNotDisturbReply | DoNotDisturbNotice) -> DoNotDisturb | None:
    """Return the time of a reply or notice, None if there is none."""
    return DoNotDisturb(body.start, body.end, body.daily > 0) if body.level == QUIET else None


SET_DO_NOT_DISTURB = Command("im_msg_db_logic.ws_set_do_not_disturb", SetDoNotDisturbRequest, Reply)
GET_DO_NOT_DISTURB = Command("im_msg_db_logic.ws_get_do_not_disturb", Body, DoNotDisturbReply)
