"""CPU of the server for a message that is sent over REST, and for one over the websocket, one after the other.

    python -m bench.rest_cost [--messages 1000] [--rounds 5]

Prints the CPU of a message in ms by each door, the median of the rounds, and their ratio. The HTTP connection is kept. The
sender over REST and the receiver have no device online, so that neither message is pushed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics

import httpx2
import psutil

import timim
from timim.testing import RunningServer, running_server

TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]


def cpu_s(server: RunningServer) -> float:
    """Return the CPU time that the server has used, in seconds."""
    times = psutil.Process(server.pid).cpu_times()
    return times.user + times.system


async def over_websocket(client: timim.Client, count: int, name: str) -> None:
    """Send texts one after the other."""
    for number in range(count):
        await client.c2c("bob").send(f"{name} {number}")


async def over_rest(http: httpx2.AsyncClient, query: dict[str, str], count: int, name: str) -> None:
    """Send texts one after the other, as a user without a device."""
    for number in range(count):
        body = {"From_Account": "carol", "To_Account": "bob", "MsgRandom": number, "MsgBody": TEXT, "CloudCustomData": name}
        reply = (await http.post("/v4/openim/sendmsg", params=query, content=json.dumps(body))).json()
        assert reply["ErrorCode"] == 0, reply


async def measure(messages: int, rounds: int) -> tuple[float, float]:
    """Return the CPU of a message over REST and over the websocket, in ms."""
    doors: dict[str, list[float]] = {"rest": [], "websocket": []}
    async with running_server() as server, server.client("alice") as client:
        await server.add_users("bob", "carol")
        signature = timim.sign_user(server.app_id, server.secret_key, "administrator")
        query = {"sdkappid": str(server.app_id), "identifier": "administrator", "usersig": signature}
        async with httpx2.AsyncClient(base_url=server.url.replace("ws", "http", 1), trust_env=False) as http:
            await over_websocket(client, messages // 4, "warm")
            await over_rest(http, query, messages // 4, "warm")
            for number in range(rounds):
                begun = cpu_s(server)
                await over_rest(http, query, messages, f"r{number}")
                between = cpu_s(server)
                await over_websocket(client, messages, f"w{number}")
                doors["rest"].append((between - begun) / messages * 1000)
                doors["websocket"].append((cpu_s(server) - between) / messages * 1000)
    return statistics.median(doors["rest"]), statistics.median(doors["websocket"])


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1000, help="messages of a round and door")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rest, websocket = asyncio.run(measure(given.messages, given.rounds))
    print(f"REST {rest:.3f} ms, websocket {websocket:.3f} ms, ratio {rest / websocket:.2f}")


if __name__ == "__main__":
    main()
