"""Admission of messages: relationships, mutes, roles, and the rate limit of a group.

The permissions of roles in groups are in `social/group_permissions.py`. The checks do no I/O, and change only the rates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import Blacklisted, InvalidArgument, Muted, NotFriends, RateLimited
from ..metrics import Metrics
from ..social.group_permissions import KINDS, MEMBER, Permission, is_live, require
from ..store.base import MUTED_FOR_EVER, Relationships, StoredAccount, StoredGroup
from .rate_limiter import GroupRateLimiter
from .request_limits import rate_refusal
from .strangers import StrangerLimit
from .validation import MessageValidator, OutgoingMessage

TARGETABLE = frozenset({"Work", "Public", "Meeting"})  # types of groups in which a message can go to some members


class Admission:
    """Checks that refuse messages by their destination.

    Args:
        metrics: Counts the messages refused by the rate limit.
        now: The server's clock, in seconds since 1970.
        friends_only: Refuse C2C messages between users who are not friends.
        rates: Rate limit of groups; None for no limit.
        strangers: Rate limit of messages to strangers; None for no limit.
        receipt_members: Maximum number of members of a group whose messages can request receipts.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        now: Callable[[], float],
        friends_only: bool = False,
        rates: GroupRateLimiter | None = None,
        strangers: StrangerLimit | None = None,
        receipt_members: int = 200,
    ) -> None:
        self._metrics = metrics
        self._now = now
        self._friends_only = friends_only
        self._rates = rates if rates is not None else GroupRateLimiter(0, 1)
        self._strangers = strangers
        self._receipt_members = receipt_members

    def needs_look_up(self, sender: str) -> bool:
        """Return True if `look_up` must be called before `check_c2c`."""
        return self._strangers is not None and self._strangers.is_exhausted(sender)

    async def look_up(self, sender: str, receiver: str) -> None:
        """Find out whether the receiver has written to the sender. Raises StorageError."""
        if self._strangers is not None:
            await self._strangers.find_out(sender, receiver)

    def check_mute(self, sender: StoredAccount, *, group: bool) -> None:
        """Check that an administrator of the app has not muted a user.

        Raises:
            Muted: The user is muted in C2C (20012) or in groups (10017); `retry_after` is the rest of the mute.
        """
        until = sender.muted_groups if group else sender.muted_c2c
        if until and (left := until - self._now()) > 0:
            where, code = ("groups", 10017) if group else ("C2C conversations", 20012)
            info = f"an administrator has muted {sender.user_id!r} in all {where}; ask the operator of this server"
            raise Muted(info, code=code, retry_after=left if until < MUTED_FOR_EVER else None)

    def check_c2c(self, sender: str, receiver: str, relationships: Relationships) -> None:
        """Check a C2C message, and count it in the rate of the sender's messages to strangers.

        Args:
            sender: The sender.
            receiver: The other user.
            relationships: The relationships of the receiver.

        Raises:
            Blacklisted: The sender is on the receiver's blacklist.
            NotFriends: Only friends may send C2C messages, and the two users are none.
            RateLimited: The sender writes to too many strangers (60007); `retry_after` is the time until one is accepted.
        """
        if sender in relationships.blocked:
            raise Blacklisted(f"{sender!r} is on the blacklist of {receiver!r}", code=20007)
        if self._friends_only and sender != receiver:
            listed, lists = sender in relationships.friends, sender in relationships.listed_by
            if not (listed and lists):
                code = 20011 if listed else 20010 if lists else 20009
                raise NotFriends(f"{sender!r} and {receiver!r} are not friends; add each other first", code=code)
        if self._strangers is not None and (wait_s := self._strangers.admit(sender, receiver, relationships, self._now())):
            self._metrics.rate_limited.labels("strangers").inc()
            raise rate_refusal(f"{sender!r} sends too many messages to users who did not answer", wait_s)

    def check_group(self, outgoing: OutgoingMessage, group: StoredGroup) -> None:
        """Check a message to a group, and count it in the rate of the group.

        An administrator, and the sender whom an administrator names, need not be a member. An administrator is never muted.

        Raises:
            NotAMember: The sender is not in the group.
            NoPermission: The sender's role may not speak.
            Muted: The sender or the whole group is muted; `retry_after` is the rest of a sender's mute.
            RateLimited: The group has too many messages; `retry_after` is the time until one is accepted.
        """
        user, now = outgoing.sender, self._now()
        if not outgoing.admin:
            require(group, user, Permission.SPEAK)
        if outgoing.admin != user:
            self._check_mutes(user, group, now)
        priority = outgoing.priority or "Normal"
        if wait_s := self._rates.admit(group.group_id, priority, now):
            self._metrics.shed.labels(priority).inc()
            info = (
                f"group {group.group_id!r} is over its message rate for priority {priority}; "
                f"the message was not stored, send it again in {wait_s:.1f} s"
            )
            raise RateLimited(info, retry_after=wait_s)

    def _check_mutes(self, user: str, group: StoredGroup, now: float) -> None:
        """Check that neither a user, who need not be a member, nor the whole group is muted."""
        member = group.members.get(user)
        if (left := group.muted_until(user) - now) > 0:
            raise Muted(f"{user!r} is muted in group {group.group_id!r} for {left:.0f} s", retry_after=left)
        if group.muted_all and (member is None or member.role == MEMBER):
            raise Muted(f"all members of group {group.group_id!r} are muted; only its owner and admins can send")

    def check_group_options(self, outgoing: OutgoingMessage, group: StoredGroup) -> None:
        """Check the options of a message to a group: mentioning all members, and requesting receipts.

        Raises:
            NoPermission: The sender's role may not mention all members.
            InvalidArgument: The group is a live room, or has too many members for receipts (10004).
        """
        if "" in outgoing.mentions and not outgoing.admin:
            require(group, outgoing.sender, Permission.MENTION_ALL)
        if outgoing.receipt and is_live(group):
            raise InvalidArgument(f"group {group.group_id!r} is a live room, and has no read receipts", code=10004)
        if outgoing.receipt and len(group.members) > self._receipt_members:
            info = (
                f"group {group.group_id!r} has {len(group.members)} members; "
                f"NeedReadReceipt is allowed in groups of at most {self._receipt_members} members"
            )
            raise InvalidArgument(info, code=10004)

    def check_receivers(self, outgoing: OutgoingMessage, group: StoredGroup) -> None:
        """Check the receivers of a message to some members of a group.

        Raises:
            InvalidArgument: The type of the group does not allow it, or a receiver is not in the group (10004).
        """
        if KINDS[group.type] not in TARGETABLE:
            raise InvalidArgument(f"To_Account is not supported in a {group.type} group; send to all members", code=10004)
        for user in outgoing.options.receivers:
            if user not in group.members:
                info = f"{user!r} of To_Account is not in group {group.group_id!r}; only members can get the message"
                raise InvalidArgument(info, code=10004)


@dataclass(frozen=True, slots=True)
class MessageRules:
    """The checks of a message: of its form, and of its destination."""

    validator: MessageValidator
    admission: Admission
