"""The application of the terminal chat: the login, the stream of events, and the screens over the chat.

Each item goes one way: the client's event stream → the worker `events` → `ChatScreen.show_event` → the widgets.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.worker import Worker

from timim import (
    Client,
    ClientEvent,
    ConnectionLost,
    ConversationKey,
    EventStream,
    KickedOut,
    Message,
    NetworkError,
    ProtocolError,
    StoreCorrupted,
    StreamOverflow,
    TimimError,
)

from .chat_screen import ChatScreen
from .text import clean

FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 30.0  # between attempts to log in
DRAFT_LIMIT_S = 2.0  # the end of the chat waits this long until the server has the draft

Item = ClientEvent | Message


class ChatApp(App[TimimError | None]):
    """Chat of one account in the terminal. The result is the error that ended the login, or None.

    Args:
        client: The client of the account, whose local store is open. The caller closes it.
        conversation: The conversation that is opened first; None shows the list.
    """

    TITLE = "timim chat"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", "Quit", priority=True),
    ]

    def __init__(self, client: Client, conversation: ConversationKey | None = None) -> None:
        super().__init__()
        self.client = client
        self._chat = ChatScreen(client, conversation)

    def get_default_screen(self) -> ChatScreen:
        """Return the screen of the chat."""
        return self._chat

    def on_mount(self) -> None:
        """Begin to log in."""
        _: Worker[None] = self.run_worker(self._log_in, group="login")

    async def action_leave(self) -> None:
        """End the chat. The text of the input becomes the draft of its conversation."""
        self._chat.writing.leave()
        drafts = [worker for worker in self.workers if worker.group == "drafts"]
        try:
            async with asyncio.timeout(DRAFT_LIMIT_S):
                await self.workers.wait_for_complete(drafts)
        except TimeoutError:
            pass  # the draft is stored on this device, and sent after the next login
        self.exit()

    async def _log_in(self) -> None:
        """Log in, and try again as long as the server cannot be reached."""
        pause_s = FIRST_PAUSE_S
        while True:
            _: Worker[None] = self.run_worker(partial(self._read, self.client.events()), group="events", exclusive=True)
            try:
                await self.client.login()
            except ProtocolError as exc:
                self.exit(exc)
                return
            except NetworkError as exc:
                self._chat.notice(clean(str(exc)))
            except TimimError as exc:
                self.exit(exc)
                return
            else:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
        self._chat.notice("")
        self._chat.set_online()

    async def _read(self, stream: EventStream[Item]) -> None:
        """Show each item of the stream, until the login ends."""
        while True:
            async with stream:
                try:
                    async for item in stream:
                        await self._show(item)
                    return
                except StreamOverflow:
                    pass  # the next stream begins now, and the history has the messages that this one dropped
            stream = self.client.events()
            self._chat.reload()

    async def _show(self, item: Item) -> None:
        match item:
            case KickedOut(error) | ConnectionLost(StoreCorrupted() as error):
                self.exit(error)
            case _:
                await self._chat.show_event(item)
