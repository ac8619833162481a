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
    ConversationType,
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
from .help_screen import HelpScreen
from .prompt_screen import PromptScreen
from .search_screen import SearchScreen
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
        Binding("f1", "help", "Help"),
        Binding("ctrl+f", "search", "Search"),
        Binding("ctrl+n", "open", "Open"),
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

    def action_help(self) -> None:
        """Show the screen that explains the keys and the signs."""
        self.push_screen(HelpScreen())

    def action_search(self) -> None:
        """Search in all messages."""
        self.push_screen(SearchScreen(self.client), self._open_found)

    def action_open(self) -> None:
        """Ask for the id of a conversation and open it."""
        self.push_screen(PromptScreen("Open a conversation", "the id of a user, or # and the id of a group"), self._open_id)

    def _open_found(self, found: Message | None) -> None:
        if found is not None:
            self._chat.open(found.conversation, found)

    def _open_id(self, id: str | None) -> None:
        if not id:
            return
        type = ConversationType.GROUP if id.startswith("#") else ConversationType.C2C
        try:
            self._chat.open(self.client.conversation(type, id.removeprefix("#")))
        except TimimError as exc:
            self._chat.notice(clean(str(exc)))

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
