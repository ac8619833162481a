"""Where a message goes: to another user, or to the members of a group. A destination holds what is decided from.

Invariant: a destination is as fresh as the cache when `resolve` returned; whoever awaits something resolves again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeAlias

import msgspec

from ...errors import InvalidConversation
from ...ids import ConversationKey, ConversationType
from ...protocol import session
from ...protocol.entries import EntryGroupInfo, EntryPayload
from ...protocol.messages import SenderInfo
from ..social.changesets import users_who_see
from ..social.entity_cache import EntityCache
from ..store.base import Relationships, StoredAccount, StoredGroup, c2c_timeline, group_timeline
from .admission import Admission
from .validation import OutgoingMessage


class C2CDestination:
    """The other user of a C2C conversation, and the relationships that this user has."""

    group_id: ClassVar[str] = ""
    push_kind: ClassVar[int] = session.EVENT_C2C_MESSAGE

    def __init__(self, sender: str, receiver: str, relationships: Relationships) -> None:
        self.receiver = receiver
        self.relationships = relationships
        self.timeline = c2c_timeline(sender, receiver)
        self.contacts = tuple(dict.fromkeys((sender, receiver)))  # who has the conversation in the list from now on

    def includes(self, user: str) -> bool:
        """Tell whether a user takes part in the conversation."""
        return True

    def check_message(self, admission: Admission, outgoing: OutgoingMessage) -> None:
        """Raise the refusal of a message that may not be stored here."""
        admission.check_c2c(outgoing.sender, self.receiver, self.relationships)

    def address(self, payload: EntryPayload, sender: StoredAccount) -> None:
        """Write into a message where it goes."""
        payload.to_account = self.receiver

    def sender_info(self, sender: StoredAccount) -> SenderInfo | msgspec.UnsetType:
        """Return what the reply says of the sender; unset when there is nothing to say."""
        if not (sender.nickname or sender.face_url or sender.custom):
            return msgspec.UNSET
        return SenderInfo(nick=sender.nickname, face_url=sender.face_url, custom=sender.custom)

    def recipients(self, seq: int) -> Iterable[str]:
        """Return the users who are told of an entry of this seq."""
        return self.contacts

    def callback_facts(self, outgoing: OutgoingMessage, time: int, *, online: bool) -> dict[str, object]:
        """Return what the callback before sending says of a message."""
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
    """A group, with its members."""

    push_kind: ClassVar[int] = session.EVENT_GROUP_MESSAGE
    contacts: ClassVar[tuple[str, ...]] = ()  # members have the conversation in the list since they came in

    def __init__(self, group: StoredGroup) -> None:
        self.group = group
        self.group_id = group.group_id
        self.timeline = group_timeline(group.group_id)

    def includes(self, user: str) -> bool:
        """Tell whether a user takes part in the conversation."""
        return user in self.group.members

    def check_message(self, admission: Admission, outgoing: OutgoingMessage) -> None:
        """Raise the refusal of a message that may not be stored here."""
        admission.check_group(outgoing, self.group)
        admission.check_group_options(outgoing, self.group)

    def address(self, payload: EntryPayload, sender: StoredAccount) -> None:
        """Write into a message where it goes."""
        member = self.group.members[sender.user_id]
        payload.to_group_id = self.group_id
        payload.group = EntryGroupInfo(
            group_id=self.group_id,
            group_name=self.group.name,
            group_type=self.group.type,
            nick=sender.nickname,
            face_url=sender.face_url,
            name_card=member.name_card,
            role=member.role,
            member_custom=member.custom,
        )

    def sender_info(self, sender: StoredAccount) -> SenderInfo | msgspec.UnsetType:
        """Return what the reply says of the sender."""
        member = self.group.members[sender.user_id]
        return SenderInfo(
            nick=sender.nickname,
            face_url=sender.face_url,
            custom=sender.custom,
            name_card=member.name_card,
            role=member.role,
        )

    def recipients(self, seq: int) -> Iterable[str]:
        """Return the users who are told of an entry of this seq."""
        return users_who_see(self.group.members, seq)

    def callback_facts(self, outgoing: OutgoingMessage, time: int, *, online: bool) -> dict[str, object]:
        """Return what the callback before sending says of a message."""
        return {
            "From_Account": outgoing.sender,
            "MsgTime": time,
            "OnlineOnlyFlag": int(online),
            "GroupId": self.group_id,
            "Type": self.group.type,
            "Operator_Account": outgoing.sender,
            "Random": outgoing.random,
        }


Destination: TypeAlias = C2CDestination | GroupDestination


async def resolve(entities: EntityCache, user: str, key: ConversationKey) -> Destination:
    """Return the destination that a user names. Raises UnknownUser, UnknownGroup, InvalidConversation."""
    match key.type:
        case ConversationType.C2C:
            await entities.account(key.peer)
            return C2CDestination(user, key.peer, await entities.relationships(key.peer))
        case ConversationType.GROUP:
            return GroupDestination(await entities.group(key.peer))
        case ConversationType.SYSTEM:
            raise InvalidConversation("only the server writes into the system conversation")
