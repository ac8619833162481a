"""Failpoints: places where a test may have this process killed, as by kill -9. Unarmed, each costs one comparison.

`TIMIM_FAILPOINT="after-commit:3"` kills at the third time that `after-commit` is reached once the server listens. Only a
process that starts with it is armed; nothing in a running one can arm it.
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


def _armed(text: str) -> dict[str, int]:
    if not text:
        return {}
    name, _, count = text.partition(":")
    if name not in FAILPOINTS or not (count or "1").isdecimal():
        raise ValueError(f"{VARIABLE} is one of {', '.join(FAILPOINTS)} and a count, not {text!r}")
    return {name: int(count or "1")}


_named = _armed(os.environ.get(VARIABLE, ""))
_left: dict[str, int] = {}


def count_from_here() -> None:
    """The server is up: what its start itself reached does not count."""
    _left.update(_named)


def reach(name: Failpoint) -> None:
    """Die here if this failpoint's turn has come."""
    if _left and name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
