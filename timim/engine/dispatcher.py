"""Delivery of new messages and events to the program's handlers, streams and waiters.

Each conversation has a lane: its messages are delivered in order, as lists to the handlers of lists, and one at a time to the
handlers of single messages. Lanes run concurrently, within a limit. An exception of a handler is logged and reported as
HandlerFailed, and does not stop the delivery. A slow handler delays only its own conversation. When WAITING_LIMIT messages
wait or are being handled, the inbox stops storing messages and fetches them later by their seqs.

A message that an earlier run did not handle is delivered again, before all later ones (`message_handling.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

from ..errors import StorageError
from ..events import ClientEvent
from ..ids import ConversationKey
from ..message import Message
from ..util.interactive import cell_context
from .handler_caller import HandlerCaller
from .handler_calls import cancel_handlers, current_handler, enter_handler, wait_for_handlers
from .handler_slots import CONCURRENCY, HandlerSlots
from .handling_record import HandlingRecord
from .listeners import Listeners
from .message_events import is_for_single_handlers
from .message_handling import MessageHandling

log = logging.getLogger(__name__)
EventT = TypeVar("EventT", bound=ClientEvent)
KindT = TypeVar("KindT", bound=ClientEvent | Message)
KindT_co = TypeVar("KindT_co", bound=ClientEvent | Message, covariant=True)
HandlerResult = TypeVar("HandlerResult", bound=Awaitable[None] | None)
ListHandler = Callable[[list[Message]], Awaitable[object] | None]
EventHandler = Callable[[EventT], Awaitable[None] | None]
LIST_LIMIT = 500  # messages in one call of a handler
WAITING_LIMIT = 10_000  # messages that wait for handlers or are being handled; above the limit the inbox keeps only seqs


class EventDecorator(Protocol[EventT]):
    """A decorator that registers a handler of some events, and returns the handler."""

    def __call__(self, handler: Callable[[EventT], HandlerResult], /) -> Callable[[EventT], HandlerResult]: ...


@dataclass(slots=True, eq=False)
class _Lane:
    """The messages of one conversation, or the events, that wait for handlers.

    The first `listed` messages were given to the handlers of lists already, and wait for the handlers of single messages.
    The first message stays until it is handled.
    """

    items: deque[Message | ClientEvent] = field(default_factory=deque)
    listed: int = 0
    running: bool = False


class Dispatcher:
    """The handlers, streams and waiters of a client, with one lane for each conversation and one for events.

    The task of a lane runs only while the lane has items.

    Args:
        record: Record of the messages that are handled.
        concurrency: Limit of the conversations whose handlers run at the same time.
    """

    def __init__(self, record: HandlingRecord, concurrency: int = CONCURRENCY) -> None:
        self._record = record
        self._caller = HandlerCaller(self.deliver_event)
        self._slots = HandlerSlots(concurrency)
        self.messages: MessageHandling = MessageHandling(record, self._caller, self._slots, self.deliver_event)
        self._list_handlers: list[ListHandler] = []
        self._event_handlers: dict[type[ClientEvent], list[Callable[[Any], Awaitable[None] | None]]] = {}
        self.listeners: Listeners = Listeners()
        self._lanes: dict[ConversationKey | None, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._receiving = True  # False while the program ends: no more messages are stored
        self._waiting = 0
        self._room = asyncio.Event()
        self._redelivered = False  # the unhandled messages of earlier runs are in their lanes

    @property
    def _held(self) -> bool:
        """True while new messages wait for the unhandled messages of earlier runs."""
        return bool(self.messages.handlers) and not self._redelivered

    def on_new_message(self, handler: ListHandler) -> None:
        """Add a handler of lists of messages; adding it again changes nothing, so that it gets each list once."""
        if handler not in self._list_handlers:
            self._list_handlers.append(handler)

    def on(self, event: type[EventT], handler: EventHandler[EventT]) -> None:
        """Add a handler of an event class; adding it again changes nothing."""
        handlers = self._event_handlers.setdefault(event, [])
        if handler not in handlers:
            handlers.append(handler)

    def off(self, handler: Callable[..., object]) -> bool:
        """Remove a handler from everything that it was added to, and return False if it was added to nothing."""
        lists: list[list[Any]] = [self._list_handlers, self.messages.handlers, *self._event_handlers.values()]
        with_it = [handlers for handlers in lists if handler in handlers]
        for handlers in with_it:
            handlers.remove(handler)
        return bool(with_it)

    def deliver_messages(self, messages: Sequence[Message]) -> None:
        """Deliver messages of one conversation that the local store reported as new, in order."""
        self.listeners.offer_messages(messages)
        if (self._list_handlers or self.messages.handlers) and messages:
            self._enqueue(messages[0].key, messages)

    def deliver_event(self, event: ClientEvent) -> None:
        """Deliver an event to the streams and to the handlers of its class, in the order of the events."""
        self.listeners.offer_event(event)
        if type(event) in self._event_handlers:
            self._enqueue(None, (event,))

    def begin_login(self, task: asyncio.Task[None]) -> None:
        """Begin a login, whose tasks live as long as `task`; `redeliver` has to be called when there are handlers."""
        self._caller.login_task = task
        self._redelivered = False

    async def redeliver(self) -> None:
        """Deliver the messages that earlier runs did not handle, before new ones, if there are handlers of single messages."""
        if not self._held:
            return
        try:
            unhandled = await self._record.load()
        except StorageError as exc:
            log.warning("reading the messages that were not handled failed; the next login delivers them: %s", exc)
            unhandled = []
        if self._held:  # no other call was faster
            self._redelivered = True
            waiting = self._waiting_ids()
            for message, attempt in unhandled:
                if message.local_id not in waiting:  # this run has stored those that wait
                    message._attempt, message._redelivered = attempt, True
            self.deliver_again([message for message, _ in unhandled])
            self._start_held()

    def deliver_again(self, messages: Sequence[Message]) -> None:
        """Deliver stored messages to the handlers of single messages, before the messages that wait.

        Without a login and such a handler, the next login delivers them.
        """
        if not self._redelivered:
            return
        waiting = self._waiting_ids()
        earlier: dict[ConversationKey | None, list[Message]] = {}
        for message in messages:
            if message.local_id not in waiting:
                earlier.setdefault(message.key, []).append(message)
        if earlier:
            log.info("delivering %d messages again that were not handled", sum(map(len, earlier.values())))
        for key, again in earlier.items():
            lane = self._lanes.setdefault(key, _Lane())
            begun = [lane.items.popleft()] if lane.listed else []  # the handlers may have this message now
            lane.items.extendleft(reversed([*begun, *again]))
            lane.listed += len(again)
            self._waiting += len(again)
            if not lane.running and not self._held:
                self._start(key)

    def _waiting_ids(self) -> set[int]:
        return {one.local_id for lane in self._lanes.values() for one in lane.items if isinstance(one, Message)}

    def _start_held(self) -> None:
        for key, lane in self._lanes.items():
            if not lane.running:
                self._start(key)

    async def wait_for_room(self) -> None:
        """Wait until messages may be stored: fewer than WAITING_LIMIT wait for handlers, and the program is not ending."""
        while self._waiting >= WAITING_LIMIT or not self._receiving:
            self._room.clear()
            await self._room.wait()

    async def finish(self) -> None:
        """Let no more messages be stored, and wait until the handlers of all stored ones have returned.

        Streams and waiters go on. Cancelling this method cancels the handlers.
        """
        self._receiving = False
        await self._end_lanes()

    async def drain(self, *, cancel: bool = False) -> None:
        """Close the streams and waiters, and wait until all handlers have returned.

        A handler that logs out is not waited for. If `cancel`, or if this method is cancelled, the handlers are cancelled.
        """
        self.listeners.close()
        await self._end_lanes(cancel=cancel)
        self._receiving = True  # for the next login
        self._redelivered = False

    async def _end_lanes(self, *, cancel: bool = False) -> None:
        if (handler := current_handler()) is not None:
            self._slots.give_up(handler)  # the lanes that it waits for may need its slot
        self._caller.begin_stop()
        self._start_held()
        try:
            await (cancel_handlers if cancel else wait_for_handlers)(self._tasks)
            await self._record.flush()
        finally:
            self._caller.end_stop()

    def records_messages(self) -> bool:
        """Return True if messages have handlers, so that they are to be stored as unhandled."""
        if not self.messages.handlers:
            return False
        self._record.expect_rows()
        return True

    def _enqueue(self, key: ConversationKey | None, items: Sequence[Message | ClientEvent]) -> None:
        self._waiting += len(items)
        lane = self._lanes.get(key)
        if lane is not None:
            lane.items.extend(items)
            return
        self._lanes[key] = _Lane(deque(items))
        if key is None or not self._held:
            self._start(key)

    def _start(self, key: ConversationKey | None) -> None:
        self._lanes[key].running = True
        task = asyncio.create_task(self._run(key), name=f"timim handlers {key or 'events'}", context=cell_context())
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SystemExit | KeyboardInterrupt):  # those end the event loop themselves
            log.error("task %s failed", task.get_name(), exc_info=error)

    def _taken(self, count: int) -> None:
        self._waiting -= count
        self._room.set()

    async def _run(self, key: ConversationKey | None) -> None:
        lane = self._lanes[key]
        me = asyncio.current_task()
        assert me is not None
        enter_handler(me)
        try:
            while lane.items:
                if key is None:
                    await self._handle_event(lane)
                else:
                    await self._handle_list(lane)
                    while lane.listed:
                        if not await self._handle_next(lane):
                            return
        finally:
            if lane.items and self._caller.serving:  # a handler cancelled its own task: another task delivers the next items
                self._start(key)
            else:
                self._taken(len(lane.items))  # a logout left them; the next login delivers unhandled messages
                del self._lanes[key]

    async def _handle_event(self, lane: _Lane) -> None:
        event = lane.items.popleft()
        handlers = self._event_handlers.get(type(event), [])  # type: ignore[arg-type]  # this lane has no messages
        try:
            for handler in list(handlers):
                if handler in handlers:  # not removed by an earlier handler
                    await self._caller.call(handler, event)
        finally:
            self._taken(1)

    async def _handle_list(self, lane: _Lane) -> None:
        """Call the handlers of lists with the next messages of a lane, unless they had these before."""
        if lane.listed:
            return
        batch: list[Any] = list(islice(lane.items, LIST_LIMIT))
        lane.listed = len(batch)
        if not self._list_handlers:
            return
        async with self._slots:
            for handler in list(self._list_handlers):
                if handler in self._list_handlers:
                    await self._caller.call(handler, list(batch))

    async def _handle_next(self, lane: _Lane) -> bool:
        """Handle the next message of a lane; return False if a logout leaves it unhandled.

        The message counts as waiting until its handlers have returned.
        """
        if not self.messages.handlers:
            self._finish_listed(lane)
            return True
        message: Any = lane.items[0]
        if not is_for_single_handlers(message):
            self._record.set_handled(message)
        elif not await self.messages.handle(message):
            return False
        lane.items.popleft()
        lane.listed -= 1
        self._taken(1)
        return True

    def _finish_listed(self, lane: _Lane) -> None:
        """Finish the messages that the handlers of lists had, because there are no other handlers."""
        count, lane.listed = lane.listed, 0
        messages: list[Any] = [lane.items.popleft() for _ in range(count)]
        self._record.set_handled(*messages)
        self._taken(count)
