"""Handlers of profiles (`profile`): nickname, face URL, AllowType, Tencent's other tags, the operator's custom fields."""

from __future__ import annotations

from dataclasses import replace

from ...errors import InvalidArgument, NoPermission, UnknownUser
from ...ids import checked_user_id
from ...protocol import profiles as wire
from ...protocol.codec import Reply
from ...protocol.notices import ProfileTag
from ..social.friend_rules import Person, profile_changed
from ..store.base import StoredAccount
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

VALUE_LIMIT_BYTES = 500
CUSTOM_KEY_LIMIT_BYTES = 8
CUSTOM_LIMIT = 20
PARAMETERS = 40001  # Tencent's code for invalid parameters of a profile


def acting(context: RequestContext, named: str) -> str:
    """Return the acting account: the caller, or the account that an administrator names.

    Raises:
        NoPermission: A caller who is no administrator names another account (90009).
    """
    if not named or named == context.user:
        return context.user
    if not context.admin:
        raise NoPermission(f"{context.user!r} cannot act for {named!r}; only an administrator can", code=90009)
    return checked_user_id(named)


@HANDLERS.serve(wire.SET_PROFILE)
async def set_profile(context: RequestContext, body: wire.SetProfileRequest) -> Reply:
    """Change the profile of an account."""
    user = acting(context, body.account)
    entities = context.services.entities
    await entities.account(user)
    relationships = await entities.relationships(user)
    account = after = await entities.account(user)  # read last, because nothing may be awaited before the change
    for item in body.items:
        after = _with(after, item.tag, str(item.value))
    if after != account:
        tags = [ProfileTag(tag=item.tag, value=str(item.value)) for item in body.items]
        after = replace(after, version=account.version + 1)
        await context.services.changesets.apply(profile_changed(Person(account, relationships), after, tags))
    return Reply()


@HANDLERS.serve(wire.GET_PROFILES, paged=True)
async def get_profiles(context: RequestContext, body: wire.GetProfilesRequest) -> wire.GetProfilesReply:
    """Return profiles; those with a known version have no items."""
    if len(body.accounts) > wire.USERS_AT_ONCE:
        raise InvalidArgument(f"To_Account has {len(body.accounts)} users; the limit is {wire.USERS_AT_ONCE}", code=PARAMETERS)
    known = dict(zip(body.accounts, body.versions, strict=False))
    reply = wire.GetProfilesReply()
    for user in body.accounts:
        try:
            account = await context.services.entities.account(user)
        except UnknownUser as exc:
            reply.users.append(wire.UserProfile(account=user, result=exc.code, info=exc.info))
            reply.failed.append(user)
            continue
        profile = wire.UserProfile(account=user, version=account.version)
        if known.get(user) != account.version:
            profile.items = [item for item in profile_items(account) if not body.tags or item.tag in body.tags]
        reply.users.append(profile)
    return reply


def profile_items(account: StoredAccount) -> list[wire.ProfileItem]:
    """Return a profile as tags: nickname, face URL and AllowType in any case, and the other tags that are set."""
    items = {
        wire.NICK: account.nickname,
        wire.FACE: account.face_url,
        wire.ALLOW: account.allow_type or wire.NEED_CONFIRM,
        **account.details,
        **{wire.CUSTOM + key: value for key, value in account.custom.items()},
    }
    return [wire.ProfileItem(tag=tag, value=value) for tag, value in items.items()]


def _with(account: StoredAccount, tag: str, value: str) -> StoredAccount:
    if (size := len(value.encode())) > VALUE_LIMIT_BYTES:
        raise InvalidArgument(f"{tag} is {size} bytes long; the limit is {VALUE_LIMIT_BYTES}", code=PARAMETERS)
    if tag == wire.NICK:
        return replace(account, nickname=value)
    if tag == wire.FACE:
        return replace(account, face_url=value)
    if tag == wire.ALLOW:
        if value not in (wire.ALLOW_ANY, wire.NEED_CONFIRM, wire.DENY_ANY):
            raise InvalidArgument(
                f"{tag} must be {wire.ALLOW_ANY}, {wire.NEED_CONFIRM} or {wire.DENY_ANY}, not {value[:40]!r}", code=PARAMETERS
            )
        return replace(account, allow_type=value)
    if tag == wire.GROUP_INVITES and value not in ("", wire.ALLOW_ANY, wire.NEED_CONFIRM):
        raise InvalidArgument(f"{tag} must be {wire.ALLOW_ANY} or {wire.NEED_CONFIRM}, not {value[:40]!r}", code=PARAMETERS)
    if tag in wire.DETAILS:
        return replace(account, details=_set(account.details, tag, value))
    key = tag.removeprefix(wire.CUSTOM)
    if key == tag or not 0 < len(key.encode()) <= CUSTOM_KEY_LIMIT_BYTES:
        raise InvalidArgument(
            f"unknown tag {tag[:80]!r}; a custom field is {wire.CUSTOM} followed by 1 to {CUSTOM_KEY_LIMIT_BYTES} bytes",
            code=PARAMETERS,
        )
    custom = _set(account.custom, key, value)
    if len(custom) > CUSTOM_LIMIT:
        raise InvalidArgument(
            f"the profile would have {len(custom)} custom fields; the limit is {CUSTOM_LIMIT}", code=PARAMETERS
        )
    return replace(account, custom=custom)


def _set(fields: dict[str, str], key: str, value: str) -> dict[str, str]:
    return {name: text for name, text in {**fields, key: value}.items() if text}
