"""A bot that echoes each message. Run `timim serve` in this folder, then this program.

`timim send bot "hello" --as alice` talks to it, and `timim tail --as alice` shows its answers.
"""

import timim

bot = timim.Client.from_server("timim-data", user_id="bot")


@bot.on_message
async def answer(message: timim.Message) -> None:
    await message.reply(f"you said: {message.text}")


bot.run()
