"""Handlers of conversation settings: pinned, muted and draft, which all devices of a user share."""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import InvalidArgument, NotAMember
from ...ids import checked_group_id, checked_user_id
from ...protocol import conversation_settings as wire
from ...protocol import session, tencent_events
from ...protocol.codec import Reply, encode
from ...protocol.conversation_list import TYPE_C2C, TYPE_GROUP
from ..bus.base import Event
from ..store.base import ConversationChange, SettingLimits, UserConversation, c2c_timeline, group_timeline, system_timeline
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

AT_ONCE = 100
DRAFT_LIMIT_BYTES = 12 * 1024  # the limit of a message


async def change(
    context: RequestContext, wanted: ConversationChange, *, peer: str = "", group_id: str = "", system: bool = False
) -> UserConversation:
    """Change settings of a conversation, and notify the caller's other devices. Return the settings after the change.

    Args:
        context: The request.
        wanted: The settings to change.
        peer: The other user of a C2C conversation.
        group_id: The group of a group conversation.
        system: True for the system conversation.

    Raises:
        NotAMember: The caller is not in the group.
        UnknownUser: There is no such account.
        LimitReached: The caller has too many drafts, or conversations with settings.
    """
    services, settings = context.services, context.services.settings
    if group_id:
        timeline = group_timeline(checked_group_id(group_id))
    else:
        if not system:
            await services.entities.account(checked_user_id(peer))
        timeline = system_timeline(context.user) if system else c2c_timeline(context.user, peer)
    limits = SettingLimits(settings.drafts_per_user, settings.marked_conversations)
    changed = await services.store.conversations.change(context.user, timeline, wanted, time=services.now(), limits=limits)
    if changed is None:
        raise NotAMember(f"{context.user!r} is not in group {group_id!r}")
    now, applied = changed
    if not applied:
        return now
    notice = session.ConversationSettingsNotice(
        peer=peer,
        group_id=group_id,
        system=int(system),
        pinned=now.pinned,
        muted=int(now.muted),
        draft=now.draft,
        version=now.settings_version,
    )
    plain = None
    if wanted.pinned is not None and not system:
        item: dict[str, Any] = {"Type": TYPE_GROUP, "GroupId": group_id, "ToGroupId": group_id}
        if not group_id:
            item = {"Type": TYPE_C2C, "To_Account": peer, "UserId": peer}  # the web client reads UserId
        plain = tencent_events.pin_event(item, pinned=bool(wanted.pinned))
    elif wanted.muted is not None and group_id:
        plain = tencent_events.msg_flag_event(group_id, wire.MUTED if wanted.muted else wire.NOTIFYING)
    origin = context.session.number if context.session else 0
    services.bus.publish(
        Event((context.user,), session.EVENT_CONVERSATION_SETTINGS, msgspec.Raw(encode(notice)), origin, plain)
    )
    return now


@HANDLERS.serve(wire.SET_CONVERSATION_SETTINGS)
async def set_marks(context: RequestContext, body: wire.SetConversationSettingsRequest) -> wire.SetConversationSettingsReply:
    """Change whether a conversation is pinned or muted, and its draft."""
    pinned = None if isinstance(body.pinned, msgspec.UnsetType) else int(context.services.now()) if body.pinned else 0
    muted = None if isinstance(body.muted, msgspec.UnsetType) else bool(body.muted)
    draft = None if isinstance(body.draft, msgspec.UnsetType) else body.draft
    if draft is not None and (size := len(draft.encode())) > DRAFT_LIMIT_BYTES:
        raise InvalidArgument(f"TimelineDraft is {size} bytes long; the limit is {DRAFT_LIMIT_BYTES}", code=90001)
    device = context.session.client.device if context.session else ""
    wanted = ConversationChange(pinned, muted, draft, age_ms=max(0, body.age_ms), device=device)
    now = await change(context, wanted, peer=body.peer, group_id=body.group_id, system=bool(body.system))
    return wire.SetConversationSettingsReply(
        pinned=now.pinned, muted=int(now.muted), draft=now.draft, version=now.settings_version
    )


@HANDLERS.serve(wire.PIN_CONVERSATIONS)
async def pin(context: RequestContext, body: wire.PinRequest) -> Reply:
    """Pin or unpin conversations."""
    if body.operation not in (wire.PIN, wire.UNPIN):
        raise InvalidArgument(f"OperationType must be {wire.PIN} or {wire.UNPIN}, not {body.operation}", code=90001)
    if len(body.items) > AT_ONCE:
        raise InvalidArgument(f"RecentContactItem has {len(body.items)} conversations; the limit is {AT_ONCE}", code=90011)
    wanted = ConversationChange(pinned=int(context.services.now()) if body.operation == wire.PIN else 0)
    for item in body.items:
        await change(context, wanted, peer=item.to_account, group_id=item.group_id)
    return Reply()


@HANDLERS.serve(wire.MUTE_C2C)
async def mute_c2c(context: RequestContext, body: wire.MuteC2CRequest) -> Reply:
    """Mute or unmute C2C conversations."""
    if len(body.peers) > AT_ONCE:
        raise InvalidArgument(f"Peer_Account has {len(body.peers)} users; the limit is {AT_ONCE}", code=90011)
    for peer in body.peers:
        await change(context, ConversationChange(muted=bool(body.mute)), peer=peer)
    return Reply()


@HANDLERS.serve(wire.GET_MUTED_C2C)
async def muted_c2c(context: RequestContext, body: wire.GetMutedC2CRequest) -> wire.GetMutedC2CReply:
    """Return for each user whether the C2C conversation is muted."""
    peers = [checked_user_id(peer) for peer in body.peers[:AT_ONCE]]
    muted = await context.services.store.conversations.muted(context.user, [c2c_timeline(context.user, peer) for peer in peers])
    items = [wire.MutedItem(peer=peer, mute=int(mute)) for peer, mute in zip(peers, muted, strict=True)]
    return wire.GetMutedC2CReply(items=items)
