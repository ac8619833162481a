"""Failpoints: places where a test can kill this process, as kill -9 does. A failpoint that is not armed costs one comparison.

`TIMIM_FAILPOINT="after-commit:3"` kills the process when `after-commit` is reached for the third time after the server has
started to listen. The variable is read at import, so a running process cannot be armed.
"""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

Failpoint = Literal[
    "after-decode",  # a request's body is decoded
    "before-insert",  # in the transaction, before the entry's row
    "after-insert",  # in the transaction, after it
    "before-commit",
    "after-commit",  # on disk, and nobody knows yet
    "before-publish",  # acked entries are queued for their sessions after this
    "after-publish",
    "before-ack",  # the reply is made, and not queued
    "after-ack",  # the reply is queued for the socket
]
FAILPOINTS: tuple[Failpoint, ...] = get_args(Failpoint)
VARIABLE = "TIMIM_FAILPOINT"


def _parse(text: str) -> dict[str, int]:
    if not text:
        return {}
    name, _, count = text.partition(":")
    if name not in FAILPOINTS or not (count or "1").isdecimal():
        raise ValueError(f"{VARIABLE} is one of {', '.join(FAILPOINTS)} and a count, not {text!r}")
    return {name: int(count or "1")}


_remaining: dict[str, int] = {}


def arm() -> None:
    """Read which failpoint is configured, and start to count: failpoints that the server's start reached do not count.

    Raises:
        ValueError: The variable names no failpoint.
    """
    _remaining.update(_parse(os.environ.get(VARIABLE, "")))


def failpoint(name: Failpoint) -> None:
    """Kill this process if the failpoint is armed and has been reached as often as configured."""
    if _remaining and name in _remaining:
        _remaining[name] -= 1
        if _remaining[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
