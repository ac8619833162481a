"""Handlers of the service `openconfigsvr` over REST: mutes of an account in all conversations, and figures about the app."""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec

from ...errors import InvalidArgument
from ...ids import checked_user_id
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.numbers import Int
from ..social.changesets import Changeset
from ..store import mutations as ch
from ..store.base import MUTED_FOR_EVER, DayStatistics, Totals
from ..store.statistics import DAY_S, ZONE_S
from .group_members import MUTE_LIMIT_S
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

DAYS = 30
PARAMETERS = 90001


class MuteAccountRequest(Body):
    """Seconds in which an account may send no C2C messages, or none to groups; 0 ends it, 4294967295 is for ever."""

    user: str = msgspec.field(name="Set_Account")
    c2c_s: Int | msgspec.UnsetType = msgspec.field(name="C2CmsgNospeakingTime", default=msgspec.UNSET)
    groups_s: Int | msgspec.UnsetType = msgspec.field(name="GroupmsgNospeakingTime", default=msgspec.UNSET)


class GetMuteRequest(Body):
    """The account whose mutes are asked for."""

    user: str = msgspec.field(name="Get_Account")


class GetMuteReply(Reply):
    """The seconds that are left of the mutes of an account; 4294967295 is for ever."""

    c2c_s: int = msgspec.field(name="C2CmsgNospeakingTime", default=0)
    groups_s: int = msgspec.field(name="GroupmsgNospeakingTime", default=0)


class AppInfoRequest(Body):
    """The figures that are asked for; all if there are none."""

    fields: list[str] = msgspec.field(name="RequestField", default_factory=list)


class AppInfoReply(Reply):
    """The figures of the last 30 days, oldest first, as texts."""

    days: list[dict[str, str]] = msgspec.field(name="Result", default_factory=list)


_CONFIG = "openconfigsvr."
MUTE_ACCOUNT = Command(_CONFIG + "setnospeaking", MuteAccountRequest, Reply, doors=Door.REST)
GET_MUTE = Command(_CONFIG + "getnospeaking", GetMuteRequest, GetMuteReply, doors=Door.REST)
APP_INFO = Command(_CONFIG + "getappinfo", AppInfoRequest, AppInfoReply, doors=Door.REST)

_UNCOUNTED = (  # figures of Tencent that a timim server does not count
    "ActiveUserNum",
    "RegistUserNumOneDay",
    "LoginTimes",
    "LoginUserNum",
    "DownMsgNum",
    "APNSMsgNum",
    "C2CAPNSMsgNum",
    "C2CDownMsgNum",
    "MaxOnlineNum",
    "ChainIncrease",
    "ChainDecrease",
    "GroupDownMsgNum",
    "GroupAPNSMsgNum",
    "GroupQuitGroupTimes",
    "GroupDestroyGroupNum",
    "CallBackReq",
    "CallBackRsp",
)


@HANDLERS.serve(MUTE_ACCOUNT)
async def mute_account(context: RequestContext, body: MuteAccountRequest) -> Reply:
    """Mute an account in all C2C conversations or in all groups. Messages over REST in its name are not refused."""
    c2c, groups = _end(context, body.c2c_s), _end(context, body.groups_s)
    if c2c is None and groups is None:
        info = "the request has neither C2CmsgNospeakingTime nor GroupmsgNospeakingTime; add one of them"
        raise InvalidArgument(info, code=PARAMETERS)
    account = await context.services.entities.account(checked_user_id(body.user))
    after = replace(
        account,
        muted_c2c=account.muted_c2c if c2c is None else c2c,
        muted_groups=account.muted_groups if groups is None else groups,
        version=account.version + 1,
    )
    await context.services.changesets.apply(Changeset([ch.SetAccount(after)], unreported=True))
    return Reply()


def _end(context: RequestContext, seconds: int | msgspec.UnsetType) -> int | None:
    """Return the end of a mute, or None if the request does not change it."""
    if isinstance(seconds, msgspec.UnsetType):
        return None
    if not 0 <= seconds <= MUTE_LIMIT_S:
        raise InvalidArgument(f"the time of a mute must be 0 to {MUTE_LIMIT_S} s, not {seconds}", code=PARAMETERS)
    if seconds == MUTE_LIMIT_S:
        return MUTED_FOR_EVER
    return int(context.services.now()) + seconds if seconds else 0


@HANDLERS.serve(GET_MUTE)
async def get_mute(context: RequestContext, body: GetMuteRequest) -> GetMuteReply:
    """Return the seconds that are left of the mutes of an account."""
    account, now = await context.services.entities.account(checked_user_id(body.user)), int(context.services.now())
    left = (
        MUTE_LIMIT_S if until == MUTED_FOR_EVER else max(0, until - now) for until in (account.muted_c2c, account.muted_groups)
    )
    return GetMuteReply(c2c_s=next(left), groups_s=next(left))


@HANDLERS.serve(APP_INFO)
async def app_info(context: RequestContext, body: AppInfoRequest) -> AppInfoReply:
    """Return figures about the last 30 days. All messages of these days are counted, so it takes time on a large server."""
    services = context.services
    today = (int(services.now()) + ZONE_S) // DAY_S
    totals = await services.store.statistics.totals()
    found = await services.store.statistics.days(today - DAYS + 1)
    reply = AppInfoReply()
    for day in range(today - DAYS + 1, today + 1):
        figures = _figures(day, found.get(day, DayStatistics()), totals, services.app_id)
        if unknown := [name for name in body.fields if name not in figures]:
            raise InvalidArgument(f"RequestField has the unknown name {unknown[0][:40]!r}", code=PARAMETERS)
        reply.days.append({name: figures[name] for name in body.fields or figures})
    return reply


def _figures(day: int, of_day: DayStatistics, totals: Totals, app_id: int) -> dict[str, str]:
    counted = {
        "RegistUserNumTotal": totals.accounts,
        "UpMsgNum": of_day.messages,
        "SendMsgUserNum": of_day.senders,
        "C2CUpMsgNum": of_day.c2c_messages,
        "C2CSendMsgUserNum": of_day.c2c_senders,
        "GroupUpMsgNum": of_day.group_messages,
        "GroupSendMsgUserNum": of_day.group_senders,
        "GroupSendMsgGroupNum": of_day.active_groups,
        "GroupJoinGroupTimes": of_day.joined,
        "GroupNewGroupNum": of_day.new_groups,
        "GroupAllGroupNum": totals.groups,
    }
    date = time.strftime("%Y%m%d", time.gmtime(day * DAY_S))
    texts = {"Date": date, "AppName": "timim", "AppId": str(app_id), "Company": ""}
    return texts | dict.fromkeys(_UNCOUNTED, "0") | {name: str(number) for name, number in counted.items()}
