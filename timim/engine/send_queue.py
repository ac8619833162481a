"""Queues of messages to send, one for each conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ..elems import AnyElem, Progress
from ..errors import MessageWithdrawn, NotLoggedIn, TimimError
from ..message import Message, MessageStatus, OfflinePush
from ..storage import Outgoing
from ..transport.websocket import Link


class PendingMessage(Outgoing, eq=False, kw_only=True):
    """A message that is being sent; `done` is the future that its sender awaits."""

    done: asyncio.Future[Message]
    progress: Progress | None
    push: OfflinePush | None
    stored: bool = False  # the row is on disk
    body: bytes = b""  # the encoded elems; empty until the content is uploaded
    cuts: int = 0  # consecutive interrupted uploads without progress
    moved: bool = False  # the upload made progress since the last interruption
    best_bytes: int = 0  # bytes reported so far; bytes that are sent again are not reported again
    given: tuple[AnyElem, ...] = ()  # the elems before their content was uploaded
    reuploaded: bool = False
    link: Link | None = None  # the websocket over which the request was sent
    refusals: int = 0  # websockets that the server closed because of what it received, with this message in flight
    cuts_in_flight: int = 0  # websockets in a row that were cut with this message in flight
    suspect: bool = False  # the message may be what ends the websockets
    condemned: TimimError | None = None  # the error of the message if the server does not have it
    begun: bool = False  # the request may have left this device, in this run or an earlier one
    held: bool = False  # not to be sent: the user is deleting the message, or has deleted it
    uploading: asyncio.Task[None] | None = None
    derived: bool = False  # the msg_id is made from a handled message, and may have been used before

    def on_progress(self, done: int, total: int) -> None:
        """Report upload progress to the sender's callback; the reported number never decreases."""
        if done <= self.best_bytes:
            return
        self.best_bytes, self.moved = done, True
        if self.progress is not None:
            self.progress(done, total)

    def ignore_errors(self) -> None:
        """Mark an error of `done` as retrieved: nobody awaits it."""
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())

    def on_upload_cut(self) -> None:
        """Count an interrupted upload."""
        self.cuts, self.moved = 1 if self.moved else self.cuts + 1, False

    def upload_again(self) -> None:
        """Reset the message so that its content is uploaded again."""
        self.message.replace_elems(self.given)
        self.given, self.reuploaded = (), True
        self.body, self.link = b"", None


@dataclass(slots=True)
class ConversationQueue:
    """The pending messages of one conversation, in order. `task` sends them, and `wake` wakes the task."""

    pending: deque[PendingMessage] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def has_suspects(self) -> bool:
        """True if one of the messages may be what ends the websockets."""
        return any(item.suspect for item in self.pending)

    def find(self, msg_id: str) -> PendingMessage | None:
        """Return the message with this msg_id, or None if it is not in the queue."""
        return next((item for item in self.pending if item.message.msg_id == msg_id), None)

    def end_waits(self, reason: TimimError) -> None:
        """Raise an error in all waiting `send()` calls. The messages stay on disk, and are sent after the next login."""
        for item in self.pending:
            if not item.done.done():
                item.done.set_exception(reason)
                item.done.exception()  # mark as retrieved: the sender may have been cancelled

    def finish(self, item: PendingMessage, error: BaseException | None) -> None:
        """Remove a message that the server has stored or that failed with `error`, and resolve its future."""
        if self.pending and self.pending[0] is item:
            self.pending.popleft()
        elif item in self.pending:
            self.pending.remove(item)
        self.wake.set()
        if item.done.done():
            return
        if error is None:
            item.done.set_result(item.message)
        else:
            item.done.set_exception(error)
            item.done.exception()  # mark as retrieved: the sender may have been cancelled

    def hold(self, msg_id: str | None = None) -> list[PendingMessage]:
        """Keep one message, or all, from being sent; return those that have not left this device.

        Call `withdraw` after their rows were deleted, or `let_go` to send them after all.
        """
        found = [one for one in self.pending if one.stored and not one.begun and msg_id in (None, one.message.msg_id)]
        for item in found:
            item.held = True
            if item.uploading is not None:
                item.uploading.cancel()
        return found

    def let_go(self, held: Iterable[PendingMessage]) -> None:
        """Send messages that `hold` returned."""
        for item in held:
            item.held = False
        self.wake.set()

    def withdraw(self, msg_ids: Collection[str]) -> list[Message]:
        """Remove messages whose rows were deleted, and return them; their `send()` raises MessageWithdrawn."""
        withdrawn = [one for one in self.pending if one.message.msg_id in msg_ids]
        for item in withdrawn:
            item.held = True
            item.message._status = MessageStatus.DELETED
            self.finish(item, MessageWithdrawn("the message was deleted before it was sent; no other device gets it"))
        return [item.message for item in withdrawn]

    def stop_waiting(self, reason: TimimError) -> None:
        """Raise the end of the login in all waiting `send()` calls. The messages stay, and are sent after the next login."""
        for item in self.pending:
            if item.stored and not item.done.done():
                info = f"{reason.info}; the message is sent after the next login"
                item.done.set_exception(type(reason)(info, code=reason.code))
                item.done.exception()  # mark as retrieved: the sender may have been cancelled

    async def wait(self) -> None:
        """Wait for `wake`; return immediately if no message is pending."""
        if self.pending:
            await self.wake.wait()
            self.wake.clear()


def logged_out() -> NotLoggedIn:
    """Return the error of a `send()` that a logout ends."""
    return NotLoggedIn("logged out; the message is sent after the next login")
