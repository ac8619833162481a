"""Drivers for timim: `timim serve` in a separate process, and real clients with a store on disk or in memory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # other benchmarks load this file by its path

from bench.drivers import Driver, Session
from timim import Client, Conversation, ConversationType, Message, sign_user
from timim.testing.server import GENEROUS

APP_ID = 1_400_000_001
SECRET_KEY = "bench"


class TimimSession(Session):
    """A timim client. A message counts as received when `on_new_message` delivers it, after the local store has it."""

    def __init__(self, client: Client) -> None:
        self.user = client.user_id
        self._client = client
        self._heard: Callable[[str], None] | None = None
        client.on_new_message(self._take)

    def _take(self, messages: list[Message]) -> None:
        if self._heard is not None:
            for message in messages:
                if not message.is_self:
                    self._heard(message.text)

    def on_receive(self, heard: Callable[[str], None]) -> None:
        self._heard = heard

    def peer(self, user: str) -> str:
        return f"1:{user}"

    async def send(self, conversation: str, text: str) -> None:
        await self._conversation(conversation).send(text)

    async def history(self, conversation: str, page: int) -> AsyncIterator[list[str]]:
        """Read the history on a second device of the user, whose store is empty."""
        before: Message | None = None
        while True:
            messages = await self._conversation(conversation).get_messages(page, before=before)
            if not messages:
                return
            yield [message.text for message in messages]
            before = messages[-1]

    async def conversations(self) -> int:
        return sum(conversation.last_message is not None for conversation in self._client.conversations)

    async def close(self) -> None:
        await self._client.close()

    def _conversation(self, name: str) -> Conversation:
        kind, _, peer = name.partition(":")
        return self._client.conversation(ConversationType(int(kind)), peer)


class TimimDriver(Driver):
    """timim with its default local store on disk."""

    durability = "server: WAL, FULL; client: WAL, FULL, but NORMAL for messages on their way"
    client_on_disk = True
    name = "timim"

    def __init__(self, workdir: str) -> None:
        super().__init__(workdir)
        self._url = ""
        self._devices = 0

    async def start(self) -> None:
        settings = {f"TIMIM_{name.upper()}": str(value) for name, value in GENEROUS.items()}  # far above the load
        settings |= {"TIMIM_APP_ID": str(APP_ID), "TIMIM_SECRET_KEY": SECRET_KEY}
        arguments = ("-m", "timim.cli", "serve", "--plain", "--port", "0", "--data-dir", str(self.dir / "server"))
        line = await self.spawn(*arguments, environment={**os.environ, **settings})
        self._url = line.removeprefix("listening on ")

    def client(self, name: str) -> Client:
        """Create a client of this user with an empty store."""
        self._devices += 1
        kept = self.dir / f"device-{self._devices}" if self.client_on_disk else ":memory:"
        signature = sign_user(APP_ID, SECRET_KEY, name)
        return Client(self._url, app_id=APP_ID, user_id=name, user_sig=signature, data_dir=kept, timeout=60)

    async def make_user(self, name: str) -> None:
        async with self.client(name):
            pass

    async def login(self, name: str) -> Session:
        session = TimimSession(client := self.client(name))
        await client.login()
        return session

    async def make_group(self, owner: Session, members: Sequence[Session]) -> str:
        assert isinstance(owner, TimimSession)
        group = await owner._client.groups.create("Public", name="bench", members=[member.user for member in members])
        return f"2:{group.id}"

    async def seed_conversations(self, user: str, n: int) -> None:
        friends = [f"friend{i}" for i in range(n)]
        for friend in friends:
            await self.make_user(friend)
        async with self.client(user) as client:
            await asyncio.gather(*(client.c2c(friend).send(f"hello {i}") for i, friend in enumerate(friends)))


class TimimMemoryDriver(TimimDriver):
    """timim with its local store in memory, for comparison with peers whose clients store nothing on disk."""

    durability = "server: WAL, FULL; client: memory"
    client_on_disk = False
    name = "timim-memory"
