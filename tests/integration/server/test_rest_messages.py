"""Tests of C2C messages over REST: their sender and rules, repeated requests, batches, history, recalls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from tests.support.webhook_receiver import webhook_receiver
from timim import MessageRecalled
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEND, BATCH, HISTORY, RECALL = (
    f"openim/{name}" for name in ("sendmsg", "batchsendmsg", "admin_getroammsg", "admin_msgwithdraw")
)


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


def message(to: str, content: str, random: int = 7, **fields: Any) -> dict[str, Any]:
    return {"To_Account": to, "MsgRandom": random, "MsgBody": text(content), **fields}


async def texts(received: EventRecorder, count: int) -> list[str]:
    """Return the texts of the messages that a device has got, which must be `count` with the next one that is sent."""
    await received.wait_for_messages(count)
    return sorted(message.text for message in received.messages)


async def test_a_message_arrives_from_the_administrator_or_the_named_sender(rest: RestClient, users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    received, own = EventRecorder(bob), EventRecorder(alice)
    reply = await rest.done(SEND, message(users.id("bob"), "from the back end"))
    assert reply["MsgKey"] == f"{reply['MsgSeq']}_7_{reply['MsgTime']}"
    assert (await received.wait_for_message()).sender == "administrator"
    await rest.done(SEND, message(users.id("bob"), "as alice", From_Account=users.id("alice"), CloudCustomData="data"))
    arrived = await received.wait_for_message(lambda m: m.text == "as alice")
    assert (arrived.sender, arrived.cloud_custom_data) == (users.id("alice"), "data")
    assert (await own.wait_for_message()).text == "as alice"  # on the sender's devices too


async def test_neither_blacklist_nor_friendship_is_asked(users: Users, rest: RestClient) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    received = EventRecorder(bob)
    await bob.friends.block(users.id("alice"))
    await rest.done(SEND, message(users.id("bob"), "in spite of the blacklist", From_Account=users.id("alice")))
    await received.wait_for_message(lambda m: m.text == "in spite of the blacklist")
    with pytest.raises(Exception, match="blacklist"):
        await alice.c2c(users.id("bob")).send("not so")


@pytest.mark.parametrize("sender, to, code", [("", "nobody", 20003), ("nobody", "administrator", 20003)])
async def test_unknown_accounts_are_refused(rest: RestClient, sender: str, to: str, code: int) -> None:
    assert (await rest.call(SEND, message(to, "lost", From_Account=sender)))["ErrorCode"] == code


async def test_a_repeated_request_is_stored_once_and_gets_the_first_answer(rest: RestClient, users: Users) -> None:
    received = EventRecorder(await users.login("bob"))
    body = message(users.id("bob"), "once")
    first = await rest.done(SEND, body)
    replies = await asyncio.gather(*(rest.done(SEND, body | {"MsgTimeStamp": n}) for n in range(5)))
    assert {(reply["MsgKey"], reply["MsgTime"]) for reply in replies} == {(first["MsgKey"], first["MsgTime"])}
    others = [
        message(users.id("bob"), "other text"),
        message(users.id("bob"), "once", 8),
        message(users.id("bob"), "once", MsgSeq=3),
        message(users.id("bob"), "once", CloudCustomData="x"),
    ]
    keys = {(await rest.done(SEND, other))["MsgKey"] for other in others}
    assert len(keys | {first["MsgKey"]}) == 5
    assert await texts(received, 5) == ["once"] * 4 + ["other text"]


async def test_of_simultaneous_requests_one_is_stored(rest: RestClient, users: Users) -> None:
    received = EventRecorder(await users.login("bob"))
    replies = await asyncio.gather(*(rest.done(SEND, message(users.id("bob"), "at once")) for _ in range(8)))
    assert len({reply["MsgKey"] for reply in replies}) == 1
    await rest.done(SEND, message(users.id("bob"), "then"))
    assert await texts(received, 2) == ["at once", "then"]


async def test_repeated_requests_are_known_after_a_restart_until_the_window_ends() -> None:
    async with running_server() as server, server.client("bob") as bob:
        body, received = message("bob", "kept"), EventRecorder(bob)
        async with RestClient(server) as rest:
            first = await rest.done(SEND, body)
        await server.crash()
        await server.restart()
        async with RestClient(server) as rest:
            server.clock.jump(60)
            assert (await rest.done(SEND, body))["MsgKey"] == first["MsgKey"]
            server.clock.jump(61)
            assert (await rest.done(SEND, body))["MsgKey"] != first["MsgKey"]
            history = await rest.done(HISTORY, {"From_Account": "administrator", "To_Account": "bob", "MaxCnt": 10})
            assert history["MsgCnt"] == 2
            assert await texts(received, 2) == ["kept", "kept"]


async def test_an_online_message_is_not_stored(rest: RestClient, users: Users) -> None:
    bob = await users.login("bob")
    received = EventRecorder(bob)
    for n, field in enumerate(({"OnlineOnlyFlag": 1}, {"MsgLifeTime": 0})):
        await rest.done(SEND, message(users.id("bob"), f"now {n}", **field))
        await received.wait_for_message(lambda m, n=n: m.text == f"now {n}")  # type: ignore[misc]
    history = await rest.done(HISTORY, {"From_Account": "administrator", "To_Account": users.id("bob")})
    assert history["MsgList"] == []


async def test_a_batch_reaches_each_receiver_once(rest: RestClient, users: Users) -> None:
    devices = [EventRecorder(await users.login(name)) for name in ("bob", "carol")]
    receivers = [users.id("bob"), users.id("carol"), "nobody", users.id("bob")]
    body = {"To_Account": receivers, "MsgRandom": 5, "MsgBody": text("to all")}
    for _ in range(2):
        reply = await rest.done(BATCH, body)
        assert reply["ErrorList"] == [{"To_Account": "nobody", "ErrorCode": 70107}]
        assert reply["MsgKey"].split("_")[1] == "5"
    await rest.done(BATCH, body | {"MsgBody": text("then")})
    for received in devices:
        assert await texts(received, 2) == ["then", "to all"]
    assert (await rest.call(BATCH, body | {"To_Account": ["nobody"]}))["ErrorCode"] == 90012
    assert (await rest.call(BATCH, body | {"To_Account": [f"u{n}" for n in range(501)]}))["ErrorCode"] == 90011


@pytest.mark.parametrize("names", [("From_Account", "To_Account"), ("Operator_Account", "Peer_Account")])
async def test_the_history_goes_back_in_pages(rest: RestClient, users: Users, names: tuple[str, str]) -> None:
    await users.login("bob")
    for n in range(5):
        await rest.done(SEND, message(users.id("bob"), f"text {n}", n + 1))
    asked: dict[str, Any] = {
        names[0]: users.id("bob"),
        names[1]: "administrator",
        "MaxCnt": 2,
        "MinTime": 1,
        "MaxTime": 1 << 40,
    }
    pages: list[list[str]] = []
    while True:
        page = await rest.done(HISTORY, asked)
        assert page["MsgCnt"] == len(page["MsgList"])
        pages.append([item["MsgBody"][0]["MsgContent"]["Text"] for item in page["MsgList"]])
        if page["Complete"]:
            break
        assert page["MsgList"][0]["MsgKey"] == page["LastMsgKey"]
        asked |= {"MaxTime": page["LastMsgTime"], "LastMsgKey": page["LastMsgKey"]}
    assert pages == [["text 3", "text 4"], ["text 1", "text 2"], ["text 0"]]
    assert (await rest.done(HISTORY, {**asked, "LastMsgKey": "", "MaxTime": 1}))["MsgList"] == []


async def test_a_message_is_recalled_once_and_stays_as_recalled(rest: RestClient, users: Users) -> None:
    bob = await users.login("bob")
    alice = await users.login("alice")
    sent = await rest.done(SEND, message(users.id("bob"), "regret", From_Account=users.id("alice")))
    body = {"From_Account": users.id("alice"), "To_Account": users.id("bob"), "MsgKey": sent["MsgKey"]}
    recalled = EventRecorder(bob, MessageRecalled)
    await rest.done(RECALL, body)
    assert (await rest.call(RECALL, body))["ErrorCode"] == 20023
    assert (await rest.call(RECALL, body | {"MsgKey": "1_2_3"}))["ErrorCode"] == 20022
    assert (await rest.call(RECALL, body | {"MsgKey": "none"}))["ErrorCode"] == 90054
    history = await rest.done(HISTORY, {"From_Account": users.id("alice"), "To_Account": users.id("bob")})
    assert [item["MsgFlagBits"] for item in history["MsgList"]] == [8]
    (seen,) = await alice.c2c(users.id("bob")).get_messages(5)
    assert seen.recalled
    await recalled.wait_for_event(MessageRecalled)


async def test_callbacks_name_rest_and_can_be_omitted() -> None:
    before, after = "C2C.CallbackBeforeSendMsg", "C2C.CallbackAfterSendMsg"
    async with (
        webhook_receiver() as back_end,
        running_server(webhook_url=back_end.url, webhook_commands=f"{before},{after}") as server,
        RestClient(server) as rest,
    ):
        await server.add_users("bob")
        omitted = ["ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback"]
        await rest.done(SEND, message("bob", "silent", ForbidCallbackControl=omitted))
        await rest.done(BATCH, {"To_Account": ["bob"], "MsgRandom": 5, "MsgBody": text("silent batch")})
        body = message("bob", "loud")
        for _ in range(2):
            await rest.done(SEND, body)
        await back_end.until(lambda calls: bool(back_end.of(after)))
        assert [call.body["MsgBody"][0]["MsgContent"]["Text"] for call in back_end.of(before)] == ["loud"]
        assert [call.body["MsgBody"][0]["MsgContent"]["Text"] for call in back_end.of(after)] == ["loud"]
        assert back_end.of(before)[0].query["OptPlatform"] == "RESTAPI"
        refused = await rest.call(SEND, message("bob", "x", ForbidCallbackControl=["ForbidAll"]))
        assert refused["ErrorCode"] == 90001
