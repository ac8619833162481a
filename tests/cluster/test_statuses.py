"""Tests of user statuses at several nodes: each change reaches the subscribers at other nodes, also the end of a node."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.backing_services import Nats
from timim import StatusChanged, UserStatus
from timim.testing import EventRecorder, running_server


async def test_subscribers_at_another_node_get_each_change(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with (
        running_server(database=url, bus=nats_server.url) as here,
        running_server(database=url, bus=nats_server.url) as there,
    ):
        alice, phone, bob = here.client("alice"), there.client("alice"), there.client("bob")
        heard, also = EventRecorder(alice, StatusChanged), EventRecorder(phone, StatusChanged)
        await there.add_users("bob")
        async with alice, phone:
            await alice.statuses.subscribe(["bob"])
            await bob.login()
            await heard.wait_for_event(StatusChanged, lambda event: event == StatusChanged("bob", True, ""))
            await bob.statuses.set("busy")
            for recorder in (heard, also):
                await recorder.wait_for_event(StatusChanged, lambda event: event == StatusChanged("bob", True, "busy"))
            assert await alice.statuses.get(["bob"]) == {"bob": UserStatus("bob", True, "busy")}
            await there.crash()
            await heard.wait_for_event(StatusChanged, lambda event: event == StatusChanged("bob", False, ""))
            assert await alice.statuses.get(["bob"]) == {"bob": UserStatus("bob", False)}
            await bob.close()
