"""Users of one server that several tests share, and checks of their groups."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack

from timim import Client, Group
from timim.testing import LocalServer, RunningServer

TYPES = ("Work", "Public", "Meeting", "AVChatRoom", "Community")
_tests = itertools.count(1)


class Users:
    """Logged-in clients, created on request. Each test uses user ids of its own."""

    def __init__(self, server: RunningServer | LocalServer, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack
        self._prefix = f"{next(_tests)}-"

    def id(self, name: str) -> str:
        return self._prefix + name

    async def login(self, name: str) -> Client:
        client: Client = await self._stack.enter_async_context(self.server.client(self.id(name)))
        return client


def group_for(client: Client, group: Group) -> Group:
    return client.groups.of(group.id)
