"""Tests of labels of conversations: marks, custom data and groups, on two devices and over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.rest import RestClient
from tests.support.users import Users
from timim import (
    ConversationGroupsChanged,
    ConversationMark,
    GroupType,
    InvalidArgument,
    Labels,
    LabelsChanged,
    LimitReached,
    NoPermission,
    UnknownUser,
)
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
NONE: frozenset[str] = frozenset()


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def test_another_device_sees_each_change_of_marks_and_custom_data(users: Users) -> None:
    me, phone, _ = await users.login("me"), await users.login("me"), await users.login("bob")
    heard, own = EventRecorder(phone, LabelsChanged), EventRecorder(me, LabelsChanged)
    bob, labels = me.c2c(users.id("bob")), me.conversations.labels
    await labels.mark([bob], ConversationMark.STAR)
    await labels.mark([bob], 40)
    await labels.set_custom_data([bob], "blue")
    wanted = LabelsChanged(bob.key, frozenset({0, 40}), "blue", NONE)
    await heard.wait_for_event(LabelsChanged, lambda e: e == wanted)
    assert await phone.conversations.labels.get([phone.c2c(users.id("bob"))]) == {
        bob.key: Labels(frozenset({0, 40}), "blue", NONE)
    }
    await labels.mark([bob], ConversationMark.STAR, on=False)
    await labels.mark([bob], 40, on=False)
    await labels.set_custom_data([bob], "")
    await heard.wait_for_event(LabelsChanged, lambda e: e == LabelsChanged(bob.key, frozenset(), "", NONE))
    assert await labels.all() == {}
    assert own.events == []


async def test_conversations_are_put_into_groups_and_taken_out(users: Users) -> None:
    me, phone, _ = await users.login("me"), await users.login("me"), await users.login("bob")
    heard = EventRecorder(phone, ConversationGroupsChanged, LabelsChanged)
    bob, team, labels = (
        me.c2c(users.id("bob")),
        me.group((await me.groups.create(GroupType.WORK, name="team")).id),
        me.conversations.labels,
    )
    await labels.create_group("work", [bob])
    await labels.create_group("home")
    await labels.add_to_group("work", [team])
    await labels.rename_group("work", "office")
    await heard.wait_for_event(ConversationGroupsChanged, lambda e: e.groups == ("office", "home"))
    await heard.wait_for_event(LabelsChanged, lambda e: e == LabelsChanged(team.key, frozenset(), "", frozenset({"work"})))
    assert await labels.all() == {
        bob.key: Labels(groups=frozenset({"office"})),
        team.key: Labels(groups=frozenset({"office"})),
    }
    await labels.remove_from_group("office", [bob])
    assert (await labels.get([bob]))[bob.key] == Labels()
    await labels.delete_group("office")
    await heard.wait_for_event(ConversationGroupsChanged, lambda e: e.groups == ("home",))
    assert (await labels.groups(), await labels.all()) == (("home",), {})


async def test_labels_have_limits_and_need_an_existing_conversation(users: Users) -> None:
    me, other = await users.login("me"), await users.login("other")
    labels, bob = me.conversations.labels, me.c2c(users.id("other"))
    foreign = (await other.groups.create(GroupType.WORK, name="theirs")).id
    with pytest.raises(UnknownUser):
        await labels.mark([me.c2c("nobody at all")], 1)
    with pytest.raises(NoPermission):
        await labels.create_group("with a foreign group", [me.group(foreign)])
    with pytest.raises(InvalidArgument):
        await labels.mark([me.system()], 1)
    for number in range(19):
        await labels.create_group(f"group {number}")
    with pytest.raises(LimitReached):
        await labels.create_group("one more")
    refused = (
        labels.mark([bob], 64),
        labels.set_custom_data([bob], "x" * 257),
        labels.create_group("group 1"),
        labels.create_group("x" * 33),
        labels.create_group(""),
        labels.rename_group("nothing", "new"),
        labels.rename_group("group 1", "group 2"),
        labels.delete_group("nothing"),
        labels.add_to_group("nothing", [bob]),
        labels.mark([], 1),
    )
    for call in refused:
        with pytest.raises(InvalidArgument):
            await call
    await other.conversations.labels.mark([other.c2c(users.id("me"))], 1)
    assert await labels.all() == {}, "labels belong to one user"


async def test_an_administrator_labels_conversations_of_a_user(rest: RestClient, users: Users) -> None:
    me, _ = await users.login("me"), await users.login("bob")
    heard = EventRecorder(me, LabelsChanged)
    name = {"Type": 1, "To_Account": users.id("bob")}
    mark = {"OptType": 3, "ContactItem": name, "SetMark": [2], "CustomMark": "red"}
    done = await rest.call("recentcontact/mark_contact", {"From_Account": users.id("me"), "MarkItem": [mark]})
    assert [one["ResultCode"] for one in done["ResultItem"]] == [0]
    assert await heard.wait_for_event(LabelsChanged) == LabelsChanged(me.c2c(users.id("bob")).key, frozenset({2}), "red", NONE)
    await rest.call("im_open_login_svc/account_delete", {"DeleteItem": [{"UserID": users.id("me")}]})
    listed = await rest.call("recentcontact/get_contact_group", {"From_Account": users.id("me")})
    assert (listed["ContactItem"], listed["GroupItem"]) == ([], [])
