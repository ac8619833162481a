"""Handlers of the topics of Communities (`million_group_open_http_svc`). Their messages have the commands of groups."""

from __future__ import annotations

import secrets
from dataclasses import replace

import msgspec

from ...errors import InvalidArgument, TimimError, UnknownGroup
from ...ids import TOPIC_MARK, checked_topic_id, community_of
from ...protocol import session, tencent_events
from ...protocol import topics as wire
from ...protocol.codec import GROUPS, Command, Door, Reply, encode
from ...protocol.conversation_settings import MUTED, NOTIFYING
from ...protocol.entries import decode_payload
from ...protocol.notices import TopicInfoChange
from ...protocol.numbers import Int
from ..bus.base import Event
from ..social import topic_rules
from ..social.group_permissions import Permission, require
from ..store.base import ANY_MEMBER, StoredGroup, StoredTopic, TopicState
from .before import before_creating_topic
from .group_fields import bad
from .groups import actor_of
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

NAME_LIMIT_BYTES = 150
TEXT_LIMITS_BYTES = {"introduction": 400, "notification": 400, "face_url": 500, "custom": 3000}
WRONG_TIME = 10004


class ImportTopicRequest(wire.CreateTopicRequest, kw_only=True):
    """Create a topic that was created earlier elsewhere, at `CreateTime` in seconds since 1970; 0 for now."""

    created: Int = msgspec.field(name="CreateTime", default=0)


IMPORT_TOPIC = Command(f"{GROUPS}.import_topic", ImportTopicRequest, wire.CreateTopicReply, doors=Door.REST)


def _checked_name(name: str) -> str:
    if not 0 < len(name.encode()) <= NAME_LIMIT_BYTES:
        raise bad(f"TopicName must be 1 to {NAME_LIMIT_BYTES} bytes long, not {len(name.encode())}")
    return name


def _checked_text(field: str, text: str) -> str:
    if (size := len(text.encode())) > TEXT_LIMITS_BYTES[field]:
        raise bad(f"{field} of a topic is {size} bytes long; the limit is {TEXT_LIMITS_BYTES[field]}")
    return text


def _text_or(field: str, text: str | msgspec.UnsetType, known: str) -> str:
    """Return a changed property of a topic, or the known one if the request does not change it."""
    return known if isinstance(text, msgspec.UnsetType) else _checked_text(field, text)


def _new_topic(body: wire.CreateTopicRequest, created: int) -> StoredTopic:
    """Return the topic of a request.

    Raises:
        InvalidArgument: Its id or one of its properties is invalid.
    """
    topic_id = body.topic_id or f"{body.group_id}{TOPIC_MARK}{secrets.token_hex(8).upper()}"
    try:
        checked_topic_id(topic_id)
    except InvalidArgument as exc:
        raise bad(exc.info, code=10015) from exc
    if community_of(topic_id) != body.group_id:
        raise bad(f"TopicId must begin with {body.group_id[:60]}{TOPIC_MARK}", code=10015)
    return StoredTopic(
        topic_id,
        _checked_name(body.name),
        created,
        introduction=_checked_text("introduction", body.introduction),
        notification=_checked_text("notification", body.notification),
        face_url=_checked_text("face_url", body.face_url),
        custom=_checked_text("custom", body.custom),
    )


@HANDLERS.serve(wire.CREATE_TOPIC)
async def create(context: RequestContext, body: wire.CreateTopicRequest) -> wire.CreateTopicReply:
    """Create a topic in a Community."""
    topic = _new_topic(body, int(context.services.now()))
    await before_creating_topic(context, body)
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    await context.services.changesets.apply(topic_rules.created(actor, group, topic))
    event = tencent_events.topic_created_event(group.group_id, topic.topic_id)
    publish(context, group, wire.TopicChange.CREATED, [topic.topic_id], event)
    return wire.CreateTopicReply(topic_id=topic.topic_id)


@HANDLERS.serve(IMPORT_TOPIC)
async def import_topic(context: RequestContext, body: ImportTopicRequest) -> wire.CreateTopicReply:
    """Create a topic that was created earlier elsewhere. Nobody is told."""
    now = int(context.services.now())
    if not 0 <= body.created <= now:
        raise bad(f"CreateTime must be 0 to {now}, which is now, not {body.created}", code=WRONG_TIME)
    topic = _new_topic(body, body.created or now)
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    changeset = topic_rules.created(actor, group, topic)
    changeset.unreported = True
    await context.services.changesets.apply(changeset)
    return wire.CreateTopicReply(topic_id=topic.topic_id)


@HANDLERS.serve(wire.DESTROY_TOPICS)
async def destroy(context: RequestContext, body: wire.DestroyTopicsRequest) -> wire.DestroyTopicsReply:
    """Delete topics of a Community. A topic that does not exist has a code in the reply."""
    _check_count(body.topic_ids)
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    topic_ids = list(dict.fromkeys(body.topic_ids))
    there = [topic_id for topic_id in topic_ids if topic_id in group.topics]
    await context.services.changesets.apply(topic_rules.deleted(actor, group, there))
    if there:
        publish(context, group, wire.TopicChange.DELETED, there, tencent_events.topics_deleted_event(group.group_id, there))
    reply = wire.DestroyTopicsReply()
    for topic_id in topic_ids:
        result = wire.DestroyedTopic(topic_id=topic_id)
        if topic_id not in there:
            unknown = _unknown(topic_id)
            result.error_code, result.error_info = unknown.code, unknown.info
        reply.results.append(result)
    return reply


