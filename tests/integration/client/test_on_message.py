"""Tests of handlers of single messages: which messages they get, their order, the limit of concurrency, and back pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from timim import Client, F, HandlerFailed, InvalidArgument, Message, Router
from timim.engine import dispatcher, inbox
from timim.engine.handler_slots import HandlerSlots
from timim.testing import EventRecorder, RunningServer, running_server

LIMIT_S = 30


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


async def test_a_handler_gets_the_messages_of_others_one_at_a_time_and_never_its_own(server: RunningServer) -> None:
    phone, desk = server.client("bot"), server.client("bot")
    got: list[str] = []

    @phone.on_message
    async def echo(message: Message) -> None:
        got.append(message.text)
        await message.reply(f"you said: {message.text}")

    async with phone, desk, server.client("alice") as alice:
        everything = EventRecorder(phone)
        answers = EventRecorder(alice)
        group = await desk.groups.create("Public", name="team", members=["alice"])  # its tips are notices of the server
        await desk.c2c("alice").send("from my other device")
        await desk.group(group.id).send("to the team")
        await alice.c2c("bot").send("hello")
        await alice.group(group.id).send("hello, team")
        answer = await answers.wait_for_message(lambda m: m.text == "you said: hello")
        assert answer.reply_to is not None
        assert (answer.reply_to.sender, answer.reply_to.abstract) == ("alice", "hello")
        await answers.wait_for_message(lambda m: m.text == "you said: hello, team")
        await everything.wait_for_message(lambda m: m.text == "to the team")
        await everything.wait_for_message(lambda m: m.text == "from my other device")
        assert any(not m.is_self and not m.text for m in everything.messages)  # tips
    assert sorted(got) == ["hello", "hello, team"]


async def test_a_recalled_message_is_not_handled(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("bot", data_dir=tmp_path):
        pass
    bot = server.client("bot", data_dir=tmp_path)
    got: list[str] = []
    handled = asyncio.Event()

    @bot.on_message
    def note(message: Message) -> None:
        got.append(message.text)
        if message.text == "sent":
            handled.set()

    async with server.client("alice") as alice:
        recalled = await alice.c2c("bot").send("recalled")
        await recalled.recall()
        await alice.c2c("bot").send("sent")
    async with bot, asyncio.timeout(LIMIT_S):
        await handled.wait()
    assert got == ["sent"]


async def test_an_online_message_is_answered_without_a_quote(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bot") as bot:
        answers = EventRecorder(alice)

        @bot.on_message
        async def echo(message: Message) -> None:
            await message.reply(f"you said: {message.text}")

        await alice.c2c("bot").send_online("psst")
        answer = await answers.wait_for_message(lambda m: m.text == "you said: psst")
        assert answer.reply_to is None


async def handled_by(bot: Client, senders: list[Client], count: int) -> tuple[dict[str, list[str]], int]:
    """Send `count` messages from each sender at once.

    Returns:
        The texts by their sender, in the order in which they were handled, and the greatest number of running handlers.
    """
    texts: dict[str, list[str]] = {}
    running: list[str] = []
    most = 0
    all_handled = asyncio.Event()

    @bot.on_message
    async def handle(message: Message) -> None:
        nonlocal most
        assert message.sender not in running  # one at a time in each conversation
        running.append(message.sender)
        most = max(most, len(running))
        for _ in range(20):
            await asyncio.sleep(0)
        texts.setdefault(message.sender, []).append(message.text)
        running.remove(message.sender)
        if sum(map(len, texts.values())) == count * len(senders):
            all_handled.set()

    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(sender.c2c("bot").send(str(n)) for sender in senders for n in range(count)))
        await all_handled.wait()
    bot.off(handle)
    return texts, most


async def test_messages_are_handled_in_order_in_a_limited_number_of_conversations(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        senders = [await stack.enter_async_context(server.client(f"user{n}")) for n in range(5)]
        for limit in (1, 2):
            async with server.client("bot", concurrency=limit, recent_contacts=False) as bot:
                texts, most = await handled_by(bot, senders, 20)
            assert texts == {f"user{n}": [str(k) for k in range(20)] for n in range(5)}
            assert most == limit

        async def without_limit(slots: HandlerSlots) -> None:
            """Wait for no slot: the mutant."""

        monkeypatch.setattr(HandlerSlots, "__aenter__", without_limit)
        async with server.client("bot", concurrency=1, recent_contacts=False) as bot:
            _, most = await handled_by(bot, senders, 20)
        assert most > 1


async def stored_while_all_handlers_wait(server: RunningServer, folder: Path) -> int:
    """Send 10 messages in each of 8 conversations to handlers that wait, and check that all are handled afterwards.

    Returns:
        The number of messages that the bot had stored while its handlers waited.
    """
    conversations, each = 8, 10
    bot = server.client("bot", data_dir=folder, recent_contacts=False)
    gate, all_handled = asyncio.Event(), asyncio.Event()
    texts: dict[str, list[str]] = {}

    @bot.on_message
    async def slow(message: Message) -> None:
        await gate.wait()
        texts.setdefault(message.sender, []).append(message.text)
        if sum(map(len, texts.values())) == conversations * each:
            all_handled.set()

    async with AsyncExitStack() as stack:
        senders = [await stack.enter_async_context(server.client(f"user{n}")) for n in range(conversations)]
        await stack.enter_async_context(bot)
        await stack.enter_async_context(asyncio.timeout(LIMIT_S))
        for n in range(each):
            await asyncio.gather(*(sender.c2c("bot").send(str(n)) for sender in senders))
        for _ in range(3):
            await bot.c2c("user0").send("the socket is read")
        pages = [await bot.c2c(f"user{n}").get_local_messages(100) for n in range(conversations)]
        stored = sum(not message.is_self for page in pages for message in page)
        assert texts == {}
        gate.set()
        await all_handled.wait()
    assert texts == {f"user{n}": [str(k) for k in range(each)] for n in range(conversations)}
    return stored


async def test_slow_handlers_in_many_conversations_bound_the_stored_messages(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, batch = 20, 4
    monkeypatch.setattr(dispatcher, "WAITING_LIMIT", limit)
    monkeypatch.setattr(inbox, "BATCH", batch)
    assert await stored_while_all_handlers_wait(server, tmp_path / "bounded") <= limit + batch
    handle_next = dispatcher.Dispatcher._handle_next

    async def forgets(self: dispatcher.Dispatcher, lane: dispatcher._Lane) -> None:
        """Count a message as handled when its handler begins: the mutant."""
        self._taken(1)
        try:
            await handle_next(self, lane)
        finally:
            self._waiting += 1

    monkeypatch.setattr(dispatcher.Dispatcher, "_handle_next", forgets)
    monkeypatch.setattr(dispatcher, "WAITING_LIMIT", 1)
    async with running_server() as other:
        assert await stored_while_all_handlers_wait(other, tmp_path / "mutant") > 1 + batch


async def test_a_handler_that_logs_out_does_not_wait_for_a_conversation_that_waits_for_its_slot(server: RunningServer) -> None:
    bot = server.client("bot", concurrency=1)
    got: list[str] = []
    waiting, done = asyncio.Event(), asyncio.Event()

    @bot.on_message
    async def stop(message: Message) -> None:
        got.append(message.text)
        if message.text == "stop":
            await waiting.wait()
            await bot.logout()
            done.set()

    async with bot, server.client("alice") as alice, server.client("carol") as carol, asyncio.timeout(LIMIT_S):
        await alice.c2c("bot").send("stop")
        async with bot.c2c("carol").expect(lambda m: m.text == "waits") as received:
            await carol.c2c("bot").send("waits")
        await received
        waiting.set()
        await done.wait()
    assert got == ["stop", "waits"]


async def test_a_removed_handler_gets_no_more_messages_and_an_error_is_reported(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bot") as bot:
        got: list[str] = []

        @bot.on_message
        def first(message: Message) -> None:
            got.append(f"first {message.text}")
            if message.text == "2":
                bot.off(second)
                raise ValueError("after the removal")

        @bot.on_message
        def second(message: Message) -> None:
            got.append(f"second {message.text}")

        watch = EventRecorder(bot, HandlerFailed)
        for _ in range(2):
            bot.on_message(first)  # again: each message is handled once
        for text in ("1", "2", "3"):
            await alice.c2c("bot").send(text)
        failed = await watch.wait_for_event(HandlerFailed)
        assert isinstance(failed.argument, Message)
        assert (failed.argument.text, failed.handler, str(failed.error)) == ("2", first, "after the removal")
        bot.off(first)
        async with alice.c2c("bot").expect(lambda m: m.text == "done", timeout=LIMIT_S) as done:

            @bot.on_message
            async def last(message: Message) -> None:
                await message.reply("done")

            await alice.c2c("bot").send("4")
        await done
    assert [line for line in got if line.endswith(("1", "2"))] == ["first 1", "second 1", "first 2"]
    assert "first 4" not in got
    assert "second 3" not in got
    with pytest.raises(InvalidArgument, match="not registered"):
        bot.off(second)


async def test_a_person_gets_the_answers_of_commands_over_the_network(server: RunningServer) -> None:
    router = Router()

    @router.command("add", F.is_c2c)
    async def add(message: Message, one: int, two: int) -> None:
        await message.reply(str(one + two))

    bot = server.client("bot")
    bot.on_message(router.feed)
    async with bot, server.client("alice") as alice:
        for text, answer in (
            ("/add 1 2", "3"),
            ("/add 1 two", "two: must be a valid integer, not two\nusage: /add ONE TWO"),
            ("/help", "/add ONE TWO"),
        ):
            async with alice.c2c("bot").expect(lambda m: m.sender == "bot", timeout=LIMIT_S) as received:
                await alice.c2c("bot").send(text)
            assert (await received).text == answer
        bot.off(router.feed)
        watch = EventRecorder(bot)
        await alice.c2c("bot").send("/add 1 2")
        await watch.wait_for_message(lambda m: m.text == "/add 1 2")
        assert [m.text for m in await alice.c2c("bot").get_messages(1)] == ["/add 1 2"]
