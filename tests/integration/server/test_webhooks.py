"""Tests of webhooks over real HTTP: before and after a message is stored, and at logins and logouts."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

import timim
from tests.support.webhook_receiver import Call, WebhookReceiver, agree, reply, webhook_receiver
from timim.protocol import messages as wire
from timim.testing import running_server
from timim.testing.server import RunningServer
from timim.transport.connection import Connection

BEFORE_C2C, AFTER_C2C = "C2C.CallbackBeforeSendMsg", "C2C.CallbackAfterSendMsg"
BEFORE_GROUP, AFTER_GROUP = "Group.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg"


@pytest.fixture
async def back_end() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


def server_with(back_end: WebhookReceiver, *commands: str, **settings: Any) -> AbstractAsyncContextManager[RunningServer]:
    return running_server(webhook_url=back_end.url, webhook_token="secret", webhook_commands=",".join(commands), **settings)


async def refuse(code: int) -> bytes:
    return reply(json.dumps({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": "not that word"}).encode())


@pytest.mark.requirement("R16")
async def test_a_callback_is_signed_and_has_tencents_fields(back_end: WebhookReceiver) -> None:
    async with server_with(back_end, BEFORE_C2C, AFTER_C2C) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            sent = await alice.c2c("bob").send("hello", timim.CustomElem(data=b"x"))
        await back_end.until(lambda calls: len(calls) == 2)
    (before,), (after,) = back_end.of(BEFORE_C2C), back_end.of(AFTER_C2C)
    for call in (before, after):
        assert call.path == "/hook"
        assert call.query["SdkAppid"] == str(server.app_id)
        assert call.query["contenttype"] == "json"
        assert {"ClientIP", "OptPlatform"} <= set(call.query)
        time = call.query["RequestTime"]
        assert call.query["Sign"] == hashlib.sha256(f"secret{time}".encode()).hexdigest()
        signed = hmac.new(b"secret", time.encode() + b"\n" + call.content, hashlib.sha256)
        assert call.headers["timim-signature"] == signed.hexdigest()
        assert call.body["From_Account"] == "alice"
        assert call.body["To_Account"] == "bob"
        assert [elem["MsgType"] for elem in call.body["MsgBody"]] == ["TIMTextElem", "TIMCustomElem"]
    assert after.body["MsgTime"] == sent.timestamp
    assert after.body["MsgId"].endswith("-" + sent.msg_id.rpartition("-")[0])


async def test_a_back_end_refuses_with_its_own_code_or_tims(back_end: WebhookReceiver) -> None:
    codes = iter((1, 120_099, 1, 130_000))
    async with server_with(back_end, BEFORE_C2C, BEFORE_GROUP) as server:
        await server.add_users("bob")

        async def no(call: Call) -> bytes:
            return await refuse(next(codes))

        back_end.answer = no
        async with server.client("alice") as alice:
            group = alice.group((await alice.groups.create("Public", name="g")).id)
            for talk, code in ((alice.c2c("bob"), 20006), (alice.c2c("bob"), 120_099), (group, 10016), (group, 130_000)):
                with pytest.raises(timim.ServerRefused, match="not that word") as refused:
                    await talk.send("spam")
                assert refused.value.code == code
            back_end.answer = agree
            assert (await alice.c2c("bob").send("fine")).seq == 1, "a refused message took a seq"


async def test_a_back_end_rewrites_a_message_before_it_is_stored(back_end: WebhookReceiver) -> None:
    async def clean(call: Call) -> bytes:
        body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": call.body["MsgBody"][0]["MsgContent"]["Text"].upper()}}]
        return reply(json.dumps({"ActionStatus": "OK", "ErrorCode": 0, "MsgBody": body, "CloudCustomData": "seen"}).encode())

    back_end.answer = clean
    async with server_with(back_end, BEFORE_C2C) as server, server.client("alice") as alice, server.client("bob") as bob:
        async with bob.c2c("alice").expect(lambda m: True, timeout=10) as got:
            await alice.c2c("bob").send("quiet")
        assert (await got).text == "QUIET"
        assert (await got).cloud_custom_data == "seen"


async def test_cloud_data_of_a_back_end_counts_in_the_size_of_the_message(back_end: WebhookReceiver) -> None:
    async def add(call: Call) -> bytes:
        return reply(json.dumps({"ActionStatus": "OK", "ErrorCode": 0, "CloudCustomData": "x" * 5000}).encode())

    back_end.answer = add
    async with server_with(back_end, BEFORE_C2C, webhook_required=True) as server, server.client("alice") as alice:
        await server.add_users("bob")
        assert (await alice.c2c("bob").send("x" * 5000)).seq == 1
        with pytest.raises(timim.MessageTooLong) as refused:
            await alice.c2c("bob").send("x" * 8000)
        assert refused.value.code == 93000


async def _post(server: RunningServer, connection: Connection, number: int) -> wire.SendC2CReply:
    body = wire.SendC2CRequest(
        to_account="bob",
        msg_random=number,
        client_time=1_700_000_000,
        msg_body=msgspec.Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"%d"}}]' % number),
    )
    return await connection.link().call(wire.SEND_C2C, body, timeout_s=10)


async def test_a_retry_of_a_stored_message_skips_the_callback(back_end: WebhookReceiver) -> None:
    async with server_with(back_end, BEFORE_C2C) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            first = await _post(server, alice.engine.connection, 7)
            again = await _post(server, alice.engine.connection, 7)
            assert first.timeline_seq == again.timeline_seq == 1
            assert len(back_end.of(BEFORE_C2C)) == 1


async def test_a_slow_back_end_does_not_change_a_senders_order(back_end: WebhookReceiver) -> None:
    async def the_first_is_slow(call: Call) -> bytes:
        if call.body["MsgRandom"] == 1:
            await asyncio.sleep(0.3)
        return await agree(call)

    back_end.answer = the_first_is_slow
    async with server_with(back_end, BEFORE_C2C) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            replies = await asyncio.gather(*(_post(server, alice.engine.connection, number) for number in range(1, 6)))
    assert [reply.timeline_seq for reply in replies] == [1, 2, 3, 4, 5]


async def hang(call: Call) -> bytes:
    await asyncio.sleep(30)
    return b""


async def cut(call: Call) -> bytes:
    return b""


async def garbage(call: Call) -> bytes:
    return reply(b"<html>")


async def endless(call: Call) -> bytes:
    return reply(b'{"ErrorInfo":"' + b"x" * 1_000_000 + b'"}')


async def broken(call: Call) -> bytes:
    return reply(b"", status="500 Oops")


@pytest.mark.parametrize("answer", [hang, cut, garbage, endless, broken])
async def test_the_operator_decides_what_happens_when_a_back_end_does_not_answer(
    back_end: WebhookReceiver, answer: object
) -> None:
    back_end.answer = answer  # type: ignore[assignment]
    async with server_with(back_end, BEFORE_C2C, webhook_timeout_s=0.2) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            assert (await alice.c2c("bob").send("goes through")).seq == 1
    async with server_with(back_end, BEFORE_C2C, webhook_timeout_s=0.2, webhook_required=True) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            with pytest.raises(timim.ServerRefused) as refused:
                await alice.c2c("bob").send("does not")
            assert refused.value.code == 20006


@pytest.mark.requirement("R16")
async def test_no_redirect_is_followed_and_no_address_of_a_user_fetched(back_end: WebhookReceiver) -> None:
    async with webhook_receiver() as elsewhere:

        async def redirect(call: Call) -> bytes:
            return reply(b"", status="307 Go", headers=f"Location: {elsewhere.url}\r\n")

        back_end.answer = redirect
        async with server_with(back_end, BEFORE_C2C, AFTER_C2C) as server:
            await server.add_users("bob")
            async with server.client("alice") as alice:
                picture = {"UUID": "u", "ImageFormat": 1, "ImageInfoArray": [{"Type": 1, "Size": 1, "URL": elsewhere.url}]}
                elem = timim.UnknownElem(MsgType="TIMImageElem", content=json.dumps(picture).encode())
                await alice.c2c("bob").send(elem, elsewhere.url)
            await back_end.until(lambda calls: len(calls) >= 3)  # the callback after sending was retried
        assert elsewhere.calls == []


async def test_callbacks_after_sending_arrive_in_order_through_failures_and_crashes(back_end: WebhookReceiver) -> None:
    async with server_with(back_end, AFTER_C2C, AFTER_GROUP) as server:
        await server.add_users("bob")
        failing = True

        async def fail(call: Call) -> bytes:
            return await (broken(call) if failing else agree(call))

        back_end.answer = fail
        async with server.client("alice") as alice:
            group = alice.group((await alice.groups.create("Public", name="g")).id)
            for number in range(5):
                await alice.c2c("bob").send(f"{number}")
                await group.send(f"{number}")
        await back_end.until(lambda calls: len(calls) > 1)
        await server.crash()
        failing = False
        told = len(back_end.calls)
        await server.start()
        await back_end.until(lambda calls: len(calls) >= told + 10)
        for command in (AFTER_C2C, AFTER_GROUP):
            texts = [
                c.body["MsgBody"][0]["MsgContent"]["Text"]
                for c in back_end.calls[told:]
                if c.query["CallbackCommand"] == command
            ]
            assert texts == ["0", "1", "2", "3", "4"]


async def test_messages_stored_before_a_callback_was_configured_are_not_reported(back_end: WebhookReceiver) -> None:
    async with running_server() as plain:
        await plain.add_users("bob")
        async with plain.client("alice") as alice:
            await alice.c2c("bob").send("before")
            plain._settings.update(webhook_url=back_end.url, webhook_commands=AFTER_C2C)
            await plain.restart()
            await alice.c2c("bob").send("after")
        await back_end.until(bool)
        await plain.stop()
    assert [call.body["MsgBody"][0]["MsgContent"]["Text"] for call in back_end.calls] == ["after"]


async def test_logins_and_logouts_are_reported(back_end: WebhookReceiver) -> None:
    async with server_with(back_end, "State.StateChange") as server:
        async with server.client("alice"):
            await back_end.until(lambda calls: len(calls) == 1)
        await back_end.until(lambda calls: len(calls) == 2)
    assert [call.body["Info"]["Action"] for call in back_end.calls] == ["Login", "Logout"]
    assert {call.body["Info"]["To_Account"] for call in back_end.calls} == {"alice"}
