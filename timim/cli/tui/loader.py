"""The open conversation: loads pages into its rows, from the server where possible and otherwise from this device."""

from __future__ import annotations

from collections.abc import Sequence

from timim import Conversation, Interval, Message, TimimError

from .rows import Gap, MessageRows, is_missing_between

PAGE = 50  # messages of one load: two screens of a large terminal
KEPT = 500  # messages in memory while the view is at the end: comparing 500 rows takes 4 ms


class OpenConversation:
    """A conversation and its loaded rows.

    Attributes:
        conversation: The conversation.
        rows: Its loaded messages and gaps.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.rows = MessageRows()
        self._exhausted: set[tuple[int, int]] = set()  # gaps that could not be loaded

    async def load_newest(self) -> None:
        """Load the newest messages, and add them to the loaded ones.

        Raises:
            TimimError: The local store failed, or the server refused the request.
        """
        self._exhausted.clear()
        if not self.rows.live:
            self.rows = MessageRows()  # a part of the history around a found message
        await self._add_page(before=None)
        self.rows.live = True

    async def load_around(self, message: Message) -> None:
        """Replace the rows by the messages around this one.

        Raises:
            TimimError: The local store failed, or the server refused the request.
        """
        self._exhausted.clear()
        rows = self.rows = MessageRows()
        rows.add_page([message])
        await self.load(Gap(None, message))
        await self.load(Gap(message, None))

    async def load(self, gap: Gap) -> None:
        """Load a page of the messages that are missing in a gap, the newest first, or the oldest if the end is open.

        A gap that yields nothing is not loaded again until `retry_gaps`.

        Raises:
            TimimError: The local store failed, or the server refused the request.
        """
        try:
            if gap.newer is not None or gap.older is None:
                await self._load_before(gap)
            else:
                await self._load_after(gap, gap.older)
        except TimimError:
            self._exhausted.add(_ends(gap))
            raise

    async def _load_before(self, gap: Gap) -> None:
        known = len(self.rows)
        await self._add_page(before=gap.newer)
        if len(self.rows) == known:
            self._exhausted.add(_ends(gap))

    async def _load_after(self, gap: Gap, older: Message) -> None:
        page = await self.conversation.get_messages(PAGE, after=older)
        self.rows.add_page(page[::-1], after=older)
        if page.complete and len(page) < PAGE:
            self.rows.live = True
        elif not page:
            self._exhausted.add(_ends(gap))

    async def _add_page(self, *, before: Message | None) -> None:
        """Add the page before a message, or the newest one. A page of this device can have gaps.

        Raises:
            TimimError: The local store failed, or the server refused the request.
        """
        rows = self.rows
        page = await self.conversation.get_messages(PAGE, before=before)
        gaps: Sequence[Interval] = ()
        proven = page.complete
        if not proven:
            page, gaps = await self.conversation.get_local_messages(PAGE, before=before), await self._gaps()
        rows.add_page(page[::-1], before=before, gaps=gaps)
        first = rows.first
        known_to_begin = first is not None and not is_missing_between(0, first.seq, gaps)
        if len(page) < PAGE and (proven or known_to_begin):
            rows.begins = True

    async def add_new(self, message: Message) -> None:
        """Add a message that arrived, is being sent or was numbered.

        A message outside of the loaded part is not added, because it loads with its neighbours.

        Raises:
            StorageError: The local store failed.
        """
        first = self.rows.first
        loaded = self.rows.live and (not message.seq or first is None or message.seq > first.seq)
        if loaded or message in self.rows:
            last = self.rows.last
            follows = last is not None and message.seq == last.seq + 1
            self.rows.add_new(message, await self._gaps() if message.seq and not follows else ())

    def retry_gaps(self) -> None:
        """Allow another attempt to load each gap."""
        self._exhausted.clear()

    def gaps(self) -> list[Gap]:
        """Return the gaps that can be loaded, in order."""
        return [row for row in self.rows if isinstance(row, Gap) and _ends(row) not in self._exhausted]

    def trim(self) -> None:
        """Forget the oldest of many messages."""
        if self.rows.live:
            self.rows.drop_oldest(KEPT)

    async def _gaps(self) -> Sequence[Interval]:
        return (await self.conversation.coverage()).gaps


def _ends(gap: Gap) -> tuple[int, int]:
    return gap.older.seq if gap.older is not None else 0, gap.newer.seq if gap.newer is not None else 0
