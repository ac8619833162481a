"""Test kit: a real server in one line, in anyone's tests.

async with running_server() as server:
    async with server.client("alice") as alice, server.client("bob") as bob: ...
"""

from .faults import Fault, Faults
from .server import RunningServer, running_server
from .watch import Watch

__all__ = ["Fault", "Faults", "RunningServer", "Watch", "running_server"]
