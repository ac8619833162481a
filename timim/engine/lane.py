"""What waits to be sent in one conversation, in the order in which it was given."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from ..elems import AnyElem, Progress
from ..message import Message, OfflinePush
from ..transport.websocket import Link


@dataclass(slots=True, eq=False)
class Item:
    """A message on its way; `done` is what its sender waits for."""

    message: Message
    done: asyncio.Future[Message]
    progress: Progress | None
    push: OfflinePush | None
    stored: bool = False  # its row is on disk
    body: bytes = b""
    cuts: int = 0  # how often its upload was cut, since a byte of it last moved
    moved: bool = False  # a byte moved since the last cut
    best: int = 0  # bytes of its content that were reported: what is sent again is not reported again
    given: tuple[AnyElem, ...] = ()  # its elems as they were before their content was uploaded
    again: bool = False  # its content was uploaded twice
    link: Link | None = None  # the link on which it is in flight

    def moving(self, done: int, total: int) -> None:
        """Bytes of its content moved."""
        if done <= self.best:
            return
        self.best, self.moved = done, True
        if self.progress is not None:
            self.progress(done, total)

    def cut(self) -> None:
        """Its upload was cut."""
        self.cuts, self.moved = 1 if self.moved else self.cuts + 1, False

    def upload_again(self) -> None:
        """What was uploaded of it is not on the server any more."""
        self.message.replace_elems(self.given)
        self.given, self.again = (), True
        self.body, self.link = b"", None


@dataclass(slots=True)
class Lane:
    """Nothing overtakes another; `task` carries it on, and `wake` tells it that something may go out."""

    items: deque[Item] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def finish(self, item: Item, exc: BaseException | None) -> None:
        """It needs no more sending: the server has it, or `exc` says why it will never have it."""
        if item in self.items:
            self.items.remove(item)
        self.wake.set()
        if item.done.done():
            return
        if exc is None:
            item.done.set_result(item.message)
        else:
            item.done.set_exception(exc)
            item.done.exception()  # the sender may have been cancelled: the row says what happened

    async def wait(self) -> None:
        """Until something may go out; not at all when nothing waits."""
        if self.items:
            await self.wake.wait()
            self.wake.clear()
