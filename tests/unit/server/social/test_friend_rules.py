"""Tests of operations on two users' relationships: the changed rows and the notified users."""

from __future__ import annotations

import pytest

from timim import Blacklisted, FriendRefused, InvalidArgument, LimitReached, NoSuchApplication
from timim.protocol import friends as sns
from timim.protocol import profiles
from timim.server.social import friend_rules
from timim.server.social.friend_rules import Person
from timim.server.store import mutations as ch
from timim.server.store.base import Relationships, StoredAccount, StoredFriend
from timim.server.store.entities import StoredApplication

NOW = 500


def person(user: str, relationships: Relationships | None = None, *, allow: str = profiles.ALLOW_ANY) -> Person:
    return Person(StoredAccount(user, sum(user.encode()), allow_type=allow), relationships or Relationships())


def add(me: Person, peer: Person, *, limit: int = 10, wording: str = "hi") -> tuple[list[object], bool]:
    wanted = sns.NewFriend(account=peer.user, wording=wording, source="AddSource_Type_test")
    changeset, friends = friend_rules.added(me, peer, wanted, both=True, force=False, now=NOW, limit=limit)
    return list(changeset.changes), friends


def test_a_user_who_accepts_everybody_becomes_a_friend_at_once_on_both_sides() -> None:
    changes, friends = add(person("alice"), person("bob"))
    assert friends
    assert [(one.owner, one.peer) for one in changes if isinstance(one, ch.SetFriend)] == [("alice", "bob"), ("bob", "alice")]


def test_a_user_who_wants_to_confirm_gets_an_application() -> None:
    changes, friends = add(person("alice"), person("bob", allow=profiles.NEED_CONFIRM))
    assert not friends
    assert changes == [
        ch.SetApplication("bob", "alice", StoredApplication("hi", "AddSource_Type_test", "", "", True, NOW)),
    ]


def test_two_users_who_apply_to_each_other_become_friends() -> None:
    asked = Relationships(received_requests={"bob": StoredApplication()})
    changes, friends = add(person("alice", asked), person("bob", allow=profiles.NEED_CONFIRM))
    assert friends
    assert ch.RemoveApplication("alice", "bob") in changes


def test_a_user_who_accepts_nobody_refuses() -> None:
    with pytest.raises(FriendRefused):
        add(person("alice"), person("bob", allow=profiles.DENY_ANY))


@pytest.mark.parametrize(
    "mine, theirs, code", [({"bob": 1}, {}, 30515), ({}, {"alice": 1}, 30525)], ids=["I blocked", "they blocked"]
)
def test_a_blacklist_of_either_side_prevents_friendship(mine: dict[str, int], theirs: dict[str, int], code: int) -> None:
    with pytest.raises(Blacklisted) as refused:
        add(person("alice", Relationships(blocked=mine)), person("bob", Relationships(blocked=theirs)))
    assert refused.value.code == code


def test_adding_a_friend_again_changes_nothing() -> None:
    alice = person("alice", Relationships(friends={"bob": StoredFriend()}))
    bob = person("bob", Relationships(friends={"alice": StoredFriend()}))
    assert add(alice, bob) == ([], True)


def test_a_full_list_and_a_long_wording_are_refused() -> None:
    full = Relationships(friends={"carol": StoredFriend()})
    with pytest.raises(LimitReached) as mine:
        add(person("alice", full), person("bob"), limit=1)
    with pytest.raises(LimitReached) as theirs:
        add(person("alice"), person("bob", full), limit=1)
    assert (mine.value.code, theirs.value.code) == (30010, 30014)
    with pytest.raises(InvalidArgument, match="257 bytes long; the limit is 256"):
        add(person("alice"), person("bob"), wording="x" * 257)
    with pytest.raises(InvalidArgument, match="themselves as a friend"):
        add(person("alice"), person("alice"))


def test_answering_a_missing_application_is_refused() -> None:
    answer = sns.ApplicationAnswer(account="bob", action=sns.AGREE)
    with pytest.raises(NoSuchApplication):
        friend_rules.answered(person("alice"), person("bob"), answer, now=NOW, limit=10)


def test_blocking_ends_the_friendship_on_both_sides_and_the_applications() -> None:
    alice = person("alice", Relationships(friends={"bob": StoredFriend()}, received_requests={"bob": StoredApplication()}))
    bob = person("bob", Relationships(friends={"alice": StoredFriend()}))
    assert friend_rules.blocked(alice, bob, now=NOW).changes == [
        ch.SetBlocked("alice", "bob", NOW),
        ch.RemoveFriend("alice", "bob"),
        ch.RemoveFriend("bob", "alice"),
        ch.RemoveApplication("alice", "bob"),
    ]
    again = person("alice", Relationships(blocked={"bob": 1}))
    assert friend_rules.blocked(again, bob, now=NOW).changes == []
    assert friend_rules.unblocked(again, "bob").changes == [ch.RemoveBlocked("alice", "bob")]
    assert friend_rules.unblocked(alice, "bob").changes == []


def test_friend_groups_are_made_and_removed_with_their_friends_kept() -> None:
    alice = person("alice", Relationships(friends={"bob": StoredFriend()}))
    assert friend_rules.grouped(alice, ["work", "work"], ["bob", "stranger"]).changes == [
        ch.SetFriendGroups("alice", ("work",)),
        ch.SetFriend("alice", "bob", StoredFriend(groups=("work",))),
    ]
    sorted_in = person(
        "alice", Relationships(friends={"bob": StoredFriend(groups=("work", "old"))}, friend_groups=["work", "old"])
    )
    assert friend_rules.ungrouped(sorted_in, ["work", "unknown"]).changes == [
        ch.SetFriendGroups("alice", ("old",)),
        ch.SetFriend("alice", "bob", StoredFriend(groups=("old",))),
    ]
    assert friend_rules.ungrouped(alice, ["unknown"]).changes == []


@pytest.mark.parametrize("name, error", [("", InvalidArgument), ("x" * 31, InvalidArgument)])
def test_the_name_of_a_friend_group_has_1_to_30_bytes(name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="1 to 30 bytes"):
        friend_rules.grouped(person("alice"), [name], [])
