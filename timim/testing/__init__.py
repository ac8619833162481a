"""Test kit: a real server in one line, in anyone's tests.

async with running_server() as server:
    async with server.client("alice") as alice, server.client("bob") as bob: ...
"""

from .clocks import VirtualClock, WallClock
from .faults import Fault, Faults
from .local import LocalServer, local_server
from .server import RunningServer, running_server
from .watch import Watch

__all__ = [
    "Fault",
    "Faults",
    "LocalServer",
    "RunningServer",
    "VirtualClock",
    "WallClock",
    "Watch",
    "local_server",
    "running_server",
]
