"""Handler of the deletion of accounts over REST: logins, groups, relationships, conversations, and the account itself at last.

A deletion that was interrupted is completed by repeating the request, because the account exists until its end.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from ...errors import ServerRefused, TimimError, UnknownGroup, UnknownUser
from ...ids import checked_user_id
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.numbers import at_most
from ..social import account_rules
from .registry import HandlerRegistry, RequestContext, run_current
from .rest_accounts import ACCOUNTS_AT_ONCE, UNKNOWN_ACCOUNT, AccountItem, check_account_count

HANDLERS = HandlerRegistry()

NOT_DELETABLE = 71000


class DeleteAccountsRequest(Body):
    """Accounts to delete."""

    items: Annotated[list[AccountItem], at_most(ACCOUNTS_AT_ONCE, least=1)] = msgspec.field(
        name="DeleteItem", default_factory=list
    )


class DeletedAccount(msgspec.Struct, kw_only=True):
    """An account; ResultCode is 0 if it was deleted."""

    user: str = msgspec.field(name="UserID")
    code: int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class DeleteAccountsReply(Reply):
    """The accounts in the order of the request."""

    items: list[DeletedAccount] = msgspec.field(name="ResultItem", default_factory=list)


DELETE_ACCOUNTS = Command("im_open_login_svc.account_delete", DeleteAccountsRequest, DeleteAccountsReply, doors=Door.REST)


@HANDLERS.serve(DELETE_ACCOUNTS)
async def delete_accounts(context: RequestContext, body: DeleteAccountsRequest) -> DeleteAccountsReply:
    """Delete accounts; each has its own code. Their messages stay in the conversations of others."""
    check_account_count(len(body.items), "DeleteItem")
    reply = DeleteAccountsReply()
    for user in dict.fromkeys(item.user for item in body.items):
        result = DeletedAccount(user=user)
        reply.items.append(result)
        try:
            await _delete(context, user)
        except UnknownUser as exc:
            result.code, result.info = UNKNOWN_ACCOUNT, exc.info
        except TimimError as exc:
            if not exc.code:
                raise
            result.code, result.info = exc.code, exc.info
    return reply


async def _delete(context: RequestContext, user: str) -> None:
    """Delete an account.

    Raises:
        InvalidArgument: The name is no user id.
        ServerRefused: The account is that of an administrator (71000).
        UnknownUser: The account does not exist.
        StorageError: The store failed; the request can be repeated.
    """
    services = context.services
    await services.entities.account(checked_user_id(user))
    if user in services.settings.administrators:
        info = f"{user!r} is an administrator of this app; remove it from the settings admin and admins first"
        raise ServerRefused(info, code=NOT_DELETABLE)
    await services.revocations.revoke(user)  # first, so that the user does nothing more
    for group_id in await services.store.groups.ids_of(user):
        await run_current(context, partial(_leave, context, user, group_id))
    await run_current(context, partial(_remove, context, user))


async def _leave(context: RequestContext, user: str, group_id: str) -> None:
    entities = context.services.entities
    account = await entities.account(user)
    try:
        group = await entities.group(group_id)  # read last, because nothing may be awaited before the change
    except UnknownGroup:
        return  # dissolved meanwhile
    await context.services.changesets.apply(account_rules.gone_from_group(account, group))


async def _remove(context: RequestContext, user: str) -> None:
    """Delete the relationships and the account."""
    services, entities = context.services, context.services.entities
    blockers = await services.store.accounts.blockers(user)
    for peer in account_rules.peers_of(await entities.relationships(user), blockers):
        await entities.relationships(peer)
    account = await entities.account(user)
    known = await entities.relationships(user)
    # they are all cached now, so nothing changes while they are read again
    peers = {peer: await entities.relationships(peer) for peer in sorted(account_rules.peers_of(known, blockers))}
    await services.changesets.apply(account_rules.removed(account, known, peers))
