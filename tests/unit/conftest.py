"""Unit tests use no network and no processes: the guard below fails a test that connects, listens or starts one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

# audit events of CPython; the socketpair that asyncio opens for itself neither binds nor connects
FORBIDDEN = frozenset(
    {
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
    }
)


@dataclass(slots=True)
class Guard:
    """The audit hook of this process. A hook cannot be removed, so this one does nothing between unit tests."""

    armed: bool = False
    seen: list[str] = field(default_factory=list)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.armed and event in FORBIDDEN:
            self.seen.append(f"{event} {arguments[1:]}")
            raise AssertionError(f"a unit test may not use the network or a process: {event}")


GUARD = Guard()
sys.addaudithook(GUARD.hear)


@pytest.fixture(autouse=True)
def no_network_and_no_process() -> Iterator[None]:
    """Fail a test that opens a connection or starts a process, even if the test catches the error."""
    GUARD.seen.clear()
    GUARD.armed = True
    try:
        yield
    finally:
        GUARD.armed = False
    assert GUARD.seen == []
