"""Tests of the topics of Communities: their properties, their permissions, and messages in them."""

from __future__ import annotations

import pytest

from tests.support.users import Users
from timim import (
    Client,
    Group,
    GroupChanged,
    GroupExists,
    GroupTipType,
    InvalidArgument,
    MessageRecalled,
    Muted,
    NoPermission,
    NotAMember,
    ReadReceipt,
    TopicChange,
    TopicsChanged,
    UnknownGroup,
)
from timim.testing import EventRecorder

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def community(owner: Client, *members: str) -> Group:
    return await owner.groups.create("Community", name="town", members=members, topics=True)


async def test_members_see_topics_created_changed_and_deleted(users: Users) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    heard = EventRecorder(member, TopicsChanged, GroupChanged)
    group = await community(owner, users.id("member"))
    assert (await group.info()).has_topics
    topic_id = await group.topics.create("news", introduction="of the town", custom="{}")
    assert topic_id.startswith(f"{group.id}@TOPIC#_")
    assert group.topics.conversation(topic_id) is owner.group(topic_id)
    event = await heard.wait_for_event(TopicsChanged)
    facts = (event.group_id, event.topic_ids, event.change, event.user)
    assert facts == (group.id, (topic_id,), TopicChange.CREATED, users.id("owner"))
    theirs = member.groups.of(group.id).topics
    (topic,) = await theirs.list()
    assert (topic.id, topic.group_id, topic.name, topic.introduction) == (topic_id, group.id, "news", "of the town")
    assert (topic.custom, topic.muted_all, topic.last_seq, topic.muted_until) == ("{}", False, 0, 0)
    await group.topics.edit(topic_id, name="old news", face_url="https://example.com/a.png")
    assert (await heard.wait_for_event(TopicsChanged, lambda e: e.change is TopicChange.CHANGED)).topic_ids == (topic_id,)
    change = await heard.wait_for_event(GroupChanged, lambda e: e.group_id == topic_id)
    assert change.tip.type is GroupTipType.TOPIC_INFO
    assert dict(change.tip.changes) == {"TopicName": "old news", "TopicFaceUrl": "https://example.com/a.png"}
    other = await group.topics.create("sport", id=f"{group.id}@TOPIC#_sport")
    assert [(one.name, one.last_seq) for one in await theirs.list()] == [("old news", 1), ("sport", 0)]
    await group.topics.delete(topic_id)
    gone = await heard.wait_for_event(TopicsChanged, lambda e: e.change is TopicChange.DELETED)
    assert gone.topic_ids == (topic_id,)
    assert [one.id for one in await theirs.list()] == [other]
    with pytest.raises(UnknownGroup):
        await member.group(topic_id).send("into the void")
    with pytest.raises(UnknownGroup):
        await group.topics.delete(topic_id)
    with pytest.raises(GroupExists):
        await group.topics.create("again", id=topic_id)


async def test_the_owner_and_the_admins_of_a_community_change_its_topics(users: Users) -> None:
    owner, member, stranger = await users.login("owner"), await users.login("member"), await users.login("stranger")
    group = await community(owner, users.id("member"))
    topic_id = await group.topics.create("news")
    theirs, foreign = member.groups.of(group.id).topics, stranger.groups.of(group.id).topics
    for forbidden in (theirs.create("mine"), theirs.edit(topic_id, name="mine"), theirs.delete(topic_id)):
        with pytest.raises(NoPermission):
            await forbidden
    with pytest.raises(NoPermission):
        await theirs.edit(topic_id, muted_all=True)
    for unseen in (foreign.list(), foreign.edit(topic_id, name="x"), foreign.conversation(topic_id).send("x")):
        with pytest.raises(NotAMember):
            await unseen
    await group.set_role(users.id("member"), "Admin")
    await theirs.edit(topic_id, name="ours")
    plain = await owner.groups.create("Community", name="plain")
    with pytest.raises(InvalidArgument, match="has no topics"):
        await plain.topics.create("none")
    with pytest.raises(InvalidArgument, match="Community only"):
        await owner.groups.create("Public", name="team", topics=True)
    for wrong in ("@TGS#_other@TOPIC#_x", f"{group.id}@TOPIC#_", f"{group.id}@TOPIC#_{'x' * 49}"):
        with pytest.raises(InvalidArgument):
            await group.topics.create("x", id=wrong)
    with pytest.raises(InvalidArgument, match="150 bytes"):
        await group.topics.create("x" * 151)
    with pytest.raises(UnknownGroup):  # the commands of groups do not know topics
        await owner.groups.of(topic_id).set_info(name="x")


