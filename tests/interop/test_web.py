"""Tests of Tencent's web client, unmodified, with a timim server and timim's client. The only network is loopback."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

from tests.interop.webclient import WebError, web_client
from tests.support.web_methods import table
from timim import AnyElem, Client, ConversationType, CustomElem, FaceElem, LocationElem, Message, TextElem, sign_user
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.judge
WAIT_S = 20
QUIET_S = 4.5  # a client that polls without a pause sends about a thousand requests in this time

FROM_WEB: list[tuple[str, dict[str, object], AnyElem]] = [
    ("text", {"text": "你好 \U0001f600"}, TextElem(text="你好 \U0001f600")),
    ("custom", {"data": '{"a":1}', "description": "d", "extension": "e"}, CustomElem(data=b'{"a":1}', desc="d", ext="e")),
    ("face", {"index": 0, "data": "tt00"}, FaceElem(index=0, data=b"tt00")),
    (
        "location",
        {"description": "here", "latitude": 39.9, "longitude": -116.4},
        LocationElem(desc="here", latitude=39.9, longitude=-116.4),
    ),
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        yield running


def heard_by(client: Client) -> asyncio.Queue[Message]:
    heard: asyncio.Queue[Message] = asyncio.Queue()

    @client.on_new_message
    def take(messages: list[Message]) -> None:
        for message in messages:
            if message.conversation.type is not ConversationType.SYSTEM:
                heard.put_nowait(message)

    return heard


async def next_of(heard: asyncio.Queue[Message]) -> Message:
    async with asyncio.timeout(WAIT_S):
        return await heard.get()


def test_only_loopback_is_reachable() -> None:
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


async def test_the_web_client_becomes_ready_and_does_not_poll(server: RunningServer) -> None:
    await server.add_users("bob")
    async with server.client("bob") as bob, web_client(server, "alice") as web:
        await web.login()
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await bob.c2c("alice").send("hello")
        await group.conversation.send("hello all")
        await web.received(1, where="C2Cbob")
        await web.received(1, where=f"GROUP{group.id}")
        before = await served(server)
        await asyncio.sleep(QUIET_S)
        asked = await served(server) - before
        assert all(count <= 3 for command, count in asked.items() if command != "heartbeat.alive"), asked
        assert not [event for event in web.events if event["event"] in ("unhandledRejection", "error")]


async def served(server: RunningServer) -> Counter[str]:
    """Return the number of requests for each command, from the server's own metrics."""
    host, port = server.url.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("timim_requests_total{"):
            labels, _, value = line.rpartition(" ")
            counts[labels.split('command="')[1].split('"')[0]] += int(float(value))
    assert counts
    return counts


async def test_c2c_messages_pass_both_ways(server: RunningServer) -> None:
    await server.add_users("bob")
    bob = server.client("bob")
    heard = heard_by(bob)
    async with bob, web_client(server, "alice") as web:
        await web.login()
        for kind, payload, elem in FROM_WEB:
            shown = await web.send(kind, "bob", payload)
            got = await next_of(heard)
            assert got.elems == (elem,)
            assert (got.sender, shown["status"]) == ("alice", "success")
            assert shown["ID"].endswith(got.msg_id)
        sent = [await bob.c2c("alice").send(elem) for _, _, elem in FROM_WEB]
        received = await web.received(len(FROM_WEB))
        assert [(m["type"], m["payload"], m["from"]) for m in received] == [
            (f"TIM{elem_name(kind)}Elem", {**payload}, "bob") for kind, payload, _ in FROM_WEB
        ]
        assert [m["ID"].partition("-")[2] for m in received] == [m.msg_id.rpartition("-")[0] for m in sent]
        known = await bob.c2c("alice").coverage()
        assert (known.intervals, known.complete) == (((1, 8),), True)


def elem_name(kind: str) -> str:
    return {"text": "Text", "custom": "Custom", "face": "Face", "location": "Location"}[kind]


@pytest.mark.parametrize("maker", ["timim", "web"])
async def test_group_messages_pass_both_ways(server: RunningServer, maker: str) -> None:
    await server.add_users("bob", "alice")
    bob = server.client("bob")
    heard = heard_by(bob)
    async with bob, web_client(server, "alice") as web:
        await web.login()
        if maker == "web":
            group_id = await web.do("createGroup", type="Public", name="team", memberList=[{"userID": "bob"}])
            created = await next_of(heard)  # the client announces its new group with a message
            assert isinstance(created[0], CustomElem)
        else:
            group_id = (await bob.groups.create("Public", name="team", members=["alice"])).id
        group = bob.group(group_id)
        for kind, payload, elem in FROM_WEB:
            shown = await web.send(kind, group_id, payload, group=True)
            got = await next_of(heard)
            assert got.elems == (elem,)
            assert (got.sender, got.seq, shown["status"]) == ("alice", shown["sequence"], "success")
            assert got.key == group.key
        for _, _, elem in FROM_WEB:
            await group.send(elem)
        where = f"GROUP{group_id}"
        received = await web.received(len(FROM_WEB), where=where)
        assert [m["payload"] for m in received] == [payload for _, payload, _ in FROM_WEB]
        assert (await group.coverage()).complete
        assert await web.do("groups") == [group_id]


