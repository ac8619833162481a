"""The contract of the topics of Communities in the store, run on every engine."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.support.store_contract import Open, entry
from timim import GroupExists
from timim.server.store.base import ConversationChange, Member, Store, StoredGroup, StoredTopic, group_timeline
from timim.server.store.mutations import (
    Change,
    DissolveGroup,
    InsertGroup,
    InsertMembers,
    InsertTopic,
    RemoveMembers,
    RemoveTopics,
    SetTopic,
)

TOWN, NEWS, SPORT = "@TGS#_town", "@TGS#_town@TOPIC#_news", "@TGS#_town@TOPIC#_sport"


async def town(store: Store, *changes: Change) -> StoredGroup:
    """Store a Community of alice and bob, then the changes, and return it."""
    members = {"alice": Member("Owner"), "bob": Member("Member")}
    group = StoredGroup(TOWN, "Community", "town", "alice", 100, members, has_topics=True)
    await store.apply([InsertGroup(group), *changes], [])
    return await stored(store)


async def stored(store: Store) -> StoredGroup:
    found = await store.groups.get(TOWN)
    assert found is not None
    return found


async def contacts(store: Store, user: str) -> dict[str, tuple[int, int, int]]:
    """Return the read seq, the first visible seq and the number of unread messages of each conversation."""
    found = await store.conversations.page(user, 0, 10)
    unread = await store.conversations.unread(user, [one.timeline for one in found])
    return {
        one.timeline.split("\x1f")[1]: (one.read_seq, one.floor, count.count) for one, count in zip(found, unread, strict=True)
    }


class TopicStoreContract:
    """The contract of topics. The fixture `opens` of a subclass opens its store."""

    async def test_topics_are_stored_with_their_community(self, opens: Open) -> None:
        store = await opens()
        sport = StoredTopic(SPORT, "sport", 102)
        news = StoredTopic(NEWS, "news", 101, "of the town", "n", "url", "{}", True, {"bob": 900}, {"7": "alice"})
        topics = (await town(store, InsertTopic(TOWN, sport), InsertTopic(TOWN, news))).topics
        assert list(topics.items()) == [(SPORT, sport), (NEWS, news)]  # in the order in which they were stored
        with pytest.raises(GroupExists):
            await store.apply([InsertTopic(TOWN, news)], [])
        changed = StoredTopic(NEWS, "old news", 101)
        await store.apply([SetTopic(TOWN, changed), RemoveTopics(TOWN, (SPORT,))], [])
        await store.close()
        store = await opens()
        assert (await stored(store)).topics == {NEWS: changed}
        with pytest.raises(GroupExists):  # a new topic must not get the old history
            await store.apply([InsertTopic(TOWN, sport)], [])

    async def test_members_of_a_community_have_the_conversations_of_its_topics(self, opens: Open) -> None:
        store = await opens()
        await town(store, InsertTopic(TOWN, StoredTopic(NEWS, "news", 101)), InsertTopic(TOWN, StoredTopic(SPORT, "s", 102)))
        for number in range(3):
            await store.timelines.append(replace(entry(number, line=group_timeline(NEWS)), contacts=()))
        assert await contacts(store, "bob") == {TOWN: (0, 1, 0), NEWS: (0, 1, 3), SPORT: (0, 1, 0)}
        # a new member sees what was said before, and it is not unread
        await store.apply([InsertMembers(TOWN, {"carol": Member("Member")}, from_now=True)], [])
        assert await contacts(store, "carol") == {TOWN: (0, 1, 0), NEWS: (3, 1, 0), SPORT: (0, 1, 0)}
        changed = await store.conversations.change("bob", group_timeline(NEWS), ConversationChange(muted=True), time=1)
        assert changed is not None
        before = changed.conversation.settings_version
        await store.apply([RemoveMembers(TOWN, ("bob",))], [])
        assert await contacts(store, "bob") == {}
        await store.apply([InsertMembers(TOWN, {"bob": Member("Member")}, from_now=True)], [])
        again = await store.conversations.page("bob", 0, 10)
        (news,) = [one for one in again if one.timeline == group_timeline(NEWS)]
        assert (news.read_seq, news.muted) == (3, False)
        assert news.settings_version > before
        await store.apply([RemoveTopics(TOWN, (NEWS,))], [])
        assert set(await contacts(store, "bob")) == {TOWN, SPORT}
        await store.apply([DissolveGroup(TOWN, ("alice", "bob", "carol"))], [])
        assert await contacts(store, "alice") == {}
        assert await store.topics.states("alice", [SPORT]) == {}

    async def test_the_state_of_a_user_in_topics_is_read_at_once(self, opens: Open) -> None:
        store = await opens()
        await town(store, InsertTopic(TOWN, StoredTopic(NEWS, "news", 101)), InsertTopic(TOWN, StoredTopic(SPORT, "s", 102)))
        line = group_timeline(NEWS)
        for number, sender in enumerate(("alice", "", "bob", "alice")):
            await store.timelines.append(replace(entry(number, line=line, sender=sender), contacts=()))
        await store.conversations.set_read("bob", line, 1, time=200)
        states = await store.topics.states("bob", [SPORT, NEWS, "@TGS#_town@TOPIC#_none"])
        assert list(states) == [SPORT, NEWS]
        news, sport = states[NEWS], states[SPORT]
        assert (news.last_seq, news.last and news.last.seq, news.read_seq, news.muted) == (4, 4, 1, False)
        assert list(news.uncounted) == [2, 3]  # a tip, and the user's own message
        assert (sport.last_seq, sport.last, sport.read_seq, list(sport.uncounted)) == (0, None, 0, [])
        nobody = (await store.topics.states("", [NEWS]))[NEWS]
        assert (nobody.last_seq, nobody.read_seq, list(nobody.uncounted)) == (4, 0, [])

    async def test_messages_that_a_user_has_deleted_are_neither_the_last_nor_unread(self, opens: Open) -> None:
        store = await opens()
        await town(store, InsertTopic(TOWN, StoredTopic(NEWS, "news", 101)))
        line = group_timeline(NEWS)
        for number in range(3):
            await store.timelines.append(replace(entry(number, line=line, sender="alice"), contacts=()))

        async def state(user: str) -> tuple[int, int, list[int]]:
            found = (await store.topics.states(user, [NEWS]))[NEWS]
            return found.last.seq if found.last is not None else 0, found.read_seq, list(found.uncounted)

        await store.deletions.delete_messages("bob", line, [3], time=200)
        assert await state("bob") == (2, 0, [3])
        await store.deletions.clear("bob", line, time=201)
        assert await state("bob") == (0, 3, [])
        assert await state("alice") == (3, 0, [1, 2, 3])
        # the user leaves and joins again: what was cleared stays so
        await store.apply([RemoveMembers(TOWN, ("bob",))], [])
        await store.apply([InsertMembers(TOWN, {"bob": Member("Member")}, from_now=True)], [])
        assert await state("bob") == (0, 3, [])
        assert (await contacts(store, "bob"))[NEWS] == (3, 4, 0)
