"""Handlers of accounts over REST (`im_open_login_svc`): importing, checking, ending logins, and the online status."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ...errors import InvalidArgument, UnknownUser
from ...ids import checked_user_id
from ...protocol import profiles
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.numbers import Flag, at_most
from .profiles import set_profile
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

ACCOUNTS_AT_ONCE = 100
STATUS_AT_ONCE = 500
UNKNOWN_ACCOUNT, TOO_MANY, PARAMETERS, TOO_MANY_RECEIVERS = 70107, 70398, 70402, 90011
USER_NAMES = {"UserID": "Identifier"}  # either one names the account of a request


class ImportAccountRequest(Body):
    """An account to create, or the nickname and face URL of an existing one."""

    user: str = msgspec.field(name="UserID")
    nick: str = msgspec.field(name="Nick", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")


class ImportAccountsRequest(Body):
    """Accounts to create, by their ids or with their profiles."""

    accounts: Annotated[list[str], at_most(ACCOUNTS_AT_ONCE)] = msgspec.field(name="Accounts", default_factory=list)
    items: Annotated[list[ImportAccountRequest], at_most(ACCOUNTS_AT_ONCE)] = msgspec.field(
        name="AccountList", default_factory=list
    )


class ImportAccountsReply(Reply):
    """The accounts that were not created."""

    failed: list[str] = msgspec.field(name="FailAccounts", default_factory=list)


class AccountItem(msgspec.Struct, kw_only=True):
    """An account that a request names."""

    user: str = msgspec.field(name="UserID")


class CheckAccountsRequest(Body):
    """Accounts that may exist."""

    items: Annotated[list[AccountItem], at_most(ACCOUNTS_AT_ONCE, least=1)] = msgspec.field(
        name="CheckItem", default_factory=list
    )


class CheckedAccount(msgspec.Struct, kw_only=True):
    """An account; AccountStatus is "Imported" if it exists, otherwise "NotImported"."""

    user: str = msgspec.field(name="UserID")
    code: int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")
    status: str = msgspec.field(name="AccountStatus", default="NotImported")


class CheckAccountsReply(Reply):
    """The accounts in the order of the request."""

    items: list[CheckedAccount] = msgspec.field(name="ResultItem", default_factory=list)


class KickRequest(Body):
    """An account whose logins, tokens and signatures end."""

    user: str = msgspec.field(name="UserID")


class StatusRequest(Body):
    """Accounts whose online status is asked for. IsNeedDetail 1 adds their platforms."""

    users: Annotated[list[str], at_most(STATUS_AT_ONCE, least=1)] = msgspec.field(name="To_Account", default_factory=list)
    detail: Flag = msgspec.field(name="IsNeedDetail", default=0)


class PlatformStatus(msgspec.Struct, kw_only=True):
    """A platform on which a user is online."""

    platform: str = msgspec.field(name="Platform")
    status: str = msgspec.field(name="Status", default="Online")


class OnlineStatus(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A user who is "Online" or "Offline"; `State` is the older name of `Status`."""

    user: str = msgspec.field(name="To_Account")
    status: str = msgspec.field(name="Status")
    state: str = msgspec.field(name="State")
    detail: list[PlatformStatus] = msgspec.field(name="Detail", default_factory=list)


class FailedAccount(msgspec.Struct, kw_only=True):
    """An account without a result, and the reason."""

    user: str = msgspec.field(name="To_Account")
    code: int = msgspec.field(name="ErrorCode")


class StatusReply(Reply):
    """The status of each account; unknown accounts are in `ErrorList`."""

    results: list[OnlineStatus] = msgspec.field(name="QueryResult", default_factory=list)
    errors: list[FailedAccount] = msgspec.field(name="ErrorList", default_factory=list)


IMPORT_ACCOUNT = Command("im_open_login_svc.account_import", ImportAccountRequest, Reply, doors=Door.REST, renamed=USER_NAMES)
IMPORT_ACCOUNTS = Command("im_open_login_svc.multiaccount_import", ImportAccountsRequest, ImportAccountsReply, doors=Door.REST)
CHECK_ACCOUNTS = Command("im_open_login_svc.account_check", CheckAccountsRequest, CheckAccountsReply, doors=Door.REST)
KICK = Command("im_open_login_svc.kick", KickRequest, Reply, doors=Door.REST, renamed=USER_NAMES)
QUERY_STATUS = Command(
    "openim.query_online_status", StatusRequest, StatusReply, doors=Door.REST, aliases=("openim.querystate",)
)