async def test_the_web_client_lists_conversations_and_pages_both_histories(server: RunningServer) -> None:
    await server.add_users("alice")
    async with server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        for i in range(40):
            await bob.c2c("alice").send(f"c{i}")
            await group.conversation.send(f"g{i}")
        async with web_client(server, "alice") as web:
            await web.login()
            await web.until(lambda: unread(web.events) == {"C2Cbob": 40, f"GROUP{group.id}": 40})
            listed = {c["conversationID"]: c for c in await web.do("conversations")}
            assert listed["C2Cbob"]["lastMessage"]["payload"] == {"text": "c39"}
            assert listed[f"GROUP{group.id}"]["lastMessage"]["payload"] == {"text": "g39"}
            for conversation, letter in (("C2Cbob", "c"), (f"GROUP{group.id}", "g")):
                texts: list[str] = []
                cursor, pages = "", 0
                while True:
                    page = await web.do("messages", conversationID=conversation, nextReqMessageID=cursor)
                    texts = [m["payload"]["text"] for m in page["messages"]] + texts
                    pages += 1
                    if page["isCompleted"]:
                        break
                    cursor = page["nextReqMessageID"]
                assert texts == [f"{letter}{i}" for i in range(40)]
                assert pages > 1
            await web.do("read", conversationID="C2Cbob")
            await web.do("read", conversationID=f"GROUP{group.id}")
        async with server.client("alice") as alice:
            assert (alice.c2c("bob").unread, alice.group(group.id).unread) == (0, 0)


def unread(events: list[dict[str, object]]) -> dict[str, int]:
    """Return the unread counts that the client reported last."""
    counts: dict[str, int] = {}
    for event in events:
        if event["event"] == "onConversationListUpdated":
            assert isinstance(event["data"], list)
            counts = {c["conversationID"]: c["unreadCount"] for c in event["data"]}
    return counts


async def test_a_wrong_signature_is_shown_by_its_code(server: RunningServer) -> None:
    async with web_client(server, "alice") as web:
        with pytest.raises(WebError) as refused:
            await web.login(signature=sign_user(server.app_id, "another key", "alice"))
        assert refused.value.code == 70003


async def test_the_web_client_comes_back_after_a_cut_and_misses_nothing(server: RunningServer) -> None:
    await server.add_users("bob")
    async with Relay(server) as relay, web_client(server, "alice", url=relay.url) as web, server.client("bob") as bob:
        await web.login()
        await bob.c2c("alice").send("before")
        await web.received(1)
        relay.open.clear()
        await relay.cut()
        await bob.c2c("alice").send("meanwhile")
        relay.open.set()
        await web.received(2)
        await web.until(lambda: "meanwhile" in str([e for e in web.events if e["event"] == "onConversationListUpdated"]))
        page = await web.do("messages", conversationID="C2Cbob")
        assert [m["payload"]["text"] for m in page["messages"]] == ["before", "meanwhile"], (page, web.events)


class Relay:
    """A TCP proxy to the server that can be cut. While `open` is not set, new connections wait."""

    def __init__(self, server: RunningServer) -> None:
        host, port = server.url.removeprefix("ws://").split(":")
        self._to = host, int(port)
        self._passing: set[asyncio.Task[None]] = set()
        self.open = asyncio.Event()
        self.open.set()

    @property
    def url(self) -> str:
        host, port = self._listener.sockets[0].getsockname()
        return f"ws://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listener.close()
        await self.cut()
        await self._listener.wait_closed()

    async def cut(self) -> None:
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            await self.open.wait()
            up_reader, up_writer = await asyncio.open_connection(*self._to)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(copy(reader, up_writer))
                    both.create_task(copy(up_reader, writer))
            finally:
                up_writer.close()
        except* OSError:
            pass  # the other side has closed, so this side closes too
        finally:
            self._passing.discard(task)
            writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError("this side has ended")


def test_the_table_of_methods_has_each_documented_method() -> None:
    described = (Path(__file__).parent / "web/node_modules/@tencentcloud/chat/index.d.ts").read_text()
    methods = re.findall(r"^  (\w+)\(.*\): ?[\w<>| ]+;?$", described.partition("export declare class ChatSDK")[2], re.MULTILINE)
    assert sorted(row.name for row in table()) == sorted(methods)
