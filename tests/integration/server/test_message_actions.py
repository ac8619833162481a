"""Tests that every device sees each message action, whether it is online, offline, cut or new (P06)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from timim import Client, Conversation, Message, MessageEdited, MessageRecalled, MessageStatus, ReactionsChanged
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
AFTER = 30  # number of later messages, so that the action of a group is in a gap


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


@dataclass(frozen=True)
class Deed:
    """An action of alice on her message, a check of its effect, and its event."""

    do: Callable[[Message], Awaitable[None]]
    shows: Callable[[Message], bool]
    event: type[MessageRecalled | MessageEdited | ReactionsChanged]


async def unreact(message: Message) -> None:
    await message.react("👍")
    await message.react("👀")
    await message.unreact("👍")


DEEDS = {
    "recall": Deed(lambda m: m.recall(), lambda m: m.recalled and m.elems == () and bool(m.recaller), MessageRecalled),
    "edit": Deed(lambda m: m.edit("new"), lambda m: m.text == "new" and m.version == 1, MessageEdited),
    "react": Deed(lambda m: m.react("👍"), lambda m: [*m.reactions] == ["👍"], ReactionsChanged),
    "unreact": Deed(unreact, lambda m: [*m.reactions] == ["👀"], ReactionsChanged),
}
EVENTS = (MessageRecalled, MessageEdited, ReactionsChanged)


class Place:
    """A conversation of alice and bob, C2C or group, with user ids of this test alone."""

    def __init__(self, server: RunningServer, name: str, kind: str) -> None:
        self.server = server
        self.alice, self.bob = f"alice-{name}", f"bob-{name}"
        self._kind = kind
        self._group = ""

    async def begin(self, alice: Client) -> None:
        await self.server.add_users(self.bob)
        if self._kind == "group":
            self._group = (await alice.groups.create("Public", name="team", members=[self.bob])).id

    def of(self, client: Client) -> Conversation:
        if self._group:
            return client.group(self._group)
        return client.c2c(self.bob if client.user_id == self.alice else self.alice)


@pytest.fixture
def place(server: RunningServer, request: pytest.FixtureRequest) -> Place:
    return Place(server, f"{zlib.crc32(request.node.name.encode()):x}", request.node.callspec.params["kind"])


@pytest.mark.parametrize("kind", ["c2c", "group"])
@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.requirement("P06")
async def test_an_action_is_seen_at_once_by_online_users(place: Place, deed: str, who: str, kind: str) -> None:
    async with place.server.client(place.alice) as alice:
        await place.begin(alice)
        async with place.server.client(getattr(place, who)) as other:
            watch = EventRecorder(other, *EVENTS)
            message = await place.of(alice).send("old")
            await watch.wait_for_message(lambda m: m.text == "old")
            await DEEDS[deed].do(message)
            assert DEEDS[deed].shows(message)
            told = await watch.wait_for_event(DEEDS[deed].event, lambda e: DEEDS[deed].shows(e.message))
            assert (told.message.seq, told.message.sender) == (message.seq, place.alice)
            last = place.of(other).last_message
            assert last is not None
            assert DEEDS[deed].shows(last)
            (held,) = [m for m in await place.of(other).get_local_messages(20) if m.seq == message.seq]
            assert DEEDS[deed].shows(held)
            await place.of(alice).send("after")
            await watch.wait_for_message(lambda m: m.text == "after")
            thrown = [m for m in watch.messages if m.key == place.of(other).key]
            # an action is no message
            assert [m.seq for m in thrown] == [message.seq, place.of(other).last_message.seq]  # type: ignore[union-attr]
            assert len(watch.events) == (3 if deed == "unreact" else 1)


@pytest.mark.parametrize("kind", ["c2c", "group"])
@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.requirement("P06")
async def test_an_action_is_seen_after_a_relogin_and_notified_once(
    place: Place, tmp_path: Path, deed: str, who: str, kind: str
) -> None:
    async with place.server.client(place.alice) as alice:
        await place.begin(alice)
        message = await place.of(alice).send("old")
        away = place.server.client(getattr(place, who), data_dir=tmp_path)
        async with away:
            page = await place.of(away).get_messages(20)
            (held,) = [m for m in page if m.text == "old"]
            await held.set_custom_int(7)
            await held.remove()
        await DEEDS[deed].do(message)
        for n in range(AFTER):
            await place.of(alice).send(f"after {n}")
        back = place.server.client(getattr(place, who), data_dir=tmp_path)
        watch = EventRecorder(back, *EVENTS)
        async with back:
            told = await watch.wait_for_event(DEEDS[deed].event, lambda e: DEEDS[deed].shows(e.message))
            assert told.message.seq == message.seq
            (held,) = [m for m in await place.of(back).get_local_messages(60) if m.seq == message.seq]
            assert DEEDS[deed].shows(held)
            assert (held.status, held.custom_int) == (MessageStatus.DELETED, 7)  # local properties of this device are kept
            count = len(watch.events)
            page = await place.of(back).get_messages(AFTER + 1)  # the seq of the action is in this range, and is not a message
            assert [m.text for m in page[:AFTER]] == [f"after {n}" for n in reversed(range(AFTER))]
            assert page[AFTER].seq == message.seq
            assert DEEDS[deed].shows(page[AFTER])
            assert page.complete
        again = place.server.client(getattr(place, who), data_dir=tmp_path)
        later = EventRecorder(again, *EVENTS)
        async with again:
            await place.of(alice).send("end")
            await later.wait_for_message(lambda m: m.text == "end")
            assert count == len(watch.events)
            assert later.events == []


@pytest.mark.parametrize("kind", ["c2c", "group"])
@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.requirement("P06")
async def test_a_new_device_sees_the_current_state_of_a_message(place: Place, deed: str, who: str, kind: str) -> None:
    async with place.server.client(place.alice) as alice:
        await place.begin(alice)
        message = await place.of(alice).send("old")
        await DEEDS[deed].do(message)
        async with place.server.client(getattr(place, who)) as fresh:
            page = await place.of(fresh).get_messages(20)
            (held,) = [m for m in page if m.seq == message.seq]
            assert DEEDS[deed].shows(held)
            assert page.complete
            assert (await place.of(fresh).coverage()).complete


@pytest.mark.parametrize("kind", ["c2c", "group"])
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.requirement("P06")
async def test_an_action_during_a_cut_is_notified_once(place: Place, deed: str, kind: str) -> None:
    async with place.server.client(place.alice) as alice:
        await place.begin(alice)
        async with place.server.client(place.bob, reconnect_limit=0.2) as bob:
            watch = EventRecorder(bob, *EVENTS)
            message = await place.of(alice).send("old")
            await watch.wait_for_message(lambda m: m.text == "old")
            lost = place.server.faults.drop(user=place.bob, direction="down")
            await DEEDS[deed].do(message)
            await lost.happened()
            await place.of(alice).send("after")
            await watch.wait_for_message(lambda m: m.text == "after")
            await watch.wait_for_event(DEEDS[deed].event, lambda e: DEEDS[deed].shows(e.message))
            assert len(watch.events) == (3 if deed == "unreact" else 1)
            assert (await place.of(bob).coverage()).complete


@pytest.mark.requirement("P06")
async def test_several_people_react_and_everybody_sees_the_same(server: RunningServer) -> None:
    users = [f"r{n}" for n in range(5)]
    async with server.client("r-owner") as owner:
        await server.add_users(*users)
        group = await owner.groups.create("Public", name="team", members=users)
        message = await group.conversation.send("who likes it?")
        clients = [server.client(user) for user in users]
        for client in clients:
            await client.login()
        try:
            seen = [next(m for m in await c.group(group.id).get_messages(5) if m.seq == message.seq) for c in clients]
            await asyncio.gather(*(m.react("👍") for m in seen))
            await asyncio.gather(*(m.react("👀") for m in seen[:2]), seen[4].unreact("👍"), seen[4].unreact("👍"))
        finally:
            for client in clients:
                await client.close()
        async with server.client("r-owner") as fresh:
            (now,) = [m for m in await fresh.group(group.id).get_messages(20) if m.seq == message.seq]
            assert {reaction: set(by) for reaction, by in now.reactions.items()} == {"👍": set(users[:4]), "👀": set(users[:2])}
            last = (await fresh.group(group.id).coverage()).last_seq
            assert last == message.seq + 5 + 2 + 1  # an action without effect is no entry
