"""The terminal chat against a real server: every test drives the keyboard and reads the screen."""

from __future__ import annotations

import pytest

from tests.support.chat_driver import chat
from tests.support.users import Users

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_messages_are_sent_received_and_counted(users: Users) -> None:
    bob, carol = await users.login("bob"), await users.login("carol")
    await users.server.add_users(users.id("alice"))
    await carol.c2c(users.id("alice")).send("from carol")
    async with chat(users.server.client(users.id("alice")), bob.c2c(users.id("bob")).key) as alice:
        await alice.sees("online", f"{users.id('carol')} (1)", "1 unread")
        received = bob.wait_for(lambda message: message.text == "hi\nthere", timeout=20)
        await alice.type("hi", "ctrl+j", *"there", "enter")
        await received
        await alice.sees(" ✓  ")
        await bob.c2c(users.id("alice")).mark_read()
        await alice.sees(" ✓✓ ")
        await bob.c2c(users.id("alice")).send("an answer")
        await alice.sees(f"{users.id('bob')}: an answer")
        answer = bob.c2c(users.id("alice")).last_message
        assert answer is not None
        await alice.until(lambda: answer.read_by_peer)
