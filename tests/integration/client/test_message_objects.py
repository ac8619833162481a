"""All objects of one stored message show the same: within a client, a message has one object, however a program came by it.

The state machine compares every object that two clients hold with a model, after any sequence of reads and changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from timim import (
    Client,
    Conversation,
    Message,
    MessageFailed,
    MessageRecalled,
    MessageStatus,
    NotLoggedIn,
    ReadReceipt,
    UnknownUser,
)
from timim.engine import live_messages
from timim.engine.live_messages import LiveMessages
from timim.testing import EventRecorder, RunningServer, VirtualClock, local_server, running_server

T = TypeVar("T")


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


async def everywhere(conversation: Conversation, words: str) -> list[Message]:
    """Return the only message of a conversation, from each query that has messages."""
    last = conversation.last_message
    return [
        *([last] if last is not None else []),
        *conversation.get_cached_messages(),
        *await conversation.get_messages(5),
        *await conversation.get_local_messages(5),
        *await conversation.search(words, include_deleted=True),
        *[message async for message in conversation.history(include_deleted=True)],
    ]


async def test_every_query_returns_the_object_that_send_or_a_handler_gave(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = EventRecorder(bob)
        sent = await alice.c2c("bob").send("hello")
        got = await heard.wait_for_message()
        for conversation, message in ((alice.c2c("bob"), sent), (bob.c2c("alice"), got)):
            found = await everywhere(conversation, "hello")
            assert len(found) == 6
            assert all(one is message for one in found)


async def test_an_old_object_shows_what_was_changed_through_another(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        seen, told = EventRecorder(alice, ReadReceipt), EventRecorder(bob, MessageRecalled)
        sent = await alice.c2c("bob").send("hello")
        got = await told.wait_for_message()
        assert (got.is_read, sent.read_by_peer) == (False, False)
        await bob.c2c("alice").mark_read()
        await seen.wait_for_event(ReadReceipt)
        assert (got.is_read, sent.read_by_peer) == (True, True)
        (paged,) = await bob.c2c("alice").get_local_messages(1)
        await paged.set_custom_int(7)
        await paged.set_custom_data(b"x")
        assert (got.custom_int, got.custom_data) == (7, b"x")
        await sent.recall()
        event = await told.wait_for_event(MessageRecalled)
        assert event.message is got
        assert got.recalled
        assert await paged.remove()
        assert got.status is MessageStatus.DELETED


async def test_a_message_that_failed_and_is_sent_again_is_one_object(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        failures = EventRecorder(alice, MessageFailed)
        message = Message("hello")
        with pytest.raises(UnknownUser):
            await alice.c2c("bob").send(message)
        assert (await failures.wait_for_event(MessageFailed)).message is message
        (found,) = await alice.c2c("bob").get_local_messages(1)
        assert found is message
        await server.add_users("bob")
        assert await found.resend() is message
        assert (message.status, message.seq) == (MessageStatus.SUCCEEDED, 1)
        assert all(one is message for one in await everywhere(alice.c2c("bob"), "hello"))


async def test_a_message_that_waits_is_the_object_of_its_sender_after_the_next_login(server: RunningServer) -> None:
    await server.add_users("bob")
    async with server.client("alice") as alice:
        await alice.logout()
        sending = asyncio.create_task(alice.c2c("bob").send(message := Message("later")))
        await asyncio.sleep(0)
        await alice.logout()
        with pytest.raises(NotLoggedIn):
            await sending
        assert message.status is MessageStatus.SENDING
        await alice.login()
        after = await alice.c2c("bob").send("after it")
        assert after.seq == 2
        assert (message.status.value, message.seq) == (MessageStatus.SUCCEEDED.value, 1)
        page = await alice.c2c("bob").get_messages(5)
        assert page[0] is after
        assert page[1] is message


async def test_an_object_of_a_message_whose_ack_was_lost_changes_at_the_next_login(
    server: RunningServer, tmp_path: Path
) -> None:
    alice = server.client("alice", data_dir=tmp_path)
    async with server.client("bob") as bob:
        heard = EventRecorder(bob)
        await alice.login()
        server.faults.drop(user="alice", direction="down", times=1000)
        sending = asyncio.create_task(alice.c2c("bob").send("hello"))
        await heard.wait_for_message()
        sending.cancel()
        await alice.close()
        server.faults.clear()
    again = server.client("alice", data_dir=tmp_path)
    await again.open()
    (held,) = await again.c2c("bob").get_local_messages(5)
    assert held.status is MessageStatus.SENDING
    await again.login()
    assert (held.status, held.seq) == (MessageStatus.SUCCEEDED, 1)
    (queried,) = await again.c2c("bob").get_local_messages(5)
    assert queried is held
    await again.close()


async def test_a_deleted_row_that_is_fetched_again_has_a_new_object(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob"):
        sent = await alice.c2c("bob").send("hello")
        await sent.set_custom_int(7)
        assert await sent.delete_from_storage()
        (again,) = await alice.c2c("bob").get_messages(1)
        assert again is not sent
        assert (again.seq, again.custom_int, again.status) == (1, 0, MessageStatus.SUCCEEDED)


@dataclass
class Known:
    """The state of one message at one client, according to the model, and all objects of it that the program holds."""

    msg_id: str
    text: str
    own: bool
    custom_int: int = 0
    custom_data: bytes = b""
    removed: bool = False
    recalled: bool = False
    read: bool = False
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held: list[Message] = field(default_factory=list)

    def agrees(self, message: Message) -> bool:
        status = MessageStatus.DELETED if self.removed else MessageStatus.SUCCEEDED
        local = (message.status, message.custom_int, message.custom_data)
        if local != (status, self.custom_int, self.custom_data):
            return False
        read = message.read_by_peer if self.own else message.is_read
        shared = (message.text, message.recalled, dict(message.reactions), read)
        return shared == ("" if self.recalled else self.text, self.recalled, self.reactions, self.read)


USERS = ("alice", "bob")
users, choices = st.sampled_from(USERS), st.integers(0, 1000)


class Objects(RuleBasedStateMachine):
    """Alice and Bob write to each other, keep all objects that they get, and change messages through any of them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.runner = asyncio.Runner(loop_factory=self.clock.new_event_loop)
        self.stack = AsyncExitStack()
        self.clients: dict[str, Client] = {}
        self.known: dict[str, dict[str, Known]] = {user: {} for user in USERS}

    def do(self, work: Coroutine[None, None, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(600):
                return await work

        return self.runner.run(bounded())

    @initialize()
    def start(self) -> None:
        async def work() -> None:
            server = await self.stack.enter_async_context(local_server(self.clock, recall_window_s=1_000_000))
            await server.add_users(*USERS)
            for user in USERS:
                client = self.clients[user] = server.client(user)
                client.on_new_message(self.hold_all(user))
                await self.stack.enter_async_context(client)

        self.do(work())

    def hold_all(self, user: str) -> Callable[[list[Message]], None]:
        def hold(messages: list[Message]) -> None:
            self.hold(user, messages)

        return hold

    def hold(self, user: str, messages: list[Message]) -> None:
        for message in messages:
            self.known[user][message.msg_id].held.append(message)

    def conversation(self, user: str) -> Conversation:
        return self.clients[user].c2c(USERS[user == "alice"])

    def chosen(self, user: str, choice: int) -> tuple[Known, Message] | None:
        held = [(known, message) for known in self.known[user].values() for message in known.held]
        return held[choice % len(held)] if held else None

    async def check(self, arrived: Callable[[], bool] = lambda: True) -> None:
        """Wait until every object agrees with the model, and the expected message has arrived."""
        wrong: list[tuple[str, Known, Message]] = []
        for _ in range(40):
            wrong = [
                (user, known, message)
                for user in USERS
                for known in self.known[user].values()
                for message in known.held
                if not known.agrees(message)
            ]
            if not wrong and arrived():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"an object differs from the model: {wrong[:1]}, arrived: {arrived()}")

    @rule(user=users)
    def send(self, user: str) -> None:
        async def work() -> None:
            message = Message(f"text {len(self.known['alice'])}")
            for one in USERS:
                self.known[one][message.msg_id] = Known(message.msg_id, message.text, own=one == user)
            self.hold(user, [await self.conversation(user).send(message)])
            other = USERS[user == "alice"]
            await self.check(lambda: bool(self.known[other][message.msg_id].held))

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users, how=st.sampled_from(("page", "local", "cached", "search", "last")))
    def look(self, user: str, how: str) -> None:
        async def work() -> None:
            conversation = self.conversation(user)
            match how:
                case "page":
                    found = list(await conversation.get_messages(50))
                case "local":
                    found = list(await conversation.get_local_messages(50))
                case "cached":
                    found = conversation.get_cached_messages()
                case "search":
                    found = list(await conversation.search("text", include_deleted=True))
                case _:
                    found = [conversation.last_message] if conversation.last_message is not None else []
            self.hold(user, found)
            await self.check()

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users, choice=choices, value=st.integers(1, 9))
    def set_custom(self, user: str, choice: int, value: int) -> None:
        async def work() -> None:
            if (found := self.chosen(user, choice)) is None:
                return
            known, message = found
            page, _, _ = await asyncio.gather(
                self.conversation(user).get_local_messages(50),
                message.set_custom_int(value),
                message.set_custom_data(bytes([value])),
            )
            known.custom_int, known.custom_data = value, bytes([value])
            self.hold(user, list(page))
            await self.check()

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users)
    def mark_read(self, user: str) -> None:
        async def work() -> None:
            page, _ = await asyncio.gather(self.conversation(user).get_local_messages(50), self.conversation(user).mark_read())
            for one in USERS:
                for known in self.known[one].values():
                    known.read = known.read or known.own == (one != user)
            self.hold(user, list(page))
            await self.check()

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users, choice=choices)
    def recall(self, user: str, choice: int) -> None:
        async def work() -> None:
            found = self.chosen(user, choice)
            if found is None or not found[0].own:
                return
            page, _ = await asyncio.gather(self.conversation(user).get_local_messages(50), found[1].recall())
            for one in USERS:
                known = self.known[one][found[0].msg_id]
                known.recalled, known.reactions = True, {}
            self.hold(user, list(page))
            await self.check()

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users, choice=choices)
    def react(self, user: str, choice: int) -> None:
        async def work() -> None:
            found = self.chosen(user, choice)
            if found is None or found[0].recalled or user in found[0].reactions.get("👍", ()):
                return
            await found[1].react("👍")
            for one in USERS:
                known = self.known[one][found[0].msg_id]
                known.reactions = {"👍": (*known.reactions.get("👍", ()), user)}
            await self.check()

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users, choice=choices)
    def remove(self, user: str, choice: int) -> None:
        async def work() -> None:
            if (found := self.chosen(user, choice)) is not None:
                assert await found[1].remove() is not found[0].removed
                found[0].removed = True
                await self.check()

        self.do(work())

    @precondition(lambda self: self.known["alice"])
    @rule(user=users, choice=choices)
    def delete(self, user: str, choice: int) -> None:
        async def work() -> None:
            if (found := self.chosen(user, choice)) is not None:
                known, message = found
                assert await message.delete_from_storage()
                known.held.clear()  # they are objects of no row any more
                known.custom_int, known.custom_data, known.removed = 0, b"", False
                self.hold(user, list(await self.conversation(user).get_messages(50)))
                await self.check()

        self.do(work())

    @rule(user=users)
    def forget_objects(self, user: str) -> None:
        for known in self.known[user].values():
            known.held.clear()

    @precondition(lambda self: self.known["alice"])
    @rule(user=users)
    def log_in_again(self, user: str) -> None:
        async def work() -> None:
            await self.clients[user].logout()
            await self.clients[user].login()
            await self.check()

        self.do(work())

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()


def run() -> None:
    run_state_machine_as_test(
        Objects,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_all_objects_of_a_message_agree_with_a_model() -> None:
    run()


def a_fresh_object(self: LiveMessages, message: Message) -> Message:
    """Return a new object for each read of a row."""
    return message


def nothing(message: Message, row: Message) -> None:
    """Leave the object as it is."""


@pytest.mark.parametrize(
    "target,name,mutant",
    [
        (LiveMessages, "object_of", a_fresh_object),
        (live_messages, "_refresh", nothing),
        (LiveMessages, "change_all", lambda self, key, change: None),
    ],
    ids=["fresh objects", "objects without the news", "objects without marks"],
)
def test_objects_that_grow_old_are_detected(target: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, name, mutant)
    with pytest.raises(AssertionError):
        run()
