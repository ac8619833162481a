"""Admission: whether a message is let in where it goes, by relationships, mutes, roles, and the rate of a group.

social/group_permissions.py says what somebody may do in a group at all. Decided without I/O; only the rates change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import Blacklisted, InvalidArgument, Muted, NotFriends, RateLimited
from ..metrics import Metrics
from ..social.group_permissions import MEMBER, Permission, require
from ..store.base import Relationships, StoredGroup
from .rate_limiter import GroupRateLimiter
from .validation import MessageValidator, OutgoingMessage


class Admission:
    """`receipt_members`: in larger groups no message asks for receipts. `now`: the server's clock in seconds since 1970."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        now: Callable[[], float],
        friends_only: bool = False,
        rates: GroupRateLimiter | None = None,
        receipt_members: int = 200,
    ) -> None:
        self._metrics = metrics
        self._now = now
        self._friends_only = friends_only
        self._rates = rates if rates is not None else GroupRateLimiter(0, 1)
        self._receipt_members = receipt_members

    def check_c2c(self, sender: str, receiver: str, relationships: Relationships) -> None:
        """Check a C2C message. Raises Blacklisted, NotFriends."""
        if sender in relationships.blocked:
            raise Blacklisted(f"{receiver!r} has {sender!r} on the blacklist", code=20007)
        if self._friends_only and sender != receiver:
            listed, lists = sender in relationships.friends, sender in relationships.listed_by
            if not (listed and lists):
                code = 20011 if listed else 20010 if lists else 20009
                raise NotFriends(f"{sender!r} and {receiver!r} are not friends of each other", code=code)

    def check_group(self, outgoing: OutgoingMessage, group: StoredGroup) -> None:
        """Check a message to a group. Raises NotAMember, NoPermission, Muted, RateLimited."""
        user, now = outgoing.sender, self._now()
        require(group, user, Permission.SPEAK)
        member = group.members[user]
        if member.muted_until > now:
            left = member.muted_until - now
            raise Muted(f"{user!r} is muted in group {group.group_id!r} for {left:.0f} s", retry_after=left)
        if group.muted_all and member.role == MEMBER:
            raise Muted(f"all members of group {group.group_id!r} are muted")
        if wait_s := self._rates.admit(group.group_id, outgoing.priority or "Normal", now):
            self._metrics.shed.labels(outgoing.priority or "Normal").inc()
            info = f"group {group.group_id!r} has too many messages for one of {outgoing.priority} priority; it was not stored"
            raise RateLimited(info, retry_after=wait_s)

    def check_group_options(self, outgoing: OutgoingMessage, group: StoredGroup) -> None:
        """Whether the message may call everybody, and ask who read it."""
        if "" in outgoing.mentions:
            require(group, outgoing.sender, Permission.MENTION_ALL)
        if outgoing.receipt and len(group.members) > self._receipt_members:
            info = (
                f"group {group.group_id!r} has more than {self._receipt_members} members: none of its messages ask for receipts"
            )
            raise InvalidArgument(info, code=10004)


@dataclass(frozen=True, slots=True)
class MessageRules:
    """What each message passes: the checks of its form, and of where it goes."""

    validator: MessageValidator
    admission: Admission
