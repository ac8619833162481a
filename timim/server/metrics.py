"""What an operator sees of a running server, for Prometheus. One registry a server; labels come from closed sets."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """`sessions` tells how many devices are logged in now, `hints_lost` how many hints to other nodes were dropped."""

    def __init__(self, *, sessions: Callable[[], int], hints_lost: Callable[[], int] = lambda: 0) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("timim_requests", "Requests by command", ["command"], registry=self.registry)
        self._refusals = Counter("timim_refusals", "Replies that refuse, by code", ["code"], registry=self.registry)
        self._seconds = Histogram(
            "timim_request_seconds", "From a request's decoding to its reply", buckets=LATENCIES_S, registry=self.registry
        )
        self.posted = Counter("timim_messages", "Messages stored", registry=self.registry)
        self.duplicates = Counter("timim_duplicates", "Resends of messages that stood already", registry=self.registry)
        self.stale = Counter("timim_stale", "Commands decided again: another node was first", registry=self.registry)
        self.too_slow = Counter("timim_slow_sessions", "Sessions closed because they read too slowly", registry=self.registry)
        self.logins = Counter("timim_logins", "Logins, by outcome", ["outcome"], registry=self.registry)
        Gauge("timim_sessions", "Devices logged in now", registry=self.registry).set_function(sessions)
        Gauge("timim_hints_lost", "Hints to other nodes that were dropped", registry=self.registry).set_function(hints_lost)
        self._by_command: dict[str, Counter] = {}

    def answered(self, command: str, code: int, seconds: float) -> None:
        """A request was answered; `command` is one that is served, or "unknown"."""
        counter = self._by_command.get(command)
        if counter is None:
            counter = self._by_command[command] = self._requests.labels(command)
        counter.inc()
        self._seconds.observe(seconds)
        if code:
            self._refusals.labels(str(code)).inc()

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
