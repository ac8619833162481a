"""A server without rate limits of users and without fair shares."""

from __future__ import annotations

from timim.cli import main
from timim.server.endpoints import websocket
from timim.server.messaging.rate_limiter import UserRateLimiter
from timim.server.messaging.request_limits import FairShares


def admit(self: UserRateLimiter, user: str, amount: float, now: float) -> float:
    return 0.0


def is_over(self: FairShares, user: str, weight: int) -> bool:
    return False


websocket.FRAMES_AT_ONCE = 1 << 30
UserRateLimiter.admit, FairShares._is_over = admit, is_over  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
