"""The search in the messages of all conversations that are stored on this device."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from timim import Client, Message, SearchResult, Snippet, TimimError

from .key_line import KeyLine
from .text import clean, clock_of, day_of, name_of, sender_of

PAGE = 50  # messages of one page of results
MORE = Option("more results…", id="more")


class SearchScreen(ModalScreen[Message | None]):
    """Input of words and the messages that contain them. The result is the message that the user chose."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("ctrl+g", "fetch", "Fetch missing messages, search again"),
        Binding("down", "app.focus('results')", "Results", show=False),
    ]
    DEFAULT_CSS = """
    SearchScreen {
        & > Vertical { height: 1fr; background: $background; }
        & Input { border: none; height: 1; padding: 0 1; background: $panel; }
        & OptionList { height: 1fr; padding: 0 1; background: $background; text-wrap: nowrap; text-overflow: ellipsis; }
        & OptionList, & OptionList:focus { border: none; }
        & #found { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._words = ""
        self._messages: list[Message] = []
        self._last: SearchResult | None = None

    def compose(self) -> ComposeResult:
        """Yield the widgets of this screen or pane."""
        with Vertical():
            yield Input(placeholder="Words to search for; invo* finds invoice", id="words")
            yield OptionList(id="results", markup=False)
            yield Static("", id="found", markup=False)
        yield KeyLine()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search for the words."""
        self._words = event.value
        self._start(fetch_missing=False)

    def action_fetch(self) -> None:
        """Fetch the messages that are missing on this device, and search again."""
        if self._words:
            self._say("fetching messages…")
            self._start(fetch_missing=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """End with the chosen message, or load more."""
        if event.option.id == MORE.id:
            _: Worker[None] = self.run_worker(self._search_more, group="search", exclusive=True)
        else:
            self.dismiss(self._messages[event.option_index])

    def _start(self, *, fetch_missing: bool) -> None:
        _: Worker[None] = self.run_worker(partial(self._search, fetch_missing), group="search", exclusive=True)

    async def _search(self, fetch_missing: bool) -> None:
        try:
            found = await self._client.search(self._words, count=PAGE, fetch_missing=fetch_missing)
        except TimimError as exc:
            self._say(clean(str(exc)))
            return
        self._messages = []
        self._results.clear_options()
        self._add(found)
        if self._messages:
            self._results.focus()
            self._results.highlighted = 0

    async def _search_more(self) -> None:
        if self._last is None or self._last.next is None:
            return
        try:
            self._add(await self._client.search(self._words, count=PAGE, after=self._last.next))
        except TimimError as exc:
            self._say(clean(str(exc)))

    def _add(self, found: SearchResult) -> None:
        self._last = found
        if self._messages:
            self._results.remove_option_at_index(len(self._messages))
        self._messages += found
        self._results.add_options(Option(_line(message, found.snippet(message))) for message in found)
        if found.next is not None:
            self._results.add_option(MORE)
        missing = sum(gap.size for known in found.gaps.values() for gap in known.gaps)
        searched = "all messages were searched" if found.complete else "a conversation is not synced yet"
        searched = f"{missing} messages are not on this device: Ctrl+G fetches them" if missing else searched
        self._say(f"{len(self._messages)}{' or more' if found.next else ''} found; {searched}")

    @property
    def _results(self) -> OptionList:
        return self.query_one(OptionList)

    def _say(self, text: str) -> None:
        self.query_one("#found", Static).update(Content(text))


def _line(message: Message, snippet: Snippet) -> Content:
    """Return the result of one message: its conversation, time and sender, and the text around the found words."""
    head = f"{day_of(message)[:10]} {clock_of(message)} {name_of(message.conversation)}  {sender_of(message)}: "
    parts, end = [], 0
    for found in snippet.found:
        parts += [
            Content(clean(snippet.text[end : found.begin])),
            Content.styled(clean(snippet.text[found.begin : found.end]), "bold reverse"),
        ]
        end = found.end
    return Content.assemble((head, "dim"), *parts, clean(snippet.text[end:]))
