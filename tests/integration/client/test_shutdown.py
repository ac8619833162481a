"""Tests of programs that end while their clients are open."""

from __future__ import annotations

import asyncio

import pytest

from timim.testing import running_server


def test_a_program_whose_main_raises_ends_and_closes_its_clients() -> None:
    async def main() -> None:
        async with running_server() as server:
            clients = [server.client(f"u{n}") for n in range(8)]
            for client in clients:
                await client.login()
            await server.crash()
            raise RuntimeError("of the program itself")

    with pytest.raises(RuntimeError, match="of the program itself"):
        asyncio.run(asyncio.wait_for(main(), 60))
