"""The store: all persistent data of a server, grouped by noun. An entry gets its seq in the transaction that stores it.

The same sender, msg_id and timeline always give the same entry, without a time limit. The same msg_id with another body
raises MsgIdConflict, and nothing is stored. Seqs of a timeline are 1, 2, 3, … without gaps; its times never decrease.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial

from . import changeset, meta, versions
from .accounts import AccountStore
from .callbacks import CallbackStore, StoredCallback
from .conversations import ConversationStore, SettingLimits
from .deletions import DeletionStore
from .delivery_cursors import DeliveryCursorStore
from .device_slots import DeviceSlotStore
from .do_not_disturb import DoNotDisturbStore
from .entities import (
    ANY_MEMBER,
    MUTED_FOR_EVER,
    Blob,
    ChangedConversation,
    ConversationChange,
    Member,
    Read,
    ReadVersions,
    Receipt,
    Relationships,
    StoredAccount,
    StoredFriend,
    StoredGroup,
    StoredTopic,
    Unread,
    Upload,
    UserConversation,
)
from .entries import (
    ACTION,
    HIDDEN,
    MESSAGE,
    RECALLED,
    TARGETED,
    UNCOUNTED,
    UNLISTED,
    Appended,
    MsgKey,
    NewAction,
    NewEntry,
    StoredAction,
    StoredEntry,
    TimelinePage,
    c2c_timeline,
    group_timeline,
    system_timeline,
    timeline_of,
)
from .follows import FollowStore
from .groups import GroupStore
from .labels import LabelStore
from .locks import ClusterLocks
from .media import MediaStore, UploadLimits
from .message_actions import MessageActionStore
from .message_extensions import MessageExtensionStore
from .mutations import Change, StaleRead
from .new_callbacks import NewCallback
from .operation import SqlEngine
from .receipts import ReceiptStore
from .revocations import RevocationStore
from .search import SearchStore
from .statistics import DayStatistics, StatisticsStore, Totals
from .timelines import TimelineStore, TooOld
from .topics import TopicState, TopicStore
from .version_checks import VersionCheck, VersionedKind

__all__ = [
    "ACTION",
    "ANY_MEMBER",
    "HIDDEN",
    "MESSAGE",
    "MUTED_FOR_EVER",
    "RECALLED",
    "TARGETED",
    "UNCOUNTED",
    "UNLISTED",
    "Appended",
    "Blob",
    "Change",
    "ChangedConversation",
    "ConversationChange",
    "DayStatistics",
    "MediaStore",
    "Member",
    "MsgKey",
    "NewAction",
    "NewCallback",
    "NewEntry",
    "Read",
    "ReadVersions",
    "Receipt",
    "Relationships",
    "SettingLimits",
    "StaleRead",
    "Store",
    "StoredAccount",
    "StoredAction",
    "StoredCallback",
    "StoredEntry",
    "StoredFriend",
    "StoredGroup",
    "StoredTopic",
    "TimelinePage",
    "TooOld",
    "TopicState",
    "Totals",
    "Unread",
    "Upload",
    "UploadLimits",
    "UserConversation",
    "VersionCheck",
    "VersionedKind",
    "c2c_timeline",
    "group_timeline",
    "system_timeline",
    "timeline_of",
]


class Store:
    """All persistent data of a server, on any engine.

    Every method may raise StorageError. A write that raised has stored nothing, unless the error text says otherwise.
    """

    def __init__(self, engine: SqlEngine, locks: ClusterLocks, timelines: TimelineStore | None = None) -> None:
        self._engine = engine
        self.locks = locks
        self.timelines = timelines or TimelineStore(engine)
        self.message_actions = MessageActionStore(engine)
        self.message_extensions = MessageExtensionStore(engine)
        self.conversations = ConversationStore(engine)
        self.receipts = ReceiptStore(engine)
        self.accounts = AccountStore(engine)
        self.groups = GroupStore(engine)
        self.topics = TopicStore(engine)
        self.media = MediaStore(engine)
        self.device_slots = DeviceSlotStore(engine)
        self.revocations = RevocationStore(engine)
        self.follows = FollowStore(engine)
        self.labels = LabelStore(engine)
        self.deletions = DeletionStore(engine)
        self.do_not_disturb = DoNotDisturbStore(engine)
        self.search = SearchStore(engine)
        self.delivery_cursors = DeliveryCursorStore(engine)
        self.callbacks = CallbackStore(engine)
        self.statistics = StatisticsStore(engine)

    async def open(self) -> None:
        """Open the database and migrate its schema."""
        await self._engine.open()

    async def close(self) -> None:
        """Release the locks, execute the queued writes, and close the database."""
        await self.locks.close()
        await self._engine.close()

    def apply(
        self,
        changes: Sequence[Change],
        entries: Sequence[NewEntry],
        read: ReadVersions | None = None,
        checks: Sequence[VersionCheck] = (),
        callbacks: Sequence[NewCallback] = (),
    ) -> Awaitable[list[Appended]]:
        """Write changes, then append entries, then insert callbacks, in one transaction.

        The write is queued when this call returns, so writes are executed in the order of the calls of `append` and `apply`.

        Args:
            changes: Row changes, written in this order.
            entries: Entries that are appended after the changes.
            read: Versions of the entities that change, from which the changeset was decided.
            checks: Versions of other entities from which the changeset was decided.
            callbacks: Callbacks that the changes cause.

        Raises:
            GroupExists: The id of a new group is taken.
            MsgIdConflict: An entry reuses the msg_id of another message.
            StaleRead: A version is no longer the current one; read the entities again and decide again.
        """
        return self._engine.submit(partial(changeset.apply, changes, entries, read or ReadVersions(), checks, callbacks))

    async def outdated(self, checks: Sequence[VersionCheck]) -> bool:
        """Return True if the entity of one of the checks has changed or does not exist any more."""
        return await self._engine.read(partial(versions.outdated, checks))

    async def meta(self, key: str, default: str) -> str:
        """Return a persistent setting. If it does not exist, store and return `default`."""
        known = await self._engine.read(partial(meta.get, key))
        return known if known is not None else await self._engine.write(partial(meta.ensure, key, default))

    async def set_meta(self, key: str, value: str) -> None:
        """Store a persistent setting."""
        await self._engine.write(partial(meta.set_value, key, value))
