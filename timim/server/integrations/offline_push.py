"""Receiver of stored entries from a delivery feed: the offline push.

A push goes to the users who have no device online at the time of the push, have not muted the conversation, and want to be
disturbed at the time of the message. Its text is the
sender's name and the text of all elems in order without a separator, as in the Tencent IM SDK guide. Tips, actions and online
messages are not pushed.
"""

from __future__ import annotations

import hashlib

from ...elems import SERVER_ELEMS, AnyElem, CustomElem
from ...errors import UnknownGroup
from ...protocol.codec import decode
from ...protocol.elems import decode_body
from ...protocol.entries import Entry, EntryGroupInfo, PushInfo
from ..bus.base import Bus
from ..social.changesets import users_who_see
from ..social.entity_cache import EntityCache
from ..store.base import Store, StoredEntry
from .webhooks import Webhook, WebhookFailed

USERS_A_CALL = 500
PARTIAL_LIMIT = 1000  # partly failed pushes in memory; for others the back end recognizes repetitions by the push id
PUSH = "Timim.OfflinePush"  # timim extension: Tencent sends pushes itself and has no callback for them


def message_in(entry: StoredEntry) -> tuple[Entry, tuple[AnyElem, ...]] | None:
    """Decode a user's message, or return None for any other entry."""
    message = decode(Entry, b"{" + entry.tail)
    elems = decode_body(message.msg_body)
    return (message, elems) if elems and not isinstance(elems[0], SERVER_ELEMS) else None


class OfflinePushSender:
    """Pushes messages to users who have no device online on any node."""

    def __init__(self, webhook: Webhook, store: Store, entities: EntityCache, bus: Bus) -> None:
        self._webhook = webhook
        self._store = store
        self._entities = entities
        self._bus = bus
        self._partial: dict[str, set[str]] = {}  # push id → users already pushed to, while another part of the push fails

    async def deliver(self, timeline: str, entry: StoredEntry) -> None:
        """Push one entry to its offline receivers.

        Raises:
            WebhookFailed: The back end did not accept the push. A retry leaves out the users who have it.
        """
        found = message_in(entry)
        if found is None:
            return
        message, elems = found
        push = message.push if isinstance(message.push, PushInfo) else PushInfo()
        if push.push_flag:
            return
        push_id = push_id_of(timeline, entry.seq)
        done = self._partial.pop(push_id, set())
        receivers = [user for user in await self._receivers(message, entry.seq) if user not in done]
        online = await self._bus.online(receivers)
        offline = [user for user in receivers if user not in online]
        muted = await self._store.conversations.users_who_muted(timeline, offline)
        muted |= await self._store.do_not_disturb.users_at(entry.time, offline)
        recipients = [user for user in offline if user not in muted]
        body = _push_body(push_id, message, elems, push, entry)
        for at in range(0, len(recipients), USERS_A_CALL):
            part = recipients[at : at + USERS_A_CALL]
            try:
                await self._webhook.call(PUSH, {**body, "To_Account": part})
            except WebhookFailed:
                if done and len(self._partial) < PARTIAL_LIMIT:
                    self._partial[push_id] = done
                raise
            done.update(part)

    async def _receivers(self, message: Entry, seq: int) -> list[str]:
        if not message.to_group_id:
            return [message.to_account] if message.to_account != message.from_account else []
        try:
            group = await self._entities.current_group(message.to_group_id)
        except UnknownGroup:
            return []  # dissolved since the message was stored
        if group.type == "AVChatRoom":
            return []  # only online members of an AVChatRoom take part
        seeing = message.audience or users_who_see(group.members, seq)
        return sorted(user for user in seeing if user != message.from_account and user in group.members)


def push_id_of(timeline: str, seq: int) -> str:
    """Return the permanent push id of a message, by which a back end recognizes repeated pushes to an account."""
    return f"{hashlib.sha256(timeline.encode()).hexdigest()[:24]}-{seq}"


def _push_body(
    push_id: str, message: Entry, elems: tuple[AnyElem, ...], push: PushInfo, entry: StoredEntry
) -> dict[str, object]:
    text = "".join(elem.push_text for elem in elems)
    custom = next((elem for elem in elems if isinstance(elem, CustomElem) and (elem.ext or elem.sound)), None)
    title = name = message.nick or message.from_account
    if isinstance(message.group, EntryGroupInfo):
        title = f"{message.group.name_card or name}({message.group.group_name})"
    return {
        "PushId": push_id,
        "From_Account": message.from_account,
        "GroupId": message.to_group_id,
        "MsgSeq": entry.seq,
        "MsgTime": entry.time,
        "Title": push.title or title,
        "Desc": push.desc or text,
        "Text": f"{title}：{text}",
        "Ext": push.ext or (custom.ext if custom else ""),
        "Sound": custom.sound if custom else "",
    } | {name: fields for name, fields in (("AndroidInfo", push.android), ("ApnsInfo", push.apns)) if fields}
