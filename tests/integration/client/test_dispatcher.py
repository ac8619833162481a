"""Tests of delivery to handlers: in order within a conversation, concurrently across, and independent of other handlers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pyleak import no_task_leaks

import timim
from timim import HandlerFailed, Message, RelationChanged
from timim.engine import dispatcher, fetcher, handler_caller, inbox, listeners, push_queue
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@pytest.mark.requirement("P05")
async def test_handlers_run_in_order_within_a_conversation_and_concurrently_across(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("carol") as carol, server.client("bob") as bob:
        gate = asyncio.Event()
        begun: list[str] = []
        ended: list[str] = []
        running: dict[str, int] = {}

        @bob.on_new_message
        async def slow(messages: list[Message]) -> None:
            peer = messages[0].sender
            assert {m.sender for m in messages} == {peer}  # all messages of a list are of one conversation
            running[peer] = running.get(peer, 0) + 1
            assert running[peer] == 1
            begun.extend(m.text for m in messages)
            if peer == "alice":
                await gate.wait()
            else:
                await asyncio.sleep(0)
            ended.extend(m.text for m in messages)
            running[peer] -= 1

        watch = EventRecorder(bob)  # registered after the slow handler, so it gets a list when that handler has finished
        for n in range(20):
            await alice.c2c("bob").send(f"a{n}")
        for n in range(20):
            await carol.c2c("bob").send(f"c{n}")
        await watch.wait_for_message(lambda m: m.text == "c19")
        assert [text for text in ended if text[0] == "a"] == []
        assert [text for text in begun if text[0] == "a"] in ([f"a{n}" for n in range(k)] for k in range(1, 21))
        gate.set()
        await watch.wait_for_messages(40)
        for letter in "ac":
            assert [text for text in begun if text[0] == letter] == [f"{letter}{n}" for n in range(20)]
        assert sorted(begun) == sorted(ended)


@pytest.mark.requirement("P05")
async def test_a_handler_that_raises_is_reported_and_stops_nothing(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:

        @bob.on_new_message
        def at_once(messages: list[Message]) -> None:
            raise ValueError("at once")

        @bob.on_new_message
        async def later(messages: list[Message]) -> None:
            await asyncio.sleep(0)
            raise ValueError("later")

        @bob.on_new_message
        async def cancelled(messages: list[Message]) -> None:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task  # the awaited task is cancelled, not the handler's own

        @bob.on(RelationChanged)
        def on_event(event: RelationChanged) -> None:
            raise ValueError("event")

        @bob.on(HandlerFailed)
        def on_failure(event: HandlerFailed) -> None:
            raise ValueError("reporting")

        watch = EventRecorder(bob, HandlerFailed)
        with caplog.at_level(logging.ERROR, logger="timim"):
            for n in range(3):
                await alice.c2c("bob").send(str(n))
                await watch.wait_for_message(lambda m, n=n: m.text == str(n))  # type: ignore[misc]
            await alice.friends.add("bob")
            for why in ("at once", "later", "event"):
                failed = await watch.wait_for_event(HandlerFailed, lambda event, why=why: str(event.error) == why)  # type: ignore[misc]
                assert callable(failed.handler)
            first = await watch.wait_for_event(HandlerFailed)
            assert isinstance(first.argument, list)
            assert [m.text for m in watch.messages if m.text] == ["0", "1", "2"]
            await watch.wait_for_event(HandlerFailed, lambda event: isinstance(event.error, asyncio.CancelledError))
        said = "\n".join(record.getMessage() for record in caplog.records)
        for name in ("at_once", "later", "cancelled", "on_event", "on_failure"):
            assert name in said
        assert not any("reporting" in str(e.error) for e in watch.events if isinstance(e, HandlerFailed))


@pytest.mark.requirement("F16")
async def test_a_handler_registered_twice_is_called_once_and_one_taken_off_no_more(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard: list[str] = []

        def note(messages: list[Message]) -> None:
            heard.extend(f"note {m.text}" for m in messages)

        def taker(messages: list[Message]) -> None:  # takes a later handler off, in the middle of a list
            heard.extend(f"taker {m.text}" for m in messages)
            if messages[-1].text == "2":
                bob.off(note)

        def on_event(event: timim.ClientEvent) -> None:
            heard.append(type(event).__name__)

        for _ in range(2):
            bob.on_new_message(taker)
            bob.on_new_message(note)
            bob.on(RelationChanged, RelationChanged)(on_event)
        bob.on(HandlerFailed)(on_event)
        watch = EventRecorder(bob, RelationChanged)
        for text in ("1", "2", "3"):
            await alice.c2c("bob").send(text)
            await watch.wait_for_message(lambda m, text=text: m.text == text)  # type: ignore[misc]
        assert heard == ["taker 1", "note 1", "taker 2", "taker 3"]
        await alice.friends.add("bob")
        await watch.wait_for_event(RelationChanged)
        bob.off(on_event)
        await alice.friends.withdraw("bob")
        await watch.wait_for_event(RelationChanged, lambda event: event.change.type is timim.RelationType.APPLICATION_DELETED)
        assert heard[4:].count("RelationChanged") == 1
        for unknown in (on_event, note, print):
            with pytest.raises(timim.InvalidArgument, match=r"handler.*is not registered"):
                bob.off(unknown)


@pytest.mark.requirement("P05")
async def test_a_slow_handler_blocks_neither_the_socket_nor_memory_and_loses_nothing(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "WAITING_LIMIT", 20)
    monkeypatch.setattr(push_queue, "QUEUE_LIMIT", 30)
    monkeypatch.setattr(inbox, "BATCH", 8)
    monkeypatch.setattr(inbox, "GAP_LIMIT", 8)
    monkeypatch.setattr(fetcher, "PAGE", 8)
    async with server.client("alice") as alice, server.client("carol") as carol:
        bob = server.client("bob", data_dir=tmp_path)
        gate = asyncio.Event()
        heard: list[str] = []

        @bob.on_new_message
        async def slow(messages: list[Message]) -> None:
            await gate.wait()
            heard.extend(m.text for m in messages)

        watch = EventRecorder(bob)
        async with bob:
            await asyncio.gather(*(alice.c2c("bob").send(str(n)) for n in range(400)))
            assert (await bob.c2c("carol").send("the socket is free")).seq == 1
            await carol.c2c("bob").send("and hears")
            waiting, queued, so_far = bob.engine.dispatcher._waiting, len(bob.engine.inbox._queue._entries), heard[:]
            gate.set()
            assert waiting <= 20 + 8 + 8
            assert queued <= 30
            assert so_far == []
            await watch.wait_for_messages(401)
            assert [text for text in heard if text.isdecimal()] == [str(n) for n in range(400)]
            assert len(heard) == 401
            assert (await bob.c2c("alice").coverage()).intervals == ((1, 400),)
            assert bob.engine.dispatcher._waiting == 0


@pytest.mark.requirement("P04")
async def test_expect_wait_for_and_events_listen_before_they_return(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:

        @bob.on_new_message
        async def echo(messages: list[Message]) -> None:
            for message in messages:
                await bob.c2c(message.sender).send("re: " + message.text)

        stream = alice.events(Message)
        for n in range(20):  # without a pause, so that a reply arrives as early as possible
            async with alice.c2c("bob").expect(lambda m, n=n: m.text == f"re: {n}", timeout=20) as got:  # type: ignore[misc]
                await alice.c2c("bob").send(str(n))
            assert (await got).text == f"re: {n}"
        future = alice.wait_for(lambda m: m.text == "re: last")
        other = bob.c2c("alice").wait_for(lambda m: m.text == "last")
        await alice.c2c("bob").send("last")
        assert (await asyncio.wait_for(future, 20)).text == "re: last"
        assert (await asyncio.wait_for(other, 20)).sender == "alice"
        waiting = [await anext(stream) for _ in range(21)]  # a stream keeps the messages that arrive before it is read
        assert [m.text for m in waiting] == [*(f"re: {n}" for n in range(20)), "re: last"]
        stream.close()


@pytest.mark.requirement("P04")
async def test_a_wait_ends_by_event_timeout_or_logout(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "STREAM_LIMIT", 5)
    alice = server.client("alice")
    async with alice, server.client("bob") as bob:
        never = alice.wait_for(lambda m: False, timeout=0.01)
        with pytest.raises(timim.RequestTimeout):
            await never
        with pytest.raises(RuntimeError, match="its body"):
            async with alice.c2c("bob").expect(lambda m: True) as got:
                raise RuntimeError("its body")
        assert got.cancelled()
        wrong = alice.wait_for(lambda m: m.seq // 0 == 1)
        stream = alice.events(Message)
        for n in range(7):
            await bob.c2c("alice").send(str(n))
        with pytest.raises(ZeroDivisionError):
            await wrong
        last = alice.wait_for(lambda m: m.text == "8", timeout=20)
        await bob.c2c("alice").send("8")
        await last
        assert [(await anext(stream)).text for _ in range(5)] == ["0", "1", "2", "3", "4"]
        with pytest.raises(timim.StreamOverflow):
            await anext(stream)
        ended = alice.events(Message)
        at_logout = alice.wait_for(lambda m: False)
        assert alice.engine.dispatcher.listeners.waiting
    with pytest.raises(timim.NotLoggedIn):
        await at_logout
    assert [m async for m in ended] == []
    assert alice.engine.dispatcher.listeners.waiting == 0


async def test_a_handler_that_never_returns_does_not_block_logout(server: RunningServer, tmp_path: Path) -> None:
    async with no_task_leaks(action="raise"):
        for how in ("waits for a message", "sleeps"):
            bob = server.client("bob", data_dir=tmp_path)
            begun = asyncio.Event()

            @bob.on_new_message
            async def stuck(messages: list[Message], how: str = how, begun: asyncio.Event = begun) -> None:
                begun.set()
                if how == "sleeps":
                    await asyncio.sleep(3600)
                await bob.wait_for(lambda m: False)  # noqa: B023

            async with server.client("alice") as alice:
                await bob.login()
                await alice.c2c("bob").send(how)
                await begun.wait()
            if how == "sleeps":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await bob.close()
            else:
                async with asyncio.timeout(10):
                    await bob.close()
        async with server.client("bob", data_dir=tmp_path) as again:  # the store was closed in spite of the handler
            assert (await again.c2c("alice").coverage()).intervals == ((1, 2),)


async def test_handlers_may_close_their_own_client(server: RunningServer) -> None:
    bob = server.client("bob")
    closed = asyncio.Event()

    @bob.on_new_message
    async def leave(messages: list[Message]) -> None:
        await bob.close()
        closed.set()

    async with server.client("alice") as alice, server.client("carol") as carol, asyncio.timeout(20):
        await bob.login()
        await asyncio.gather(alice.c2c("bob").send("go"), carol.c2c("bob").send("go"))
        await closed.wait()
    await bob.close()


@pytest.mark.parametrize("limit_s, named", [(0.05, True), (1000.0, False)])
async def test_a_sync_handler_that_blocks_the_event_loop_is_named(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit_s: float, named: bool
) -> None:
    monkeypatch.setattr(handler_caller, "BLOCKING_LIMIT_S", limit_s)
    async with server.client("alice") as alice, server.client("bob") as bob:

        @bob.on_new_message
        def busy(messages: list[Message]) -> None:
            end = time.perf_counter() + 0.06
            while time.perf_counter() < end:
                pass

        watch = EventRecorder(bob)  # registered later, so it gets the message after `busy` has returned
        await alice.c2c("bob").send("hi")
        await watch.wait_for_message(lambda message: message.text == "hi")
    warnings = [record.getMessage() for record in caplog.records if "blocked the event loop" in record.getMessage()]
    if named:
        [warning] = warnings
        assert ".busy blocked the event loop for 0." in warning
        assert warning.endswith("make it async, or call asyncio.to_thread in it")
    else:
        assert warnings == []
