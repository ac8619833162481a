"""A bot that echoes each message, and its own test: a real server, a user, a question, the answer."""

import asyncio

from timim import Message
from timim.testing import running_server


async def main() -> None:
    """Start a server, a bot and a user; stop when the user has received the answer."""
    async with running_server() as server:
        bot = server.client("bot")

        @bot.on_new_message
        async def answer(messages: list[Message]) -> None:
            for message in messages:
                if message.conversation == bot.c2c(message.sender) and not message.is_self:
                    await message.conversation.send(f"you said: {message.text}")

        async with bot, server.client("alice") as alice:
            conversation = alice.c2c("bot")
            async with conversation.expect(lambda m: m.sender == "bot", timeout=10) as got:
                await conversation.send("hello")
            print((await got).text)


asyncio.run(main())
