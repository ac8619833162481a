"""Failpoints: places where a test can kill this process by SIGKILL. A failpoint that is not armed costs one comparison.

`TIMIM_FAILPOINT="after-commit:3"` kills the process when `after-commit` is reached for the third time after the server
started to listen. The variable is read when the server starts, so a running process cannot be armed.
"""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

Failpoint = Literal[
    "after-decode",  # the body of a request is decoded
    "before-insert",  # in the transaction, before the row of the entry
    "after-insert",  # in the transaction, after the row of the entry
    "before-commit",
    "after-commit",  # committed to disk, but no notification has been sent
    "before-publish",  # before entries are queued for their sessions
    "after-publish",
    "before-ack",  # the reply exists, but is not queued
    "after-ack",  # the reply is queued for the socket
]
FAILPOINTS: tuple[Failpoint, ...] = get_args(Failpoint)
VARIABLE = "TIMIM_FAILPOINT"


def _parse(text: str) -> dict[str, int]:
    if not text:
        return {}
    name, _, count = text.partition(":")
    if name not in FAILPOINTS or not (count or "1").isdecimal():
        raise ValueError(f"{VARIABLE} must be NAME or NAME:COUNT with a name of {', '.join(FAILPOINTS)}, not {text!r}")
    return {name: int(count or "1")}


_remaining: dict[str, int] = {}


def arm() -> None:
    """Read the configured failpoint and start counting, so that the server's start is not counted.

    Raises:
        ValueError: The variable does not name a failpoint.
    """
    _remaining.update(_parse(os.environ.get(VARIABLE, "")))


def failpoint(name: Failpoint) -> None:
    """Kill this process if the failpoint is armed and has been reached as often as configured."""
    if _remaining and name in _remaining:
        _remaining[name] -= 1
        if _remaining[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
