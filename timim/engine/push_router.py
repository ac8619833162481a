"""Routing of pushes: entries to the inbox, notices to the conversation settings, a kick to the connection. Never blocks.

Group tips and system notices have their own wire formats, and are converted to entries here.

The websocket is read while notices are being stored, so a slow disk cannot slow the server down, and the queue of notices
needs a bound. Notices are hints: the sync after a login or a push gap fetches the state that they announce. Above the limit
the queue is therefore dropped, and the client syncs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import MappingProxyType

import msgspec

from ..errors import KickedOffline, ProtocolError, TimimError
from ..events import (
    ClientEvent,
    ConversationGroupsChanged,
    DoNotDisturbChanged,
    ExtensionsChanged,
    FollowsChanged,
    GroupCountersChanged,
    GroupPinChanged,
    LabelsChanged,
    StatusChanged,
    TopicsChanged,
)
from ..ids import SYSTEM_CONVERSATION, ConversationKey, ConversationType
from ..protocol import session
from ..protocol.codec import decode
from ..protocol.deletions import DeletionItem
from ..protocol.do_not_disturb import DoNotDisturbNotice, quiet_time
from ..protocol.entries import Entry
from ..protocol.follows import FollowList, FollowNotice
from ..protocol.group_state import GroupStateNotice
from ..protocol.labels import LabelsNotice, marks_of
from ..protocol.message_extensions import ExtensionChange, ExtensionsNotice
from ..protocol.notices import entry_from_push
from ..protocol.statuses import Presence, StatusItem, decode_text
from ..protocol.topics import TopicChange, TopicNotice
from ..transport.connection import Connection
from ..util.shown_text import shown_text
from .config import ClientConfig
from .conversation_settings import ConversationSettings
from .dispatcher import Dispatcher
from .inbox import Inbox

log = logging.getLogger(__name__)
Notice = (
    session.ReadNotice
    | session.ReceiptNotice
    | session.ConversationSettingsNotice
    | GroupStateNotice
    | FollowNotice
    | LabelsNotice
    | DoNotDisturbNotice
    | StatusItem
    | ExtensionsNotice
    | TopicNotice
    | DeletionItem
)
_FOLLOW_LISTS = frozenset(map(int, FollowList))
_TOPIC_CHANGES = frozenset(TopicChange)
KEYS_CACHED = 1024  # conversations
NOTICES_LIMIT = 10_000  # queued notices; above the limit all of them are dropped, and a sync fetches their content


class PushRouter:
    """Routes the pushes of one client. `run` applies the notices, one at a time, in the order of their arrival."""

    def __init__(
        self,
        config: ClientConfig,
        connection: Connection,
        inbox: Inbox,
        settings: ConversationSettings,
        dispatcher: Dispatcher,
    ) -> None:
        self._user_id = config.user_id
        self._connection = connection
        self._inbox = inbox
        self._settings = settings
        self._dispatcher = dispatcher
        self._notices: deque[Notice] = deque()
        self._wake = asyncio.Event()

    def route(self, push: session.DecodedPush) -> bool:
        """Route the events of a push.

        Returns:
            False if an event was malformed, or notices were dropped because NOTICES_LIMIT of them wait: the caller must start
            a sync.
        """
        whole = True
        for event in push.events:
            try:
                self._route_event(event)
            except ProtocolError as exc:
                log.warning("skipped an event of %s that cannot be decoded; a sync fetches its content: %s", self._user_id, exc)
                whole = False
        if len(self._notices) <= NOTICES_LIMIT:
            return whole
        log.warning("dropped %d notices of %s; a sync fetches their content", len(self._notices), self._user_id)
        self._notices.clear()
        return False

    def _route_event(self, event: session.DecodedEvent) -> None:
        self._inbox.push(pushed_entries(event, self._user_id))
        match event.event:
            case session.EVENT_READ:
                self._add(session.ReadNotice, event.reads)
            case session.EVENT_RECEIPT:
                self._add(session.ReceiptNotice, event.receipts)
            case session.EVENT_CONVERSATION_SETTINGS:
                self._add(session.ConversationSettingsNotice, event.settings)
            case session.EVENT_GROUP_STATE:
                self._add(GroupStateNotice, event.group_states)
            case session.EVENT_FOLLOW:
                self._add(FollowNotice, event.follows)
            case session.EVENT_LABELS:
                self._add(LabelsNotice, event.labels)
            case session.EVENT_DO_NOT_DISTURB:
                self._add(DoNotDisturbNotice, event.quiet_times)
            case session.EVENT_STATUS:
                self._add(StatusItem, event.statuses)
            case session.EVENT_DELETIONS:
                self._add(DeletionItem, event.deletions)
            case session.EVENT_EXTENSIONS:
                self._add(ExtensionsNotice, event.extensions)
            case session.EVENT_TOPICS:
                self._add(TopicNotice, event.topics)
            case session.EVENT_C2C_NOTICE if event.sub_msg_type == session.SUB_KICKED:
                reason = event.kick.reason if not isinstance(event.kick, msgspec.UnsetType) else ""
                self._connection.give_up(KickedOffline(shown_text(reason) or "another login took this device's slot"))
            case _:
                pass  # entries, or an event that this version does not know

    def reset(self) -> None:
        """Drop the queued notices, whose content the sync after the next login fetches."""
        self._notices.clear()

    async def run(self) -> None:
        """Apply notices until cancelled."""
        while True:
            while self._notices:
                try:
                    await self._apply(self._notices.popleft())
                except TimimError:
                    log.exception("applying a notice of %s failed; the next login fetches the changed state", self._user_id)
            self._wake.clear()
            await self._wake.wait()

    async def _apply(self, notice: Notice) -> None:
        match notice:
            case session.ReadNotice():
                await self._settings.apply_read_notice(notice)
            case session.ReceiptNotice():
                await self._settings.apply_receipt(notice)
            case session.ConversationSettingsNotice():
                await self._settings.apply_settings_notice(notice)
            case DeletionItem():
                await self._settings.deletions.apply(notice)
            case GroupStateNotice():
                for event in events_of_group_state(notice):
                    self._dispatcher.deliver_event(event)
            case LabelsNotice():
                for event in events_of_labels(notice):
                    self._dispatcher.deliver_event(event)
            case DoNotDisturbNotice():
                self._dispatcher.deliver_event(DoNotDisturbChanged(quiet_time(notice)))
            case FollowNotice():
                if notice.list in _FOLLOW_LISTS:
                    changed = FollowsChanged(notice.account, FollowList(notice.list), notice.added > 0)
                    self._dispatcher.deliver_event(changed)
            case ExtensionsNotice():
                self._dispatcher.deliver_event(event_of_extensions(notice))
            case TopicNotice():
                if notice.kind in _TOPIC_CHANGES:
                    ids, kind = tuple(notice.topic_ids), TopicChange(notice.kind)
                    self._dispatcher.deliver_event(TopicsChanged(notice.group_id, ids, kind, notice.user))
            case StatusItem():
                online = notice.presence == Presence.ONLINE
                self._dispatcher.deliver_event(StatusChanged(notice.user, online, decode_text(notice.encoded)))

    def _add(self, kind: type[Notice], raws: list[msgspec.Raw]) -> None:
        self._notices.extend(decode(kind, raw) for raw in raws)
        self._wake.set()


def events_of_group_state(notice: GroupStateNotice) -> Iterator[ClientEvent]:
    """Yield the events of a change of a group's counters or pins."""
    if notice.counters:
        counters = {one.key: one.value for one in notice.counters}
        yield GroupCountersChanged(notice.group_id, MappingProxyType(counters), notice.user)
    if seq := notice.pinned or notice.unpinned:
        yield GroupPinChanged(notice.group_id, seq, notice.pinned > 0, notice.user)


