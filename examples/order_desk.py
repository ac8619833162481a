"""An order desk: people order with commands, and an operator retries the orders that could not be booked.

Run `timim serve` in this folder, then this program. `timim send bot "/order 2 tea" --as alice` orders, and
`timim tail --as alice` shows the answers. carol is the operator.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

import timim
from timim import F, Message, MessageDeadLettered, Router

BOOK = Path("orders.csv")
OPERATOR = "carol"
client = timim.Client.from_server("timim-data", user_id="bot")
router = Router()


def book(order: str) -> None:
    """Add a line to the book. Raises OSError, for example if the disk is full."""
    with BOOK.open("a") as file:
        file.write(f"{order}\n")


@router.command("order", F.is_c2c, aliases=["点单"])
async def order(message: Message, count: Annotated[int, Field(ge=1, le=9)], drink: Literal["tea", "coffee"]) -> None:
    """Order some drinks."""
    async with client.once(f"order {message.msg_id}") as first:  # a restart runs the block again only if it did not end
        if first:
            await asyncio.to_thread(book, f"{message.sender},{count},{drink}")
    await message.reply(f"booked: {count} {drink}")


@router.command("retry", F.sender == OPERATOR)
async def retry(message: Message) -> None:
    """Book the orders that failed."""
    failed = await client.dead_letters.list()
    for letter in failed:
        await client.dead_letters.retry(letter.message)
    await message.reply(f"orders to book again: {len(failed)}")


@router.message(F.is_c2c)
async def explain(message: Message) -> None:
    await message.reply("Write /help to see what I can do.")


@client.on(MessageDeadLettered)
async def report(event: MessageDeadLettered) -> None:
    order = event.message
    await client.c2c(OPERATOR).send(f"{order.sender} ordered {order.text!r}: {event.error}. Repair it and write /retry")


client.run(router)
