"""Tests of the admission of messages: relationships, mutes, roles, and the rate limit of a group."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import Raw

from timim import Blacklisted, InvalidArgument, Muted, NoPermission, NotAMember, NotFriends, RateLimited
from timim.server.messaging.admission import Admission
from timim.server.messaging.rate_limiter import GroupRateLimiter
from timim.server.messaging.validation import OutgoingMessage
from timim.server.metrics import Metrics
from timim.server.store.base import Member, Relationships, StoredFriend, StoredGroup

NOW = 1000.0
MEMBERS = {"owner": Member("Owner"), "admin": Member("Admin"), "bob": Member("Member")}
GROUP = StoredGroup("g", "Public", "team", "owner", 100, MEMBERS)


def admission(*, friends_only: bool = False, rate: float = 0, receipt_members: int = 200) -> Admission:
    limiter = GroupRateLimiter(rate, 1)
    return Admission(Metrics(), now=lambda: NOW, friends_only=friends_only, rates=limiter, receipt_members=receipt_members)


def message(sender: str, *, priority: str = "", mentions: tuple[str, ...] = (), receipt: bool = False) -> OutgoingMessage:
    return OutgoingMessage(sender, Raw(b"[]"), 0, 1, 1, priority=priority, mentions=mentions, receipt=receipt)


def test_a_blocked_sender_is_refused() -> None:
    with pytest.raises(Blacklisted) as refused:
        admission().check_c2c("alice", "bob", Relationships(blocked={"alice": 1}))
    assert refused.value.code == 20007
    admission().check_c2c("carol", "bob", Relationships(blocked={"alice": 1}))


@pytest.mark.parametrize(
    "relationships, code",
    [
        (Relationships(), 20009),
        (Relationships(listed_by={"alice"}), 20010),
        (Relationships(friends={"alice": StoredFriend()}), 20011),
        (Relationships(friends={"alice": StoredFriend()}, listed_by={"alice"}), None),
    ],
)
def test_among_friends_only_the_code_says_which_side_is_missing(relationships: Relationships, code: int | None) -> None:
    admission().check_c2c("alice", "bob", relationships)
    checked = admission(friends_only=True)
    if code is None:
        checked.check_c2c("alice", "bob", relationships)
        return
    with pytest.raises(NotFriends) as refused:
        checked.check_c2c("alice", "bob", relationships)
    assert refused.value.code == code


def test_users_may_write_to_themselves_also_among_friends_only() -> None:
    admission(friends_only=True).check_c2c("alice", "alice", Relationships())


def test_only_members_may_send() -> None:
    admission().check_group(message("bob"), GROUP)
    with pytest.raises(NotAMember):
        admission().check_group(message("eve"), GROUP)


def test_a_muted_member_learns_how_long_it_lasts() -> None:
    muted = replace(GROUP, members=MEMBERS | {"bob": Member("Member", muted_until=int(NOW) + 30)})
    with pytest.raises(Muted) as refused:
        admission().check_group(message("bob"), muted)
    assert refused.value.retry_after == 30
    over = replace(GROUP, members=MEMBERS | {"bob": Member("Member", muted_until=int(NOW))})
    admission().check_group(message("bob"), over)


def test_in_a_muted_group_owner_and_admins_may_send() -> None:
    muted = replace(GROUP, muted_all=True)
    for speaker in ("owner", "admin"):
        admission().check_group(message(speaker), muted)
    with pytest.raises(Muted, match="all members"):
        admission().check_group(message("bob"), muted)


@pytest.mark.requirement("R20")
def test_a_busy_group_refuses_with_the_time_to_wait() -> None:
    busy = admission(rate=2)
    for _ in range(2):
        busy.check_group(message("bob"), GROUP)
    with pytest.raises(RateLimited, match="was not stored") as refused:
        busy.check_group(message("bob"), GROUP)
    assert refused.value.retry_after == pytest.approx(0.5)
    busy.check_group(message("bob", priority="High"), GROUP)
    busy.check_group(message("bob"), replace(GROUP, group_id="another"))


def test_only_owner_and_admins_may_mention_everybody() -> None:
    admission().check_group_options(message("admin", mentions=("",)), GROUP)
    admission().check_group_options(message("bob", mentions=("owner",)), GROUP)
    with pytest.raises(NoPermission):
        admission().check_group_options(message("bob", mentions=("",)), GROUP)


def test_a_large_group_has_no_receipts() -> None:
    admission(receipt_members=3).check_group_options(message("bob", receipt=True), GROUP)
    with pytest.raises(InvalidArgument, match="at most 2 members") as refused:
        admission(receipt_members=2).check_group_options(message("bob", receipt=True), GROUP)
    assert refused.value.code == 10004
    admission(receipt_members=2).check_group_options(message("bob"), GROUP)
