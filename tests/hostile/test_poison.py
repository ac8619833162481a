"""No message makes a history unreadable: what cannot be decoded is refused, and what was stored before is shown repaired."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import MUTANTS
from tests.support.raw_requests import RawRequests, raw_requests_of
from timim import Message, UnknownElem
from timim.protocol.raw_json import DEPTH_LIMIT
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXT = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"%b"}}]'
NESTED = b'[{"MsgType":"TIMAppElem","MsgContent":{"a":%b}}]'
POISON = {
    "a text": TEXT % b"bad \xff text",
    "a half of a surrogate pair": TEXT % b"bad \xed\xa0\x80 text",
    "an unknown elem": b'[{"MsgType":"TIMAppElem","MsgContent":{"a":"\xc3("}}]',
    "a key": b'[{"MsgType":"TIMAppElem","MsgContent":{"\xfe":1}}]',
    "depth": NESTED % (b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT),
}
PLAIN = ("one", "two", "three")


def session_of(server: RunningServer, user: str) -> Any:
    return raw_requests_of(server.url, app_id=server.app_id, secret_key=server.secret_key, user=user)


async def send(raw: RawRequests, to: str, body: bytes, number: int, *, group: bool = False) -> int:
    """Send a body as it is, and return the code of the reply."""
    address = b'"GroupId":"%b","Random":%d' if group else b'"To_Account":"%b","MsgSeq":%d,"MsgRandom":%d'
    name = "group_open_http_svc.send_group_msg" if group else "openim.sendmsg"
    numbers = (to.encode(), number) if group else (to.encode(), number, number)
    request = b'{%b,"MsgClientTime":1700000000,"MsgBody":%b}' % (address % numbers, body)
    return int((await raw.ask(name, request))["ErrorCode"])


@pytest.mark.requirement("H22")
async def test_a_body_that_a_reader_cannot_decode_is_refused(shared_server: RunningServer) -> None:
    await shared_server.add_users("refused-bob")
    async with session_of(shared_server, "refused-mallory") as mallory, shared_server.client("refused-mallory") as sdk:
        group = await sdk.groups.create("Public", name="g")
        await sdk.c2c("refused-bob").send("first")
        for number, body in enumerate(POISON.values(), 1):
            assert await send(mallory, "refused-bob", body, number) in (60003, 90002)
            assert await send(mallory, group.id, body, number, group=True) in (60003, 90002)
            edit = b'{"To_Account":"refused-bob","TimelineSeq":1,"MsgBody":%b}' % body
            assert (await mallory.ask("openim.modify_c2c_msg", edit))["ErrorCode"] in (60003, 90002)
        page = await mallory.ask("openim.getroammsg", {"Peer_Account": "refused-bob", "MaxCnt": 20})
        assert [entry["MsgBody"][0]["MsgContent"]["Text"] for entry in page["MsgList"]] == ["first"]


async def poison(server: RunningServer) -> None:
    """Let mallory send poison to bob, and a friend three plain messages after it."""
    async with session_of(server, "mallory") as mallory:
        for number, body in enumerate(POISON.values(), 1):
            assert await send(mallory, "bob", body, number) == 0
    async with server.client("friend") as friend:
        for text in PLAIN:
            await friend.c2c("bob").send(text)


async def read_all(raw: RawRequests) -> list[dict[str, Any]]:
    """Read bob's history with mallory message by message, as Tencent's clients do."""
    entries: list[dict[str, Any]] = []
    place: dict[str, Any] = {}
    for _ in range(len(POISON) + 2):
        reply = await raw.ask("openim.getroammsg", {"Peer_Account": "mallory", "MaxCnt": 1, **place})
        assert reply["ErrorCode"] == 0, reply
        entries += reply["MsgList"]
        if reply["Complete"]:
            break
        place = {"LastMsgTime": reply["LastMsgTime"], "MsgKey": reply["MsgKey"]}
    return entries


async def poisoned(server: RunningServer, folder: Path) -> None:
    """Store poison by a server that checks nothing, as before this version."""
    server.program = (str(MUTANTS / "stores_any_text.py"),)
    await server.restart()
    async with server.client("bob", data_dir=folder):
        pass
    await poison(server)


@pytest.mark.requirement("H22", "H23")
async def test_poison_that_an_earlier_version_stored_stops_neither_a_page_nor_a_client(tmp_path: Path) -> None:
    async with running_server() as server:
        await poisoned(server, tmp_path)
        # a mutant: it sends stored entries as they are
        server.program = (str(MUTANTS / "sends_any_text.py"),)
        await server.restart()
        async with session_of(server, "bob") as raw:
            with pytest.raises((AssertionError, UnicodeDecodeError)):
                await read_all(raw)
        server.program = RunningServer.program
        await server.restart()
        async with session_of(server, "bob") as raw:
            entries = await read_all(raw)
            assert [entry["MsgSeq"] for entry in entries] == list(range(len(POISON), 0, -1))
            listed = await raw.ask("recentcontact.page_get", {"StartIndex": 0})
            assert {item["To_Account"] for item in listed["SessionItem"]} == {"mallory", "friend"}
            assert (await raw.ask("openim.getmsg", {"SyncFlag": 1}))["ErrorCode"] == 0
        bob = server.client("bob", data_dir=tmp_path)
        watch = EventRecorder(bob)
        async with asyncio.timeout(10), bob:
            await watch.wait_for_messages(len(POISON) + len(PLAIN))
            texts = [message.text for message in watch.messages if message.sender == "friend"]
            assert texts == list(PLAIN)
            bad = [message for message in watch.messages if message.sender == "mallory"]
            assert [shown(message) for message in bad] == [
                "bad � text",
                "bad ��� text",
                "TIMAppElem",
                "TIMAppElem",
                "TimelineUnreadableElem",
            ]
            assert (await bob.c2c("mallory").coverage()).complete
            await bob.c2c("mallory").send("send() works")


def shown(message: Message) -> str:
    (elem,) = message.elems
    return elem.MsgType if isinstance(elem, UnknownElem) else message.text
