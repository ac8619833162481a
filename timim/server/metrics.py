"""Metrics of a running server, for Prometheus. Each server has its own registry, and labels come from closed sets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCIES_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
COMMITS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class BusMetrics:
    """Metrics of the bus between nodes. A server without a bus does not publish them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge("timim_bus_connected", "1 while this node is connected to the bus", registry=registry)
        self.published = Counter("timim_bus_published", "Events published to the bus", registry=registry)
        self.received = Counter("timim_bus_received", "Events received from other nodes", registry=registry)
        self.dropped = Counter("timim_bus_dropped", "Events of this node that were not published", registry=registry)
        self.overflows = Counter("timim_bus_overflows", "Times that events arrived too fast to be processed", registry=registry)
        self.reconnects = Counter("timim_bus_reconnects", "Times that the bus connection was restored", registry=registry)
        self.compares = Counter("timim_bus_compares", "Times that all sessions were asked to compare", registry=registry)


class DatabaseMetrics:
    """Metrics of this node's use of PostgreSQL. A server on SQLite does not publish them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge("timim_database_waiting", "Writes that wait for a connection", registry=registry)
        self.in_use = Gauge("timim_database_connections_in_use", "Connections that are busy", registry=registry)
        self.open = Gauge("timim_database_connections", "Connections that are open", registry=registry)
        self.batches = Histogram("timim_database_batch", "Appends in one commit", buckets=BATCHES, registry=registry)
        self.commits = Histogram(
            "timim_database_commit_seconds", "Time to commit a batch of appends to disk", buckets=COMMITS_S, registry=registry
        )
        self.replica_pages = Counter(
            "timim_database_replica_pages", "Pages of history read from the replica", registry=registry
        )
        self.retries = Counter("timim_database_retries", "Operations that were retried", registry=registry)
        self.errors = Counter("timim_database_errors", "Operations that failed after all retries", registry=registry)


class _Requests(Collector):
    """Number of requests by command, and their durations. Only the event loop adds to them, so there is no lock."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._buckets = [0] * (len(LATENCIES_S) + 1)
        self._seconds = 0.0

    def add(self, command: str, seconds: float) -> None:
        self._counts[command] = self._counts.get(command, 0) + 1
        self._buckets[bisect_left(LATENCIES_S, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("timim_requests", "Requests by command", labels=["command"])
        for command, count in self._counts.items():
            requests.add_metric([command], count)
        yield requests
        bounds = [*map(str, LATENCIES_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._buckets), strict=True))
        yield HistogramMetricFamily(
            "timim_request_seconds",
            "Time from decoding a request to its reply",
            buckets=buckets,
            sum_value=self._seconds,
        )


class Metrics:
    """All metrics of a server.

    Args:
        bus: Publish the metrics of the bus.
        database: Publish the metrics of PostgreSQL.
    """

    def __init__(self, *, bus: bool = False, database: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.bus = BusMetrics(self.registry if bus else CollectorRegistry())
        self.database = DatabaseMetrics(self.registry if database else CollectorRegistry())
        self._requests = _Requests()
        self.registry.register(self._requests)
        self._refusals = Counter("timim_refusals", "Replies with an error, by code", ["code"], registry=self.registry)
        self.rest = Counter(
            "timim_rest_requests", "Requests over REST, by command and code", ["command", "code"], registry=self.registry
        )
        self.posted = Counter("timim_messages", "Messages stored", registry=self.registry)
        self.duplicates = Counter("timim_duplicates", "Resends of messages that were stored already", registry=self.registry)
        self.stale = Counter("timim_stale", "Commands retried because another node was first", registry=self.registry)
        self.too_slow = Counter("timim_slow_sessions", "Sessions closed because they read too slowly", registry=self.registry)
        self.waiting_bytes = Gauge("timim_waiting_bytes", "Bytes that wait for peers", registry=self.registry)
        self.cut_connections = Counter(
            "timim_cut_connections", "Connections cut because of their peer, by reason", ["reason"], registry=self.registry
        )
        self.logins = Counter("timim_logins", "Logins by outcome", ["outcome"], registry=self.registry)
        self.login_seconds = Histogram(
            "timim_login_seconds", "Time from decoding a login to its reply", buckets=LATENCIES_S, registry=self.registry
        )
        self.shed = Counter(
            "timim_shed", "Group messages refused by the rate limit, by priority", ["priority"], registry=self.registry
        )
        self.rate_limited = Counter(
            "timim_rate_limited", "Requests refused by a rate limit of users, by limit", ["limit"], registry=self.registry
        )
        self.sessions = Gauge("timim_sessions", "Devices logged in now", registry=self.registry)

    def answered(self, command: str, code: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            command: A command that has a handler, or "unknown".
            code: The reply's ErrorCode; 0 for success.
            seconds: Time from the decoding of the request to its reply.
        """
        self._requests.add(command, seconds)
        if code:
            self._refusals.labels(str(code)).inc()

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
