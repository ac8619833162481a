"""Whether a message is let in, where it goes and at this moment: by relations, mutes, roles, and how much a group gets.

What somebody may do at all in a group, `permissions.py` says. Decided without I/O; only the groups' rates are counted on.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import Blacklisted, InvalidArgument, Muted, NotFriends, RateLimited
from ..metrics import Metrics
from ..social.group_permissions import MEMBER, Act, demand
from ..store.base import Circle, Group
from .rate_limiter import Rates
from .validation import Draft


class Admission:
    """`receipt_members`: in larger groups no message asks for receipts. `now`: the server's clock in seconds since 1970."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        now: Callable[[], float],
        friends_only: bool = False,
        rates: Rates | None = None,
        receipt_members: int = 200,
    ) -> None:
        self._metrics = metrics
        self._now = now
        self._friends_only = friends_only
        self._rates = rates if rates is not None else Rates(0, 1)
        self._receipt_members = receipt_members

    def may_write_to(self, sender: str, receiver: str, circle: Circle) -> None:
        """Raises Blacklisted, NotFriends."""
        if sender in circle.blocked:
            raise Blacklisted(f"{receiver!r} has {sender!r} on the blacklist", code=20007)
        if self._friends_only and sender != receiver:
            listed, lists = sender in circle.friends, sender in circle.listed_by
            if not (listed and lists):
                code = 20011 if listed else 20010 if lists else 20009
                raise NotFriends(f"{sender!r} and {receiver!r} are not friends of each other", code=code)

    def may_speak(self, draft: Draft, group: Group) -> None:
        """Raises NotAMember, NoPermission, Muted, RateLimited."""
        user, now = draft.sender, self._now()
        demand(group, user, Act.SPEAK)
        member = group.members[user]
        if member.muted_until > now:
            left = member.muted_until - now
            raise Muted(f"{user!r} is muted in group {group.group_id!r} for {left:.0f} s", retry_after=left)
        if group.muted_all and member.role == MEMBER:
            raise Muted(f"all members of group {group.group_id!r} are muted")
        if wait_s := self._rates.admit(group.group_id, draft.priority or "Normal", now):
            self._metrics.shed.labels(draft.priority or "Normal").inc()
            info = f"group {group.group_id!r} has too many messages for one of {draft.priority} priority; it was not stored"
            raise RateLimited(info, retry_after=wait_s)

    def may_ask(self, draft: Draft, group: Group) -> None:
        """Whether the message may call everybody, and ask who read it."""
        if "" in draft.mentions:
            demand(group, draft.sender, Act.MENTION_ALL)
        if draft.receipt and len(group.members) > self._receipt_members:
            info = (
                f"group {group.group_id!r} has more than {self._receipt_members} members: none of its messages ask for receipts"
            )
            raise InvalidArgument(info, code=10004)
