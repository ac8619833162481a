"""The gateways of a test server in turns, for clients that do not connect through the fault proxy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from timim.testing import LocalServer, RunningServer

_turns: WeakKeyDictionary[RunningServer | LocalServer, Iterator[int]] = WeakKeyDictionary()


def next_gateway(server: RunningServer | LocalServer) -> str:
    """Return the URL of the server's gateway whose turn it is; with `--backend=cluster` there are two.

    The first turn is the last gateway's, because the first client of `server.client()` connects to the first one.
    """
    urls = server.urls if isinstance(server, RunningServer) else [server.url]
    turn = next(_turns.setdefault(server, itertools.count(1)))
    return urls[-turn % len(urls)]