def events_of_labels(notice: LabelsNotice) -> Iterator[ClientEvent]:
    """Yield the events of a change of labels of conversations, and of conversation groups."""
    if notice.groups_changed:
        yield ConversationGroupsChanged(tuple(group.name for group in notice.groups))
    for item in notice.items:
        yield LabelsChanged(item.key, marks_of(item.marks), item.custom, item.group_names(notice.groups))


def event_of_extensions(notice: ExtensionsNotice) -> ExtensionsChanged:
    """Return the event of changed extensions of a message."""
    kind = ConversationType.GROUP if notice.group_id else ConversationType.C2C
    values = {item.key: item.value for item in notice.items if item.value}
    return ExtensionsChanged(
        ConversationKey(kind, notice.group_id or notice.peer),
        notice.seq,
        notice.user,
        MappingProxyType(values),
        tuple(item.key for item in notice.items if not item.value),
        notice.kind == ExtensionChange.CLEAR,
    )


def pushed_entries(event: session.DecodedEvent, user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    """Return the entries of an event with their conversations; empty for an event without entries. Raises ProtocolError."""
    match event.event:
        case session.EVENT_C2C_MESSAGE:
            return _addressed(event.c2c, user_id)
        case session.EVENT_GROUP_MESSAGE:
            return _addressed(event.group, user_id)
        case session.EVENT_MESSAGE_ACTION:
            return _addressed(event.actions, user_id)
        case session.EVENT_GROUP_TIP:
            return _addressed((entry_from_push(event.event, raw) for raw in event.tips), user_id)
        case session.EVENT_GROUP_NOTICE:
            raws = event.tips
        case session.EVENT_RELATION:
            raws = event.friends
        case session.EVENT_PROFILE:
            raws = event.profiles
        case _:
            raws = []  # an event without entries, or one that this version does not know
    return ((SYSTEM_CONVERSATION, entry_from_push(event.event, raw)) for raw in raws)


def _addressed(entries: Iterable[Entry], user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    for entry in entries:
        if entry.to_group_id:
            yield _key(ConversationType.GROUP, entry.to_group_id), entry
        else:
            peer = entry.to_account if entry.from_account == user_id else entry.from_account
            yield _key(ConversationType.C2C, peer), entry


@lru_cache(maxsize=KEYS_CACHED)
def _key(type: ConversationType, peer: str) -> ConversationKey:
    """Return the key of a conversation. The cache avoids a new object for each entry."""
    return ConversationKey(type, peer)
