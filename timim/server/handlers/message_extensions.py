"""Handlers of the extensions of messages, which users and administrators set, read and delete."""

from __future__ import annotations

from ...errors import InvalidArgument
from ...ids import ConversationKey, checked_user_id
from ...protocol import message_extensions as wire
from ..store.message_extensions import StoredExtension, StoredExtensions
from .message_actions import c2c_key, c2c_seq_of_key, group_key, peer_of
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

KEY_LIMIT_BYTES = 100
VALUE_LIMIT_BYTES = 1000
PARAMETERS = 10004


@HANDLERS.serve(wire.CHANGE_C2C_EXTENSIONS)
async def change_c2c(context: RequestContext, body: wire.ChangeC2CExtensionsRequest) -> wire.ChangeExtensionsReply:
    """Set or delete extensions of a C2C message."""
    items = _checked(body.items, body.kind)
    return await _change(context, *await _c2c(context, body), items, body.kind)


@HANDLERS.serve(wire.CHANGE_GROUP_EXTENSIONS)
async def change_group(context: RequestContext, body: wire.ChangeGroupExtensionsRequest) -> wire.ChangeExtensionsReply:
    """Set or delete extensions of a message of a group."""
    items = _checked(body.items, body.kind)
    return await _change(context, context.user, group_key(body.group_id), body.seq, items, body.kind)


@HANDLERS.serve(wire.GET_C2C_EXTENSIONS, paged=True)
async def get_c2c(context: RequestContext, body: wire.GetC2CExtensionsRequest) -> wire.ExtensionsReply:
    """Return the extensions of a C2C message."""
    found = await context.services.extensions.of(*await _c2c(context, body), admin=context.admin)
    return _reply(found, body.start)


@HANDLERS.serve(wire.GET_GROUP_EXTENSIONS, paged=True)
async def get_group(context: RequestContext, body: wire.GetGroupExtensionsRequest) -> wire.ExtensionsReply:
    """Return the extensions of a message of a group."""
    key = group_key(body.group_id)
    return _reply(await context.services.extensions.of(context.user, key, body.seq, admin=context.admin), body.start)


async def _c2c(
    context: RequestContext, body: wire.ChangeC2CExtensionsRequest | wire.GetC2CExtensionsRequest
) -> tuple[str, ConversationKey, int]:
    """Return the acting user, the conversation and the seq. An administrator acts for the sender of the message."""
    user = checked_user_id(body.from_account) if context.admin else context.user
    peer = checked_user_id(body.to_account) if context.admin else peer_of(context, body.from_account, body.to_account)
    seq = body.timeline_seq or await c2c_seq_of_key(context.services, user, peer, body.msg_key)
    return user, c2c_key(peer), seq


async def _change(
    context: RequestContext, user: str, key: ConversationKey, seq: int, items: list[StoredExtension], kind: int
) -> wire.ChangeExtensionsReply:
    extensions, admin = context.services.extensions, context.admin
    origin = context.session.number if context.session is not None else 0
    if kind == wire.ExtensionChange.CLEAR:
        latest = await extensions.clear(user, key, seq, origin=origin, admin=admin)
        return wire.ChangeExtensionsReply(latest=latest, same_latest=latest)
    deleted = kind == wire.ExtensionChange.DELETE
    done = await extensions.change(user, key, seq, items, deleted=deleted, origin=origin, admin=admin)
    reply = wire.ChangeExtensionsReply(latest=done.latest, same_latest=done.latest)
    for one in done.items:
        result = wire.ExtensionResult(extension=_item(one))
        if one.key in done.conflicts:
            result.code, result.info = wire.CONFLICT, "another user has changed this key; read it and decide again"
        elif one.key in done.too_many:
            result.code, result.info = wire.TOO_MANY, "the message has 300 extensions, which is the limit; delete some first"
        reply.results.append(result)
    return reply


def _checked(items: list[wire.ExtensionItem], kind: int) -> list[StoredExtension]:
    """Return the changes of a request.

    Raises:
        InvalidArgument: The kind is unknown, or a key or a value is too long, or there are none or too many keys.
    """
    if kind == wire.ExtensionChange.CLEAR:
        return []
    if kind not in (wire.ExtensionChange.SET, wire.ExtensionChange.DELETE):
        raise InvalidArgument(f"OperateType must be 1, 2 or 3, not {kind}", code=PARAMETERS)
    if not 0 < len(items) <= wire.EXTENSIONS_AT_ONCE:
        info = f"ExtensionList must have 1 to {wire.EXTENSIONS_AT_ONCE} extensions, not {len(items)}"
        raise InvalidArgument(info, code=PARAMETERS)
    for item in items:
        if not 0 < len(item.key.encode()) <= KEY_LIMIT_BYTES or "\0" in item.key:
            raise InvalidArgument(f"Key must be 1 to {KEY_LIMIT_BYTES} bytes long, without NUL", code=PARAMETERS)
        if len(item.value.encode()) > VALUE_LIMIT_BYTES or "\0" in item.value:
            raise InvalidArgument(f"Value must be at most {VALUE_LIMIT_BYTES} bytes long, without NUL", code=PARAMETERS)
        if kind == wire.ExtensionChange.SET and not item.value:
            raise InvalidArgument("Value is empty; use OperateType 2 to delete an extension", code=PARAMETERS)
    named = {item.key: item for item in items}  # the last one counts
    empty = kind == wire.ExtensionChange.DELETE
    return [StoredExtension(key, "" if empty else item.value, item.version) for key, item in named.items()]


def _reply(found: StoredExtensions, start: int) -> wire.ExtensionsReply:
    items = [_item(one) for one in found.items if one.version >= start]
    return wire.ExtensionsReply(items=items, latest=found.latest, cleared=found.cleared)


def _item(one: StoredExtension) -> wire.ExtensionItem:
    return wire.ExtensionItem(key=one.key, value=one.value, version=one.version)
