"""Tests of operations on a group: the changed rows and the notified users."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timim import AlreadyMember, InvalidArgument, LimitReached, NoPermission, NoSuchApplication, NotAMember, OwnerCannotQuit
from timim.server.social import group_rules
from timim.server.social.group_rules import Actor, MemberChange
from timim.server.store import mutations as ch
from timim.server.store.base import Member, StoredAccount, StoredGroup
from timim.server.store.entities import GroupApplication

NOW = 500
ROLES = {"owner": Member("Owner"), "admin": Member("Admin"), "bob": Member("Member")}


def group(type: str = "Public", **changes: object) -> StoredGroup:
    return replace(StoredGroup("g", type, "team", "owner", 100, dict(ROLES)), **changes)  # type: ignore[arg-type]


def account(user: str) -> StoredAccount:
    return StoredAccount(user, sum(user.encode()))


def actor(user: str, *, admin: bool = False) -> Actor:
    return Actor(account(user), NOW, admin)


def test_a_user_joins_a_free_group_at_once() -> None:
    changeset, inside = group_rules.joined(actor("eve"), group("Meeting"), "", 10)
    assert inside
    assert changeset.changes == [ch.InsertMembers("g", {"eve": Member("Member", joined=NOW)}, False)]
    assert [notice.timeline for notice in changeset.notices] == ["group\x1fg"]


def test_a_new_member_of_a_community_sees_no_earlier_history() -> None:
    changeset, _ = group_rules.joined(actor("eve"), group("Community"), "", 10)
    assert changeset.changes == [ch.InsertMembers("g", {"eve": Member("Member", joined=NOW)}, True)]


def test_an_application_to_a_public_group_is_stored_and_its_admins_are_notified() -> None:
    changeset, inside = group_rules.joined(actor("eve"), group(), "please", 10)
    assert not inside
    assert changeset.changes == [ch.SetGroupApplication("g", "eve", GroupApplication("", "please", NOW))]
    assert [notice.user for notice in changeset.notices] == ["owner", "admin"]


@pytest.mark.parametrize("type, error", [("Work", NoPermission), ("Meeting", LimitReached)])
def test_a_closed_or_full_group_cannot_be_joined(type: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        group_rules.joined(actor("eve"), group(type), "", 3)
    with pytest.raises(AlreadyMember):
        group_rules.joined(actor("bob"), group(type), "", 3)


def test_a_groups_own_limit_of_members_holds_below_the_servers() -> None:
    with pytest.raises(LimitReached, match="the limit is 3"):
        group_rules.joined(actor("eve"), group("Meeting", max_members=3), "", 10)


def test_an_application_is_agreed_to_or_refused_once() -> None:
    asked = group(applications={"eve": GroupApplication("", "please", 1)})
    agreed = group_rules.answered(actor("admin"), asked, account("eve"), agree=True, wording="", limit=10)
    assert agreed.changes[:2] == [
        ch.RemoveGroupApplication("g", "eve"),
        ch.InsertMembers("g", {"eve": Member("Member", joined=NOW)}, True),
    ]
    refused = group_rules.answered(actor("owner"), asked, account("eve"), agree=False, wording="no", limit=10)
    assert refused.changes == [ch.RemoveGroupApplication("g", "eve")]
    with pytest.raises(NoSuchApplication):
        group_rules.answered(actor("owner"), group(), account("eve"), agree=True, wording="", limit=10)
    with pytest.raises(NoPermission):
        group_rules.answered(actor("bob"), asked, account("eve"), agree=True, wording="", limit=10)


def test_kicking_takes_only_members_and_never_the_owner() -> None:
    changeset = group_rules.kicked(actor("admin"), group(), ["bob", "eve", "bob"], "why", silent=False)
    assert changeset.changes == [ch.RemoveMembers("g", ("bob",))]
    assert [notice.user for notice in changeset.notices] == ["", "bob"]
    assert group_rules.kicked(actor("admin"), group(), ["eve"], "", silent=False).changes == []
    for who, victim in (("admin", "owner"), ("admin", "admin"), ("bob", "admin")):
        with pytest.raises(NoPermission):
            group_rules.kicked(actor(who), group(), [victim], "", silent=False)
    with pytest.raises(NoPermission, match="owns the group"):
        group_rules.kicked(actor("operator", admin=True), group(), ["owner"], "", silent=True)


def test_the_owner_of_a_work_group_hands_it_to_its_oldest_member() -> None:
    work = group("Work")
    changeset = group_rules.left(actor("owner"), work)
    assert changeset.changes == [
        ch.RemoveMembers("g", ("owner",)),
        ch.SetGroup(replace(work, owner="admin")),
        ch.SetMember("g", "admin", replace(ROLES["admin"], role="Owner")),
    ]
    last = group("Work", members={"owner": Member("Owner")})
    assert group_rules.left(actor("owner"), last).changes == [ch.DissolveGroup("g", ("owner",))]
    with pytest.raises(OwnerCannotQuit):
        group_rules.left(actor("owner"), group())
    with pytest.raises(NotAMember):
        group_rules.left(actor("eve"), group())


def test_dissolving_a_group_notifies_each_member() -> None:
    changeset = group_rules.dissolved(actor("owner"), group())
    assert changeset.changes == [ch.DissolveGroup("g", ("owner", "admin", "bob"))]
    assert [notice.user for notice in changeset.notices] == ["owner", "admin", "bob"]
    with pytest.raises(NoPermission):
        group_rules.dissolved(actor("admin"), group())


def test_ownership_is_passed_on_to_a_member() -> None:
    changeset = group_rules.passed_on(actor("owner"), group(), "bob")
    assert changeset.changes == [
        ch.SetGroup(group(owner="bob")),
        ch.SetMember("g", "owner", Member("Member")),
        ch.SetMember("g", "bob", Member("Owner")),
    ]
    assert group_rules.passed_on(actor("owner"), group(), "owner").changes == []
    with pytest.raises(NotAMember):
        group_rules.passed_on(actor("owner"), group(), "eve")


def test_a_member_is_muted_for_a_time_from_now() -> None:
    muted = group_rules.member_edited(actor("admin"), group(), "bob", MemberChange(mute_s=60))
    assert muted.changes == [ch.SetMember("g", "bob", Member("Member", muted_until=NOW + 60))]
    assert group_rules.member_edited(actor("admin"), group(), "bob", MemberChange(mute_s=0)).changes == []


def test_a_change_without_effect_is_an_empty_changeset() -> None:
    same = group_rules.member_edited(actor("owner"), group(), "bob", MemberChange(role="Member", name_card="", custom={}))
    assert (same.changes, same.notices) == ([], [])


@pytest.mark.parametrize("role, type, error", [("Owner", "Public", InvalidArgument), ("Admin", "Work", NoPermission)])
def test_a_role_that_cannot_be_given_is_refused(role: str, type: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        group_rules.member_edited(actor("operator", admin=True), group(type), "bob", MemberChange(role=role))
