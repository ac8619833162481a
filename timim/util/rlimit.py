"""How many files and sockets this process may have open. A limit of 1024, which many systems begin with, is 1000 clients."""

from __future__ import annotations

import resource


def raised(wanted: int | None = None) -> int:
    """Raise the limit to `wanted`, or as far as the system lets; what it is now, which may be less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard):
        return wanted or soft
    goal = min(hard, max(soft, hard if wanted is None else wanted))
    if goal > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return goal
