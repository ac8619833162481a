"""Tests of the devices of a user at several nodes, as an administrator sees them at any node."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.backing_services import Nats
from tests.support.rest import RestClient
from timim.testing import running_server


async def test_the_devices_of_a_user_at_all_nodes_are_reported_at_each(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with (
        running_server(database=url, bus=nats_server.url) as here,
        running_server(database=url, bus=nats_server.url) as there,
        here.client("alice", platform="desktop"),
        there.client("alice", platform="mobile"),
        there.client("bob", platform="pad"),
        RestClient(here) as rest,
        RestClient(there) as other,
    ):
        body = {"To_Account": ["alice", "bob", "nobody"], "IsNeedDetail": 1}
        for one in (rest, other):
            reply = await one.done("openim/query_online_status", body)
            found = {item["To_Account"]: [device["Platform"] for device in item["Detail"]] for item in reply["QueryResult"]}
            assert found == {"alice": ["Android", "PC"], "bob": ["iPad"]}
