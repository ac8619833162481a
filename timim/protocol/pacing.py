"""Pauses after refusals by a rate limit of the account. The clock and the random numbers are arguments."""

from __future__ import annotations

from random import Random

from ..errors import RateLimited, TimimError

__all__ = ["RATE_CODE", "is_rate_limit", "pause_s"]

RATE_CODE = 60007  # Tencent's code of a rate limit that concerns the account, not one group
JITTER = 0.25  # share of a pause that is added at random, so that the devices of a user do not return together
PAUSE_S = 1.0  # if the server does not say how long


def is_rate_limit(error: TimimError) -> bool:
    """Return True if a request was refused by a rate limit of the account, and can be sent again after a pause."""
    return isinstance(error, RateLimited) and error.code == RATE_CODE


def pause_s(error: TimimError, random: Random) -> float:
    """Return the seconds to wait before a refused request is sent again."""
    return (error.retry_after or PAUSE_S) * (1 + JITTER * random.random())
