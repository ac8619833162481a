"""The limit of open files of this process. The default of many systems, 1024, is enough for about 1,000 clients."""

from __future__ import annotations

import resource


def raise_nofile_limit(wanted: int | None = None) -> int:
    """Raise the limit of open files, as far as the system allows.

    Args:
        wanted: The required limit; by default the highest that the system allows.

    Returns:
        The new limit, which may be less than `wanted`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard):
        return wanted or soft
    goal = min(hard, max(soft, hard if wanted is None else wanted))
    if goal > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return goal
