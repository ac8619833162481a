"""Import of messages from another system, with their own times, at the end of a timeline.

An import causes no callback. A message of the past is not counted as unread, and no device delivers it as a new message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec.structs import replace

from ...ids import ConversationKey
from ...protocol import session
from ...protocol.entries import PushInfo, encode_payload, render_entry, render_expired
from ...util.failpoints import failpoint
from ..bus.base import Bus, Event
from ..integrations.before import ApprovedMessage
from ..integrations.service import Integrations
from ..social.cached_reads import current_checks, note_stored
from ..social.entity_cache import EntityCache
from ..store.base import Appended, MsgKey, NewEntry, Store
from .destinations import Destination, resolve
from .message_entries import kind_of, payload_of
from .repeats import FIRST_KEY
from .validation import MessageValidator, OutgoingMessage

PAST_LIFE_S = 1  # a device that gets a message of the past from the history does not deliver it as new


class MessageImporter:
    """Stores messages of the past. `now` is the server's clock, in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        entities: EntityCache,
        validator: MessageValidator,
        integrations: Integrations,
        *,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._bus = bus
        self._entities = entities
        self._validator = validator
        self._integrations = integrations
        self._now = now

    async def add(self, outgoing: OutgoingMessage, key: ConversationKey, *, time: int, name: str, live: bool) -> Appended:
        """Store a message with its time, or find the one with the same name.

        Args:
            outgoing: The message. Its options say if it counts as unread and is listed.
            key: The conversation.
            time: The time of the message, in seconds since 1970.
            name: Text that distinguishes the message from all others of the conversation, for ever.
            live: Push the message as a new one.

        Raises:
            InvalidArgument: The message is malformed.
            TooOld: The conversation has a later message.
            UnknownUser: The sender or the other user does not exist.
            UnknownGroup: The group does not exist.
            StaleRead: Another node changed one of them; decide again.
            StorageError: The store failed; nothing was stored.
        """
        media = self._validator.check(outgoing)
        sender = await self._entities.account(outgoing.sender)
        destination = await resolve(self._entities, outgoing.sender, key)
        number = int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())
        outgoing = replace(outgoing, client_time=time, source=(number & 0x7FFFFFFF) or 1)
        if not destination.group_id:
            outgoing = replace(outgoing, msg_seq=outgoing.msg_seq or (number & 0x7FFFFFFF) or 1)
        payload = payload_of(outgoing, ApprovedMessage(outgoing.msg_body, outgoing.cloud_custom_data), sender)
        destination.address(payload, sender)
        payload.unreported = 1
        if not live:
            payload.life_s, payload.push = PAST_LIFE_S, PushInfo(push_flag=1)
        entry = NewEntry(
            timeline=destination.timeline,
            sender=outgoing.sender,
            msg_key=MsgKey(time, FIRST_KEY | number >> 3),
            fingerprint=b"",
            tail=encode_payload(payload),
            time=time,
            contacts=destination.contacts,
            media=media,
            kind=kind_of(outgoing.options),
            checks=current_checks(),
            imported=True,
        )
        appended = await self._store.timelines.import_entry(entry)
        note_stored()
        failpoint("before-publish")
        self._publish(entry, appended, destination, live=live)
        failpoint("after-publish")
        if live:
            self._integrations.on_stored(entry.timeline)
        return appended

    def _publish(self, entry: NewEntry, appended: Appended, destination: Destination, *, live: bool) -> None:
        """Push a message as a new one, or as history, which only timim clients take."""
        group = destination.group_id
        render = render_entry if live else render_expired
        kind = destination.push_kind if live else session.EVENT_MESSAGE_ACTION
        rendered = render(entry.tail, seq=appended.seq, time=appended.time, group=bool(group))
        event = Event(destination.recipients(appended.seq), kind, rendered, group=group, seq=appended.seq)
        self._bus.publish(event, again=appended.duplicate)
