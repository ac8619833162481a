"""Destinations of messages: another user, or a group. A destination has the data that decides if a message is accepted.

Invariant: a destination was current when `resolve` returned. Code that has awaited something since must resolve again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeAlias

import msgspec

from ...errors import InvalidConversation
from ...ids import ConversationKey, ConversationType
from ...protocol import callbacks, session
from ...protocol.entries import EntryPayload, SenderCard
from ...protocol.messages import SenderInfo
from ..social.changesets import group_facts, users_who_see
from ..social.entity_cache import EntityCache
from ..social.reports import group_fields
from ..store.base import Member, Relationships, StoredAccount, StoredGroup, c2c_timeline, group_timeline
from .admission import Admission
from .validation import OutgoingMessage

OUTSIDER = Member(role="")  # an administrator, or the sender whom one names, may speak in groups that they are not in


class C2CDestination:
    """The other user of a C2C conversation, with that user's relationships."""

    group_id: ClassVar[str] = ""
    after_sending: ClassVar[str] = callbacks.AFTER_C2C
    push_kind: ClassVar[int] = session.EVENT_C2C_MESSAGE

    def __init__(self, sender: str, receiver: str, relationships: Relationships) -> None:
        self.receiver = receiver
        self.relationships = relationships
        self.timeline = c2c_timeline(sender, receiver)
        self.contacts = (sender, receiver) if sender != receiver else (sender,)  # users whose conversation list gets an item

    def includes(self, user: str) -> bool:
        """Return True, because the conversation consists of its two users."""
        return True

    def check_message(self, admission: Admission, outgoing: OutgoingMessage) -> None:
        """Check that the message may be stored here; see `Admission.check_c2c`."""
        if not outgoing.admin:  # REST asks neither for friendship nor for the blacklist
            admission.check_c2c(outgoing.sender, self.receiver, self.relationships)

    def address(self, payload: EntryPayload, sender: StoredAccount) -> None:
        """Set the destination in the payload of a message, and the name that a request for a receipt has in C2C."""
        payload.to_account = self.receiver
        payload.c2c_receipt, payload.receipt = payload.receipt, 0

    def sender_info(self, sender: StoredAccount) -> SenderInfo | msgspec.UnsetType:
        """Return the sender's profile for the reply, or UNSET if the profile is empty."""
        if not (sender.nickname or sender.face_url or sender.custom):
            return msgspec.UNSET
        return SenderInfo(nick=sender.nickname, face_url=sender.face_url, custom=sender.custom)

    def recipients(self, seq: int) -> Iterable[str]:
        """Return the users who receive an entry with this seq."""
        return self.contacts

    def is_online_only(self, outgoing: OutgoingMessage) -> bool:
        """Return True if the message is not stored."""
        return outgoing.options.online

    def online_receivers(self, outgoing: OutgoingMessage) -> tuple[str, ...]:
        """Return the users who receive a message that is not stored."""
        return (self.receiver,)

    def audience(self, outgoing: OutgoingMessage) -> tuple[str, ...]:
        """Return the receiver if the sender gets no copy of the message, else (). A message to oneself is always received."""
        return (self.receiver,) if outgoing.options.unsynced and outgoing.sender != self.receiver else ()

    def callback_facts(self, outgoing: OutgoingMessage, time: int, *, online: bool) -> dict[str, object]:
        """Return the fields of a message for the callback before sending."""
        return {
            "From_Account": outgoing.sender,
            "MsgTime": time,
            "OnlineOnlyFlag": int(online),
            "To_Account": self.receiver,
            "MsgSeq": outgoing.msg_seq,
            "MsgRandom": outgoing.random,
            "MsgKey": f"{outgoing.msg_seq}_{outgoing.random}_{time}",
        }


class GroupDestination:
    """A group with its members, or a topic with those of its Community."""

    push_kind: ClassVar[int] = session.EVENT_GROUP_MESSAGE
    after_sending: ClassVar[str] = callbacks.AFTER_GROUP
    contacts: ClassVar[tuple[str, ...]] = ()  # the members' lists got the conversation when they joined

    def __init__(self, group: StoredGroup) -> None:
        self.group = group
        self.group_id = group.group_id
        self.timeline = group_timeline(group.group_id)

    def includes(self, user: str) -> bool:
        """Return True if a user is a member of the group."""
        return user in self.group.members

    def check_message(self, admission: Admission, outgoing: OutgoingMessage) -> None:
        """Check that the message may be stored here; see `Admission.check_group`."""
        admission.check_group(outgoing, self.group)
        admission.check_group_options(outgoing, self.group)
        if outgoing.options.targeted:
            admission.check_receivers(outgoing, self.group)

    def address(self, payload: EntryPayload, sender: StoredAccount) -> None:
        """Set the destination and the sender's role in the payload of a message."""
        member = self.group.members.get(sender.user_id, OUTSIDER)
        payload.to_group_id = self.group_id
        payload.group = facts = group_facts(self.group)
        facts.nick, facts.face_url = sender.nickname, sender.face_url
        facts.name_card, facts.role, facts.member_custom = member.name_card, member.role, member.custom
        if member.name_card:
            facts.sender_card = SenderCard(name_card=member.name_card)

    def sender_info(self, sender: StoredAccount) -> SenderInfo | msgspec.UnsetType:
        """Return the sender's profile and membership for the reply."""
        member = self.group.members.get(sender.user_id, OUTSIDER)
        return SenderInfo(
            nick=sender.nickname,
            face_url=sender.face_url,
            custom=sender.custom,
            name_card=member.name_card,
            role=member.role,
        )

    def recipients(self, seq: int) -> Iterable[str]:
        """Return the members who may see an entry with this seq."""
        return users_who_see(self.group, seq)

    def is_online_only(self, outgoing: OutgoingMessage) -> bool:
        """Return True if the message is not stored. An AVChatRoom ignores the flag, as Tencent's do."""
        return outgoing.options.online and self.group.type != "AVChatRoom"

    def online_receivers(self, outgoing: OutgoingMessage) -> tuple[str, ...]:
        """Return the users who receive a message that is not stored."""
        return self.audience(outgoing) or tuple(self.group.members)

    def audience(self, outgoing: OutgoingMessage) -> tuple[str, ...]:
        """Return the only users who may see a message, with its sender; () if all members may."""
        if not outgoing.options.receivers:
            return ()
        return tuple(dict.fromkeys((outgoing.sender, *outgoing.options.receivers)))

    def callback_facts(self, outgoing: OutgoingMessage, time: int, *, online: bool) -> dict[str, object]:
        """Return the fields of a message for the callback before sending."""
        return {
            "From_Account": outgoing.sender,
            "MsgTime": time,
            "OnlineOnlyFlag": int(online),
            **group_fields(self.group),
            "Operator_Account": outgoing.admin or outgoing.sender,
            "Random": outgoing.random,
        }


Destination: TypeAlias = C2CDestination | GroupDestination


async def resolve(entities: EntityCache, user: str, key: ConversationKey) -> Destination:
    """Return the destination of a user's message to a conversation.

    Raises:
        UnknownUser: The other user does not exist.
        UnknownGroup: The group does not exist.
        InvalidConversation: The key is that of the system conversation.
    """
    match key.type:
        case ConversationType.C2C:
            await entities.account(key.peer)
            return C2CDestination(user, key.peer, await entities.relationships(key.peer))
        case ConversationType.GROUP:
            return GroupDestination(await entities.group_or_topic(key.peer))
        case ConversationType.SYSTEM:
            raise InvalidConversation("only the server can send to the system conversation")
