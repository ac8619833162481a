"""What an operator sees of a running server, for Prometheus. One registry a server; labels come from closed sets."""

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
    """Of the bus between nodes. A node alone has none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge("timim_bus_connected", "1 while the bus carries hints", registry=registry)
        self.published = Counter("timim_bus_published", "Hints given to the bus", registry=registry)
        self.received = Counter("timim_bus_received", "Hints heard from other nodes", registry=registry)
        self.dropped = Counter("timim_bus_dropped", "Hints of this node that did not go out", registry=registry)
        self.overflows = Counter("timim_bus_overflows", "Times that hints came faster than they were taken", registry=registry)
        self.reconnects = Counter("timim_bus_reconnects", "Times that a lost bus came back", registry=registry)
        self.compares = Counter("timim_bus_compares", "Times that all sessions were told to compare", registry=registry)


class DatabaseMetrics:
    """Of PostgreSQL, as this node meets it. A node on a file has none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge("timim_database_waiting", "Writes that wait for their turn", registry=registry)
        self.in_use = Gauge("timim_database_connections_in_use", "Connections that are busy", registry=registry)
        self.open = Gauge("timim_database_connections", "Connections that are open", registry=registry)
        self.batches = Histogram("timim_database_batch", "Appends in one commit", buckets=BATCHES, registry=registry)
        self.commits = Histogram(
            "timim_database_commit_seconds", "A batch of appends, until it is on disk", buckets=COMMITS_S, registry=registry
        )
        self.replica_pages = Counter(
            "timim_database_replica_pages", "Pages of history that the replica gave", registry=registry
        )
        self.retries = Counter("timim_database_retries", "Operations that were tried again", registry=registry)
        self.errors = Counter("timim_database_errors", "Operations that failed in the end", registry=registry)


class _Requests(Collector):
    """Requests by command, and how long they took. Added in the loop alone: no lock is needed, and none paid."""

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
            "timim_request_seconds", "From a request's decoding to its reply", buckets=buckets, sum_value=self._seconds
        )


class Metrics:
    """All metrics of a server. Those of parts that the server does not have (`bus`, `database`) are left out."""

    def __init__(self, *, bus: bool = False, database: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.bus = BusMetrics(self.registry if bus else CollectorRegistry())
        self.database = DatabaseMetrics(self.registry if database else CollectorRegistry())
        self._requests = _Requests()
        self.registry.register(self._requests)
        self._refusals = Counter("timim_refusals", "Replies that refuse, by code", ["code"], registry=self.registry)
        self.posted = Counter("timim_messages", "Messages stored", registry=self.registry)
        self.duplicates = Counter("timim_duplicates", "Resends of messages that stood already", registry=self.registry)
        self.stale = Counter("timim_stale", "Commands decided again: another node was first", registry=self.registry)
        self.too_slow = Counter("timim_slow_sessions", "Sessions closed because they read too slowly", registry=self.registry)
        self.logins = Counter("timim_logins", "Logins, by outcome", ["outcome"], registry=self.registry)
        self.login_seconds = Histogram(
            "timim_login_seconds", "From a login's decoding to its reply", buckets=LATENCIES_S, registry=self.registry
        )
        self.shed = Counter(
            "timim_shed", "Messages to groups that got too many, by priority", ["priority"], registry=self.registry
        )
        self.sessions = Gauge("timim_sessions", "Devices logged in now", registry=self.registry)

    def answered(self, command: str, code: int, seconds: float) -> None:
        """Count an answered request; `command` is one that is served, or "unknown"."""
        self._requests.add(command, seconds)
        if code:
            self._refusals.labels(str(code)).inc()

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
