"""Matching of replies to requests, without I/O: each request ends with its reply, at its deadline, or with its connection.

The clock is an argument (`now`, monotonic seconds). A reply without a waiting request (late, repeated, invalid) is dropped,
which the return value reports, and never ends another request.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidArgument, RequestTimeout, TimimError
from .frames import Frame

OnResult = Callable[[Frame | TimimError], None]


class PendingRequests:
    """The requests of one connection that wait for their replies; at most `limit`."""

    def __init__(self, *, limit: int = 4096, first_seq: int = 1) -> None:
        self._limit = limit
        self._next_seq = first_seq
        self._waiting: dict[int, tuple[str, OnResult, float]] = {}  # each with its deadline

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_seq(self) -> int:
        """The seq of the next request that is registered."""
        return self._next_seq

    def register(self, servcmd: str, on_result: OnResult, *, deadline: float) -> int:
        """Register a request and return the seq for its frame. Raises InvalidArgument if too many requests wait."""
        if len(self._waiting) >= self._limit:
            raise InvalidArgument(f"{self._limit} requests are waiting for replies, which is the limit; send fewer at once")
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        self._waiting[seq] = servcmd, on_result, deadline
        return seq

    def resolve(self, frame: Frame) -> bool:
        """End the request of this reply; return False if no request waits for it."""
        head = frame.head
        waiting = self._waiting.get(head.seq)
        if waiting is None or waiting[0] != head.servcmd:
            return False
        del self._waiting[head.seq]
        waiting[1](frame)
        return True

    def forget(self, seq: int) -> None:
        """Remove a request whose caller no longer waits."""
        self._waiting.pop(seq, None)

    def expire(self, now: float) -> float | None:
        """End overdue requests with RequestTimeout; return the next deadline, or None if no request waits."""
        overdue = [seq for seq, (_, _, deadline) in self._waiting.items() if deadline <= now]
        for seq in overdue:
            if (waiting := self._waiting.pop(seq, None)) is not None:  # else a callback has ended it
                waiting[1](RequestTimeout(f"no reply to {waiting[0]} in time"))
        return min((deadline for _, _, deadline in self._waiting.values()), default=None)

    def close(self, error: TimimError) -> None:
        """End all requests with `error`, because the connection is lost."""
        waiting, self._waiting = self._waiting, {}
        for _, on_result, _ in waiting.values():
            on_result(error)
