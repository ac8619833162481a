"""The screen of the chat: the list of conversations, the open conversation and the status. It shows each event."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from timim import (
    Client,
    ClientEvent,
    ConnectionLost,
    ConnectionRestored,
    Conversation,
    ConversationChanged,
    ConversationKey,
    HistoryReset,
    Message,
    TypingChanged,
)

from .composer import Composer
from .conversation_choices import ConversationChoices
from .history_pane import HistoryPane
from .key_line import KeyLine
from .message_list import MessageList
from .notices import notice_of
from .prompt_screen import PromptScreen
from .status_bar import LinkState, StatusBar
from .text import clean
from .writing_pane import WritingPane

REACTIONS = ("👍", "❤", "😂", "😮", "😢", "🙏")
TICK_S = 0.5
REFRESH_S = 0.05
TYPING_S = 10.0  # a sender that loses its connection sends no end of its typing
NARROW = 60  # columns below which the list hides while a conversation is open


class ChatScreen(Screen[None]):
    """Screen with the conversations on the left and the open one on the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "choose", "List"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]  # noqa: RUF012  an instance variable of Screen
    DEFAULT_CSS = """
    ChatScreen {
        & #conversations { width: 24; height: 1fr; border-right: solid $panel; }
        & #chat { width: 1fr; height: 1fr; }
        &.-narrow #conversations { display: none; }
        &.-narrow.-choosing #conversations { display: block; width: 1fr; }
        &.-narrow.-choosing #chat { display: none; }
    }
    """

    def __init__(self, client: Client, first: ConversationKey | None) -> None:
        super().__init__()
        self.client = client
        self._first = first
        self._refreshing = False
        self._typing: dict[tuple[ConversationKey, str], float] = {}  # when the status of a user expires

    def compose(self) -> ComposeResult:
        """Yield the widgets of this screen or pane."""
        with Horizontal():
            yield ConversationChoices(id="conversations")
            with Vertical(id="chat"):
                yield HistoryPane(id="history")
                yield WritingPane(id="writing")
        yield StatusBar(self.client.user_id, id="status")
        yield KeyLine()

    @property
    def choices(self) -> ConversationChoices:
        """The list of conversations."""
        return self.query_one(ConversationChoices)

    @property
    def history(self) -> HistoryPane:
        """The messages of the open conversation."""
        return self.query_one(HistoryPane)

    @property
    def writing(self) -> WritingPane:
        """The input."""
        return self.query_one(WritingPane)

    @property
    def status(self) -> StatusBar:
        """The status bar."""
        return self.query_one(StatusBar)

    @property
    def _ends(self) -> bool:
        """True while the parts of the screen are being removed."""
        return len(self.query("ConversationChoices, MessageList, Composer, StatusBar")) < 4

    def on_mount(self) -> None:
        """Show the conversations that this device has stored."""
        self.set_interval(TICK_S, self.refresh_all)
        self.refresh_all()
        if self._first is not None:
            self.open(self.client.conversation(*self._first))
        else:
            self.action_choose()

    def open(self, conversation: Conversation, found: Message | None = None) -> None:
        """Open a conversation at its end, or around a message that was found."""
        self.remove_class("-choosing")
        self.writing.open(conversation)
        self.history.open(conversation, found)
        self.writing.composer.focus()
        self.refresh_all()

    def action_choose(self) -> None:
        """Move the focus to the list of conversations."""
        self.add_class("-choosing")
        self.choices.focus()

    def _save(self, message: Message, folder: str | None) -> None:
        if folder:
            self.writing.save(message, folder)

    def _react(self, message: Message, reaction: str | None) -> None:
        if reaction:
            index = int(reaction) - 1 if reaction.isascii() and reaction.isdigit() else -1
            chosen = REACTIONS[index] if 0 <= index < len(REACTIONS) else reaction
            self.writing.react(message, chosen, self.client.user_id)

    def on_conversation_choices_chosen(self, event: ConversationChoices.Chosen) -> None:
        """Open the chosen conversation."""
        self.open(self.client.conversation(*event.key))

    def on_composer_submitted(self, event: Composer.Submitted) -> None:
        """Send a message, or execute a command."""
        self.writing.submit(event.text)

    def on_composer_scroll_history(self, event: Composer.ScrollHistory) -> None:
        """Scroll the messages, or move the focus to them."""
        messages = self.history.messages
        if event.select:
            messages.focus()
        elif event.direction < 0:
            messages.scroll_page_up(animate=False)
        else:
            messages.scroll_page_down(animate=False)

    async def on_writing_pane_message_shown(self, event: WritingPane.MessageShown) -> None:
        """Show a message that is being sent."""
        await self.history.add(event.key, event.message, to_end=event.new)
        self._refresh_soon()

    def on_writing_pane_message_refused(self, event: WritingPane.MessageRefused) -> None:
        """Remove a message that was not stored."""
        self.history.withdraw(event.message)

    def on_message_list_act(self, event: MessageList.Act) -> None:
        """Execute an action on the selected message: reply, react, resend or save."""
        match event.action:
            case "reply":
                self.writing.answer(event.message)
                self.history.messages.clear_selection()
            case "resend":
                self.writing.resend(event.message)
            case "react":
                choices = "  ".join(f"{number} {reaction}" for number, reaction in enumerate(REACTIONS, 1))
                prompt = PromptScreen("React with a number, or with a text", choices)
                self.app.push_screen(prompt, partial(self._react, event.message))
            case _:
                prompt = PromptScreen(
                    "Save the files of the message in this folder", "the folder is made if it is missing", "~"
                )
                self.app.push_screen(prompt, partial(self._save, event.message))

    def set_online(self) -> None:
        """Note that the client has logged in, or connected again."""
        if self._ends:
            return
        self.status.set_link(LinkState.ONLINE)
        self.history.set_online(True)
        self.writing.take_draft()
        self.refresh_all()

    def reload(self) -> None:
        """Load the newest messages again, because events were dropped."""
        if not self._ends:
            self.history.reload()
            self._refresh_soon()

    async def show_event(self, event: ClientEvent | Message) -> None:
        """Show a new message or an event of the client."""
        if self._ends:
            return
        match event:
            case Message():
                self._typing.pop((event.key, event.sender), None) if event.key is not None else None
                await self.history.add(event.key, event)
            case ConnectionLost():
                self.status.set_link(LinkState.LOST)
                self.history.set_online(False)
            case ConnectionRestored():
                self.set_online()
            case TypingChanged(conversation, user, active):
                self._typing[conversation, user] = time.monotonic() + (TYPING_S if active else 0)
            case ConversationChanged():
                self.writing.take_draft()
            case HistoryReset():
                self.history.reload()
                self.notice(notice_of(event))
            case _:
                if text := notice_of(event):
                    self.notice(text)
        self._refresh_soon()

    def _refresh_soon(self) -> None:
        """Refresh once for all events of a moment, because a sync can deliver thousands."""
        if not self._refreshing:
            self._refreshing = True
            self.set_timer(REFRESH_S, self.refresh_all)

    def notice(self, text: str) -> None:
        """Show a text in the status bar."""
        if not self._ends:
            self.status.set_notice(text)

    def refresh_all(self) -> None:
        """Show the present state of the conversations and messages."""
        self._refreshing = False
        if self._ends:
            return
        now = time.monotonic()
        self._typing = {key: until for key, until in self._typing.items() if until > now}
        opened = self.history.key
        users = [clean(user) for key, user in self._typing if key == opened]
        self.history.set_typing(f"{', '.join(users)} is typing…" if users else "")
        self.history.show()
        self.choices.show(self.client.conversations[:], opened)
        self.status.set_unread(self.client.unread)
