"""Tests of operations on topics: the changed rows, the permissions, and the tips."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timim import GroupExists, InvalidArgument, LimitReached, NoPermission, NotAMember
from timim.protocol.notices import TopicInfoChange
from timim.server.social import topic_rules
from timim.server.social.group_permissions import Permission
from timim.server.social.group_rules import Actor
from timim.server.store import mutations as ch
from timim.server.store.base import Member, StoredAccount, StoredGroup, StoredTopic

NOW = 500
ROLES = {"owner": Member("Owner"), "admin": Member("Admin", floor=9), "bob": Member("Member", muted_until=700)}
NEWS = StoredTopic("town@TOPIC#_news", "news", 100)
TOWN = StoredGroup("town", "Community", "town", "owner", 100, ROLES, has_topics=True, topics={NEWS.topic_id: NEWS})


def actor(user: str, *, admin: bool = False) -> Actor:
    return Actor(StoredAccount(user, 1), NOW, admin)


def test_a_topic_is_created_once_by_an_owner_or_admin() -> None:
    sport = StoredTopic("town@TOPIC#_sport", "sport", NOW)
    for user in ("owner", "admin"):
        assert topic_rules.created(actor(user), TOWN, sport).changes == [ch.InsertTopic("town", sport)]
    assert topic_rules.created(actor("eve", admin=True), TOWN, sport).changes
    with pytest.raises(NoPermission):
        topic_rules.created(actor("bob"), TOWN, sport)
    with pytest.raises(NotAMember):
        topic_rules.created(actor("eve"), TOWN, sport)
    with pytest.raises(GroupExists):
        topic_rules.created(actor("owner"), TOWN, NEWS)
    with pytest.raises(InvalidArgument):
        topic_rules.created(actor("owner"), replace(TOWN, has_topics=False), sport)
    topics = {f"town@TOPIC#_{n}": NEWS for n in range(topic_rules.TOPICS_LIMIT)}
    with pytest.raises(LimitReached):
        topic_rules.created(actor("owner"), replace(TOWN, topics=topics), sport)


def test_a_change_of_a_topic_is_a_tip_in_the_topic() -> None:
    after, news = replace(NEWS, name="old news"), TopicInfoChange(name="old news")
    changeset = topic_rules.edited(actor("admin"), TOWN, after, news, [Permission.TOPICS])
    assert changeset.changes == [ch.SetTopic("town", after)]
    (notice,) = changeset.notices
    assert notice.timeline == "group\x1ftown@TOPIC#_news"
    assert list(notice.recipients(1)) == list(ROLES)  # also the admin, who joined after the Community's first messages
    assert not topic_rules.edited(actor("admin"), TOWN, NEWS, TopicInfoChange(name="news"), [Permission.TOPICS]).changes
    with pytest.raises(NoPermission):
        topic_rules.edited(actor("bob"), TOWN, after, news, [Permission.TOPICS])


def test_topics_are_deleted_together() -> None:
    assert topic_rules.deleted(actor("owner"), TOWN, [NEWS.topic_id]).changes == [ch.RemoveTopics("town", (NEWS.topic_id,))]
    assert topic_rules.deleted(actor("owner"), TOWN, []).changes == []
    with pytest.raises(NoPermission):
        topic_rules.deleted(actor("bob"), TOWN, [NEWS.topic_id])


def test_the_later_mute_of_a_member_counts_in_a_topic() -> None:
    muted = topic_rules.member_muted(actor("admin"), TOWN.in_topic(NEWS), "bob", 600)
    (change,) = muted.changes
    assert isinstance(change, ch.SetTopic)
    assert change.topic.muted == {"bob": NOW + 600}
    assert TOWN.in_topic(change.topic).muted_until("bob") == NOW + 600
    assert (TOWN.in_topic(NEWS).muted_until("bob"), TOWN.muted_until("bob"), TOWN.muted_until("eve")) == (700, 700, 0)
    with pytest.raises(NotAMember):
        topic_rules.member_muted(actor("eve", admin=True), TOWN.in_topic(NEWS), "eve", 5)
    with pytest.raises(NoPermission):
        topic_rules.member_muted(actor("admin"), TOWN.in_topic(NEWS), "owner", 5)
    assert topic_rules.member_muted(actor("admin"), TOWN.in_topic(NEWS), "bob", 0).changes == []


def test_the_members_of_a_community_see_all_of_its_topics() -> None:
    topic = TOWN.in_topic(replace(NEWS, muted_all=True))
    assert (topic.group_id, topic.community_id, topic.muted_all, topic.members) == (NEWS.topic_id, "town", True, ROLES)
    assert (topic.first_visible_seq("admin"), TOWN.first_visible_seq("admin")) == (1, 9)
    assert (TOWN.addressed(7), topic.addressed(7)[0]) == (("town", 7), "town")
    assert topic.addressed(7)[1] > 1 << 60
