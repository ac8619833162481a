"""A bot with commands: orders of a canteen. Run `timim serve` in this folder, then this program.

`timim send bot "/order 2 tea" --as alice` orders, and `timim tail --as alice` shows the answers. `python order_bot.py --test`
tests the handlers without a server.
"""

import asyncio
import sys
from typing import Annotated, Literal

from pydantic import Field

import timim
from timim import CommandError, F, Message, Router
from timim.testing import OfflineUser


class Orders(dict[str, list[str]]):
    """The orders of each user."""


router = Router()
router.provide(Orders, Orders())


@router.command("order", F.is_c2c, aliases=["点单"])
async def order(
    message: Message, count: Annotated[int, Field(ge=1, le=9)], drink: Literal["tea", "coffee"], orders: Orders
) -> None:
    """Order some drinks."""
    orders.setdefault(message.sender, []).append(f"{count} {drink}")
    await message.reply(f"noted: {count} {drink}")


@router.command("cancel", F.is_c2c)
async def cancel(message: Message, orders: Orders) -> None:
    """Cancel your last order."""
    if not orders.get(message.sender):
        raise CommandError("you have no order")
    await message.reply(f"cancelled: {orders[message.sender].pop()}")


@router.message(F.is_c2c & ~F.text.startswith("/"))
async def explain(message: Message) -> None:
    await message.reply("Write /help to see what I can do.")


async def test() -> None:
    """Feed messages to the router, and compare the answers."""
    alice = OfflineUser("alice")
    for text in ("hello", "/order 2 tea", "/order 12 tea", "/cancel", "/cancel"):
        await router.feed(alice.message(text))
    print(*alice.texts, sep="\n")
    assert alice.texts[1::2] == ["noted: 2 tea", "cancelled: 2 tea"]


if "--test" in sys.argv:
    asyncio.run(test())
else:
    timim.run(timim.Client.from_server("timim-data", user_id="bot"), router)
