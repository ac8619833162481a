"""Report of a load test, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.table import Table

from .latency import LatencyHistogram


class Percentiles(msgspec.Struct):
    """Percentiles of a time, in milliseconds."""

    p50: float
    p90: float
    p99: float
    longest: float

    @classmethod
    def from_histogram(cls, latencies: LatencyHistogram) -> Percentiles:
        """Compute the percentiles of a histogram."""
        return cls(*(round(latencies.percentile(share) * 1000, 2) for share in (0.5, 0.9, 0.99, 1.0)))


class Storm(msgspec.Struct):
    """Result of cutting many connections at once.

    Attributes:
        seconds: Time from the cut until the last client was logged in again and had the messages it missed.
    """

    cut: int
    back: int
    seconds: float
    each_ms: Percentiles


class Report(msgspec.Struct, kw_only=True):
    """Figures of a load test.

    Attributes:
        sent: Messages that the server acknowledged.
        refused: Number of refused messages by error code.
        busy: CPU use of the busiest worker process, from 0 to 1.
    """

    users: int
    groups: int
    urls: int
    processes: int
    interrupted: bool
    logins_s: float
    logins_each_ms: Percentiles
    seconds: float
    sent: int
    sent_per_s: float
    delivered: int
    delivered_per_s: float
    ack_ms: Percentiles
    delivery_ms: Percentiles
    refused: dict[int, int]
    lost: int
    lost_examples: Sequence[str] = ()
    repeated: int
    disordered: int
    storms: Sequence[Storm] = ()
    busy: float

    @property
    def passed(self) -> bool:
        """True if no message was lost, repeated or out of order, and all clients reconnected."""
        return not (self.lost or self.repeated or self.disordered) and all(storm.back == storm.cut for storm in self.storms)


BUSY = 0.9  # above this CPU use, the times include the clients' waits for each other


def render_table(report: Report) -> Table:
    """Render the times and rates as a table."""
    rows = Table("", "number", "a second", "p50, ms", "p90, ms", "p99, ms", "longest", box=None, padding=(0, 2))
    for column in rows.columns[1:]:
        column.justify = "right"

    def row(label: str, number: int, each_s: float, times: Percentiles) -> None:
        shown = (f"{value:,.1f}" for value in (times.p50, times.p90, times.p99, times.longest))
        rows.add_row(label, f"{number:,}", f"{each_s:,.0f}", *shown)

    row("login", report.users, report.users / max(report.logins_s, 0.01), report.logins_each_ms)
    row("ack", report.sent, report.sent_per_s, report.ack_ms)
    row("delivery", report.delivered, report.delivered_per_s, report.delivery_ms)
    for storm in report.storms:
        row("back", storm.back, storm.back / max(storm.seconds, 0.01), storm.each_ms)
    return rows


def summary_lines(report: Report) -> list[str]:
    """Return the lines that follow the table: losses, storms, refusals and the load of the clients themselves."""
    said = [f"lost {report.lost:,}, repeated {report.repeated:,}, out of order {report.disordered:,}"]
    said += [
        f"{storm.back:,} of {storm.cut:,} disconnected clients reconnected after {storm.seconds:.1f} s"
        for storm in report.storms
    ]
    said += [f"refused with code {code}: {count:,}" for code, count in sorted(report.refused.items())]
    if report.busy > BUSY:
        said.append(f"a worker process used {report.busy:.0%} of a core, which limited the rate; use more --processes")
    return said
