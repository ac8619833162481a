"""The rate of messages to strangers: users who never wrote to the sender and did not list the sender as a friend.

The store is asked only when a sender has no token left, so an ordinary message costs one look into memory.
"""

from __future__ import annotations

from ..store.base import Relationships, Store, c2c_timeline
from .rate_limiter import BUCKETS_LIMIT, UserRateLimiter

KNOWN_LIMIT = 100_000  # conversations in memory; the oldest is forgotten, and found again in the store
BOTH = ""


class StrangerLimit:
    """The rate limit of messages to strangers on this node.

    Args:
        store: The store of messages.
        per_min: Messages of one user to strangers per minute; 0 for no limit.
        burst: Messages that a user may send at once after a quiet time.
        admin: The administrator, who has no limit.
    """

    def __init__(self, store: Store, *, per_min: float, burst: int, admin: str) -> None:
        self._store = store
        self._rates = UserRateLimiter(per_min / 60, burst)
        self._off = not per_min
        self._admin = admin
        self._writers: dict[str, str] = {}  # timeline → the user who has written, or BOTH
        self._exhausted: set[str] = set()  # senders without a token at their last message

    def is_exhausted(self, sender: str) -> bool:
        """Return True if `find_out` must be called before a message of this sender is checked."""
        return sender in self._exhausted

    async def find_out(self, sender: str, receiver: str) -> None:
        """Ask the store whether the receiver has written to the sender, if that is unknown. Raises StorageError."""
        timeline = c2c_timeline(sender, receiver)
        if self._writers.get(timeline) != BOTH and await self._store.timelines.has_written(timeline, receiver):
            self._remember(timeline, BOTH)

    def admit(self, sender: str, receiver: str, relationships: Relationships, now: float) -> float:
        """Count a message, and return 0 or the seconds until it is admitted. `relationships` are the receiver's."""
        if self._off:
            return 0.0
        timeline = c2c_timeline(sender, receiver)
        writer = self._writers.get(timeline)
        if writer == BOTH:
            return 0.0
        if writer is not None and writer != sender:
            self._remember(timeline, BOTH)
            return 0.0
        if sender not in (receiver, self._admin) and sender not in relationships.friends:
            if wait_s := self._rates.admit(sender, 1.0, now):
                return wait_s
            self._watch(sender, now)
        if writer is None:
            self._remember(timeline, sender)
        return 0.0

    def _watch(self, sender: str, now: float) -> None:
        if not self._rates.can_refuse(sender) or not self._rates.refuses(sender, now):
            self._exhausted.discard(sender)
            return
        if len(self._exhausted) >= BUCKETS_LIMIT:
            self._exhausted = {one for one in self._exhausted if self._rates.refuses(one, now)}
        self._exhausted.add(sender)

    def _remember(self, timeline: str, writer: str) -> None:
        if timeline not in self._writers and len(self._writers) >= KNOWN_LIMIT:
            del self._writers[next(iter(self._writers))]
        self._writers[timeline] = writer
