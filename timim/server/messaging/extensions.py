"""Extensions of messages: any user who may write to the conversation may set them, and those online get each change.

Only a message whose sender allowed it (`SupportMessageExtension`) has extensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...errors import AlreadyRecalled, NoPermission, UnknownMessage
from ...ids import ConversationKey, ConversationType
from ...protocol import session, tencent_events
from ...protocol.codec import encode
from ...protocol.entries import EntryPayload, EntryState, decode_payload
from ...protocol.message_extensions import ExtensionChange, ExtensionItem, ExtensionsNotice
from ..bus.base import Bus, Event
from ..social.cached_reads import current_checks, note_stored
from ..social.entity_cache import EntityCache
from ..social.group_permissions import Permission, require
from ..store.base import ACTION, Store, timeline_of
from ..store.message_extensions import ChangedExtensions, StoredExtension, StoredExtensions
from .admission import MessageRules
from .destinations import Destination, GroupDestination, resolve
from .validation import OutgoingMessage

EXTENSIONS_LIMIT = 300  # of a message
NOT_EXTENSIBLE = 10007
NO_BODY = msgspec.Raw(b"[]")


class ExtensionPoster:
    """Reads and changes extensions, and pushes the changes."""

    def __init__(self, store: Store, bus: Bus, entities: EntityCache, rules: MessageRules) -> None:
        self._store = store
        self._bus = bus
        self._entities = entities
        self._rules = rules

    async def of(self, user: str, key: ConversationKey, seq: int, *, admin: bool = False) -> StoredExtensions:
        """Return the extensions of a message.

        Raises:
            UnknownMessage: The message does not exist, or the user may not see it (10030).
            NoPermission: The message does not support extensions (10007).
            AlreadyRecalled: The message was recalled (20023).
            ServerRefused: The user is not in the group.
        """
        await self._target(user, key, seq, admin=admin)
        return await self._store.message_extensions.of(timeline_of(user, key), seq)

    async def change(
        self,
        user: str,
        key: ConversationKey,
        seq: int,
        items: Sequence[StoredExtension],
        *,
        deleted: bool,
        origin: int = 0,
        admin: bool = False,
    ) -> ChangedExtensions:
        """Set extensions, or delete those whose value is empty. A key with another version than the given one is refused.

        Raises:
            TimimError: The errors of `of`.
            ServerRefused: The user may not send to the conversation, as for a new message.
        """
        destination, target = await self._admitted(user, key, seq, admin=admin)
        done = await self._store.message_extensions.change(
            timeline_of(user, key), seq, items, limit=EXTENSIONS_LIMIT, checks=current_checks()
        )
        note_stored()
        if done.changed:
            refused = done.conflicts | done.too_many
            changed = [ExtensionItem(key=k, value=value, version=v) for k, value, v in done.items if k not in refused]
            kind = ExtensionChange.DELETE if deleted else ExtensionChange.SET
            self._publish(user, destination, target, seq, kind, changed, done.latest, origin)
        return done

    async def clear(self, user: str, key: ConversationKey, seq: int, *, origin: int = 0, admin: bool = False) -> int:
        """Delete all extensions of a message, and return the number of the last change. Raises the errors of `change`."""
        destination, target = await self._admitted(user, key, seq, admin=admin)
        latest = await self._store.message_extensions.clear(timeline_of(user, key), seq, checks=current_checks())
        note_stored()
        self._publish(user, destination, target, seq, ExtensionChange.CLEAR, [], latest, origin)
        return latest

    async def _target(self, user: str, key: ConversationKey, seq: int, *, admin: bool) -> tuple[Destination, EntryPayload]:
        await self._entities.account(user)
        if key.type is ConversationType.C2C:
            await self._entities.account(key.peer)
        found = await self._store.timelines.entry(timeline_of(user, key), seq) if 0 < seq < 1 << 63 else None
        destination = await resolve(self._entities, user, key)
        unknown = UnknownMessage(f"the conversation has no message with seq {seq} that {user!r} may see")
        if isinstance(destination, GroupDestination) and not admin:
            require(destination.group, user, Permission.READ)
            if seq < destination.group.first_visible_seq(user):
                raise unknown
        if found is None or found.kind == ACTION:
            raise unknown
        message = decode_payload(found.tail)
        if message.is_hidden_from(user) and not admin:
            raise unknown
        if isinstance(message.state, EntryState) and message.state.recall_seq:
            raise AlreadyRecalled(f"message {seq} was recalled")
        if not message.extensible:
            raise NoPermission("the sender of this message did not allow extensions", code=NOT_EXTENSIBLE)
        return destination, message

    async def _admitted(self, user: str, key: ConversationKey, seq: int, *, admin: bool) -> tuple[Destination, EntryPayload]:
        """Return a message that the user may extend, as a reaction."""
        destination, message = await self._target(user, key, seq, admin=admin)
        if not admin:
            admission, group = self._rules.admission, isinstance(destination, GroupDestination)
            admission.check_mute(await self._entities.account(user), group=group)
            if isinstance(destination, GroupDestination):
                admission.check_group(OutgoingMessage(user, NO_BODY, 0, 0, 0, priority="Low"), destination.group)
            else:
                admission.check_c2c(user, destination.receiver, destination.relationships)
        return destination, message

    def _publish(
        self,
        user: str,
        destination: Destination,
        target: EntryPayload,
        seq: int,
        kind: ExtensionChange,
        items: list[ExtensionItem],
        latest: int,
        origin: int,
    ) -> None:
        plain = tencent_events.extensions_event(target, kind, items, latest)
        notice = ExtensionsNotice(seq=seq, user=user, kind=int(kind), items=items)
        if isinstance(destination, GroupDestination):
            notice.group_id = target.to_group_id
            to = target.audience or destination.recipients(seq)
            payload = msgspec.Raw(encode(notice))
            group, seq = ("", seq) if target.audience else destination.group.addressed(seq)
            self._bus.publish(Event(to, session.EVENT_EXTENSIONS, payload, origin, plain, group=group, seq=seq))
            return
        sides = ((user, destination.receiver), (destination.receiver, user))
        for owner, notice.peer in dict.fromkeys(sides):  # one side of a conversation with oneself
            if target.is_hidden_from(owner):
                continue
            self._bus.publish(Event((owner,), session.EVENT_EXTENSIONS, msgspec.Raw(encode(notice)), origin, plain))
