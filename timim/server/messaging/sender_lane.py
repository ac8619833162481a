"""The order of one sender's messages at one node, also if some of them must be decided again.

A message is submitted to the store without an await after its decision, and the store executes submissions in their order, so
the first decided is the first stored. If the store reports that a message was decided from outdated entities, the later
messages of the same sender that are in the store's queue fail with it. Each message is decided and submitted again only while
no earlier one waits to be submitted again.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush


class SenderLane:
    """The lane of one sender: which messages were submitted, which failed, and which one may be decided next."""

    def __init__(self) -> None:
        self._count = 0
        self._submitted: dict[int, LanePlace] = {}  # may fail; in the order of submission
        self._failed: dict[int, LanePlace] = {}  # must be submitted before all later messages
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # a heap of the places that wait for their turn
        self._taken = False

    def place(self) -> LanePlace:
        """Return the place of the next message, behind all earlier ones."""
        self._count += 1
        return LanePlace(self, self._count)

    def is_blocked(self, place: LanePlace) -> bool:
        """Return True while an earlier message must be submitted first."""
        return bool(self._failed) and min(self._failed) < place.number

    def take_free_turn(self, place: LanePlace) -> bool:
        """Begin the turn of a message if no message is being decided and none waits; return False if it has to wait."""
        if self._taken or self._waiting or self.is_blocked(place):
            return False
        self._taken = True
        return True

    async def take_turn(self, place: LanePlace) -> None:
        """Wait until no message is being decided and no earlier one waits; end the turn with `end_turn()`."""
        if self.take_free_turn(place):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (place.number, turn))
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn was granted just before
                self.end_turn()
            raise

    def end_turn(self) -> None:
        """Let the next message be decided."""
        self._taken = False
        self._grant()

    def submit(self, place: LanePlace) -> None:
        """Note that a message was submitted to the store."""
        self._failed.pop(place.number, None)
        self._submitted[place.number] = place
        self._grant()

    def fail(self, place: LanePlace) -> None:
        """Note that a message must be decided again, as must the later ones that were submitted behind it."""
        if place.number in self._failed:
            return
        for number in [number for number in self._submitted if number >= place.number]:
            self._failed[number] = self._submitted.pop(number)
        self._failed[place.number] = place

    def leave(self, place: LanePlace) -> None:
        """Note that a message is stored, refused or given up."""
        self._submitted.pop(place.number, None)
        self._failed.pop(place.number, None)
        self._grant()

    def has_failed(self, place: LanePlace) -> bool:
        """Return True while a message waits to be submitted again."""
        return place.number in self._failed

    def _grant(self) -> None:
        while self._waiting and not self._taken:
            number, turn = self._waiting[0]
            if turn.done():  # cancelled
                heappop(self._waiting)
            elif self._failed and min(self._failed) < number:
                return
            else:
                heappop(self._waiting)
                self._taken = True
                turn.set_result(None)


class LanePlace:
    """The place of one message in the lane of its sender, with the turn in which the message is decided.

    Attributes:
        number: The position among the messages of the sender.
    """

    __slots__ = ("_lane", "_left", "number")

    def __init__(self, lane: SenderLane, number: int) -> None:
        self._lane = lane
        self._left = False
        self.number = number

    def take_free_turn(self) -> bool:
        """Begin the turn of this message without a wait; return False if it has to wait."""
        return self._lane.take_free_turn(self)

    async def wait_for_turn(self) -> None:
        """Wait for the turn of this message, and begin it."""
        await self._lane.take_turn(self)

    def end_turn(self) -> None:
        """End the turn."""
        self._lane.end_turn()

    @property
    def blocked(self) -> bool:
        """True while an earlier message must be submitted first."""
        return self._lane.is_blocked(self)

    @property
    def failed(self) -> bool:
        """True if the store must not store the entry: the message must be decided again, or it was given up."""
        return self._left or self._lane.has_failed(self)

    def submit(self) -> None:
        """Note that the message was submitted to the store; nothing may be awaited since its decision."""
        self._lane.submit(self)

    def fail(self) -> None:
        """Make later messages wait until this one is submitted again; without effect after `leave()`."""
        if not self._left:
            self._lane.fail(self)

    def leave(self) -> None:
        """Let later messages go on without this one; an entry that waits in the store's queue is not stored."""
        self._left = True
        self._lane.leave(self)
