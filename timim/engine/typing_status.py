"""The typing status of this user, which is sent again and again while a block of the program runs.

Invariant: the task that repeats the status ends with the block. An error of the status is logged and never reaches the block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import NetworkError, NotLoggedIn, TimimError
from ..ids import ConversationKey
from ..message import Message
from ..protocol.typing_status import typing_elem
from .engine import Engine

log = logging.getLogger(__name__)
REPEAT_S = 4.0  # Tencent's kits send the status every 4 s, and drop it 5 s after the last one


@asynccontextmanager
async def repeated_status(engine: Engine, key: ConversationKey) -> AsyncIterator[None]:
    """Report to the peer that this user is typing while the block runs, and the end of typing after it."""
    repeating = asyncio.create_task(_repeat(engine, key), name="timim typing")
    try:
        yield
    finally:
        refused = repeating.done()
        repeating.cancel()
        if engine.connection.online and not refused:
            # the end of the block does not wait for the server, so the login owns this task
            engine.session.spawn(_end(engine, key), "timim typing end")
        await asyncio.wait([repeating])


async def _repeat(engine: Engine, key: ConversationKey) -> None:
    while True:
        if not await _report(engine, key, active=True):
            return
        await asyncio.sleep(REPEAT_S)


async def _end(engine: Engine, key: ConversationKey) -> None:
    await _report(engine, key, active=False)


async def _report(engine: Engine, key: ConversationKey, *, active: bool) -> bool:
    """Send the status once; return False if the server refuses it, so that sending it again is of no use."""
    try:
        await engine.online_messages.send(key, Message(typing_elem(active=active)))
    except (NetworkError, NotLoggedIn) as exc:
        log.debug("the typing status for %s was not sent: %s", key, exc)
    except TimimError as exc:
        log.warning("the typing status for %s is not sent any more: %s", key, exc)
        return False
    return True
