"""The local store: messages, conversations and what is known of each timeline, in one SQLite file.

A message is here as SENDING before its first byte leaves. What this device knows of a timeline is a set of closed
intervals, kept in the same transaction as the rows. No media bytes are kept (source: 获取会话本地消息).
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from .errors import NotLoggedIn
from .local_store.conversations import ConversationTable
from .local_store.file import StoreFile
from .local_store.message_actions import IncomingAction, ServerUnreadCount, UnreadCounts
from .local_store.messages import ANY_SEQ, MessageTable
from .local_store.meta import MetaTable
from .local_store.types import (
    Ack,
    AckResult,
    ConversationFlags,
    ConversationRow,
    IngestBatch,
    IngestResult,
    MessageBinder,
    MessageRow,
    PlainBinder,
    RowPosition,
    SearchRows,
)

__all__ = [
    "ANY_SEQ",
    "Ack",
    "AckResult",
    "ConversationFlags",
    "ConversationRow",
    "IncomingAction",
    "IngestBatch",
    "IngestResult",
    "LocalStore",
    "MessageBinder",
    "MessageRow",
    "PlainBinder",
    "RowPosition",
    "SearchRows",
    "ServerUnreadCount",
    "UnreadCounts",
]


class LocalStore:
    """The store of one account on this device. One process at a time has it open.

    Attributes:
        messages: Its messages.
        conversations: Its conversations, and what is known of their timelines.
        meta: Named values, and the server's epoch.
    """

    def __init__(self, path: Path | None, binder: MessageBinder | None = None) -> None:
        """Do no I/O.

        Args:
            path: The file; None keeps everything in memory.
            binder: Binds each message that leaves the store; None leaves them as they are.
        """
        self._file = StoreFile(path)
        self.messages: MessageTable = MessageTable(self._file, binder or PlainBinder())
        self.conversations: ConversationTable = ConversationTable(self._file)
        self.meta: MetaTable = MetaTable(self._file)

    @property
    def set_aside(self) -> Path | None:
        """Return where the last `open()` put a corrupt file, None when the file was whole."""
        return self._file.set_aside

    async def open(self) -> None:
        """Open the file. A corrupt one is set aside, and a fresh one is open then.

        Raises:
            StoreInUse: Another process, or another client, has it open.
            StorageError: The file cannot be read or written.
        """
        await self._file.open()

    async def close(self) -> None:
        """Write what waits and close the file. The store can be opened again."""
        await self._file.close()

    def check_open(self) -> None:
        """Raise NotLoggedIn when the store is closed."""
        if not self._file.is_open:
            raise NotLoggedIn("the client is not open: log in first, or open() it for local queries")

    def flush(self) -> None:
        """Write now what waits for the next read or write."""
        self._file.flush()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
