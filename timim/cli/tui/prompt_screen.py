"""A question over the chat that is answered with one line of text."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from .key_line import KeyLine


class PromptScreen(ModalScreen[str]):
    """Line of input with a question. The result is the text; "" after Escape.

    Args:
        question: The question.
        hint: A text under the input.
        answer: The text at the beginning.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Cancel")]
    DEFAULT_CSS = """
    PromptScreen {
        align: center middle;
        & > Vertical { width: 60; max-width: 100%; height: auto; padding: 1 2; background: $panel; }
        & Input { border: none; height: 1; padding: 0; }
    }
    """

    def __init__(self, question: str, hint: str, answer: str = "") -> None:
        super().__init__()
        self._question = question
        self._hint = hint
        self._answer = answer

    def compose(self) -> ComposeResult:
        """Yield the widgets of this screen or pane."""
        with Vertical():
            yield Static(self._question, markup=False)
            yield Input(self._answer, select_on_focus=True)
            yield Static(self._hint, markup=False)
        yield KeyLine()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """End with the text."""
        self.dismiss(event.value.strip())