async def test_messages_of_a_topic_are_those_of_a_conversation(users: Users) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    heard, told = EventRecorder(member, MessageRecalled), EventRecorder(owner, ReadReceipt)
    group = await community(owner, users.id("member"))
    news, sport = await group.topics.create("news"), await group.topics.create("sport")
    mine, theirs = owner.group(news), member.group(news)
    for number in range(3):
        await mine.send(f"news {number}", mention=[users.id("member")] if number == 1 else (), request_receipt=number == 2)
    await owner.group(sport).send("goal")
    await heard.wait_for_message(lambda m: m.text == "goal")
    last = await heard.wait_for_message(lambda m: m.text == "news 2")
    assert (last.key and last.key.peer, last.seq, last.sender_member and last.sender_member.role) == (news, 3, "Owner")
    assert (theirs.unread, theirs.mentioned, member.group(sport).unread, member.group(group.id).unread) == (3, 1, 1, 0)
    page = await theirs.get_messages(10)
    assert ([m.text for m in page], page.complete) == (["news 2", "news 1", "news 0"], True)
    await theirs.mark_read()
    receipt = await told.wait_for_event(ReadReceipt)
    assert (receipt.conversation.peer, receipt.seq, receipt.readers) == (news, 3, 1)
    (topic, _) = await member.groups.of(group.id).topics.list()
    assert (topic.last_seq, topic.read_seq) == (3, 3)
    await last.react("👍")
    await (await mine.get_messages(1))[0].edit("news two")
    await (await mine.get_messages(2))[1].recall()
    recalled = await heard.wait_for_event(MessageRecalled)
    assert recalled.message.seq == 2
    assert [m.text for m in await theirs.get_messages(10) if not m.recalled][:1] == ["news two"]
    await owner.groups.of(group.id).topics.pins(news).add(3)
    assert [pin.seq for pin in await member.groups.of(group.id).topics.pins(news).list()] == [3]
    assert await member.groups.of(group.id).pins.list() == ()


async def test_a_device_that_was_offline_gets_the_messages_of_topics(users: Users) -> None:
    owner = await users.login("owner")
    late = await users.login("late")
    group = await community(owner, users.id("late"))
    topic_id = await group.topics.create("news")
    await late.logout()
    sent = [await owner.group(topic_id).send(f"news {n}") for n in range(30)]
    joined_late = await users.login("newcomer")
    assert await joined_late.groups.join(group.id)
    await late.login()
    assert late.group(topic_id).unread == 30
    assert [m.text async for m in late.group(topic_id).history()] == [m.text for m in reversed(sent)]
    # who joins later sees what was said before, and it is not unread
    assert joined_late.group(topic_id).unread == 0
    assert [m.text for m in await joined_late.group(topic_id).get_messages(2)] == ["news 29", "news 28"]
    await owner.group(topic_id).send("welcome")
    heard = EventRecorder(joined_late)
    await owner.group(topic_id).send("all")
    await heard.wait_for_message(lambda m: m.text == "all")
    assert joined_late.group(topic_id).unread == 2
    await group.kick(users.id("newcomer"))
    with pytest.raises(NotAMember):
        await joined_late.group(topic_id).send("x")


async def test_mutes_of_a_topic_are_in_that_topic_only(users: Users) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    group = await community(owner, users.id("member"))
    news, sport = await group.topics.create("news"), await group.topics.create("sport")
    await group.topics.edit(news, muted_all=True)
    with pytest.raises(Muted):
        await member.group(news).send("x")
    await member.group(sport).send("goal")
    await group.topics.edit(news, muted_all=False)
    await group.topics.mute(news, users.id("member"), 60)
    with pytest.raises(Muted):
        await member.group(news).send("x")
    await member.group(sport).send("goal")
    assert (await member.groups.of(group.id).topics.list())[0].muted_until > 0
    await group.topics.mute(news, users.id("member"), 0)
    await member.group(news).send("again")
    await group.mute(users.id("member"), 60)
    for topic_id in (news, sport):
        with pytest.raises(Muted):
            await member.group(topic_id).send("x")


async def test_a_dissolved_community_takes_its_topics_along(users: Users) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    group = await community(owner, users.id("member"))
    topic_id = await group.topics.create("news")
    await owner.group(topic_id).send("hello")
    await group.dissolve()
    for call in (member.group(topic_id).send("x"), member.groups.of(group.id).topics.list()):
        with pytest.raises(UnknownGroup):
            await call