_PLATFORMS = {"desktop": "PC", "mobile": "Android", "pad": "iPad", "web": "Web", "other": "Web"}


@HANDLERS.serve(IMPORT_ACCOUNT)
async def import_account(context: RequestContext, body: ImportAccountRequest) -> Reply:
    """Create an account, or change the nickname and the face URL of an existing one."""
    user = _account_id(body.user)
    await context.services.entities.ensure_account(user)
    given = ((profiles.NICK, body.nick), (profiles.FACE, body.face_url))
    if items := [profiles.ProfileItem(tag=tag, value=value) for tag, value in given if value]:
        await set_profile(context, profiles.SetProfileRequest(account=user, items=items))
    return Reply()


@HANDLERS.serve(IMPORT_ACCOUNTS)
async def import_accounts(context: RequestContext, body: ImportAccountsRequest) -> ImportAccountsReply:
    """Create accounts. An account that cannot be created is named in the reply."""
    items = [*(ImportAccountRequest(user=user) for user in body.accounts), *body.items]
    check_account_count(len(items), "accounts")
    reply = ImportAccountsReply()
    for item in items:
        try:
            await import_account(context, item)
        except InvalidArgument:
            reply.failed.append(item.user)
    if len(reply.failed) == len(items):
        raise InvalidArgument("none of the accounts was created; a user id has 1 to 32 bytes", code=PARAMETERS)
    return reply


@HANDLERS.serve(CHECK_ACCOUNTS)
async def check_accounts(context: RequestContext, body: CheckAccountsRequest) -> CheckAccountsReply:
    """Report which accounts exist."""
    check_account_count(len(body.items), "CheckItem")
    reply = CheckAccountsReply()
    for item in body.items:
        status = "Imported" if await _exists(context, item.user) else "NotImported"
        reply.items.append(CheckedAccount(user=item.user, status=status))
    return reply


@HANDLERS.serve(KICK)
async def kick(context: RequestContext, body: KickRequest) -> Reply:
    """End all logins of a user, and revoke the user's signatures made until now."""
    user = _account_id(body.user)
    if not await _exists(context, user):
        raise UnknownUser(f"there is no account {user!r}; import it first", code=UNKNOWN_ACCOUNT)
    await context.services.revocations.revoke(user)
    return Reply()


@HANDLERS.serve(QUERY_STATUS)
async def query_status(context: RequestContext, body: StatusRequest) -> StatusReply:
    """Report which users have a device online on any node."""
    if not 0 < len(body.users) <= STATUS_AT_ONCE:
        info = f"To_Account must have 1 to {STATUS_AT_ONCE} accounts, not {len(body.users)}"
        raise InvalidArgument(info, code=TOO_MANY_RECEIVERS)
    online = await context.services.bus.online(body.users)
    devices = await context.services.bus.platforms(sorted(online)) if body.detail else {}
    reply = StatusReply()
    for user in body.users:
        if not await _exists(context, user):
            reply.errors.append(FailedAccount(user=user, code=UNKNOWN_ACCOUNT))
            continue
        status = "Online" if user in online else "Offline"
        found = OnlineStatus(user=user, status=status, state=status)
        platforms = {_PLATFORMS[platform] for platform in devices.get(user, ())}
        found.detail = [PlatformStatus(platform=name) for name in sorted(platforms)]
        reply.results.append(found)
    return reply


def _account_id(user: str) -> str:
    try:
        return checked_user_id(user)
    except InvalidArgument as exc:
        raise InvalidArgument(exc.info, code=PARAMETERS) from exc


def check_account_count(count: int, name: str) -> None:
    """Check the number of accounts in a list of a request.

    Raises:
        InvalidArgument: There are none (70402) or too many (70398).
    """
    if not count:
        raise InvalidArgument(f"{name} is empty; name at least one account", code=PARAMETERS)
    if count > ACCOUNTS_AT_ONCE:
        raise InvalidArgument(f"{name} has {count} accounts; the limit is {ACCOUNTS_AT_ONCE}; split the request", code=TOO_MANY)


async def _exists(context: RequestContext, user: str) -> bool:
    try:
        await context.services.entities.account(user)
    except UnknownUser:
        return False
    return True
