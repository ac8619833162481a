"""The callbacks after a C2C conversation was read, and after members read messages that request receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...protocol import callbacks as names
from ..social.callers import Caller, current_caller
from ..social.outbox import CallbackOutbox, CallbackReport
from ..social.reports import group_fields, member_list
from ..store.base import NewCallback, Read, Receipt
from .registry import RequestContext


@dataclass(slots=True)
class ReadReport:
    """Builds the callbacks of one change of a read seq. Its methods are called in the transaction of the change.

    Attributes:
        outbox: The outbox.
        caller: The caller of the request.
        user: The reader.
        timeline: The conversation.
        time: The time of reading, in seconds.
        peer: The other user of a C2C conversation.
        group_id: The group or topic.
        group: The fields that name it.
        floors: The first seq that each member of the group may see, at the time of the request.
    """

    outbox: CallbackOutbox
    caller: Caller
    user: str
    timeline: str
    time: int
    peer: str = ""
    group_id: str = ""
    group: Mapping[str, object] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)
    _rows: tuple[NewCallback, ...] = ()

    def of_read(self, read: Read) -> tuple[NewCallback, ...]:
        """Return the callbacks of a read seq that has risen."""
        if not self.outbox.commands:
            return ()
        if self.group_id:
            return self.of_receipts(read.receipts)
        body = {"Report_Account": self.user, "Peer_Account": self.peer, "LastReadTime": self.time}
        self._rows = self.outbox.rows((CallbackReport(self.timeline, names.C2C_READ, body),) if self.peer else (), self.caller)
        return self._rows

    def of_receipts(self, receipts: Sequence[Receipt]) -> tuple[NewCallback, ...]:
        """Return the callback of the messages that the user has read."""
        if not self.outbox.commands or not receipts:
            return ()
        items = [
            {
                "MsgSeq": receipt.seq,
                "ReadNum": receipt.readers,
                "UnreadNum": max(0, self._receivers(receipt) - receipt.readers),
                "ReadReceiptMembers": member_list((self.user,)),
            }
            for receipt in receipts
        ]
        body = {**self.group, "GroupMsgReceiptList": items}
        self._rows = self.outbox.rows((CallbackReport(self.timeline, names.GROUP_READ, body),), self.caller)
        return self._rows

    def _receivers(self, receipt: Receipt) -> int:
        return sum(floor <= receipt.seq for user, floor in self.floors.items() if user != receipt.sender)

    def on_stored(self) -> None:
        """Deliver the callbacks, which are committed now."""
        self.outbox.on_stored(self._rows)


async def read_report(context: RequestContext, timeline: str, *, peer: str = "", group_id: str = "") -> ReadReport:
    """Return the builder of the callbacks of a read seq of the caller.

    Raises:
        UnknownGroup: The group does not exist.
    """
    services = context.services
    report = ReadReport(
        services.integrations.outbox, current_caller(), context.user, timeline, int(services.now()), peer, group_id
    )
    if group_id and names.GROUP_READ in report.outbox.commands:
        group = await services.entities.group_or_topic(group_id)
        report.group = group_fields(group)
        report.floors = {user: group.first_visible_seq(user) for user in group.members}
    return report
