"""A bot that echoes each message, and its own test: a real server, a user, a question, the answer."""

import asyncio

from timim import Message
from timim.testing import running_server


async def main() -> None:
    """Start a server, a bot and a user; stop when the user has received the answer."""
    async with running_server() as server:
        bot = server.client("bot")

        @bot.on_message
        async def answer(message: Message) -> None:
            await message.reply(f"you said: {message.text}")

        async with bot, server.client("alice") as alice:
            conversation = alice.c2c("bot")
            async with conversation.expect(lambda m: m.sender == "bot", timeout=10) as got:
                await conversation.send("hello")
            print((await got).text)


asyncio.run(main())
