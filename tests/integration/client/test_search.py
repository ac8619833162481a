"""Tests of search in stored messages, Chinese and English: gaps are reported, and fetched first on request (P07)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import timim
from timim.cli.commands import app
from timim.testing import EventRecorder, running_server
from timim.testing.server import RunningServer


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as server:
        await server.add_users("alice", "bob", "carol")
        yield server


@pytest.mark.requirement("P07")
async def test_chinese_and_english_are_found_newest_first(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        for text in (
            "三月的发票在这里",
            "Invoice for March",
            "发 票",
            "票发了",
            "iPhone15手机 😀",
            "an invoicing café",
            "100% ＡＢＣ",
        ):
            await alice.c2c("bob").send(text)
        talk = alice.c2c("bob")
        assert [m.text for m in await talk.search("发票")] == ["发 票", "三月的发票在这里"]
        assert [m.text for m in await talk.search("票")] == ["票发了", "发 票", "三月的发票在这里"]
        assert [m.text for m in await talk.search("INVOICE march")] == ["Invoice for March"]
        assert [m.text for m in await talk.search("invoic*")] == ["an invoicing café", "Invoice for March"]
        for text in ("手机", "iphone15", "iphone15手机", "😀"):
            assert [m.text for m in await talk.search(text)] == ["iPhone15手机 😀"], text
        assert [m.text for m in await talk.search("cafe")] == ["an invoicing café"]
        assert [m.text for m in await talk.search("abc")] == ["100% ＡＢＣ"]
        found = await alice.search("发票")
        assert [found.snippet(m) for m in found] == [("发 票", ((0, 3),)), ("三月的发票在这里", ((3, 5),))]
        assert found.complete
        assert found.requests == 0
        assert found.next is None


@pytest.mark.requirement("P07")
async def test_a_recalled_message_is_not_found_and_an_edited_one_by_its_new_words(server: RunningServer) -> None:
    async with server.client("bob") as bob, server.client("alice") as alice:
        watch = EventRecorder(bob, timim.MessageRecalled, timim.MessageEdited)
        recalled = await alice.c2c("bob").send("a secret word")
        edited = await alice.c2c("bob").send("the first wording")
        await watch.wait_for_messages(2)
        assert len(await bob.search("secret")) == len(await bob.search("wording")) == 1
        await recalled.recall()
        await edited.edit("the final wording")
        await watch.wait_for_event(timim.MessageEdited)
        for client in (alice, bob):
            assert not await client.search("secret")
            assert not await client.search("first")
            assert [m.text for m in await client.search("final")] == ["the final wording"]


@pytest.mark.requirement("P07")
async def test_every_readable_part_is_searched(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        talk = alice.c2c("bob")
        await talk.send(timim.FileElem(data=b"x", filename="合同-final.pdf"))
        await talk.send(timim.CustomElem(data=b"secret", desc="红包来了"))
        await talk.send(timim.LocationElem(desc="人民广场", latitude=31.2, longitude=121.5))
        merged = b'{"Title":"\xe8\x81\x8a\xe5\xa4\xa9\xe8\xae\xb0\xe5\xbd\x95","MsgNum":2}'
        await talk.send(timim.UnknownElem(MsgType="TIMRelayElem", content=merged))
        for text, kind in (("合同", timim.FileElem), ("红包", timim.CustomElem), ("广场", timim.LocationElem)):
            (message,) = await alice.search(text)
            assert isinstance(message[0], kind)
        (message,) = found = await alice.search("聊天记录")
        assert found.snippet(message) == ("聊天记录", ((0, 4),))
        assert not await alice.search("secret")
        assert [type(m[0]) for m in await alice.search(elem=(timim.FileElem, timim.LocationElem))] == [
            timim.LocationElem,
            timim.FileElem,
        ]
        assert not await alice.search("红包", elem=timim.FileElem)


@pytest.mark.requirement("P07")
async def test_search_filters_by_sender_time_and_conversation_and_pages(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        async with alice.c2c("bob").expect(lambda m: m.text == "票 9", timeout=10) as last:
            for number in range(10):
                await bob.c2c("alice").send(f"票 {number}")
        sent = await last
        await alice.c2c("carol").send("票 for carol")
        pages: list[str] = []
        after = None
        while True:
            page = await alice.search("票", count=4, after=after)
            pages += [m.text for m in page]
            if (after := page.next) is None:
                break
        assert sorted(pages) == sorted([f"票 {number}" for number in range(10)] + ["票 for carol"])
        assert [text for text in pages if text != "票 for carol"] == [f"票 {number}" for number in range(9, -1, -1)]
        assert len(await alice.search("票", sender="bob")) == 10
        assert [m.text for m in await alice.search("票", sender="alice")] == ["票 for carol"]
        assert [m.text for m in await alice.c2c("carol").search("票")] == ["票 for carol"]
        assert not await alice.search("票", until=sent.timestamp - 100)
        assert not await alice.search("票", since=sent.timestamp + 100)
        assert len(await alice.search("票", since=sent.timestamp - 100, until=sent.timestamp + 100)) == 11


@pytest.mark.requirement("P07")
async def test_missing_ranges_are_reported_and_fetched_on_request(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        group = await alice.groups.create("Work", name="g")
        talk = alice.group(group.id)
        await talk.send("the first invoice")
        for number in range(5):
            await talk.send(f"more {number}")
    async with server.client("alice") as fresh:
        talk = fresh.group(group.id)
        found = await talk.search("invoice")
        assert not found
        assert not found.complete
        assert sum(gap.size for gap in found.gaps[talk.key].gaps) >= 1
        filled = await talk.search("invoice", fetch_missing=True)
        assert [m.text for m in filled] == ["the first invoice"]
        assert filled.complete
        assert filled.requests >= 1
        assert (await talk.search("invoice", fetch_missing=True)).requests == 0
        await server.stop()
        assert len(await talk.search("invoice", fetch_missing=True)) == 1
        await server.start()


@pytest.mark.parametrize("text", ["", " \t", '"', "* ^ -", "。，！", "x" * 2000, "a " * 40])
@pytest.mark.requirement("P07")
async def test_an_empty_search_is_a_clear_error(tmp_path: Path, text: str) -> None:
    client = timim.Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="", data_dir=tmp_path)
    await client.open()
    try:
        with pytest.raises(timim.InvalidArgument, match="search"):
            await client.search(text)
        with pytest.raises(timim.InvalidArgument, match="search"):
            await client.search()
    finally:
        await client.close()


@pytest.mark.requirement("P07")
async def test_the_command_line_searches(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice:
        await alice.c2c("bob").send("三月的发票")
    sig = timim.sign_user(server.app_id, server.secret_key, "alice")
    given = ["search", "发票", "--in", "bob", "--as", "alice", "--url", server.faults.url, "--app-id", str(server.app_id)]
    kept = ("--kept", str(tmp_path))
    result = await asyncio.to_thread(CliRunner(env={"TIMIM_USER_SIG": sig}).invoke, app, [*given, *kept])
    assert result.exit_code == 0, result.output
    assert "三月的发票" in result.output
    assert "complete" in result.output
