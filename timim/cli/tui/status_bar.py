"""One line with the account, the connection, the unread messages, transfers and the last notice."""

from __future__ import annotations

import enum

from textual.content import Content
from textual.widgets import Static


class LinkState(enum.Enum):
    """State of the connection, as the status bar shows it."""

    CONNECTING = "connecting…"
    ONLINE = "online"
    LOST = "connection lost, reconnecting…"


class StatusBar(Static):
    """Line of the status.

    Attributes:
        link: The state of the connection.
    """

    DEFAULT_CSS = """
    StatusBar {
        height: 1;
        padding: 0 1;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, user_id: str, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.link = LinkState.CONNECTING
        self._user_id = user_id
        self._unread = 0
        self._transfer = ""
        self._notice = ""

    def set_link(self, link: LinkState) -> None:
        """Show the state of the connection."""
        self.link = link
        self._show()

    def set_unread(self, unread: int) -> None:
        """Show the number of unread messages."""
        if unread != self._unread:
            self._unread = unread
            self._show()

    def set_transfer(self, transfer: str) -> None:
        """Show the progress of an upload or a download; "" for none."""
        if transfer != self._transfer:
            self._transfer = transfer
            self._show()

    def set_notice(self, notice: str) -> None:
        """Show the result of the last command; "" for none."""
        if notice != self._notice:
            self._notice = notice
            self._show()

    def on_mount(self) -> None:
        """Show the status."""
        self._show()

    def _show(self) -> None:
        style = "bold $text-success" if self.link is LinkState.ONLINE else "bold $text-warning"
        parts = [Content(self._user_id), Content.styled(self.link.value, style)]
        if self._unread:
            parts.append(Content(f"{self._unread} unread"))
        parts += [Content(text) for text in (self._transfer, self._notice) if text]
        self.update(Content(" · ").join(parts))
