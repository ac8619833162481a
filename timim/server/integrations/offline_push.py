"""What the operator's back end is told of stored messages: offline pushes, and the callbacks after sending.

A push goes to who has no device online when it is told; it says what the document says: the text of every elem in order,
without a separator, behind the sender's name. Tips, acts and online messages are not told, and nothing to who has muted the
conversation.
"""

from __future__ import annotations

import hashlib

import msgspec

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
PARTIAL_LIMIT = 1000  # pushes in parts that fail at once; past it a repetition is left to the push id
PUSH = "Timim.OfflinePush"  # ours: Tencent pushes by itself and has no callback for it
AFTER_C2C, AFTER_GROUP = "C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg"


def message_in(entry: StoredEntry) -> tuple[Entry, tuple[AnyElem, ...]] | None:
    """Decode a user's message; None for any other entry."""
    said = decode(Entry, b"{" + entry.tail)
    elems = decode_body(said.msg_body)
    return (said, elems) if elems and not isinstance(elems[0], SERVER_ELEMS) else None


class OfflinePushSender:
    """Pushes messages to users who have no device online, on any node."""

    def __init__(self, webhook: Webhook, store: Store, entities: EntityCache, bus: Bus) -> None:
        self._webhook = webhook
        self._store = store
        self._entities = entities
        self._bus = bus
        self._partial: dict[str, set[str]] = {}  # push id → who has it, while another part of the same push fails

    async def deliver(self, timeline: str, entry: StoredEntry) -> None:
        """Push one entry to who is not there. Raises WebhookFailed: tell it again; who has it is left out then."""
        found = message_in(entry)
        if found is None:
            return
        said, elems = found
        push = said.push if isinstance(said.push, PushInfo) else PushInfo()
        if push.push_flag:
            return
        push_id = push_id_of(timeline, entry.seq)
        done = self._partial.pop(push_id, set())
        hearing = [user for user in await self._recipients(said, entry.seq) if user not in done]
        online = await self._bus.online(hearing)
        away = [user for user in hearing if user not in online]
        quiet = await self._store.conversations.users_who_muted(timeline, away)
        recipients = [user for user in away if user not in quiet]
        body = _push_body(push_id, said, elems, push, entry)
        for at in range(0, len(recipients), USERS_A_CALL):
            part = recipients[at : at + USERS_A_CALL]
            try:
                await self._webhook.call(PUSH, {**body, "To_Account": part})
            except WebhookFailed:
                if done and len(self._partial) < PARTIAL_LIMIT:
                    self._partial[push_id] = done
                raise
            done.update(part)

    async def _recipients(self, said: Entry, seq: int) -> list[str]:
        if not said.to_group_id:
            return [said.to_account] if said.to_account != said.from_account else []
        try:
            group = await self._entities.group(said.to_group_id)
        except UnknownGroup:
            return []  # dissolved meanwhile
        if group.type == "AVChatRoom":
            return []  # who is not there does not take part
        return sorted(user for user in users_who_see(group.members, seq) if user != said.from_account)


def push_id_of(timeline: str, seq: int) -> str:
    """One message's, for ever: with the account it is the key by which a back end tells a repetition."""
    return f"{hashlib.sha256(timeline.encode()).hexdigest()[:24]}-{seq}"


def _push_body(push_id: str, said: Entry, elems: tuple[AnyElem, ...], push: PushInfo, entry: StoredEntry) -> dict[str, object]:
    text = "".join(elem.push_text for elem in elems)
    custom = next((elem for elem in elems if isinstance(elem, CustomElem) and (elem.ext or elem.sound)), None)
    title = name = said.nick or said.from_account
    if isinstance(said.group, EntryGroupInfo):
        title = f"{said.group.name_card or name}({said.group.group_name})"
    return {
        "PushId": push_id,
        "From_Account": said.from_account,
        "GroupId": said.to_group_id,
        "MsgSeq": entry.seq,
        "MsgTime": entry.time,
        "Title": push.title or title,
        "Desc": push.desc or text,
        "Text": f"{title}：{text}",
        "Ext": push.ext or (custom.ext if custom else ""),
        "Sound": custom.sound if custom else "",
    }


class AfterSendCallbacks:
    """The callbacks after sending that `commands` names."""

    def __init__(self, webhook: Webhook, commands: frozenset[str]) -> None:
        self._webhook = webhook
        self._commands = commands

    async def deliver(self, timeline: str, entry: StoredEntry) -> None:
        """Tell of one entry; what the back end says to it changes nothing. Raises WebhookFailed: tell it again."""
        group = timeline.startswith("group")
        if (AFTER_GROUP if group else AFTER_C2C) not in self._commands or (found := message_in(entry)) is None:
            return
        said, _ = found
        body: dict[str, object] = {
            "From_Account": said.from_account,
            "MsgTime": entry.time,
            "OnlineOnlyFlag": 0,
            "MsgBody": msgspec.Raw(bytes(said.msg_body)),
            "CloudCustomData": said.cloud_custom_data,
        }
        if group:
            facts = said.group if isinstance(said.group, EntryGroupInfo) else EntryGroupInfo()
            body |= {
                "GroupId": said.to_group_id,
                "Type": facts.group_type,
                "Operator_Account": said.from_account,
                "Random": said.msg_random,
                "MsgSeq": entry.seq,
            }
        else:
            body |= {
                "To_Account": said.to_account,
                "MsgSeq": said.msg_seq,
                "MsgRandom": said.msg_random,
                "MsgKey": f"{said.msg_seq}_{said.msg_random}_{entry.time}",
                "MsgId": f"{said.tiny_id}-{said.client_time}-{said.msg_random}",
                "SendMsgResult": 0,
                "ErrorInfo": "",
            }
        await self._webhook.call(AFTER_GROUP if group else AFTER_C2C, body)
