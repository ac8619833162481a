"""Tests of offline push (F33): its text, its receivers, its signature, and its retries without avoidable duplicates."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

import timim
from tests.support.rest import RestClient
from tests.support.webhook_receiver import Call, WebhookReceiver, agree, reply, webhook_receiver
from timim.protocol import messages as wire
from timim.testing import running_server
from timim.testing.server import RunningServer
from timim.util.failpoints import Failpoint

Pushed = Counter[tuple[str, str]]


@pytest.fixture
async def phones() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


def server_with(phones: WebhookReceiver, **settings: Any) -> AbstractAsyncContextManager[RunningServer]:
    return running_server(push_url=phones.url, push_token="secret", **settings)


def pushed(calls: Sequence[Call]) -> Pushed:
    """Return how often each push was sent to each account."""
    return Counter((call.body["PushId"], user) for call in calls for user in call.body["To_Account"])


@pytest.mark.requirement("F33")
async def test_the_push_text_follows_the_guide(phones: WebhookReceiver) -> None:
    async with server_with(phones) as server:
        await server.add_users("bob", "carol")
        async with server.client("alice") as alice:
            await alice.profile.set(nickname="小爱")
            await alice.c2c("bob").send(
                "看 ",
                timim.CustomElem(data=b"x", desc="红包", ext="go", sound="ding"),
                timim.FaceElem(index=1),
                timim.LocationElem(latitude=1, longitude=2),
                timim.FileElem(data=b"f", filename="a.txt"),
                " here",
            )
            group = await alice.groups.create("Work", name="队", members=["bob", "carol"])
            await alice.group(group.id).send("集合")
            await alice.c2c("bob").send("x", push=timim.OfflinePush(title="T", desc="D", ext="E"))
            await phones.until(lambda calls: len(calls) == 3)
    by_text = {call.body["Text"]: call for call in phones.calls}
    direct = by_text["小爱：看 红包[表情][位置][文件] here"]
    assert direct.body["To_Account"] == ["bob"]
    assert (direct.body["Title"], direct.body["Ext"], direct.body["Sound"]) == ("小爱", "go", "ding")
    in_group = by_text["小爱(队)：集合"]
    assert in_group.body["To_Account"] == ["bob", "carol"]
    assert in_group.body["GroupId"] == group.id
    override = by_text["小爱：x"]
    assert (override.body["Title"], override.body["Desc"], override.body["Ext"]) == ("T", "D", "E")
    assert len({call.body["PushId"] for call in phones.calls}) == 3
    for call in phones.calls:
        time = call.query["RequestTime"]
        assert call.query["Sign"] == hashlib.sha256(f"secret{time}".encode()).hexdigest()
        assert call.headers["timim-signature"] == hmac.new(b"secret", f"{time}\n".encode() + call.content, "sha256").hexdigest()


async def test_the_fields_for_phones_are_passed_on(phones: WebhookReceiver) -> None:
    android: dict[str, str | int] = {"Sound": "ding.mp3", "OPPOChannelID": "news"}
    apns: dict[str, str | int] = {"Sound": "ding.aiff", "BadgeMode": 1}
    async with server_with(phones) as server, RestClient(server) as rest:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            await alice.c2c("bob").send("sent", push=timim.OfflinePush(android=android, apns=apns))
            await alice.c2c("bob").send("plain")
        body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "by REST"}}]
        message = {"From_Account": "alice", "To_Account": "bob", "MsgRandom": 7, "MsgBody": body}
        await rest.done("openim/sendmsg", message | {"OfflinePushInfo": {"AndroidInfo": android, "ApnsInfo": apns}})
        wrong = message | {"MsgRandom": 8, "OfflinePushInfo": {"ApnsInfo": {"BadgeMode": [1]}}}
        refused = await rest.call("openim/sendmsg", wrong)
        await phones.until(lambda calls: len(calls) == 3)
    assert "ApnsInfo" in refused["ErrorInfo"], refused
    by_text = {call.body["Text"]: call.body for call in phones.calls}
    for text in ("alice：sent", "alice：by REST"):
        assert (by_text[text]["AndroidInfo"], by_text[text]["ApnsInfo"]) == (android, apns)
    assert "AndroidInfo" not in by_text["alice：plain"]
    with pytest.raises(timim.InvalidArgument, match="apns"):
        timim.OfflinePush(apns={"BadgeMode": 1 << 63})
    assert len({timim.OfflinePush(android=android), timim.OfflinePush()}) == 2


@pytest.mark.requirement("F33")
async def test_only_offline_users_are_pushed_to_and_only_messages(phones: WebhookReceiver) -> None:
    async with server_with(phones) as server:
        await server.add_users("carol", "dave")
        async with server.client("alice") as alice, server.client("bob"):
            await alice.c2c("bob").send("bob is here")
            await alice.c2c("carol").send_online("typing")
            await alice.c2c("carol").send("hush", push=timim.OfflinePush(disable=True))
            await alice.c2c("alice").send("to myself")
            # creates a tip, which is not pushed
            group = await alice.groups.create("Public", name="g", members=["bob", "carol"])
            loud = await alice.groups.create("AVChatRoom", name="loud")
            await alice.group(loud.id).send("nobody is woken up")
            await alice.group(group.id).send("one for carol")
            await alice.c2c("dave").send("the last")
            await phones.until(lambda calls: len(calls) == 2)
    assert {(call.body["Text"], *call.body["To_Account"]) for call in phones.calls} == {
        ("alice(g)：one for carol", "carol"),
        ("alice：the last", "dave"),
    }


@pytest.mark.requirement("F33")
async def test_a_user_gets_no_push_in_the_time_of_do_not_disturb(phones: WebhookReceiver) -> None:
    async with server_with(phones) as server:
        await server.add_users("bob", "carol")
        async with server.client("alice") as alice:
            async with server.client("carol") as carol:
                await carol.profile.set_do_not_disturb(timim.DoNotDisturb(0, 1 << 40, daily=False))
            await alice.c2c("carol").send("hush")
            await alice.c2c("bob").send("bob is awake")
            await phones.until(bool)
            async with server.client("carol") as carol:
                await carol.profile.set_do_not_disturb(None)
            await alice.c2c("carol").send("awake again")
            await phones.until(lambda calls: len(calls) == 2)
    assert [call.body["Text"] for call in phones.calls] == ["alice：bob is awake", "alice：awake again"]


@pytest.mark.requirement("F33")
async def test_a_user_who_muted_the_conversation_gets_no_push(phones: WebhookReceiver) -> None:
    async with server_with(phones) as server:
        await server.add_users("carol")
        async with server.client("alice") as alice:
            await alice.c2c("carol").send("first")
            await phones.until(bool)
            async with server.client("carol") as carol:
                await carol.c2c("alice").set_muted(True)
            await alice.c2c("carol").send("hush")
            async with server.client("carol") as carol:
                await carol.c2c("alice").set_muted(False)
            await alice.c2c("carol").send("awake again")
            await phones.until(lambda calls: len(calls) == 2)
    assert [call.body["Text"] for call in phones.calls] == ["alice：first", "alice：awake again"]


@pytest.mark.requirement("F33")
async def test_a_push_that_is_too_long_is_refused_clearly(phones: WebhookReceiver) -> None:
    async with server_with(phones) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            with pytest.raises(timim.TimimError, match=r"OfflinePushInfo is .* the limit is 4096"):
                await alice.c2c("bob").send("x", push=timim.OfflinePush(desc="长" * 2000))


async def slow(call: Call) -> bytes:
    await asyncio.sleep(30)
    return b""


async def broken(call: Call) -> bytes:
    return reply(b"no", status="503 Busy")


async def garbage(call: Call) -> bytes:
    return reply(b"{")


@pytest.mark.parametrize("fails", [slow, broken, garbage])
@pytest.mark.requirement("F33")
async def test_a_failed_push_is_retried_in_order_under_the_same_id(phones: WebhookReceiver, fails: object) -> None:
    phones.answer = fails  # type: ignore[assignment]
    async with server_with(phones, push_timeout_s=0.3) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            for number in range(4):
                await alice.c2c("bob").send(f"{number}")
            await phones.until(lambda calls: len(calls) >= 2)
            phones.answer = agree
            await phones.until(lambda calls: calls[-1].body["Text"] == "alice：3")
    texts = [call.body["Text"] for call in phones.calls]
    assert [text for at, text in enumerate(texts) if text not in texts[:at]] == [f"alice：{n}" for n in range(4)]
    assert texts == sorted(texts), "a push was sent before an earlier one that had failed"
    assert len({call.body["PushId"] for call in phones.calls}) == 4


@pytest.mark.requirement("R16")
async def test_a_push_follows_no_redirect(phones: WebhookReceiver) -> None:
    async with webhook_receiver() as elsewhere:

        async def redirect(call: Call) -> bytes:
            return reply(b"", status="302 Go", headers=f"Location: {elsewhere.url}\r\n")

        phones.answer = redirect
        async with server_with(phones) as server:
            await server.add_users("bob")
            async with server.client("alice") as alice:
                await alice.c2c("bob").send("x", push=timim.OfflinePush(ext=elsewhere.url))
                await phones.until(lambda calls: len(calls) >= 2)
        assert elsewhere.calls == []


async def pushes_through(phones: WebhookReceiver, crash_at: Failpoint, count: int) -> Pushed:
    """Send six messages to bob, crash the server meanwhile, restart it on the same data, and count the pushes."""
    async with server_with(phones) as server:
        await server.add_users("bob")
        await server.restart(crash_at=crash_at, count=count)
        async with server.client("alice") as alice:
            sends = [asyncio.ensure_future(alice.c2c("bob").send(f"{number}")) for number in range(6)]
            await server.wait_for_exit()
            await server.start()
            await asyncio.gather(*sends)
            await alice.c2c("bob").send("the end")
            await phones.until(lambda calls: bool(calls) and calls[-1].body["Text"] == "alice：the end")
    return pushed(phones.calls)


@pytest.mark.parametrize("crash_at,count", [("after-commit", 2), ("before-publish", 1), ("after-publish", 1)])
@pytest.mark.requirement("F33")
async def test_a_kill_between_the_commit_and_the_push_loses_none(
    phones: WebhookReceiver, crash_at: Failpoint, count: int
) -> None:
    times = await pushes_through(phones, crash_at, count)
    assert len(times) == 7
    # each push is sent at least once; only a push that the crash interrupted may be repeated, under the same id
    assert sum(times.values()) <= 7 + 6


async def told_through_a_restart(phones: WebhookReceiver) -> Pushed:
    """Send messages, restart the server after all pushes are acknowledged, send more messages, and count the pushes."""
    async with server_with(phones) as server:
        await server.add_users("bob", "carol")
        async with server.client("alice") as alice:
            group = alice.group((await alice.groups.create("Work", name="g", members=["bob", "carol"])).id)
            for number in range(4):
                await alice.c2c("bob").send(f"{number}")
                await group.send(f"{number}")
            await phones.until(lambda calls: len(calls) >= 8)
            await server.restart()
            await alice.c2c("bob").send("last")
            await group.send("last")
            wanted = {("alice：last", "bob"), ("alice(g)：last", "bob"), ("alice(g)：last", "carol")}
            await phones.until(lambda calls: wanted <= {(c.body["Text"], user) for c in calls for user in c.body["To_Account"]})
    return pushed(phones.calls)


@pytest.mark.requirement("F33")
async def test_an_acknowledged_push_is_never_repeated(phones: WebhookReceiver) -> None:
    times = await told_through_a_restart(phones)
    assert len(times) == 4 + 2 * 4 + 3
    assert set(times.values()) == {1}


@pytest.mark.requirement("F33")
async def test_a_server_that_forgets_its_cursors_is_detected(phones: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunningServer, "program", ("-m", "tests.mutants.no_cursor"))
    times = await told_through_a_restart(phones)
    assert max(times.values()) > 1


async def test_a_message_to_some_members_is_pushed_to_them_alone(phones: WebhookReceiver) -> None:
    async with server_with(phones) as server:
        await server.add_users("bob", "carol", "dave")
        async with server.client("alice") as alice:
            group = await alice.groups.create("Work", name="team", members=["bob", "carol", "dave"])
            body = msgspec.Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"for carol"}}]')
            request = wire.SendGroupRequest(group_id=group.id, random=7, client_time=9, msg_body=body, receivers=["carol"])
            await alice.engine.connection.link().call(wire.SEND_GROUP, request, timeout_s=5)
            await group.conversation.send("for all")
            await phones.until(lambda calls: len(calls) == 2)
    receivers = {call.body["Desc"]: call.body["To_Account"] for call in phones.calls}
    assert receivers == {"for carol": ["carol"], "for all": ["bob", "carol", "dave"]}
