"""Handlers of labels of conversations: marks, custom data and conversation groups, which all devices of a user share."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...errors import InvalidArgument, NotAMember, TimimError
from ...protocol import labels as wire
from ...protocol import session, tencent_events
from ...protocol.codec import encode
from ...protocol.conversation_list import TYPE_C2C, TYPE_GROUP, ConversationName
from ..bus.base import Event
from ..store.labels import BAD_LABEL, LabelChange, Labelled, LabelLimits, label_name
from .profiles import acting
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

PAGE = 100
GROUPS_LIMIT = 20  # of one user
GROUP_NAME_LIMIT_BYTES = 32
CUSTOM_LIMIT_BYTES = 256


@HANDLERS.serve(wire.MARK)
async def mark(context: RequestContext, body: wire.MarkRequest) -> wire.MarkReply:
    """Change marks and custom data of conversations."""
    user = acting(context, body.account)
    _check_count("MarkItem", body.items)
    changes = {}
    reply = wire.MarkReply(items=[wire.LabelResult(conversation=item.conversation) for item in body.items])
    for item, result in zip(body.items, reply.items, strict=True):
        try:
            change = _change_of(item)
            await _check(context, user, item.conversation, adds=bool(change.set_marks or change.custom))
            changes[change.conversation] = change
        except TimimError as exc:
            _refuse(result, exc)
    labelled = await context.services.store.labels.change(user, list(changes.values()), _limits(context))
    if labelled:
        names = await context.services.store.labels.groups(user)
        items = [_item(one) for one in labelled]
        _publish(context, user, wire.LabelsNotice(groups=_groups(names), items=items), tencent_events.marks_event(items))
    return reply


def _change_of(item: wire.MarkItem) -> LabelChange:
    if not 1 <= item.operation <= wire.STANDARD | wire.CUSTOM:
        raise InvalidArgument(f"OptType must be 1, 2 or 3, not {item.operation}", code=BAD_LABEL)
    key, custom = _text(item.conversation), None
    if item.operation & wire.CUSTOM:
        custom = item.custom
        if (size := len(custom.encode())) > CUSTOM_LIMIT_BYTES:
            raise InvalidArgument(f"CustomMark is {size} bytes long; the limit is {CUSTOM_LIMIT_BYTES}", code=BAD_LABEL)
    if not item.operation & wire.STANDARD:
        return LabelChange(key, custom=custom)
    for number in (*item.set, *item.cleared):
        if not 0 <= number < wire.MARKS:
            raise InvalidArgument(f"a mark must be 0 to {wire.MARKS - 1}, not {number}", code=BAD_LABEL)
    return LabelChange(key, sorted(set(item.set)), sorted(set(item.cleared)), custom)


@HANDLERS.serve(wire.CREATE_GROUPS)
async def create_groups(
    context: RequestContext, body: wire.CreateConversationGroupsRequest
) -> wire.CreateConversationGroupsReply:
    """Create conversation groups, and put conversations into them."""
    user = acting(context, body.account)
    _check_count("GroupContactItem", body.items)
    store, limits, reply = context.services.store.labels, _limits(context), wire.CreateConversationGroupsReply()
    for item in body.items:
        _check_name(item.name)
        _check_count("ContactItem", item.conversations, least=0)
        results, added = await _checked(context, user, item.conversations)
        number = await store.create_group(user, item.name, added, limits)
        group = wire.ConversationGroup(number=number, name=item.name)
        reply.items.append(wire.CreatedConversationGroup(group=group, results=results))
        inside = [_name(one) for one in added]
        await _publish_groups(context, user, tencent_events.conversation_group_created_event(group, inside), added)
    return reply


@HANDLERS.serve(wire.DELETE_GROUPS)
async def delete_groups(context: RequestContext, body: wire.DeleteConversationGroupsRequest) -> wire.ConversationGroupsReply:
    """Delete conversation groups; the conversations stay."""
    user = acting(context, body.account)
    _check_count("GroupName", body.names)
    reply = wire.ConversationGroupsReply()
    for name in body.names:
        number = await context.services.store.labels.delete_group(user, name)
        reply.groups.append(wire.ConversationGroup(number=number, name=name))
        await _publish_groups(context, user, tencent_events.conversation_group_deleted_event(reply.groups[-1]))
    return reply


@HANDLERS.serve(wire.UPDATE_GROUP)
async def update_group(context: RequestContext, body: wire.UpdateConversationGroupRequest) -> wire.UpdateConversationGroupReply:
    """Rename a conversation group, or change its conversations."""
    user, wanted, store = acting(context, body.account), body.change, context.services.store.labels
    if body.type != wire.BY_GROUP or wanted.type not in (wire.NAME, wire.MEMBERS):
        raise InvalidArgument("only UpdateType 1 with UpdateGroupType 1 or 2 is served", code=BAD_LABEL)
    if wanted.type == wire.NAME:
        _check_name(wanted.new_name)
        number = await store.rename_group(user, wanted.name, wanted.new_name)
        group = wire.ConversationGroup(number=number, name=wanted.new_name)
        await _publish_groups(context, user, tencent_events.conversation_group_renamed_event(group, wanted.name))
        return wire.UpdateConversationGroupReply(result=wire.ConversationGroupResult(number=number, name=wanted.new_name))
    _check_count("ContactUpdateItem", wanted.members)
    incoming = [one.conversation for one in wanted.members if one.operation == wire.ADD]
    outgoing = [one.conversation for one in wanted.members if one.operation == wire.REMOVE]
    results, added = await _checked(context, user, incoming)
    gone, removed = await _checked(context, user, outgoing, adds=False)
    number = await store.change_group(user, wanted.name, added=added, removed=removed, limits=_limits(context))
    changes = [(wire.ADD, _name(one)) for one in added] + [(wire.REMOVE, _name(one)) for one in removed]
    event = tencent_events.conversation_group_filled_event(wire.ConversationGroup(number=number, name=wanted.name), changes)
    await _publish_groups(context, user, event, [*added, *removed])
    result = wire.ConversationGroupResult(number=number, name=wanted.name, results=[*results, *gone])
    return wire.UpdateConversationGroupReply(result=result)


@HANDLERS.serve(wire.LIST_LABELS, paged=True)
async def list_labels(context: RequestContext, body: wire.ListLabelsRequest) -> wire.ListLabelsReply:
    """Return a page of conversations with labels, and all groups."""
    user, store, start = acting(context, body.account), context.services.store.labels, max(0, body.start)
    groups, found = await store.groups(user), await store.page(user, start, PAGE + 1)
    more = len(found) > PAGE
    return wire.ListLabelsReply(
        groups=_groups(groups),
        items=[_item(one) for one in found[:PAGE]],
        complete_flag=int(not more),
        next_start=start + PAGE if more else 0,
    )


@HANDLERS.serve(wire.SEARCH_LABELS, paged=True)
async def search_labels(context: RequestContext, body: wire.SearchLabelsRequest) -> wire.SearchLabelsReply:
    """Return the labels of conversations."""
    user, store = acting(context, body.account), context.services.store.labels
    _check_count("ContactItem", body.conversations, least=0)
    found = await store.of(user, [_text(one) for one in body.conversations])
    return wire.SearchLabelsReply(groups=_groups(await store.groups(user)), items=[_item(one) for one in found])


async def _checked(
    context: RequestContext, user: str, conversations: Sequence[ConversationName], *, adds: bool = True
) -> tuple[list[wire.LabelResult], list[str]]:
    """Return the results of conversations, and the store's names of those that exist."""
    results, good = [], []
    for one in conversations:
        result = wire.LabelResult(conversation=one)
        results.append(result)
        try:
            await _check(context, user, one, adds=adds)
            good.append(_text(one))
        except TimimError as exc:
            _refuse(result, exc)
    return results, list(dict.fromkeys(good))


