"""Limits of new connections by address: their rate, and a pause after each violation.

The module does no I/O, and the clock is an argument. Connections that are open are not affected, so a violator disturbs the
users behind the same address only while they connect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from ..messaging.rate_limiter import TokenBuckets

__all__ = ["NewConnections", "subnet_of"]

BURST_S = 10.0  # of the rate
SUBNET_FACTOR = 8  # addresses of one subnet that may use their whole rate
FIRST_PAUSE_S = 1.0
VIOLATORS_LIMIT = 10_000  # in memory


class Pause(NamedTuple):
    """The last pause of a violator."""

    length_s: float
    until: float


class NewConnections:
    """The rates of new connections, and the pauses of violators.

    Args:
        per_s: Average rate of new connections of one address; 0 sets no limit.
        longest_pause_s: Limit of the pauses, which double from 1 s; 0 sets no pause.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, per_s: float, longest_pause_s: float, *, now: Callable[[], float]) -> None:
        self._addresses = TokenBuckets(per_s, per_s * BURST_S)
        self._subnets = TokenBuckets(per_s * SUBNET_FACTOR, per_s * SUBNET_FACTOR * BURST_S)
        self._longest_pause_s = longest_pause_s
        self._now = now
        self._pauses: dict[str, Pause] = {}

    def refusal(self, host: str) -> str:
        """Return the reason to refuse a connection of this address now: `pause` or `rate`; an empty text to accept it."""
        now = self._now()
        if self._pauses and (pause := self._pauses.get(_violator(host))) and now < pause.until:
            return "pause"
        if not self._addresses.rate:
            return ""
        if self._addresses.left(host, now) < 1 or self._subnets.left(subnet_of(host), now) < 1:
            return "rate"
        return ""

    def count(self, host: str) -> None:
        """Count a connection that is accepted."""
        if self._addresses.rate:
            now = self._now()
            for buckets, key in ((self._addresses, host), (self._subnets, subnet_of(host))):
                buckets.take(key, buckets.left(key, now) - 1, now)

    def pause(self, host: str) -> float:
        """Refuse new connections of a violator, and return for how many seconds; 0 if a pause goes on already.

        Violations during a pause come from connections that are older than it, and do not make it longer.
        """
        now, name = self._now(), _violator(host)
        last = self._pauses.pop(name, Pause(0.0, now))
        if now < last.until or not self._longest_pause_s:
            self._pauses[name] = last
            return 0.0
        if now - last.until > self._longest_pause_s:
            last = Pause(0.0, now)  # forgiven
        length_s = min(max(FIRST_PAUSE_S, 2 * last.length_s), self._longest_pause_s)
        if len(self._pauses) >= VIOLATORS_LIMIT:
            self._forget(now)
        self._pauses[name] = Pause(length_s, now + length_s)
        return length_s

    def _forget(self, now: float) -> None:
        """Remove the violators that are forgiven, or the one that paused longest ago."""
        forgiven = [name for name, pause in self._pauses.items() if now - pause.until > self._longest_pause_s]
        for name in forgiven or [next(iter(self._pauses))]:
            del self._pauses[name]


@lru_cache(4096)
def subnet_of(host: str) -> str:
    """Return the network of an address: its /24 for IPv4 and its /64 for IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return f"subnet of {host}"
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return str(ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False))


def _violator(host: str) -> str:
    """Return the name by which a violator is known: its address for IPv4, and its /64 for IPv6, where addresses are free."""
    return subnet_of(host) if ":" in host and "." not in host else host
