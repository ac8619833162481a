"""Tests of the error codes with which a real server refuses invalid messages, and of the client's own codes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import timim
from timim.protocol import messages as wire
from timim.protocol.elems import encode_body
from timim.testing import running_server
from timim.transport.websocket import Link

TEXT = encode_body([timim.TextElem(text="x")])


async def refusal(link: Link, **body: object) -> timim.TimimError:
    """Send a message that the client would not send, and return the server's refusal."""
    fields = {"to_account": "alice", "msg_random": 1, "client_time": 1, "msg_body": msgspec.Raw(TEXT)} | body
    with pytest.raises(timim.TimimError) as refused:
        await link.call(wire.SEND_C2C, wire.SendC2CRequest(**fields), timeout_s=10)  # type: ignore[arg-type]
    return refused.value


async def test_an_invalid_message_is_refused_with_its_code() -> None:
    async with running_server() as server, server.client("alice") as alice:
        link = alice.engine.connection.link()
        for body, code, kind in (
            (b"[]", 90002, timim.InvalidElem),
            (b"{}", 90002, timim.InvalidElem),
            (b'[{"MsgType":"TIMTextElem","MsgContent":3}]', 90010, timim.InvalidElem),
            (b'[{"MsgType":"TIMGroupTipElem","MsgContent":{}}]', 90010, timim.InvalidElem),
        ):
            error = await refusal(link, msg_body=msgspec.Raw(body))
            assert (error.code, type(error)) == (code, kind), body
        assert (await refusal(link, msg_random=1 << 32)).code == 90005
        assert (await refusal(link, client_time=-1)).code == 90005
        assert (await refusal(link, to_account="nobody")).code == 20003
        assert (await refusal(link, to_account="")).code in (6017, 90003)
        assert (await refusal(link, from_account="bob")).code == 90009
        assert len(await alice.c2c("alice").get_messages(1)) == 0, "a refused message was stored"


async def test_the_clients_own_errors_have_their_codes(tmp_path: Path) -> None:
    async with running_server() as server:
        alice = server.client("alice", timeout=2)
        with pytest.raises(timim.NotLoggedIn) as early:
            await alice.c2c("bob").get_messages(1)
        assert early.value.code == 6014
        async with alice, server.client("bob") as bob:
            with pytest.raises(timim.InvalidConversation) as wrong:
                await alice.c2c("bob").send_like("+1")
            assert wrong.value.code == 6004
            (sent,) = [await alice.c2c("bob").send(timim.FileElem(data=b"x", filename="x"))]
            file = sent[0]
            assert isinstance(file, timim.FileElem)
            gone = file.model_copy(update={"uuid": "0" * 32})
            gone.bind(alice.engine.media)
            with pytest.raises(timim.MediaGone) as missing:
                await gone.read()
            assert missing.value.code == 6009
            stall = server.faults.stall(user="alice", direction="down")
            with pytest.raises(timim.RequestTimeout) as late:
                await alice.profiles.get(["bob"])
            assert late.value.code == 6012
            stall.release()
            assert bob.user_id == "bob"
