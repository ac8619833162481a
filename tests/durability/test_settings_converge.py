"""Drafts, pins, mutes and read positions of two devices and the server are equal after any faults, and the last change wins.

The clock does not wait. Each device has a fault proxy of its own. After the faults are healed, both devices and a new one must
show the change that was made last, for each setting of each conversation.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from timim import Client, Conversation, Message, sign_user
from timim.engine.pending_changes import PendingChanges
from timim.ids import ConversationKey
from timim.local_store import pending_changes
from timim.local_store.types import ConversationFlags
from timim.server.store import conversations
from timim.testing import Faults, VirtualClock, local_server

T = TypeVar("T")
Shown = dict[str, tuple[bool, bool, str, int]]
DEVICES = ("phone", "tablet")
ROOMS = ("ann", "team")
FOREVER = 1_000_000
TRIES = 600  # of a tenth of a virtual second, until the devices agree
devices, rooms = st.sampled_from(DEVICES), st.sampled_from(ROOMS)
changes = st.one_of(
    st.tuples(st.sampled_from(["pinned", "muted"]), st.booleans()),
    st.tuples(st.just("draft"), st.sampled_from(["", "one", "two", "three"])),
    st.tuples(st.just("read"), st.integers(1, 4)),
)


class Settings(RuleBasedStateMachine):
    """Bob has two devices. The model has the change of each setting that was made last."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.runner = asyncio.Runner(loop_factory=self.clock.new_event_loop)
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.proxies: dict[str, Faults] = {}
        self.clients: dict[str, Client] = {}
        self.closed: set[str] = set()
        self.said: dict[str, list[Message]] = {room: [] for room in ROOMS}
        self.last: Shown = dict.fromkeys(ROOMS, (False, False, "", 4))

    def do(self, work: Coroutine[None, None, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(3600):
                return await work

        return self.runner.run(bounded())

    @initialize()
    def start(self) -> None:
        async def work() -> None:
            self.server = await self.stack.enter_async_context(local_server(self.clock, hello_interval_s=10))
            await self.server.add_users("bob", "ann")
            ann = await self.stack.enter_async_context(self.server.client("ann"))
            self.group = (await ann.groups.create("Public", name="team", members=["bob"])).id
            for number in range(4):
                self.said["ann"].append(await ann.c2c("bob").send(f"{number}"))
                self.said["team"].append(await ann.group(self.group).send(f"{number}"))
            for device in DEVICES:
                self.proxies[device] = Faults()
                await self.proxies[device].start(self.server.url)
                self.clients[device] = self.new_client(device)
                await self.clients[device].login()
                await self.room(device, "team").get_messages(10)

        self.do(work())

    def new_client(self, device: str) -> Client:
        server = self.server
        signature = sign_user(server.app_id, server.secret_key, "bob", now=self.clock.now())
        folder = Path(self.folder.name) / device
        return Client(
            self.proxies[device].url if device in self.proxies else server.url,
            app_id=server.app_id,
            user_id="bob",
            user_sig=signature,
            data_dir=folder if device in self.proxies else ":memory:",
            timeout=2.0,
            reconnect_limit=1.0,
            now=self.clock.now,
        )

    def room(self, device: str | Client, room: str) -> Conversation:
        client = self.clients[device] if isinstance(device, str) else device
        return client.group(self.group) if room == "team" else client.c2c(room)

    @rule(device=devices, room=rooms, change=changes)
    def change(self, device: str, room: str, change: tuple[str, bool | str | int]) -> None:
        """Make a change on a device that may be online, offline or logged out."""
        if device not in self.closed:
            self.do(self.set(device, room, *change))

    async def set(self, device: str, room: str, setting: str, value: bool | str | int) -> None:
        self.clock.advance(1)
        conversation = self.room(device, room)
        pinned, muted, draft, unread = self.last[room]
        match setting:
            case "pinned":
                pinned = bool(value)
                await conversation.set_pinned(pinned)
                assert conversation.pinned is pinned
            case "muted":
                muted = bool(value)
                await conversation.set_muted(muted)
                assert conversation.muted is muted
            case "draft":
                draft = str(value)
                await conversation.set_draft(draft)
                assert conversation.draft == draft
            case _:
                unread = min(unread, 4 - int(value))
                msg_id = self.said[room][int(value) - 1].msg_id
                (upto,) = [one for one in await conversation.get_local_messages(50) if one.msg_id == msg_id]
                await conversation.mark_read(upto=upto)
                assert conversation.unread <= 4 - int(value)
        self.last[room] = pinned, muted, draft, unread

    @rule(device=devices, direction=st.sampled_from(["up", "down"]), half=st.booleans())
    def cut_next(self, device: str, direction: str, half: bool) -> None:
        """Cut the connection before the next request arrives, or after it arrived and before its answer does."""
        self.proxies[device].cut(direction=direction, half=half)  # type: ignore[arg-type]

    @rule(device=devices)
    def disconnect(self, device: str) -> None:
        """Keep a device offline until its faults are healed."""
        self.proxies[device].cut(times=FOREVER)
        self.proxies[device].cut_all()
        self.do(asyncio.sleep(0.1))

    @rule(device=devices, direction=st.sampled_from(["up", "down"]))
    def lose_next(self, device: str, direction: str) -> None:
        """Lose a request or an answer without ending the connection."""
        self.proxies[device].drop(direction=direction)  # type: ignore[arg-type]

    @rule(device=devices)
    def swap_next(self, device: str) -> None:
        """Deliver two messages of the server in the other order."""
        self.proxies[device].reorder(direction="down")

    @rule(device=devices)
    def heal(self, device: str) -> None:
        self.proxies[device].clear()
        self.do(asyncio.sleep(3))

    @rule(device=devices)
    def restart(self, device: str) -> None:
        """End the program of a device, and open its store again without a login."""

        async def work() -> None:
            await self.clients[device].close()
            self.clients[device] = self.new_client(device)
            await self.clients[device].open()

        self.do(work())

    @rule()
    def restart_server(self) -> None:
        self.do(self.server.restart())

    @rule()
    def check(self) -> None:
        """Heal all faults; log in again where the program was restarted. All devices must agree with the model."""
        for device in DEVICES:
            self.proxies[device].clear()

        async def work() -> None:
            for device in DEVICES:
                await self.clients[device].login()
            shown = {device: self.shown(self.clients[device]) for device in DEVICES}
            for _ in range(TRIES):
                if all(one == self.last for one in shown.values()):
                    break
                await asyncio.sleep(0.1)
                shown = {device: self.shown(self.clients[device]) for device in DEVICES}
            async with self.new_client("another") as fresh:
                shown["server"] = self.shown(fresh)
            assert shown == dict.fromkeys(shown, self.last)

        self.do(work())

    def shown(self, client: Client) -> Shown:
        found = {room: self.room(client, room) for room in ROOMS}
        return {room: (one.pinned, one.muted, one.draft, one.unread) for room, one in found.items()}

    def teardown(self) -> None:
        async def work() -> None:
            for client in self.clients.values():
                await client.close()
            for proxy in self.proxies.values():
                await proxy.stop()
            await self.stack.aclose()

        try:
            if hasattr(self, "server"):
                self.check()
        finally:
            self.do(work())
            self.runner.close()
            self.folder.cleanup()


def examples(count: int, steps: int, *, repeatable: bool = False) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=steps,
        phases=[Phase.generate],  # a failing sequence is printed as it was found: a smaller one costs minutes
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        derandomize=repeatable,
    )


@pytest.mark.timeout(300)
@pytest.mark.requirement("P06", "R6")
def test_two_devices_and_the_server_agree_after_any_faults() -> None:
    run_state_machine_as_test(Settings, settings=examples(6, 20, repeatable=True))


@pytest.mark.soak
@pytest.mark.requirement("P06", "R6")
def test_two_devices_and_the_server_agree_after_many_long_sequences_of_faults() -> None:
    run_state_machine_as_test(Settings, settings=examples(300, 60))


def change_while_away(machine: Settings) -> None:
    """Change every setting on a device without a connection."""
    machine.disconnect("phone")
    for room in ROOMS:
        for change in (("pinned", True), ("muted", True), ("draft", "one"), ("read", 3)):
            machine.change("phone", room, change)


def lose_the_answer(machine: Settings) -> None:
    """Cut the connection after the request has arrived and before its answer."""
    machine.cut_next("phone", "down", half=False)
    machine.change("phone", "team", ("pinned", True))
    machine.change("tablet", "team", ("pinned", False))


def overtake_an_answer(machine: Settings) -> None:
    """Let the push of a later change arrive before the answer to an earlier one."""
    held = machine.proxies["phone"].reorder(direction="down")

    async def work() -> None:
        first = asyncio.create_task(machine.room("phone", "ann").set_draft("one"))
        await held.happened()
        await machine.set("tablet", "ann", "draft", "two")
        await first

    machine.do(work())


def change_later_elsewhere(machine: Settings) -> None:
    """Change a setting on a device that is away, and later on the other one."""
    machine.disconnect("phone")
    machine.change("phone", "ann", ("draft", "one"))
    machine.change("tablet", "ann", ("draft", "two"))


def change_last_on_the_device_that_is_away(machine: Settings) -> None:
    """Change a setting on one device, and later on the other, which is away and whose program is then restarted."""
    machine.disconnect("phone")
    machine.change("tablet", "ann", ("draft", "one"))
    machine.change("phone", "ann", ("draft", "two"))
    machine.restart("phone")
    machine.restart_server()


STORIES: list[Callable[[Settings], None]] = [
    change_while_away,
    lose_the_answer,
    overtake_an_answer,
    change_later_elsewhere,
    change_last_on_the_device_that_is_away,
]


async def send_nothing(*_: object, **__: object) -> None:
    """Send no change again."""


def without_version(connection: Any, key: ConversationKey) -> tuple[ConversationFlags, bool]:
    pinned, muted, draft, _, pending = connection.execute(pending_changes._FLAGS_AND_PENDING, tuple(key)).fetchone()
    return ConversationFlags(pinned, bool(muted), draft), bool(pending)


def accept(*_: object) -> bool:
    return True


MUTANTS: dict[Callable[[Settings], None], tuple[object, str, object]] = {
    change_while_away: (PendingChanges, "send_all", send_nothing),
    overtake_an_answer: (pending_changes, "_flags_and_pending", without_version),
    change_later_elsewhere: (conversations, "_is_last", accept),
    change_last_on_the_device_that_is_away: (PendingChanges, "send_all", send_nothing),
}


def run(story: Callable[[Settings], None]) -> None:
    machine = Settings()
    try:
        machine.start()
        story(machine)
    finally:
        machine.teardown()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.requirement("P06", "R6")
def test_the_change_that_was_made_last_is_on_all_devices(story: Callable[[Settings], None]) -> None:
    run(story)


@pytest.mark.parametrize("story", MUTANTS, ids=lambda story: story.__name__)
@pytest.mark.requirement("P06", "R6")
def test_a_client_or_server_that_loses_or_swaps_changes_is_detected(
    story: Callable[[Settings], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, mutant = MUTANTS[story]
    monkeypatch.setattr(owner, name, mutant)
    with pytest.raises(AssertionError):
        run(story)
