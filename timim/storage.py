"""The local store: messages, conversations and the history coverage of each conversation, in one SQLite file.

An outgoing message is stored as SENDING before its first byte is sent. The coverage is a set of closed intervals of seqs,
written in the transaction of the messages. Media content is not stored (Tencent IM SDK guide, 获取会话本地消息).
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from .errors import NotLoggedIn
from .local_store.conversations import ConversationTable
from .local_store.file import StoreFile
from .local_store.handling import HandlingRow, HandlingTable
from .local_store.message_actions import IncomingAction
from .local_store.messages import ANY_SEQ, MessageTable
from .local_store.meta import MetaTable
from .local_store.pending_changes import PendingChange, PendingChangeTable
from .local_store.requests import EXTENSIBLE, RECEIPT
from .local_store.scheduled import ScheduledMessage, ScheduledTable
from .local_store.types import (
    DELETIONS,
    Ack,
    AckResult,
    ConversationFlags,
    ConversationRow,
    Erased,
    Erasure,
    IngestBatch,
    IngestResult,
    LastPosition,
    ListedConversation,
    MessageBinder,
    MessageRow,
    Outgoing,
    PlainBinder,
    Removal,
    RowPosition,
    SearchRows,
)
from .local_store.unread import NO_LAST, NO_UNREAD, ServerUnreadCount, UnreadCounts, UnreadState
from .sqlite.database import batch_callback

__all__ = [
    "ANY_SEQ",
    "DELETIONS",
    "EXTENSIBLE",
    "NO_LAST",
    "NO_UNREAD",
    "RECEIPT",
    "Ack",
    "AckResult",
    "ConversationFlags",
    "ConversationRow",
    "Erased",
    "Erasure",
    "HandlingRow",
    "IncomingAction",
    "IngestBatch",
    "IngestResult",
    "LastPosition",
    "ListedConversation",
    "LocalStore",
    "MessageBinder",
    "MessageRow",
    "Outgoing",
    "PendingChange",
    "PlainBinder",
    "Removal",
    "RowPosition",
    "ScheduledMessage",
    "SearchRows",
    "ServerUnreadCount",
    "UnreadCounts",
    "UnreadState",
    "batch_callback",
]


class LocalStore:
    """Local store of one account on this device, open in one process at a time.

    Attributes:
        messages: The messages.
        conversations: The conversations, with their history coverage.
        handling: The messages that no handler has finished yet, and dead letters.
        scheduled: Messages to send at a later time.
        changes: Changes of conversations that the server has not accepted yet.
        meta: Named values, and the epoch of the server.
    """

    def __init__(self, path: Path | None, binder: MessageBinder | None = None) -> None:
        """Create a closed store, without I/O.

        Args:
            path: The file; None for a database in memory.
            binder: Binds each message that is read from the store to a client; None does not bind messages.
        """
        self._file = StoreFile(path)
        self.messages: MessageTable = MessageTable(self._file, binder or PlainBinder())
        self.conversations: ConversationTable = ConversationTable(self._file)
        self.handling: HandlingTable = HandlingTable(self._file)
        self.scheduled: ScheduledTable = ScheduledTable(self._file)
        self.changes: PendingChangeTable = PendingChangeTable(self._file)
        self.meta: MetaTable = MetaTable(self._file)

    @property
    def set_aside(self) -> Path | None:
        """The path of the corrupt file that the last `open()` moved aside; None if the file was intact."""
        return self._file.set_aside

    async def open(self) -> None:
        """Open the file, moving a corrupt file aside and creating a new one.

        Raises:
            StoreInUse: Another process, or another client, has the file open.
            StorageError: The file cannot be read or written.
        """
        await self._file.open()

    async def close(self) -> None:
        """Write pending changes and close the file. The store can be opened again.

        Raises:
            StorageError: The pending changes could not be written; the file is closed.
        """
        await self._file.close()

    def check_open(self) -> None:
        """Check that the store is open.

        Raises:
            NotLoggedIn: The store is closed.
        """
        if not self._file.is_open:
            raise NotLoggedIn("the client is not open: log in first, or open() it for local queries")

    def abandon(self) -> None:
        """Release the file after its event loop has ended, which closed the connections."""
        self._file.abandon()

    async def sync(self) -> None:
        """Sync all writes to the disk, so that a power cut does not undo them.

        Only messages that leave this device at once need this call; other writes are synced when they are done. Cancelling
        does not stop the sync.

        Raises:
            StorageError: The disk failed.
        """
        await self._file.sync()

    def flush(self) -> None:
        """Write deferred changes now instead of with the next read or write."""
        self._file.flush()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
