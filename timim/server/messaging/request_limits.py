"""Limits of the requests of users: rates of requests and of bytes, and fair shares of the requests in progress.

A user has the same buckets for all sessions on a node. A refused request has no effect and costs no token.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ...errors import RateLimited
from ...protocol.pacing import RATE_CODE
from ..metrics import Metrics
from ..settings import Settings
from .rate_limiter import UserRateLimiter

APP_RATE_CODE = 60011
CONTENDED_S = 1.0  # for this time after the last request of another user, a user has only a fair share
SHARE_BYTES = 64 * 1024  # of a reply that count as one request: a page of history takes as long as several messages


class RequestLimits:
    """The limits of all users on this node. The administrator has no limits.

    Args:
        settings: The rates.
        metrics: Counts the refused requests.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, now: Callable[[], float]) -> None:
        self._requests = UserRateLimiter(settings.user_requests_per_s, settings.user_requests_per_s * settings.user_burst_s)
        self._bytes = UserRateLimiter(settings.user_bytes_per_s, settings.user_bytes_per_s * settings.user_burst_s)
        self._admin = settings.admin
        self._refused = metrics.rate_limited
        self._now = now

    def charge(self, user: str, count: int, size: int) -> RateLimited | None:
        """Charge `count` requests in a websocket message of `size` bytes, or return the error that refuses them."""
        now = self._now()
        if user == self._admin:
            return None
        if wait_s := self._requests.admit(user, count, now):
            self._refused.labels("requests").inc()
            return rate_refusal(f"{user!r} sends more requests than the server accepts from one user", wait_s)
        if wait_s := self._bytes.admit(user, size, now):
            self._refused.labels("bytes").inc()
            return rate_refusal(f"{user!r} sends more bytes than the server accepts from one user", wait_s)
        return None


class RestLimits:
    """The rates of REST requests on this node: of each administrator, and of all together.

    Args:
        settings: The rates.
        metrics: Counts the refused requests.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, now: Callable[[], float]) -> None:
        burst_s = settings.user_burst_s
        self._own = UserRateLimiter(settings.rest_requests_per_s, settings.rest_requests_per_s * burst_s)
        self._all = UserRateLimiter(settings.rest_app_requests_per_s, settings.rest_app_requests_per_s * burst_s)
        self._refused = metrics.rate_limited
        self._now = now

    def charge(self, admin: str) -> None:
        """Charge one request of an administrator.

        Raises:
            RateLimited: The administrator (60007) or the app (60011) is over its rate; `retry_after` is the time to wait.
        """
        now = self._now()
        if wait_s := self._own.admit(admin, 1, now):
            self._refused.labels("rest").inc()
            raise rate_refusal(f"{admin!r} makes more REST requests than rest_requests_per_s allows", wait_s)
        if wait_s := self._all.admit("", 1, now):
            self._refused.labels("rest_app").inc()
            info = "the administrators of the app make more REST requests than rest_app_requests_per_s allows"
            raise rate_refusal(info, wait_s, code=APP_RATE_CODE)


class FairShares:
    """The requests in progress by user. While several users send, each of them has at most `share` in progress.

    A request with a long reply counts as several. Invariant: a user who sends little waits for at most `share` requests of each
    user who sends much.
    """

    def __init__(self, share: int, *, now: Callable[[], float]) -> None:
        self._share = share
        self._now = now
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._last_user, self._last_at, self._shared_until = "", 0.0, 0.0
        self._overlapped_until = 0.0

    @property
    def contended(self) -> bool:
        """True for CONTENDED_S after a request of one user began while another user's was in progress."""
        return self._now() < self._overlapped_until

    def try_enter(self, user: str, reply_bytes: int = 0) -> bool:
        """Begin a request of the user, and return True; return False if it must wait.

        Call `leave` with the same arguments at its end.

        Args:
            user: The user.
            reply_bytes: Maximum size of the reply.
        """
        weight = reply_bytes // SHARE_BYTES or 1
        if self._is_over(user, weight):
            return False
        self._counts[user] = self._counts.get(user, 0) + weight
        return True

    async def enter(self, user: str, reply_bytes: int = 0) -> None:
        """Wait until a request of the user may begin, and begin it; the arguments are those of `try_enter`."""
        waited = False
        while not self.try_enter(user, reply_bytes):
            waited = True
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(user, deque())
            waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._forget(user, turn)
                self._wake(user)  # another session of the user has the turn
                raise
            self._forget(user, turn)
        if waited:
            self._wake(user)  # a request that ended may leave room for several

    def leave(self, user: str, reply_bytes: int = 0) -> None:
        """Count off a request that has ended."""
        left = self._counts[user] - (reply_bytes // SHARE_BYTES or 1)
        if left:
            self._counts[user] = left
        else:
            del self._counts[user]
        self._wake(user)

    def _forget(self, user: str, turn: asyncio.Future[None]) -> None:
        """Remove a request that waits no more."""
        self._waiting[user].remove(turn)
        if not self._waiting[user]:
            del self._waiting[user]

    def _wake(self, user: str) -> None:
        """Let the request that has waited longest try again, if there is room."""
        if user in self._waiting and self._counts.get(user, 0) < self._share:
            for turn in self._waiting[user]:
                if not turn.done():
                    turn.set_result(None)
                    break

    def _is_over(self, user: str, weight: int) -> bool:
        counts, now = self._counts, self._now()
        own = counts.get(user, 0)
        if len(counts) > bool(own):
            self._overlapped_until = now + CONTENDED_S
        if user != self._last_user:
            if now < self._last_at + CONTENDED_S:
                self._shared_until = now + CONTENDED_S
            self._last_user = user
        self._last_at = now
        return own > 0 and own + weight > self._share and now < self._shared_until


def rate_refusal(why: str, wait_s: float, *, code: int = RATE_CODE) -> RateLimited:
    """Return the error that refuses a request for `wait_s` seconds."""
    wait_s = round(wait_s, 3)
    return RateLimited(f"{why}; nothing was done, send it again in {wait_s:g} s", code=code, retry_after=wait_s)
