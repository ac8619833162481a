"""Tests that each callback fires once for its cause, with a back end that is slow, down or restarted, and after a crash."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

import timim
from tests.support.rest import RestClient, text
from tests.support.webhook_receiver import Call, WebhookReceiver, agree, reply, webhook_receiver
from timim.protocol import callbacks as names
from timim.server import Settings
from timim.testing import EventRecorder, RunningServer, running_server

ALL = ",".join(sorted(names.CALLBACKS))


@pytest.fixture
async def back_end() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


def server_with(back_end: WebhookReceiver, commands: str = ALL, **settings: Any) -> AbstractAsyncContextManager[RunningServer]:
    return running_server(webhook_url=back_end.url, webhook_token="secret", webhook_commands=commands, **settings)


@dataclass
class Scene:
    """Two users and an administrator of a server."""

    alice: timim.Client
    bob: timim.Client
    rest: RestClient
    at_bob: EventRecorder
    group_id: str = ""
    topic_id: str = ""

    @property
    def group(self) -> timim.Group:
        return self.alice.groups.of(self.group_id)

    @property
    def talk(self) -> timim.Conversation:
        return self.alice.group(self.group_id)


Cause = Callable[[Scene], Awaitable[object]]


async def create(scene: Scene) -> None:
    scene.group_id = (await scene.alice.groups.create("Public", name="g", max_members=3, custom={"k": "v"})).id


async def create_town(scene: Scene) -> None:
    group = await scene.alice.groups.create("Community", name="town", members=["bob"], id="@TGS#_town", topics=True)
    scene.group_id = group.id


async def create_topic(scene: Scene) -> None:
    scene.topic_id = await scene.group.topics.create("news", id="@TGS#_town@TOPIC#_news")


async def refused_group_message(scene: Scene) -> None:
    await scene.rest.call(
        "group_open_http_svc/forbid_send_msg",
        {"GroupId": scene.group_id, "Members_Account": ["bob"], "ShutUpTime": 60},
    )
    with pytest.raises(timim.Muted):
        await scene.bob.group(scene.group_id).send("muted")


async def refused_c2c_message(scene: Scene) -> None:
    with pytest.raises(timim.Blacklisted):
        await scene.bob.c2c("alice").send("blocked")


async def recall_newest(conversation: timim.Conversation) -> None:
    await (await conversation.send("a mistake")).recall()


async def read(scene: Scene) -> None:
    await scene.at_bob.wait_for_message(lambda message: message.text == "by REST")
    await scene.bob.c2c("alice").mark_read()


async def read_in_group(scene: Scene) -> None:
    sent = await scene.talk.send("read me", request_receipt=True)
    await scene.at_bob.wait_for_message(lambda message: message.msg_id == sent.msg_id)
    await scene.bob.group(scene.group_id).mark_read()


async def read_in_topic(scene: Scene) -> None:
    sent = await scene.alice.group(scene.topic_id).send("read me", request_receipt=True)
    await scene.at_bob.wait_for_message(lambda message: message.msg_id == sent.msg_id)
    await scene.bob.group(scene.topic_id).mark_read()


async def befriend(scene: Scene) -> None:
    await scene.alice.friends.add("bob", wording="hi")
    await scene.bob.friends.accept("alice")


async def rest_send(scene: Scene) -> None:
    body = {"From_Account": "alice", "To_Account": "bob", "MsgRandom": 1, "MsgBody": text("by REST")}
    assert (await scene.rest.call("openim/sendmsg", body))["ErrorCode"] == 0


async def rest_add(scene: Scene) -> None:
    body = {"GroupId": scene.group_id, "MemberList": [{"Member_Account": "carol"}]}
    assert (await scene.rest.call("group_open_http_svc/add_group_member", body))["ErrorCode"] == 0


TOPIC: dict[str, Any] = {
    "GroupId": "@TGS#_town",
    "Type": "Community",
    "TopicId": "@TGS#_town@TOPIC#_news",
    "Operator_Account": "alice",
}
# Each row: the name, the cause, and the callbacks that it causes, each with some fields of its body.
TABLE: list[tuple[str, Cause, dict[str, dict[str, Any]]]] = [
    (
        "creating a group",
        create,
        {
            names.BEFORE_CREATE: {"Operator_Account": "alice", "Owner_Account": "alice", "Type": "Public", "Name": "g"},
            names.CREATED: {
                "Operator_Account": "alice",
                "MemberList": [{"Member_Account": "alice"}],
                "UserDefinedDataList": [{"Key": "k", "Value": "v"}],
            },
        },
    ),
    (
        "inviting a member",
        lambda s: s.rest.call(
            "group_open_http_svc/modify_group_base_info", {"GroupId": s.group_id, "ApplyJoinOption": "FreeAccess"}
        ),
        {names.INFO_CHANGED: {"Operator_Account": "administrator", "ApplyJoinOption": "FreeAccess"}},
    ),
    (
        "joining",
        lambda s: s.bob.groups.join(s.group_id),
        {
            names.BEFORE_JOIN: {"Requestor_Account": "bob", "Type": "Public"},
            names.JOINED: {"JoinType": "Apply", "Operator_Account": "bob", "NewMemberList": [{"Member_Account": "bob"}]},
        },
    ),
    (
        "adding the last member over REST",
        rest_add,
        {
            names.JOINED: {
                "JoinType": "Invited",
                "Operator_Account": "administrator",
                "NewMemberList": [{"Member_Account": "carol"}],
            },
            names.GROUP_FULL: {},
        },
    ),
    (
        "removing a member",
        lambda s: s.group.kick("carol"),
        {names.EXITED: {"ExitType": "Kicked", "Operator_Account": "alice", "ExitMemberList": [{"Member_Account": "carol"}]}},
    ),
    (
        "changing the group",
        lambda s: s.group.set_info(name="new", notification="hear"),
        {names.INFO_CHANGED: {"Operator_Account": "alice", "Name": "new", "Notification": "hear"}},
    ),
    (
        "changing an attribute",
        lambda s: s.group.set_attributes({"a": "1"}),
        {names.ATTRIBUTES_CHANGED: {"OptionType": "modify", "GroupAttr": [{"key": "a", "value": "1"}]}},
    ),
    (
        "changing a member",
        lambda s: s.group.set_name_card("B", user_id="bob"),
        {names.MEMBER_CHANGED: {"Operator_Account": "alice", "Modified_Account": "bob", "NameCard": "B"}},
    ),
    (
        "sending to the group",
        lambda s: s.talk.send("hello"),
        {
            names.BEFORE_GROUP: {"From_Account": "alice", "OnlineOnlyFlag": 0},
            names.AFTER_GROUP: {
                "From_Account": "alice",
                "Operator_Account": "alice",
                "Type": "Public",
                "MsgBody": text("hello"),
            },
        },
    ),
    (
        "recalling in the group",
        lambda s: recall_newest(s.talk),
        {names.BEFORE_GROUP: {}, names.AFTER_GROUP: {}, names.GROUP_RECALLED: {"Operator_Account": "alice"}},
    ),
    (
        "reading a message that requests receipts",
        read_in_group,
        {names.BEFORE_GROUP: {}, names.AFTER_GROUP: {}, names.GROUP_READ: {"Type": "Public"}},
    ),
    (
        "a refused message to the group",
        refused_group_message,
        {
            names.MEMBER_CHANGED: {"Modified_Account": "bob"},
            names.BEFORE_GROUP: {"From_Account": "bob"},
            names.GROUP_REFUSED: {"From_Account": "bob", "ErrorCode": 10017, "Operator_Account": "bob"},
        },
    ),
    (
        "passing the group on",
        lambda s: s.group.transfer_ownership("bob"),
        {names.OWNER_CHANGED: {"Operator_Account": "alice", "OldOwner_Account": "alice", "NewOwner_Account": "bob"}},
    ),
    (
        "leaving",
        lambda s: s.group.quit(),
        {names.EXITED: {"ExitType": "Quit", "ExitMemberList": [{"Member_Account": "alice"}]}},
    ),
    (
        "dissolving",
        lambda s: s.bob.groups.of(s.group_id).dissolve(),
        {names.DESTROYED: {"Owner_Account": "bob", "Name": "new", "MemberList": [{"Member_Account": "bob"}]}},
    ),
    (
        "sending to a user",
        lambda s: s.alice.c2c("bob").send("hello"),
        {
            names.BEFORE_C2C: {"From_Account": "alice", "To_Account": "bob", "MsgBody": text("hello")},
            names.AFTER_C2C: {"SendMsgResult": 0, "ErrorInfo": "send msg succeed", "OnlineOnlyFlag": 0, "UnreadMsgNum": 1},
        },
    ),
    ("sending over REST", rest_send, {names.BEFORE_C2C: {}, names.AFTER_C2C: {"From_Account": "alice", "UnreadMsgNum": 2}}),
    (
        "an online message",
        lambda s: s.alice.c2c("bob").send_online("now"),
        {names.BEFORE_C2C: {"OnlineOnlyFlag": 1}, names.AFTER_C2C: {"OnlineOnlyFlag": 1, "SendMsgResult": 0}},
    ),
    (
        "reading",
        read,
        {names.C2C_READ: {"Report_Account": "bob", "Peer_Account": "alice", "UnreadMsgNum": 0}},
    ),
    (
        "recalling",
        lambda s: recall_newest(s.alice.c2c("bob")),
        {names.BEFORE_C2C: {}, names.AFTER_C2C: {}, names.C2C_RECALLED: {"From_Account": "alice", "To_Account": "bob"}},
    ),
    (
        "becoming friends",
        befriend,
        {
            names.BEFORE_ADD_FRIEND: {"Requester_Account": "alice", "AddType": "Add_Type_Both"},
            names.BEFORE_ANSWER: {"Requester_Account": "bob"},
            names.FRIEND_ADDED: {
                "ClientCmd": "friend_response",
                "Admin_Account": "",
                "PairList": [
                    {"From_Account": "alice", "To_Account": "bob", "Initiator_Account": "bob"},
                    {"From_Account": "bob", "To_Account": "alice", "Initiator_Account": "bob"},
                ],
            },
        },
    ),
    (
        "deleting a friend",
        lambda s: s.alice.friends.delete("bob", both=True),
        {
            names.FRIEND_DELETED: {
                "PairList": [
                    {"From_Account": "alice", "To_Account": "bob"},
                    {"From_Account": "bob", "To_Account": "alice"},
                ]
            }
        },
    ),
    (
        "blocking",
        lambda s: s.alice.friends.block("bob"),
        {names.BLOCKED: {"PairList": [{"From_Account": "alice", "To_Account": "bob"}]}},
    ),
    (
        "a message to a user who blocks its sender",
        refused_c2c_message,
        {names.BEFORE_C2C: {}, names.AFTER_C2C: {"From_Account": "bob", "SendMsgResult": 20007}},
    ),
    (
        "unblocking",
        lambda s: s.alice.friends.unblock("bob"),
        {names.UNBLOCKED: {"PairList": [{"From_Account": "alice", "To_Account": "bob"}]}},
    ),
    (
        "following",
        lambda s: s.alice.follows.add("bob"),
        {names.FOLLOWED: {"From_Account": "alice", "FollowList": [{"To_Account": "bob"}]}},
    ),
    (
        "following no more",
        lambda s: s.alice.follows.remove("bob"),
        {names.UNFOLLOWED: {"From_Account": "alice", "FollowList": [{"To_Account": "bob"}]}},
    ),
    (
        "changing a profile",
        lambda s: s.alice.profile.set(nickname="Al"),
        {
            names.PROFILE: {
                "Operator_Account": "alice",
                "From_Account": "alice",
                "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Al"}],
            }
        },
    ),
    ("creating a Community", create_town, {names.BEFORE_CREATE: {"Type": "Community"}, names.CREATED: {"Name": "town"}}),
    (
        "creating a topic",
        create_topic,
        {
            names.BEFORE_CREATE_TOPIC: {"GroupId": "@TGS#_town", "Operator_Account": "alice", "Name": "news"},
            names.TOPIC_CREATED: TOPIC | {"Owner_Account": "alice", "Name": "news", "UserDefinedDataList": []},
        },
    ),
    (
        "changing a topic",
        lambda s: s.group.topics.edit(s.topic_id, name="old news", muted_all=True),
        {names.TOPIC_CHANGED: TOPIC | {"Name": "old news", "ShutUpAllMember": "On", "Introduction": None}},
    ),
    (
        "muting a member in a topic",
        lambda s: s.group.topics.mute(s.topic_id, "bob", 60),
        {},
    ),
    (
        "sending to a topic",
        lambda s: s.alice.group(s.topic_id).send("hello"),
        {names.BEFORE_GROUP: TOPIC, names.AFTER_GROUP: TOPIC | {"MsgSeq": 3}},
    ),
    (
        "recalling in a topic",
        lambda s: recall_newest(s.alice.group(s.topic_id)),
        {names.BEFORE_GROUP: TOPIC, names.AFTER_GROUP: TOPIC, names.GROUP_RECALLED: TOPIC | {"MsgSeqList": [{"MsgSeq": 4}]}},
    ),
    (
        "reading a message of a topic that requests a receipt",
        read_in_topic,
        {
            names.BEFORE_GROUP: TOPIC,
            names.AFTER_GROUP: TOPIC,
            names.GROUP_READ: {"GroupId": "@TGS#_town", "TopicId": "@TGS#_town@TOPIC#_news", "Type": "Community"},
        },
    ),
    (
        "deleting topics",
        lambda s: s.group.topics.delete(s.topic_id),
        {
            names.TOPIC_DESTROYED: {
                "GroupId": "@TGS#_town",
                "Operator_Account": "alice",
                "TopicIdList": [{"TopicId": "@TGS#_town@TOPIC#_news"}],
            }
        },
    ),
]


async def test_each_callback_fires_once_for_its_cause(back_end: WebhookReceiver) -> None:
    fired: set[str] = set()
    async with server_with(back_end) as server, RestClient(server) as rest:
        await server.add_users("carol")
        bob = server.client("bob")
        at_bob = EventRecorder(bob)
        async with server.client("alice") as alice, bob:
            scene = Scene(alice, bob, rest, at_bob)
            await back_end.until(lambda calls: len(calls) == 4)
            assert [call.body["Info"]["Action"] for call in back_end.calls[:2]] == ["Login", "Logout"]
            for name, cause, expected in TABLE:
                begun = len(back_end.calls)
                await cause(scene)
                await back_end.until(_at_least(begun + len(expected)), timeout=10)
                calls = {call.query["CallbackCommand"]: call for call in back_end.calls[begun:]}
                assert Counter(c.query["CallbackCommand"] for c in back_end.calls[begun:]) == Counter(list(expected)), name
                for command, fields in expected.items():
                    _check(calls[command], command, fields, server, by_rest="REST" in name)
                fired |= set(expected)
        await back_end.until(lambda calls: len(back_end.of(names.STATE)) == 6)
    events = [c.body["TimimEventId"] for c in back_end.calls if "TimimEventId" in c.body]
    assert len(events) == len(set(events))
    elsewhere = {names.BEFORE_INVITE, names.MEMBER_STATE}  # have tests of their own, here and in test_live_rooms.py
    assert fired | elsewhere | {names.STATE} == names.CALLBACKS
    assert len(names.CALLBACKS) + len(names.NOT_SERVED) == 37


def _at_least(number: int) -> Callable[[list[Call]], bool]:
    return lambda calls: len(calls) >= number


def _check(call: Call, command: str, fields: dict[str, Any], server: RunningServer, *, by_rest: bool) -> None:
    assert {key: call.body.get(key) for key in fields} == fields, command
    assert call.body["CallbackCommand"] == command
    assert next(iter(call.body)) == "CallbackCommand"
    assert isinstance(call.body["EventTime"], int)
    assert call.query["SdkAppid"] == str(server.app_id)
    assert call.query["ClientIP"] == "127.0.0.1"
    platforms = {"RESTAPI"} if by_rest else {"RESTAPI", "Web", "Unknown"}
    assert call.query["OptPlatform"] in platforms, command
    time = call.query["RequestTime"]
    assert call.query["Sign"] == hashlib.sha256(f"secret{time}".encode()).hexdigest()


def answering(command: str, **fields: Any) -> Callable[[Call], Awaitable[bytes]]:
    """Return the answer of a back end that gives these fields to one callback, and accepts the others."""

    async def answer(call: Call) -> bytes:
        if call.query["CallbackCommand"] != command:
            return await agree(call)
        return reply(json.dumps({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", **fields}).encode())

    return answer


async def test_the_back_end_refuses_changes_before_they_happen(back_end: WebhookReceiver) -> None:
    commands = ",".join(names.BEFORE)
    async with server_with(back_end, commands) as server, server.client("alice") as alice, server.client("bob") as bob:
        await server.add_users("carol")
        group = await alice.groups.create("Public", name="g", join_option=timim.JoinOption.FREE)
        town = await alice.groups.create("Community", name="town", topics=True)
        for command, code, seen, cause in (
            (names.BEFORE_CREATE, 1, 10016, lambda: alice.groups.create("Work", name="w")),
            (names.BEFORE_CREATE, 10_150, 10_150, lambda: alice.groups.create("Work", name="w")),
            (names.BEFORE_CREATE_TOPIC, 1, 10016, lambda: town.topics.create("t")),
            (names.BEFORE_CREATE_TOPIC, 10_150, 10_150, lambda: town.topics.create("t")),
            (names.BEFORE_JOIN, 10_200, 10_200, lambda: bob.groups.join(group.id)),
            (names.BEFORE_ADD_FRIEND, 38_500, 38_500, lambda: alice.friends.add("bob")),
            (names.BEFORE_ADD_FRIEND, 7, 38_000, lambda: alice.friends.add("bob")),
        ):
            back_end.answer = answering(command, ErrorCode=code, ErrorInfo="no")
            with pytest.raises(timim.ServerRefused, match="no") as refused:
                await cause()
            assert refused.value.code == seen, command
        back_end.answer = agree
        assert await group.info() is not None
        assert {one.id for one in await alice.groups.joined()} == {group.id, town.id}
        assert await town.topics.list() == ()
        assert await alice.friends.list() == ()


async def test_the_back_end_refuses_some_of_several_users(back_end: WebhookReceiver) -> None:
    commands = ",".join(names.BEFORE)
    async with server_with(back_end, commands) as server, server.client("alice") as alice, server.client("bob") as bob:
        await server.add_users("carol")
        group = await alice.groups.create("Work", name="g")
        back_end.answer = answering(names.BEFORE_INVITE, RefusedMembers_Account=["bob"])
        with pytest.raises(timim.ServerRefused):
            await group.invite("bob", "carol")
        assert await group.member("carol") is not None
        assert await group.member("bob") is None
        (asked,) = back_end.of(names.BEFORE_INVITE)
        assert asked.body["DestinationMembers"] == [{"Member_Account": "bob"}, {"Member_Account": "carol"}]
        back_end.answer = answering(names.BEFORE_ADD_FRIEND, ResultItem=[{"To_Account": "bob", "ResultCode": 38_001}])
        with pytest.raises(timim.ServerRefused) as refused:
            await alice.friends.add("bob")
        assert refused.value.code == 38_001
        assert await bob.friends.applications() == ()


async def test_a_message_that_the_back_end_drops_seems_sent(back_end: WebhookReceiver) -> None:
    async with server_with(back_end) as server, RestClient(server) as rest:
        await server.add_users("alice", "bob")
        back_end.answer = answering(names.BEFORE_C2C, ErrorCode=2)
        body = {"From_Account": "alice", "To_Account": "bob", "MsgRandom": 1, "MsgBody": text("dropped")}
        assert (await rest.call("openim/sendmsg", body))["ErrorCode"] == 0
        async with server.client("alice") as alice:
            with pytest.raises(timim.ServerRefused) as refused:  # its store needs a seq of each message
                await alice.c2c("bob").send("dropped")
            assert refused.value.code == 20006
        back_end.answer = agree
        assert (await rest.call("openim/sendmsg", {**body, "MsgRandom": 2, "MsgBody": text("kept")}))["ErrorCode"] == 0
        await back_end.until(lambda calls: bool(back_end.of(names.AFTER_C2C)))
        async with server.client("bob") as bob:
            assert [message.text async for message in bob.c2c("alice").history()] == ["kept"]
    assert [call.body["MsgBody"] for call in back_end.of(names.AFTER_C2C)] == [text("kept")]


async def test_callbacks_survive_a_failing_back_end_and_a_crash_of_the_server_in_order(back_end: WebhookReceiver) -> None:
    failing = True

    async def fail(call: Call) -> bytes:
        return reply(b"", status="500 Oops") if failing else await agree(call)

    back_end.answer = fail
    after = ",".join(names.AFTER - {names.STATE})
    async with server_with(back_end, after) as server:
        async with server.client("alice") as alice:
            group = await alice.groups.create("Public", name="0")
            for number in range(1, 5):
                await group.set_info(name=f"{number}")
                await alice.group(group.id).send(f"{number}")
            await group.dissolve()
        await back_end.until(lambda calls: len(calls) > 1)
        await server.crash()
        begun, failing = len(back_end.calls), False
        await server.start()
        await back_end.until(_at_least(begun + 10))
        told = [
            (c.body["CallbackCommand"], c.body.get("Name") or c.body["MsgBody"][0]["MsgContent"]["Text"])
            for c in back_end.calls[begun:]
        ]
    pairs = [pair for n in range(1, 5) for pair in ((names.INFO_CHANGED, f"{n}"), (names.AFTER_GROUP, f"{n}"))]
    assert told == [(names.CREATED, "0"), *pairs, (names.DESTROYED, "4")]
    repeated = back_end.calls[0].body["TimimEventId"]
    assert repeated == back_end.calls[begun].body["TimimEventId"]


async def test_a_slow_back_end_delays_only_the_lanes_that_wait_for_it(back_end: WebhookReceiver) -> None:
    held, released = asyncio.Event(), asyncio.Event()

    async def answer(call: Call) -> bytes:
        if call.body.get("GroupId") == "slow":
            held.set()
            await released.wait()
        return await agree(call)

    back_end.answer = answer
    async with server_with(back_end, names.CREATED) as server, server.client("alice") as alice:
        await alice.groups.create("Public", name="s", id="slow")
        await held.wait()
        await alice.groups.create("Public", name="q", id="quick")
        await back_end.until(lambda calls: [call.body["GroupId"] for call in calls] == ["slow", "quick"])
        released.set()


async def test_a_login_names_the_devices_that_it_ended(back_end: WebhookReceiver) -> None:
    async with server_with(back_end, names.STATE, devices="one") as server, server.client("alice"):
        await back_end.until(_at_least(1))
        async with server.client("alice"):
            await back_end.until(_at_least(3))
    logins = [call.body for call in back_end.of(names.STATE) if call.body["Info"]["Action"] == "Login"]
    assert [len(body.get("KickedDevice", ())) for body in logins] == [0, 1]


def test_a_callback_that_is_not_served_is_named_with_the_reason() -> None:
    for name, reason in names.NOT_SERVED.items():
        with pytest.raises(ValidationError, match=f"{name} is known but not made, because {reason}"):
            Settings(webhook_commands=name)
