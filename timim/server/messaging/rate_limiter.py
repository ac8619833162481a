"""Rate limits by token buckets: of groups, of the requests of users, and of messages to strangers.

The module does no I/O, and the clock is an argument. Under overload of a group, low priorities are refused first: a bucket that
admits a message admits any message of a higher priority.
"""

from __future__ import annotations

from collections.abc import Mapping

BUCKETS_LIMIT = 10_000  # in memory; a full bucket has the effect of a new one, so full buckets are removed first

# Share of the bucket that is reserved for higher priorities. High priority may overdraw the bucket ten times: it is not refused
# at ten times the rate, but a flood of messages with this priority is limited too.
RESERVE: Mapping[str, float] = {"High": -10.0, "Normal": 0.0, "Low": 0.5, "Lowest": 0.75}


class TokenBuckets:
    """Token buckets by key.

    Args:
        rate: Tokens per second that each bucket gains; 0 for no limit.
        capacity: Tokens of a full bucket.
    """

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate = rate
        self.capacity = max(1.0, capacity)
        self._buckets: dict[str, tuple[float, float]] = {}  # key → number of tokens, and the time when it was computed

    def left(self, key: str, now: float) -> float:
        """Return the number of tokens in a bucket."""
        left, then = self._buckets.get(key, (self.capacity, now))
        if now < then:  # the clock was set back: keep the tokens, and add to them from now on
            then = now
            self._buckets[key] = left, now
        return min(self.capacity, left + (now - then) * self.rate)

    def last(self, key: str) -> float:
        """Return the number of tokens at the last change of a bucket, which has at least as many now."""
        bucket = self._buckets.get(key)
        return bucket[0] if bucket is not None else self.capacity

    def take(self, key: str, left: float, now: float) -> None:
        """Set the number of tokens in a bucket, from `left()` less those that are taken."""
        if key not in self._buckets and len(self._buckets) >= BUCKETS_LIMIT:
            self._forget(now)
        self._buckets[key] = left, now

    def _forget(self, now: float) -> None:
        """Remove the full buckets, or the oldest bucket if none is full."""
        full = [key for key, (left, then) in self._buckets.items() if left + (now - then) * self.rate >= self.capacity]
        for key in full or [next(iter(self._buckets))]:
            del self._buckets[key]

    def __len__(self) -> int:
        return len(self._buckets)


class GroupRateLimiter:
    """Token buckets of groups.

    Args:
        rate: Messages per second in each group; 0 for no limit.
        burst_s: Time for which an unused rate is saved for a burst, in seconds.
    """

    def __init__(self, rate: float, burst_s: float) -> None:
        self._buckets = TokenBuckets(rate, rate * burst_s)

    def admit(self, group_id: str, priority: str, now: float) -> float:
        """Take a token and return 0, or return the seconds until a message of this priority is admitted."""
        buckets = self._buckets
        if not buckets.rate:
            return 0.0
        left = buckets.left(group_id, now)
        missing = self._reserve(priority) * buckets.capacity + 1.0 - left
        if missing > 1e-9:
            return missing / buckets.rate
        buckets.take(group_id, left - 1.0, now)
        return 0.0

    def _reserve(self, priority: str) -> float:
        return RESERVE[priority]

    def __len__(self) -> int:
        return len(self._buckets)


class UserRateLimiter:
    """Token buckets of users. After a refusal a user stays refused until the bucket has the tokens of a whole pause.

    So messages that a client sent at once are refused together, which keeps their order. A charge that is larger than the
    bucket is admitted by a full bucket.

    Args:
        rate: Tokens per second of each user; 0 for no limit.
        capacity: Tokens of a full bucket.
        pause_s: Time for which a user is refused, in seconds.
    """

    def __init__(self, rate: float, capacity: float, *, pause_s: float = 1.0) -> None:
        self._buckets = TokenBuckets(rate, capacity)
        self._pause_tokens = max(1.0, min(self._buckets.capacity / 2, rate * pause_s))
        self._refused: dict[str, float] = {}  # user → tokens that end the refusal

    def admit(self, user: str, amount: float, now: float) -> float:
        """Take tokens and return 0, or return the seconds until the user is admitted again."""
        buckets = self._buckets
        if not buckets.rate:
            return 0.0
        left = buckets.left(user, now)
        needed = min(amount, buckets.capacity)
        if left < needed and user not in self._refused:
            self._refuse(user, max(needed, self._pause_tokens), now)
        if self._refused and (wait_s := self._wait_s(user, left)):
            return wait_s
        buckets.take(user, left - amount, now)
        return 0.0

    def refuses(self, user: str, now: float) -> bool:
        """Return True if the user has no token for one more charge of 1."""
        if not self._buckets.rate:
            return False
        left = self._buckets.left(user, now)
        return left < 1.0 or bool(self._wait_s(user, left))

    def can_refuse(self, user: str) -> bool:
        """Return False if the user had a token left after the last charge, so that `refuses` needs no call."""
        return user in self._refused or self._buckets.last(user) < 1.0

    def _refuse(self, user: str, until: float, now: float) -> None:
        if len(self._refused) >= BUCKETS_LIMIT:
            self._refused = {one: end for one, end in self._refused.items() if self._buckets.left(one, now) < end}
        self._refused[user] = until

    def _wait_s(self, user: str, left: float) -> float:
        until = self._refused.get(user)
        if until is None:
            return 0.0
        if left >= until:
            del self._refused[user]
            return 0.0
        return (until - left) / self._buckets.rate

    def __len__(self) -> int:
        return len(self._buckets)
