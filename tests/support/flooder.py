"""A program of its own that sends messages as fast as it can, until it is killed: URL, app id, key, user and receiver."""

from __future__ import annotations

import asyncio
import sys

from tests.support.raw_session import raw_session
from timim.testing import RunningServer


async def flood(server: RunningServer, user: str, receiver: str) -> None:
    async with raw_session(server) as session:
        await session.login_as_timim(user)
        while True:
            await asyncio.gather(*session.send_at_once(receiver, 500, size=2000))


def main() -> None:
    url, app_id, key, user, receiver = sys.argv[1:]
    server = RunningServer.__new__(RunningServer)  # of another process; only its identity is used
    server.url, server.app_id, server.secret_key = url, int(app_id), key
    asyncio.run(flood(server, user, receiver))


if __name__ == "__main__":
    main()
