"""The keys and signs of the chat."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from .key_line import KeyLine

HELP = """\
Everywhere
  Tab, Shift+Tab   conversations, messages, input
  F2               conversations          Ctrl+F   search
  Ctrl+N           open by id             Ctrl+Q   quit
Input
  Enter            send                   Ctrl+J   new line
  PgUp, PgDn       scroll the messages    ↑        select a message
  /file PATH   /image PATH                //text   a text with a slash
Messages
  ↑ ↓              select; older messages load above the first one
  r  reply    e  react, or take a reaction back
  s  save files    f  send a failed message again
  Esc              back to the input
Signs
  …  sending     ✓  sent     ✓✓  read     ✗  failed
  ┄  messages may be missing here; they load when you see this line
  (3)  unread    @  you are mentioned    ↑  pinned"""


class HelpScreen(ModalScreen[None]):
    """Screen that explains the keys and the signs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,enter", "dismiss(None)", "Back", key_display="esc")]
    DEFAULT_CSS = """
    HelpScreen {
        & > VerticalScroll { height: 1fr; padding: 0 2; background: $background; }
    }
    """

    def compose(self) -> ComposeResult:
        """Yield the widgets of this screen or pane."""
        with VerticalScroll():
            yield Static(HELP, markup=False)
        yield KeyLine()
