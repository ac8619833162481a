"""Test kit with a real server, for tests of programs that use timim.

    async with running_server() as server:
        async with server.client("alice") as alice, server.client("bob") as bob: ...

`running_server` runs the server in its own process, `local_server` in the event loop of the test. `server.faults` cuts and
delays connections, clocks set the time, and an EventRecorder records the messages and events of a client,
and `server.webhooks` the callbacks of a server.
"""

from .clocks import VirtualClock, WallClock
from .fault_proxy import Fault, Faults
from .in_process import LocalServer, local_server
from .offline_user import OfflineUser
from .recorder import EventRecorder
from .server import RunningServer, running_server
from .webhooks import WebhookRecorder

__all__ = [
    "EventRecorder",
    "Fault",
    "Faults",
    "LocalServer",
    "OfflineUser",
    "RunningServer",
    "VirtualClock",
    "WallClock",
    "WebhookRecorder",
    "local_server",
    "running_server",
]
