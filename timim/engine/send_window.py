"""The requests of all queues that wait for replies, and the search for a message that ends the connection.

A message that the server or a device before it cannot take ends the websocket, and would end each further one. The messages
that were in flight then are suspects: they are sent one at a time, with nothing else in flight, so that the next end names one
message. This message is not sent again: the server is asked whether it has the message, and the message fails if not.
"""

from __future__ import annotations

from collections.abc import Collection

from ..errors import MessageTooLong, ServerFault, TimimError
from ..transport.link_end import LinkEnd, why_ended
from .send_pace import SendPace
from .send_queue import ConversationQueue, PendingMessage

IN_FLIGHT_IN_ALL = 1024  # a websocket has room for 4096 requests, and other requests need some of it
BYTES_IN_FLIGHT = 1024 * 1024  # a heartbeat waits behind these, and its reply has a time limit
REFUSALS_LIMIT = 2  # connections that the server refused to continue, with the same message in flight
SUSPECT_CUTS, CUTS_LIMIT = 3, 6  # connections in a row that were cut without a reason, with the same message in flight


class SendWindow:
    """Counts the requests in flight, and gives the requests of suspects room of their own.

    Attributes:
        pace: The pause after a refusal by a rate limit.
    """

    def __init__(self, pace: SendPace) -> None:
        self.pace = pace
        self._count = 0
        self._bytes = 0
        self._starved: list[ConversationQueue] = []
        self.searching: bool = False  # suspects are sent one at a time

    @property
    def is_paused(self) -> bool:
        """True while no message may be sent because of a rate limit."""
        return self.pace.holds(self._count)

    def has_room(self, queue: ConversationQueue, queues: Collection[ConversationQueue]) -> bool:
        """Return True if a request of `queue` may start. `queues` has all queues."""
        if self.is_paused:
            return False
        if self.searching:
            self.searching = any(other.has_suspects for other in queues)
        if self.searching:
            return not self._count and queue.has_suspects
        return self._count < IN_FLIGHT_IN_ALL and self._bytes < BYTES_IN_FLIGHT

    def starve(self, queue: ConversationQueue) -> None:
        """Wake a queue when the next request has ended, or a pause is over."""
        if not any(queue is other for other in self._starved):
            self._starved.append(queue)

    def wake_starved(self) -> None:
        """Wake the queues that wait for room."""
        starved, self._starved = self._starved, []
        for queue in starved:
            queue.wake.set()

    def add(self, item: PendingMessage) -> None:
        """Count a request that was sent."""
        self._count += 1
        self._bytes += len(item.body)

    def remove(self, item: PendingMessage) -> None:
        """Count off a request that has ended."""
        self._count -= 1
        self._bytes -= len(item.body)

    def blame(self, item: PendingMessage, error: TimimError) -> None:
        """Count the end of a connection for a message that was in flight, and condemn the message at the limit."""
        if item.condemned is not None:
            return  # the end of a request that only asked for the message
        match why_ended(error):
            case LinkEnd.TOO_LONG | LinkEnd.REFUSED as end:
                item.refusals += 1
                if item.refusals >= REFUSALS_LIMIT:
                    info = f"the server closes the connection when it receives this message; it was not sent: {error.info}"
                    item.condemned = MessageTooLong(info) if end is LinkEnd.TOO_LONG else ServerFault(info)
            case LinkEnd.CUT:
                item.cuts_in_flight += 1
                if item.cuts_in_flight >= CUTS_LIMIT:
                    item.condemned = ServerFault(
                        f"{item.cuts_in_flight} connections in a row were cut while this message was sent; it was not sent: "
                        f"{error.info}"
                    )
            case LinkEnd.OTHER | LinkEnd.UNREADABLE:
                item.cuts_in_flight = 0
        item.suspect = item.condemned is None and (item.refusals > 0 or item.cuts_in_flight >= SUSPECT_CUTS)
        self.searching = self.searching or item.suspect
