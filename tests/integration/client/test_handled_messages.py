"""Tests of messages that are handled at least once: attempts, dead letters, redelivery, repeated sends, and `once`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.waiting import newest_message
from timim import (
    Client,
    HandlerFailed,
    ImageElem,
    InvalidArgument,
    Message,
    MessageDeadLettered,
    MessageFailed,
    MessageRecalled,
    MessageStatus,
    NotLoggedIn,
    Router,
    StorageError,
)
from timim.engine import message_handling
from timim.local_store.handling import HandlingRow, HandlingTable
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT_S = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@pytest.fixture
def users(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the names of a bot and of a person for one test."""
    number = abs(hash(request.node.name)) % 10**8
    return f"bot{number}", f"person{number}"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_handling, "RETRY_PAUSE_S", 0.0)


class Handler:
    """A handler that notes its calls, and raises in the first attempts at some texts."""

    def __init__(self, failures: dict[str, int] | None = None) -> None:
        self.calls: list[tuple[str, int, bool]] = []
        self.failures = failures or {}
        self._more = asyncio.Condition()

    async def __call__(self, message: Message) -> None:
        async with self._more:
            self.calls.append((message.text, message.attempt, message.redelivered))
            self._more.notify_all()
        if self.failures.get(message.text, 0) > 0:
            self.failures[message.text] -= 1
            raise ValueError(f"no {message.text}")

    async def until(self, holds: Callable[[list[tuple[str, int, bool]]], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self._more:
            await self._more.wait_for(lambda: holds(self.calls))


async def cut_off(bot: Client) -> None:
    """Close a client at once, which cancels its handlers."""
    closing = asyncio.create_task(bot.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await bot.close()


async def test_a_failed_message_is_handled_again_before_the_next_one(server: RunningServer, users: tuple[str, str]) -> None:
    name, person = users
    bot, handler = server.client(name), Handler({"1": 2})
    bot.on_message(handler)
    async with bot, server.client(person) as ann:
        failed = EventRecorder(bot, HandlerFailed)
        for text in "0123":
            await ann.c2c(name).send(text)
        await handler.until(lambda calls: calls[-1:] == [("3", 1, False)])
        assert await bot.dead_letters.list() == []
        await failed.wait_for_event(HandlerFailed)
    assert handler.calls == [
        ("0", 1, False),
        ("1", 1, False),
        ("1", 2, True),
        ("1", 3, True),
        ("2", 1, False),
        ("3", 1, False),
    ]


async def test_a_message_that_keeps_failing_becomes_a_dead_letter_that_can_be_retried_or_dropped(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    bot, handler = server.client(name, data_dir=tmp_path), Handler({"bad": 3, "worse": 100})
    bot.on_message(handler)
    async with bot, server.client(person) as ann:
        events = EventRecorder(bot, MessageDeadLettered)
        for text in ("bad", "worse", "good"):
            await ann.c2c(name).send(text)
        await handler.until(lambda calls: ("good", 1, False) in calls)
        event = await events.wait_for_event(MessageDeadLettered)
        assert (event.message.text, event.attempts) == ("bad", 3)
        assert "no bad" in event.error
    again, handler = server.client(name, data_dir=tmp_path), Handler()
    again.on_message(handler)
    async with again:
        bad, worse = await again.dead_letters.list()
        assert (bad.message.text, bad.attempts, worse.message.text) == ("bad", 3, "worse")
        assert "ValueError('no bad')" in bad.error
        assert bad.dead_at > 1_700_000_000
        assert await again.dead_letters.drop(worse.message)
        assert not await again.dead_letters.drop(worse.message)
        assert not await again.dead_letters.retry(worse.message)
        assert await again.dead_letters.retry(bad.message)
        await handler.until(lambda calls: calls == [("bad", 1, True)])
    async with again:
        assert await again.dead_letters.list() == []
    assert handler.calls == [("bad", 1, True)]
    with pytest.raises(NotLoggedIn):
        await again.dead_letters.list()


async def test_a_dead_letter_that_is_retried_at_once_is_not_lost_at_a_crash(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    bot, calls, retried = server.client(name, data_dir=tmp_path, max_attempts=1), list[bool](), asyncio.Event()

    @bot.on_message
    async def fail_then_hang(message: Message) -> None:
        calls.append(message.redelivered)
        if len(calls) == 1:
            raise ValueError
        retried.set()
        await asyncio.Event().wait()

    @bot.on(MessageDeadLettered)
    async def retry(event: MessageDeadLettered) -> None:
        assert await bot.dead_letters.retry(event.message)

    async with server.client(person) as ann:
        await bot.login()
        await ann.c2c(name).send("important")
        async with asyncio.timeout(LIMIT_S):
            await retried.wait()
        await cut_off(bot)
        again, handler = server.client(name, data_dir=tmp_path), Handler()
        again.on_message(handler)
        async with again:
            await handler.until(lambda calls: len(calls) == 1)
    assert calls == [False, True]
    assert [text for text, _, _ in handler.calls] == ["important"]


async def test_a_dead_letter_that_cannot_be_stored_is_delivered_again(
    server: RunningServer, users: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: HandlingTable, local_id: int, row: HandlingRow) -> None:
        raise StorageError("the disk is full")

    name, person = users
    bot, handler = server.client(name, data_dir=tmp_path, max_attempts=1), Handler({"bad": 1})
    bot.on_message(handler)
    async with bot, server.client(person) as ann:
        with monkeypatch.context() as patched:
            patched.setattr(HandlingTable, "bury", full)
            await ann.c2c(name).send("bad")
            await ann.c2c(name).send("good")
            await handler.until(lambda calls: len(calls) == 2)
    again, handler = server.client(name, data_dir=tmp_path), Handler()
    again.on_message(handler)
    async with again:
        await handler.until(lambda calls: len(calls) == 1)
    assert handler.calls == [("bad", 2, True)]


async def test_only_the_handlers_that_failed_are_called_again(server: RunningServer, users: tuple[str, str]) -> None:
    name, person = users
    bot, good, bad = server.client(name), Handler(), Handler({"x": 1})
    bot.on_message(good)
    bot.on_message(bad)
    async with bot, server.client(person) as ann:
        await ann.c2c(name).send("x")
        await bad.until(lambda calls: len(calls) == 2)
        await ann.c2c(name).send("y")
        await bad.until(lambda calls: len(calls) == 3)
    assert good.calls == [("x", 1, False), ("y", 1, False)]


async def test_a_message_whose_handler_was_cut_off_comes_first_after_a_new_login(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    bot = server.client(name, data_dir=tmp_path)
    begun = asyncio.Event()

    @bot.on_message
    async def hang(message: Message) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with server.client(person) as ann:
        await bot.login()
        received = bot.wait_for(lambda m: m.text == "2", timeout=LIMIT_S)
        for text in "012":
            await ann.c2c(name).send(text)
        await begun.wait()
        await received
        await cut_off(bot)
        await ann.c2c(name).send("3")
        again, handler = server.client(name, data_dir=tmp_path), Handler()
        again.on_message(handler)
        async with again:
            await handler.until(lambda calls: len(calls) == 4)
        assert handler.calls == [("0", 2, True), ("1", 2, True), ("2", 2, True), ("3", 1, False)]
        last, handler = server.client(name, data_dir=tmp_path), Handler()
        last.on_message(handler)
        async with last:
            await ann.c2c(name).send("4")
            await handler.until(lambda calls: len(calls) == 1)
        assert handler.calls == [("4", 1, False)]


async def test_a_message_that_ends_the_program_each_time_becomes_a_dead_letter(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    attempts: list[int] = []
    async with server.client(person) as ann:
        async with server.client(name, data_dir=tmp_path):
            pass
        await ann.c2c(name).send("poison")
        await ann.c2c(name).send("good")
        for _ in range(3):
            bot, begun = server.client(name, data_dir=tmp_path), asyncio.Event()

            @bot.on_message
            async def hang(message: Message, begun: asyncio.Event = begun) -> None:
                attempts.append(message.attempt)
                begun.set()
                await asyncio.Event().wait()

            await bot.login()
            await begun.wait()
            await cut_off(bot)
        last, handler = server.client(name, data_dir=tmp_path), Handler()
        last.on_message(handler)
        async with last:
            await handler.until(lambda calls: len(calls) == 1)
            (letter,) = await last.dead_letters.list()
    assert attempts == [1, 2, 3]
    assert (letter.message.text, letter.attempts) == ("poison", 3)
    assert handler.calls == [("good", 2, True)]


async def test_a_handler_that_is_added_after_the_login_gets_the_unhandled_messages(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    bot = server.client(name, data_dir=tmp_path, max_attempts=5)
    begun = asyncio.Event()

    @bot.on_message
    async def failing(message: Message) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with server.client(person) as ann:
        await bot.login()
        await ann.c2c(name).send("first")
        await begun.wait()
        await cut_off(bot)
        again, handler = server.client(name, data_dir=tmp_path), Handler()
        async with again:
            await ann.c2c(name).send("nobody handles this one")
            seen = EventRecorder(again)
            await ann.c2c(name).send("nor this one")
            await seen.wait_for_message(lambda m: m.text == "nor this one")
            again.on_message(handler)
            await ann.c2c(name).send("last")
            await handler.until(lambda calls: len(calls) == 2)
    assert handler.calls == [("first", 2, True), ("last", 1, False)]


async def test_a_repeated_handler_sends_nothing_twice_and_gets_the_first_messages(
    server: RunningServer, users: tuple[str, str]
) -> None:
    name, person = users
    bot = server.client(name)
    seen: list[tuple[str, bool]] = []
    done = asyncio.Event()

    @bot.on_message
    async def answer(message: Message) -> None:
        first = await message.reply(f"reply in attempt {message.attempt}")
        second = await message.conversation.send(Message(f"send in attempt {message.attempt}"))
        seen.extend([(first.text, first.replayed), (second.text, second.replayed)])
        if message.attempt == 1:
            raise ValueError
        await message.conversation.send("only in the second attempt")
        done.set()

    async with bot, server.client(person) as ann:
        await ann.c2c(name).send("hello")
        async with asyncio.timeout(LIMIT_S):
            await done.wait()
        await newest_message(ann.c2c(name), lambda message: message.text == "only in the second attempt")
        history = [one.text async for one in ann.c2c(name).history(oldest_first=True)]
    assert seen == [
        ("reply in attempt 1", False),
        ("send in attempt 1", False),
        ("reply in attempt 1", True),
        ("send in attempt 1", True),
    ]
    assert history == ["hello", "reply in attempt 1", "send in attempt 1", "only in the second attempt"]


async def test_what_the_server_refused_is_sent_again_with_the_new_content(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    bot = server.client(name, data_dir=tmp_path)
    done = asyncio.Event()
    picture = tmp_path / "no picture.jpg"
    picture.write_bytes(b"text")

    @bot.on_message
    async def answer(message: Message) -> None:
        if message.attempt == 1:
            await message.conversation.send(ImageElem(path=picture))
        sent = await message.conversation.send("a text instead")
        assert sent.status is MessageStatus.SUCCEEDED
        assert not sent.replayed
        done.set()

    async with bot, server.client(person) as ann:
        await ann.c2c(name).send("hello")
        async with asyncio.timeout(LIMIT_S):
            await done.wait()
        await newest_message(ann.c2c(name), lambda message: message.text == "a text instead")
        assert [one.text async for one in ann.c2c(name).history(oldest_first=True)] == ["hello", "a text instead"]
        assert [one.text for one in await bot.c2c(person).get_local_messages(10)] == ["a text instead", "hello"]


async def test_two_replicas_of_a_bot_answer_once(server: RunningServer, users: tuple[str, str], tmp_path: Path) -> None:
    name, person = users
    replicas = [server.client(name, data_dir=tmp_path / str(n)) for n in range(2)]
    answers: list[Message] = []
    answered = asyncio.Event()

    async def answer(message: Message) -> None:
        answers.append(await message.conversation.send(f"answer {len(answers)} {id(message)}"))
        if len(answers) == len(replicas):
            answered.set()

    for replica in replicas:
        replica.on_message(answer)
    async with replicas[0], replicas[1], server.client(person) as ann:
        failures = [EventRecorder(replica, MessageFailed) for replica in replicas]
        await ann.c2c(name).send("hello")
        async with asyncio.timeout(LIMIT_S):
            await answered.wait()
        await newest_message(ann.c2c(name), lambda message: message.sender == name)
        assert len([one async for one in ann.c2c(name).history()]) == 2
        for replica, failure in zip(replicas, failures, strict=True):
            local = await replica.c2c(person).get_local_messages(10)
            assert [one.status for one in local] == [MessageStatus.SUCCEEDED] * 2
            assert failure.events == []
    assert answers[0].msg_id == answers[1].msg_id
    assert answers[0].text == answers[1].text
    assert sorted(one.replayed for one in answers) == [False, True]


async def test_routers_and_tasks_of_a_handler_send_once_too(server: RunningServer, users: tuple[str, str]) -> None:
    name, person = users
    bot, router, done = server.client(name), Router(), asyncio.Event()
    late: list[Message] = []

    @router.message()
    async def answer(message: Message) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(message.conversation.send(f"a {message.attempt}"))
        if message.attempt < 3:
            raise ValueError
        await message.conversation.send("b")
        send_later(message)
        done.set()

    def send_later(message: Message) -> None:
        later.append(asyncio.create_task(after(message)))

    async def after(message: Message) -> None:
        await asyncio.sleep(0)  # the handler has returned
        await done.wait()
        late.append(await message.conversation.send("c"))

    later: list[asyncio.Task[None]] = []
    bot.on_message(router.feed)
    async with bot, server.client(person) as ann:
        await ann.c2c(name).send("hello")
        async with asyncio.timeout(LIMIT_S):
            await done.wait()
            await later[0]
        await newest_message(ann.c2c(name), lambda message: message.text == "c")
        assert [one.text async for one in ann.c2c(name).history(oldest_first=True)] == ["hello", "a 1", "b", "c"]


async def test_with_one_attempt_a_handler_is_called_once(server: RunningServer, users: tuple[str, str]) -> None:
    name, person = users
    bot, handler = server.client(name, max_attempts=1), Handler({"x": 1})
    bot.on_message(handler)
    async with bot, server.client(person) as ann:
        await ann.c2c(name).send("x")
        await ann.c2c(name).send("y")
        await handler.until(lambda calls: len(calls) == 2)
        (letter,) = await bot.dead_letters.list()
    assert handler.calls == [("x", 1, False), ("y", 1, False)]
    assert (letter.message.text, letter.attempts) == ("x", 1)


async def test_a_once_block_runs_once_for_its_key(server: RunningServer, users: tuple[str, str], tmp_path: Path) -> None:
    name, _ = users
    client = server.client(name, data_dir=tmp_path)
    runs: list[bool] = []

    async def block(key: str = "invoice-17", error: Exception | None = None) -> None:
        async with client.once(key) as first:
            await asyncio.sleep(0)
            if error is not None:
                raise error
            runs.append(first)

    with pytest.raises(NotLoggedIn):
        await block()
    async with client:
        with pytest.raises(ZeroDivisionError):
            await block(error=ZeroDivisionError())
        await asyncio.gather(*(block() for _ in range(5)), block("invoice-18"))
        assert sorted(runs) == [False] * 4 + [True] * 2
        with pytest.raises(InvalidArgument, match=r"key: must be 1 to 200 bytes of UTF-8, not 201"):
            await block("x" * 201)
        with pytest.raises(InvalidArgument, match=r"key: this task runs a block of 'a' already"):
            async with client.once("a"), client.once("a"):
                pass
        async with client.once("a") as first:
            assert first
    runs.clear()
    async with client:
        await block()
        await block("invoice-19")
    assert runs == [False, True]


async def test_a_message_that_was_removed_or_recalled_is_not_delivered_again(
    server: RunningServer, users: tuple[str, str], tmp_path: Path
) -> None:
    name, person = users
    bot = server.client(name, data_dir=tmp_path)
    received: list[Message] = []
    all_received = asyncio.Event()

    @bot.on_new_message
    def note(messages: list[Message]) -> None:
        received.extend(messages)
        if len(received) == 4:
            all_received.set()

    @bot.on_message
    async def hang(message: Message) -> None:
        await asyncio.Event().wait()

    async with server.client(person) as ann:
        async with server.client(name, data_dir=tmp_path):
            pass
        sent = [await ann.c2c(name).send(text) for text in ("0", "removed", "deleted", "recalled")]
        await bot.login()
        await all_received.wait()
        await received[1].remove()
        await received[2].delete_from_storage()
        recalled = EventRecorder(bot, MessageRecalled)
        await sent[3].recall()
        await recalled.wait_for_event(MessageRecalled)
        await cut_off(bot)
        again, handler = server.client(name, data_dir=tmp_path), Handler()
        again.on_message(handler)
        async with again:
            await ann.c2c(name).send("last")
            await handler.until(lambda calls: ("last", 1, False) in calls)
    assert handler.calls == [("0", 2, True), ("last", 1, False)]


async def test_the_number_of_attempts_is_checked() -> None:
    with pytest.raises(InvalidArgument, match="max_attempts: must be more than 0"):
        Client("ws://127.0.0.1:1", app_id=1, user_id="ann", user_sig="x", max_attempts=0)
