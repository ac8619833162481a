"""The messages of the open conversation, which load as far as the user scrolls.

Invariant: one worker at a time loads history.
"""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from timim import Conversation, ConversationKey, Message

from .loader import OpenConversation
from .message_list import MessageList
from .pane import Pane, Work
from .rows import Gap
from .text import name_of

LOADING, OFFLINE = "loading messages…", "more messages load when there is a connection"


class HistoryPane(Pane):
    """The title and the messages of a conversation."""

    DEFAULT_CSS = """
    HistoryPane {
        height: 1fr;
        & > #title { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #messages { height: 1fr; padding: 0 1; }
    }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._opened: OpenConversation | None = None
        self._online = False
        self._loads = 0  # loads so far
        self._loading = False
        self._typing = ""
        self._read_seq = 0  # the seq up to which the messages were last marked as read

    def compose(self) -> ComposeResult:
        """Yield the widgets of this screen or pane."""
        yield Static("", id="title", markup=False)
        yield MessageList(id="messages")

    @property
    def messages(self) -> MessageList:
        """The list of messages."""
        return self.query_one(MessageList)

    @property
    def key(self) -> ConversationKey | None:
        """The key of the open conversation."""
        return self._opened.conversation.key if self._opened is not None else None

    def open(self, conversation: Conversation, found: Message | None = None) -> None:
        """Show a conversation, at its end or around a message that was found."""
        if conversation.key != self.key:
            self._opened = OpenConversation(conversation)
            self._read_seq = 0
        assert self._opened is not None
        self.messages.clear_selection()
        self.show(to_end=True)
        load = partial(self._load_newest, self._opened) if found is None else partial(self._load_around, self._opened, found)
        self._load(load)

    def set_online(self, online: bool) -> None:
        """Note the state of the connection; with a new one, the newest messages and visible gaps are loaded."""
        self._online = online
        if online:
            self.reload()
        self.show()

    def reload(self) -> None:
        """Load the newest messages again, and then the gaps in view."""
        if self._opened is not None:
            self._opened.retry_gaps()
            if self._opened.rows.live:
                self._load(partial(self._load_newest, self._opened))

    async def add(self, key: ConversationKey | None, message: Message, *, to_end: bool = False) -> None:
        """Add a message that arrived, is being sent or was numbered, if this conversation is open; `show()` shows it.

        Args:
            key: The conversation of the message.
            message: The message.
            to_end: True shows the message now, and moves the view to it.
        """
        if self._opened is not None and key == self.key:
            await self.report(partial(self._add, self._opened, message, to_end=to_end))

    async def _add(self, opened: OpenConversation, message: Message, *, to_end: bool) -> None:
        if to_end and not opened.rows.live:
            await opened.load_newest()
        await opened.add_new(message)
        if to_end:
            self.show(to_end=True)

    def withdraw(self, message: Message) -> None:
        """Remove a message that could not be stored."""
        if self._opened is not None and message in self._opened.rows:
            self._opened.rows.remove(message)
            self.show()

    def set_typing(self, typing: str) -> None:
        """Set the users who are typing; "" for none."""
        self._typing = typing

    def show(self, *, to_end: bool = False) -> None:
        """Show the present state of all messages."""
        opened = self._opened
        if opened is None or len(self.children) < 2:  # none is open, or the chat ends
            return
        if self.messages.follows_end:
            opened.trim()
        rows = opened.rows
        self.messages.show(list(rows), begins=rows.begins, gap_text=LOADING if self._online else OFFLINE, to_end=to_end)
        title = Content.assemble((name_of(opened.conversation), "bold"), f"  {self._typing}")
        self.query_one("#title", Static).update(title)
        self._mark_read(opened)

    def on_message_list_gap_in_view(self, event: MessageList.GapInView) -> None:
        """Load the messages of a gap that the user sees."""
        opened = self._opened
        if opened is not None and not self._loading and event.gap in opened.gaps():
            self._load(partial(self._load_gap, opened, event.gap))

    def _load(self, load: Work) -> None:
        """Load history in a worker; a load that runs is cancelled."""
        self._loads += 1
        self._loading = True
        self.work(partial(self._run_load, load, self._loads), "history", exclusive=True)

    async def _run_load(self, load: Work, number: int) -> None:
        try:
            await load()
        finally:
            if number == self._loads:
                self._loading = False
        self.show()

    async def _load_newest(self, opened: OpenConversation) -> None:
        await opened.load_newest()
        self._show_loaded(opened)

    async def _load_around(self, opened: OpenConversation, found: Message) -> None:
        await opened.load_around(found)
        if self._show_loaded(opened):
            self.messages.focus()
            self.messages.select(found, middle=True)

    async def _load_gap(self, opened: OpenConversation, gap: Gap) -> None:
        await opened.load(gap)
        self._show_loaded(opened)

    def _show_loaded(self, opened: OpenConversation) -> bool:
        if opened is self._opened:
            self.show()
        return opened is self._opened

    def _mark_read(self, opened: OpenConversation) -> None:
        last = opened.rows.last
        if not opened.conversation.unread or not opened.rows.live or last is None or last.seq == self._read_seq:
            return
        if self.messages.follows_end and self.screen.is_current and self.app.app_focus:
            self._read_seq = last.seq
            self.work(opened.conversation.mark_read, "reading", exclusive=True)
