"""A change that has returned at one gateway is obeyed at once at the other, however late or lossy the bus is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.backing_services import Nats
from tests.support.deployment import deployment, metrics_of
from timim import (
    Blacklisted,
    Client,
    Conversation,
    Group,
    Message,
    Muted,
    NoPermission,
    NotAMember,
    TimimError,
    UnknownGroup,
)

pytestmark = pytest.mark.timeout(180)
LOSSY = ("-m", "tests.support.lossy_bus")
TRUSTS_CACHE = ("-m", "tests.mutants.trusts_cache")
FORGETS_ORDER = ("-m", "tests.mutants.forgets_order")


class Disobeyed(AssertionError):
    """A gateway did not obey a change that had returned at the other one."""


async def refused(error: type[TimimError], work: Awaitable[object]) -> None:
    try:
        await work
    except error:
        return
    raise Disobeyed(f"{error.__name__} was expected")


async def allowed(work: Awaitable[object]) -> None:
    try:
        await work
    except TimimError as exc:
        raise Disobeyed(f"it was refused: {exc}") from exc


class Rounds:
    """Changes by alice at one gateway, each followed by what bob may do at the other one; they change places by turns."""

    def __init__(
        self, alice: Sequence[Client], bob: Sequence[Client], group: Group, urls: Sequence[str], rng: random.Random
    ) -> None:
        self.alice = alice
        self.urls = urls
        self._bob = bob
        self._group_id = group.id
        self._rng = rng
        self._turn = 0
        self.done = 0
        self._changes = (self.block, self.mute, self.kick, self.promote, self.dissolve, self.rename, self.mute_all)

    async def run(self, rounds: int) -> None:
        """Run at least `rounds` rounds, each a change and its check."""
        while self.done < rounds:
            await self._rng.choice(self._changes)()

    def _next(self) -> tuple[Client, Client]:
        """Return alice at one gateway and bob at the other, each time the other way round."""
        self._turn = 1 - self._turn
        self.done += 1
        return self.alice[self._turn], self._bob[1 - self._turn]

    def _to_alice(self, bob: Client) -> Awaitable[object]:
        conversation = bob.c2c("alice")
        return self._rng.choice((conversation.send, conversation.send_online))("x")

    def _group(self, client: Client) -> Group:
        return client.groups.of(self._group_id)

    async def block(self) -> None:
        alice, bob = self._next()
        await alice.friends.block("bob")
        await refused(Blacklisted, self._to_alice(bob))
        alice, bob = self._next()
        await alice.friends.unblock("bob")
        await allowed(self._to_alice(bob))

    async def mute(self) -> None:
        alice, bob = self._next()
        await self._group(alice).mute("bob", 1000)
        await refused(Muted, self._group(bob).conversation.send("x"))
        alice, bob = self._next()
        await self._group(alice).mute("bob", 0)
        await allowed(self._group(bob).conversation.send("x"))

    async def mute_all(self) -> None:
        alice, bob = self._next()
        await self._group(alice).set_info(muted_all=True)
        await refused(Muted, self._group(bob).conversation.send("x"))
        alice, bob = self._next()
        await self._group(alice).set_info(muted_all=False)
        await allowed(self._group(bob).conversation.send("x"))

    async def kick(self) -> None:
        alice, bob = self._next()
        await self._group(alice).kick("bob")
        asked = self._rng.choice((lambda: self._group(bob).conversation.send("x"), lambda: self._group(bob).info()))
        await refused(NotAMember, asked())
        alice, bob = self._next()
        await self._group(alice).invite("bob")
        await allowed(self._group(bob).conversation.send("x"))

    async def promote(self) -> None:
        alice, bob = self._next()
        await self._group(alice).set_role("bob", "Admin")
        await allowed(self._group(bob).set_info(notification=f"n{self.done}"))
        alice, bob = self._next()
        await self._group(alice).set_role("bob", "Member")
        await refused(NoPermission, self._group(bob).set_info(notification="no"))

    async def dissolve(self) -> None:
        alice, bob = self._next()
        group = await alice.groups.create("Public", name="short", members=["bob"])
        there: Conversation = bob.group(group.id)
        await allowed(there.send("x"))
        alice, bob = self._next()
        await alice.groups.of(group.id).dissolve()
        await refused(UnknownGroup, bob.group(group.id).send("x"))

    async def rename(self) -> None:
        alice, _ = self._next()
        name = f"alice {self.done}"
        await alice.profile.set(nickname=name)
        other = self.alice[1 - self._turn]
        sent = await other.c2c("bob").send("x")
        if sent.sender_profile is None or sent.sender_profile.nickname != name:
            raise Disobeyed(f"the message has the profile {sent.sender_profile}, not the nickname {name!r}")


@asynccontextmanager
async def two_gateways(program: Sequence[str], database: str, bus: str, seed: int) -> AsyncIterator[Rounds]:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(deployment(program, program, database=database, bus=bus))
        clients = {
            user: [await stack.enter_async_context(running.client(user, at=one)) for one in running.gateways]
            for user in ("alice", "bob")
        }
        group = await clients["alice"][0].groups.create("Public", name="team", members=["bob"])
        urls = [gateway.url for gateway in running.gateways]
        yield Rounds(clients["alice"], clients["bob"], group, urls, random.Random(seed))


async def test_a_change_that_has_returned_is_obeyed_at_the_other_gateway(
    database: Callable[[], str], nats_server: Nats, seed: int
) -> None:
    async with two_gateways(LOSSY, database(), nats_server.url, seed) as rounds:
        await rounds.run(300)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_ten_thousand_changes_are_obeyed_at_the_other_gateway(
    database: Callable[[], str], nats_server: Nats, seed: int
) -> None:
    async with two_gateways(LOSSY, database(), nats_server.url, seed) as rounds:
        await rounds.run(10_000)


async def test_a_gateway_that_trusts_its_cache_is_detected(database: Callable[[], str], nats_server: Nats, seed: int) -> None:
    async with two_gateways(TRUSTS_CACHE, database(), nats_server.url, seed) as rounds:
        with pytest.raises(Disobeyed):
            await rounds.run(300)


async def numbers_sent_during_changes(rounds: Rounds) -> list[int]:
    """Send numbered messages of alice at one gateway while she changes at the other; return them in the order of their seqs."""
    here, there = rounds.alice
    conversation = here.c2c("bob")
    sent: list[asyncio.Task[Message]] = []
    for change in range(20):
        await there.profile.set(nickname=f"alice {change}")
        for _ in range(20):
            sent.append(asyncio.create_task(conversation.send(str(len(sent)))))
            await asyncio.sleep(0)
    messages = await asyncio.gather(*sent)
    return [int(message.text) for message in sorted(messages, key=lambda message: message.seq)]


async def test_messages_that_are_decided_again_keep_their_order(
    database: Callable[[], str], nats_server: Nats, seed: int
) -> None:
    async with two_gateways(LOSSY, database(), nats_server.url, seed) as rounds:
        assert await numbers_sent_during_changes(rounds) == list(range(400))
        assert (await metrics_of(*rounds.urls))["timim_stale_total"] > 0


async def test_a_gateway_that_forgets_the_order_is_detected(database: Callable[[], str], nats_server: Nats, seed: int) -> None:
    async with two_gateways(FORGETS_ORDER, database(), nats_server.url, seed) as rounds:
        for _ in range(8):
            if await numbers_sent_during_changes(rounds) != list(range(400)):
                return
        pytest.fail("the messages kept their order 8 times")
