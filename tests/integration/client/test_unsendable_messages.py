"""What cannot be sent never blocks what can: each message is sent or fails, and all conversations move."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection

import timim
from timim import Client, ConnectionLost, Message, MessageStatus, OfflinePush
from timim.engine.send_window import SendWindow
from timim.testing import EventRecorder, RunningServer, running_server
from timim.transport.websocket import Link

PEERS = ("bob", "cid", "dan")
LIMIT = 12 * 1024
OVERHEAD = 200  # of the JSON of a text elem and a push
PUSH = 100  # bytes of a push
POISON = "a text that no router lets through"
GIVE_UP_S = 20.0


class Sends:
    """Sends to three users at once, each with its outcome: the message, or the error of `send`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.tasks: list[tuple[str, int, asyncio.Task[Message]]] = []

    def start(self, peer: str, text: str, *, cloud: str = "", push: str = "") -> None:
        message = Message(f"{len(self.tasks)} {text}", cloud_custom_data=cloud)
        size = len(text) + len(cloud) + len(push)
        sending = self.client.c2c(peer).send(message, push=OfflinePush(ext=push) if push else None)
        self.tasks.append((peer, size, asyncio.create_task(sending)))

    async def unfinished(self, limit_s: float = GIVE_UP_S) -> int:
        """Wait for the outcomes, and return how many sends have none."""
        _, waiting = await asyncio.wait([task for *_, task in self.tasks], timeout=limit_s)
        return len(waiting)

    async def wrong_outcomes(self) -> list[str]:
        """Return what is wrong: a message that was sent or failed without need, or out of order."""
        wrong = []
        sent: dict[str, list[str]] = {peer: [] for peer in PEERS}
        for peer, size, task in self.tasks:
            if task.exception() is None:
                sent[peer].append(task.result().text)
            should_fail = size > LIMIT - OVERHEAD
            if (task.exception() is not None) is not should_fail:
                wrong.append(f"{size} bytes to {peer}: {task.exception()!r}")
            if should_fail and not isinstance(task.exception(), timim.MessageTooLong):
                wrong.append(f"{size} bytes to {peer}: {task.exception()!r}")
        for peer in PEERS:
            stored = [m.text async for m in self.client.c2c(peer).history(oldest_first=True) if m.seq]
            if stored != sent[peer]:
                wrong.append(f"{peer} got {len(stored)} messages in another order, or others, than the {len(sent[peer])} sent")
        return wrong


def any_size(rng: random.Random) -> int:
    """Return a size from 0 to 3 MB, also with a push not within OVERHEAD of the limit."""
    low, high = rng.choice(
        [(0, 100), (100, 5000), (8000, LIMIT - OVERHEAD - PUSH), (LIMIT, LIMIT + 500), (10**5, 10**6), (10**6, 3 * 10**6)]
    )
    return rng.randint(low, high)


async def any_mix(server: RunningServer, seed: int, count: int) -> list[str]:
    """Send messages of any size in any order to three users; return what is wrong."""
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(server.client("ann"))
        events, sends = EventRecorder(ann, ConnectionLost), Sends(ann)
        for _ in range(count):
            size, peer = any_size(rng), rng.choice(PEERS)
            parts = {"text": "", "cloud": "", rng.choice(["text", "text", "cloud"]): "x" * size}
            sends.start(peer, parts["text"], cloud=parts["cloud"], push="y" * rng.choice([0, 0, 0, PUSH]))
            if rng.random() < 0.1:
                await asyncio.sleep(0)
        for peer in PEERS:
            sends.start(peer, "last")
        unfinished = await sends.unfinished()
        if unfinished or events.events:
            await ann.close()
            await asyncio.gather(*(task for *_, task in sends.tasks), return_exceptions=True)
            return [f"{unfinished} messages have no outcome", f"the connection was lost: {[*map(str, events.events)][:3]}"]
        return await sends.wrong_outcomes()


