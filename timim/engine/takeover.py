"""Clients of an interactive session, by the folders of their stores, so that the cell of a login can be run again.

In other programs a second client of a folder is a mistake, and gets StoreInUse.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakValueDictionary

from ..transport.home_loop import HomeLoop
from ..util.interactive import ipython

__all__ = ["take_over"]

DRAIN_S: Final = 5.0  # for running handlers of the earlier client; afterwards they are cancelled

log = logging.getLogger(__name__)


class _Closable(Protocol):
    home: HomeLoop

    async def close(self) -> None: ...
    def release(self) -> None: ...


_clients: WeakValueDictionary[Path, _Closable] = WeakValueDictionary()


async def take_over(folder: Path | None, client: _Closable) -> None:
    """Close the earlier client of this folder, if this is an interactive session and that client has this event loop.

    Raises:
        StorageError: The earlier client could not save its last changes.
    """
    if folder is None or ipython() is None:
        return
    earlier = _clients.get(folder)
    _clients[folder] = client
    if earlier is None or earlier is client:
        return
    if earlier.home.ended:
        earlier.release()
    elif earlier.home.is_running_here():
        log.info("closing the earlier client of %s, because another client of this session opens it", folder)
        try:
            async with asyncio.timeout(DRAIN_S):
                await earlier.close()
        except TimeoutError:
            log.warning("handlers of the earlier client of %s ran for more than %.0f s and were cancelled", folder, DRAIN_S)