@HANDLERS.serve(wire.MODIFY_TOPIC)
async def modify(context: RequestContext, body: wire.ModifyTopicRequest) -> Reply:
    """Change the properties of a topic."""
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    if (topic := group.topics.get(body.topic_id)) is None:
        raise _unknown(body.topic_id)
    after = replace(
        topic,
        name=topic.name if isinstance(body.name, msgspec.UnsetType) else _checked_name(body.name),
        introduction=_text_or("introduction", body.introduction, topic.introduction),
        notification=_text_or("notification", body.notification, topic.notification),
        face_url=_text_or("face_url", body.face_url, topic.face_url),
        custom=_text_or("custom", body.custom, topic.custom),
    )
    news = TopicInfoChange(
        name=body.name,
        introduction=body.introduction,
        notification=body.notification,
        face_url=body.face_url,
        custom=body.custom,
    )
    acts = [Permission.TOPICS] if news != TopicInfoChange() else []
    if not isinstance(body.mute_all, msgspec.UnsetType):
        if body.mute_all not in ("On", "Off"):
            raise bad(f"ShutUpAllMember must be On or Off, not {body.mute_all[:40]!r}")
        news.muted_all = int(body.mute_all == "On")
        after = replace(after, muted_all=body.mute_all == "On")
        acts.append(Permission.MUTE)
    changeset = topic_rules.edited(actor, group, after, news, acts or [Permission.READ])
    await context.services.changesets.apply(changeset)
    if changeset.changes:
        publish(context, group, wire.TopicChange.CHANGED, [topic.topic_id])
    return Reply()


@HANDLERS.serve(wire.GET_TOPICS, paged=True)
async def get(context: RequestContext, body: wire.GetTopicsRequest) -> wire.GetTopicsReply:
    """Return topics of a Community, with the caller's state in each."""
    _check_count(body.topic_ids)
    group = await context.services.entities.group(body.group_id)
    if not context.admin:
        require(group, context.user, Permission.READ)
    wanted = body.topic_ids or list(group.topics)
    there = [topic_id for topic_id in wanted if topic_id in group.topics]
    states = await context.services.store.topics.states("" if context.admin else context.user, there)
    items = {
        topic_id: _item(context, group, group.topics[topic_id], states[topic_id]) for topic_id in there if topic_id in states
    }
    return wire.GetTopicsReply(topics=[items.get(topic_id) or _missing(topic_id) for topic_id in wanted])


def publish(
    context: RequestContext, group: StoredGroup, kind: wire.TopicChange, topic_ids: list[str], event: msgspec.Raw | None = None
) -> None:
    """Push a change of topics to members online: a notice to timim clients, and an event, if there is one, to others."""
    notice = wire.TopicNotice(group_id=group.group_id, user=context.user, kind=kind, topic_ids=topic_ids)
    users, payload = tuple(group.members), msgspec.Raw(encode(notice))
    context.services.bus.publish(Event(users, session.EVENT_TOPICS, payload, plain=event, group=group.group_id, seq=ANY_MEMBER))


def _item(context: RequestContext, group: StoredGroup, topic: StoredTopic, state: TopicState) -> wire.TopicItem:
    info = wire.TopicInfo(
        topic_id=topic.topic_id,
        group_id=group.group_id,
        name=topic.name,
        introduction=topic.introduction,
        notification=topic.notification,
        face_url=topic.face_url,
        custom=topic.custom,
        created=topic.created,
        mute_all="On" if topic.muted_all else "Off",
        mute_all_flag=int(topic.muted_all),
        next_seq=state.last_seq + 1,
        last_time=state.last.time if state.last is not None else 0,
    )
    if state.last is not None:
        last = decode_payload(state.last.tail)
        info.last = wire.LastTopicMessage(
            seq=state.last.seq,
            time=state.last.time,
            from_account=last.from_account,
            nick=last.nick,
            face_url=last.face_url,
            placeholder=last.placeholder,
            version=last.version,
            cloud_custom_data=last.cloud_custom_data,
            msg_body=last.msg_body,
        )
    if context.admin:
        return wire.TopicItem(topic=info)
    until = topic.muted.get(context.user, 0)
    me = wire.TopicSelfInfo(
        read_seq=state.read_seq,
        muted_until=until if until > context.services.now() else 0,
        msg_flag=MUTED if state.muted else NOTIFYING,
        uncounted=list(state.uncounted),
    )
    return wire.TopicItem(topic=info, me=me)


def _missing(topic_id: str) -> wire.TopicItem:
    error = _unknown(topic_id)
    return wire.TopicItem(error_code=error.code, error_info=error.info, topic=wire.TopicInfo(topic_id=topic_id))


def _unknown(topic_id: str) -> TimimError:
    return UnknownGroup(f"there is no topic {topic_id[:120]!r}")


def _check_count(topic_ids: list[str]) -> None:
    if len(topic_ids) > wire.TOPICS_AT_ONCE:
        raise bad(f"TopicIdList has {len(topic_ids)} topics; the limit is {wire.TOPICS_AT_ONCE}; split the request")
