"""The counters and pinned messages of a group. Members who are online get each change as an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..errors import InvalidArgument
from ..protocol import group_state as wire
from ..protocol.codec import decode
from ..transport.connection import Connection
from ..util.arguments import Int64, Number, Text, checked
from ..util.displayed import Displayed

__all__ = ["GroupCounters", "GroupPins", "PinnedMessage"]

Counts = Annotated[Mapping[Text, Int64], Field(max_length=20)]


@dataclass(frozen=True, slots=True)
class PinnedMessage(Displayed):
    """A message that is pinned for all members of its group: its seq, and the user who pinned it."""

    seq: int
    user: str


@checked(InvalidArgument)
class GroupCounters(Displayed):
    """The counters of a group, whole numbers of 64 bits: `group.counters`. All members can change them.

    All methods share these errors; each names its further errors.

    Raises:
        UnknownGroup: There is no such group (10010).
        NotAMember: This account is not in the group (10007).
        NetworkError: The server did not answer; call again. An increase may have been made.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, group_id: str, connection: Connection) -> None:
        self._group_id = group_id
        self._connection = connection

    async def get(self) -> dict[str, int]:
        """Fetch all counters.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NotAMember: This account is not in the group.
        """
        reply = await self._connection.call(wire.GET_COUNTERS, wire.GetCountersRequest(group_id=self._group_id))
        return {one.key: one.value for one in reply.counters}

    async def set(self, counters: Counts) -> None:
        """Set counters; the others keep their values.

        Raises:
            InvalidArgument: A key is empty or over 128 bytes (10004).
            LimitReached: The group would have more than 20 counters (10014).
            RateLimited: The group has too many messages and changes; `retry_after` is the time until one is accepted.
            Muted: This account or the whole group is muted (10017).
        """
        items = [wire.Counter(key=key, value=value) for key, value in counters.items()]
        await self._update(wire.SET, items)

    async def increase(self, key: Text, by: Int64 = 1) -> int:
        """Add a number, which may be negative, to a counter. A counter that does not exist begins at 0.

        Returns:
            The new value.

        Raises:
            InvalidArgument: The key is empty or over 128 bytes, or the sum has more than 64 bits (10004).
            LimitReached: The group has 20 other counters (10014).
            RateLimited: The group has too many messages and changes; `retry_after` is the time until one is accepted.
            Muted: This account or the whole group is muted (10017).
        """
        return (await self._update(wire.INCREASE, [wire.Counter(key=key, value=by)])).counters[0].value

    async def _update(self, mode: str, items: list[wire.Counter]) -> wire.CountersReply:
        body = wire.UpdateCountersRequest(group_id=self._group_id, mode=mode, counters=items)
        return await self._connection.call(wire.UPDATE_COUNTERS, body)


@checked(InvalidArgument)
class GroupPins(Displayed):
    """The pinned messages of a group, 10 at most: `group.pins`. The owner and the admins pin and unpin.

    All methods share these errors; each names its further errors.

    Raises:
        UnknownGroup: There is no such group (10010).
        NotAMember: This account is not in the group (10007).
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, group_id: str, connection: Connection) -> None:
        self._group_id = group_id
        self._connection = connection

    async def list(self) -> tuple[PinnedMessage, ...]:
        """Fetch the pinned messages that this account may see, in the order in which they were pinned.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NotAMember: This account is not in the group.
        """
        reply = await self._connection.call(wire.GET_PINNED, wire.GetPinnedRequest(group_id=self._group_id))
        return tuple(PinnedMessage(one.seq, one.user) for one in (decode(wire.PinnedItem, raw) for raw in reply.messages))

    async def add(self, seq: Number) -> None:
        """Pin the message with this seq (`message.seq`). A pinned message stays as it is.

        Raises:
            UnknownMessage: The group has no such message, or it was recalled (10030).
            NoPermission: This account is neither owner nor admin (10007).
            LimitReached: The group has 10 pinned messages (10014).
            InvalidArgument: The seq is no whole number of 32 bits.
        """
        await self._connection.call(wire.PIN_MESSAGE, wire.PinMessageRequest(group_id=self._group_id, seq=seq))

    async def remove(self, seq: Number) -> None:
        """Unpin the message with this seq.

        Raises:
            InvalidArgument: The seq is no whole number of 32 bits.
            UnknownMessage: The group has no such message (10030).
            NoPermission: This account is neither owner nor admin (10007).
        """
        await self._connection.call(wire.UNPIN_MESSAGE, wire.PinMessageRequest(group_id=self._group_id, seq=seq))