async def _check(context: RequestContext, user: str, conversation: ConversationName, *, adds: bool) -> None:
    """Raise an error if the conversation cannot get a label: there is no such peer, or the user is not in the group."""
    entities, key = context.services.entities, _text(conversation)
    if not adds:
        return
    if conversation.type == TYPE_C2C:
        await entities.account(conversation.to_account)
    elif user not in (await entities.group_or_topic(conversation.group_id)).members:
        raise NotAMember(f"{user!r} is not in the group of {key!r}")


def _refuse(result: wire.LabelResult, error: TimimError) -> None:
    if not error.code:
        raise error
    result.code, result.info = error.code, error.info


def _text(conversation: ConversationName) -> str:
    """Return the store's name of a conversation."""
    peer = conversation.group_id if conversation.type == TYPE_GROUP else conversation.to_account
    if conversation.type not in (TYPE_C2C, TYPE_GROUP) or not peer or "\x1f" in peer:
        raise InvalidArgument("a ContactItem needs Type 1 and To_Account, or Type 2 and ToGroupId", code=BAD_LABEL)
    return label_name(conversation.type, peer)


def _name(text: str) -> ConversationName:
    kind, _, peer = text.partition("\x1f")
    if int(kind) == TYPE_GROUP:
        return ConversationName(type=TYPE_GROUP, group_id=peer)
    return ConversationName(type=TYPE_C2C, to_account=peer)


def _item(one: Labelled) -> wire.LabelsItem:
    name = _name(one.conversation)
    return wire.LabelsItem(
        type=name.type,
        to_account=name.to_account,
        group_id=name.group_id,
        marks=wire.bits_of(one.marks),
        custom=one.custom,
        groups=sorted(one.groups),
    )


def _groups(names: dict[str, int]) -> list[wire.ConversationGroup]:
    return [wire.ConversationGroup(number=number, name=name) for name, number in names.items()]


def _limits(context: RequestContext) -> LabelLimits:
    return LabelLimits(context.services.settings.marked_conversations, GROUPS_LIMIT)


def _check_count(field: str, items: Sequence[object], *, least: int = 1) -> None:
    if not least <= len(items) <= wire.AT_ONCE:
        raise InvalidArgument(f"{field} must have {least} to {wire.AT_ONCE} items, not {len(items)}", code=BAD_LABEL)


def _check_name(name: str) -> None:
    size = len(name.encode())
    if not 0 < size <= GROUP_NAME_LIMIT_BYTES:
        raise InvalidArgument(f"the group name must have 1 to {GROUP_NAME_LIMIT_BYTES} bytes, not {size}", code=BAD_LABEL)


async def _publish_groups(context: RequestContext, user: str, plain: msgspec.Raw, conversations: Sequence[str] = ()) -> None:
    """Notify the user's other devices of a change of groups, and of the labels of conversations in them."""
    store = context.services.store.labels
    groups = _groups(await store.groups(user))
    items = [_item(one) for one in await store.of(user, conversations)]
    _publish(context, user, wire.LabelsNotice(groups_changed=1, groups=groups, items=items), plain)


def _publish(context: RequestContext, user: str, notice: wire.LabelsNotice, plain: msgspec.Raw) -> None:
    origin = context.session.number if context.session else 0
    payload = msgspec.Raw(encode(notice))
    context.services.bus.publish(Event((user,), session.EVENT_LABELS, payload, origin, plain))
