"""Tests of commands: arguments by their annotations, errors and help that the person gets."""

from __future__ import annotations

import enum
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import pytest
from pydantic import Field

from timim import CommandError, F, InvalidArgument, Message, Router
from timim.testing import OfflineUser


class Size(enum.Enum):
    """Size of an order."""

    SMALL = "s"
    LARGE = "l"


class Database:
    """A type that no text can be converted to."""


async def answer(router: Router, text: str, *, user: str = "alice") -> str:
    """Return the answer to a text, "" if there is none."""
    alice = OfflineUser(user)
    await router.feed(alice.message(text))
    return "".join(alice.texts)


async def test_arguments_are_converted_to_their_annotations() -> None:
    router = Router()
    got: list[object] = []

    @router.command("order")
    async def order(
        message: Message,
        count: Annotated[int, Field(ge=1, le=9)],
        size: Size,
        price: Decimal,
        day: date,
        kind: Literal["hot", "cold"] = "hot",
        gift: bool = False,
    ) -> None:
        got.append((count, size, price, day, kind, gift))

    assert await answer(router, "/order 3 s 1.50 2026-01-31") == ""
    assert await answer(router, " /ORDER  3\nl 2 2026-01-31 cold yes ") == ""
    first = date(2026, 1, 31)
    assert got == [(3, Size.SMALL, Decimal("1.50"), first, "hot", False), (3, Size.LARGE, Decimal(2), first, "cold", True)]
    usage = "usage: /order COUNT SIZE PRICE DAY [KIND] [GIFT]"
    assert await answer(router, "/order 12 s 1 2026-01-31") == f"count: must be less than or equal to 9, not 12\n{usage}"
    assert await answer(router, "/order three") == f"count: must be a valid integer, not three\n{usage}"
    assert await answer(router, "/order 3 s") == f"price: is missing\n{usage}"
    assert (await answer(router, "/order 3 s 1 2026-01-31 warm")).startswith("kind: must be 'hot' or 'cold', not warm\n")
    assert (await answer(router, "/order 3 s 1 2026-01-31 hot no x y")).startswith("there are too many arguments: x y\n")
    assert len(got) == 2


async def test_a_last_text_gets_the_rest_and_other_texts_one_word_or_a_quotation() -> None:
    router = Router()
    got: list[object] = []

    @router.command("remind", usage="/remind MINUTES TEXT")
    async def remind(message: Message, minutes: int, text: str) -> None:
        got.append((minutes, text))

    @router.command("name")
    async def name(message: Message, old: str, *, new: str | None = None) -> None:
        got.append((old, new))

    @router.command("sum")
    def add(message: Message, *numbers: int) -> None:
        got.append(sum(numbers))

    assert await answer(router, '/remind 5 call  "mum"\nand don\'t forget') == ""
    assert await answer(router, '/name "New York" Big Apple') == ""
    assert await answer(router, "/name Rome") == ""
    assert await answer(router, "/sum 1 2 3") == ""
    assert await answer(router, "/sum") == ""
    assert got == [(5, 'call  "mum"\nand don\'t forget'), ("New York", "Big Apple"), ("Rome", None), 6, 0]
    assert await answer(router, "/remind 5") == "text: is missing\nusage: /remind MINUTES TEXT"
    assert await answer(router, "/sum 1 two") == "numbers: must be a valid integer, not two\nusage: /sum [NUMBERS …]"


async def test_only_the_whole_first_word_is_a_command() -> None:
    router = Router(prefix="!")
    got: list[str] = []

    @router.command("stop", aliases=["停"])
    async def stop(message: Message) -> None:
        got.append(message.text)

    for text in ("!stop", "!STOP", "!停", "!stops", "stop", "/stop", "please !stop", ""):
        await router.feed(OfflineUser("alice").message(text))
    assert got == ["!stop", "!STOP", "!停"]


async def test_help_lists_the_commands_that_the_person_may_use() -> None:
    router, admin = Router(), Router(help="")
    router.include(admin)

    @router.command("order")
    async def order(message: Message, count: int, note: str = "") -> None:
        """Order some.

        The note is for the kitchen.
        """

    @admin.command("close", F.sender == "boss", help="Close the shop.")
    async def close(message: Message) -> None: ...

    assert await answer(router, "/help") == "/order COUNT [NOTE] – Order some."
    assert await answer(router, "/Help", user="boss") == "/order COUNT [NOTE] – Order some.\n/close – Close the shop."
    assert await answer(router, "/help order") == "/order COUNT [NOTE]\nOrder some.\n\nThe note is for the kitchen."
    assert await answer(router, "/help nothing") == "/order COUNT [NOTE] – Order some."
    assert await answer(admin, "/help", user="boss") == ""
    assert await answer(Router(), "/help") == ""

    @router.command("help")
    async def own(message: Message) -> None:
        await message.reply("my own help")

    assert await answer(router, "/help") == "my own help"


async def test_a_handler_can_raise_an_error_for_the_person() -> None:
    router = Router()

    @router.command("cancel")
    async def cancel(message: Message, number: int) -> None:
        raise CommandError(f"there is no order {number}")

    assert await answer(router, "/cancel 7") == "there is no order 7"

    @router.on_error(CommandError)
    async def translate(message: Message, error: CommandError) -> None:
        await message.reply(f"错误：{error}")

    assert await answer(router, "/cancel 7") == "错误：there is no order 7"


async def test_a_parameter_that_cannot_be_read_is_named() -> None:
    router = Router()

    @router.command("save")
    async def save(message: Message, to: Database, text: str) -> None: ...

    with pytest.raises(InvalidArgument, match=r"save: no value is provided for to, and its type .*Database.* cannot be read"):
        router.check()
    router.provide(Database, Database())
    router.check()
    assert await answer(router, "/help") == "/save TEXT"
    for name in ("", "two words", " x"):
        with pytest.raises(InvalidArgument, match="name: must be one word"):
            router.command(name)