async def test_messages_of_any_size_are_sent_or_fail_and_all_conversations_move(seed: int) -> None:
    async with running_server() as server:
        await server.add_users(*PEERS)
        assert not await any_mix(server, seed, 150)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_many_mixes_of_messages_of_any_size(seed: int) -> None:
    for turn in range(30):
        async with running_server() as server:
            await server.add_users(*PEERS)
            assert not await any_mix(server, seed + turn, 500)


def count_the_text_alone(limit: int, message: Message, body: bytes, push: OfflinePush | None) -> None:
    """Check a message without its other parts: the mutant of `check_size`."""
    if len(body) > limit:
        raise timim.MessageTooLong("the text is too long")


async def test_a_sender_that_counts_the_text_alone_is_detected(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("timim.engine.outbox.check_size", count_the_text_alone)
    monkeypatch.setattr(f"{__name__}.GIVE_UP_S", 3.0)
    async with running_server() as server:
        await server.add_users(*PEERS)
        assert await any_mix(server, seed, 400)


def forget_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients behave as with a server that does not state its limits."""
    monkeypatch.setattr("timim.engine.outbox.check_size", lambda *args: None)
    monkeypatch.setattr(Link, "limit_bytes", property(lambda link: 0, lambda link, limit: None), raising=False)


def cut_at_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the connection of each client that sends POISON, as a faulty device in the network does."""
    send = ClientConnection.send

    async def send_or_cut(self: ClientConnection, message: bytes) -> None:
        if POISON.encode() in message:
            self.transport.abort()
        await send(self, message)

    monkeypatch.setattr(ClientConnection, "send", send_or_cut)


async def outcome_of_poison(server: RunningServer, text: str, *, limit_s: float) -> list[BaseException | None] | None:
    """Send two messages of this text among ordinary ones; return the two errors, or None if others do not arrive."""
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(server.client("ann", reconnect_limit=0.5))
        sends = Sends(ann)
        for i in range(20):
            for peer in PEERS:
                sends.start(peer, text if (i, peer) in ((3, "bob"), (7, "cid")) else "ordinary")
        unfinished = await sends.unfinished(limit_s)
        if unfinished:
            await ann.close()
            await asyncio.gather(*(task for *_, task in sends.tasks), return_exceptions=True)
            return None
        errors = [task.exception() for *_, task in sends.tasks if task.exception() is not None]
        for peer, missing in (("bob", 3), ("cid", 7), ("dan", None)):
            conversation = ann.c2c(peer)
            stored = [m.text.split()[0] async for m in conversation.history(oldest_first=True) if m.seq]
            assert stored == [str(3 * i + PEERS.index(peer)) for i in range(20) if i != missing]
            failed = [m for m in await conversation.get_local_messages(100) if m.status is MessageStatus.FAILED]
            assert len(failed) == (missing is not None)
        return errors


async def test_a_message_that_is_too_long_for_a_server_that_states_no_limit_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget_limits(monkeypatch)
    async with running_server(max_frame_bytes=64 * 1024, max_message_bytes=1024 * 1024) as server:
        await server.add_users(*PEERS)
        errors = await outcome_of_poison(server, "x" * 100_000, limit_s=GIVE_UP_S)
        assert errors is not None
        assert [type(error) for error in errors] == [timim.MessageTooLong] * 2
        assert "exceeds limit" in str(errors[0])


async def test_a_message_at_which_the_connection_is_always_cut_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_at_poison(monkeypatch)
    async with running_server() as server:
        await server.add_users(*PEERS)
        errors = await outcome_of_poison(server, POISON, limit_s=2 * GIVE_UP_S)
        assert errors is not None
        assert [type(error) for error in errors] == [timim.ServerFault] * 2


async def test_a_sender_that_blames_no_message_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_at_poison(monkeypatch)
    monkeypatch.setattr(SendWindow, "blame", lambda self, item, error: None)
    async with running_server() as server:
        await server.add_users(*PEERS)
        assert await outcome_of_poison(server, POISON, limit_s=3) is None
