"""Tests of routers, which handle messages without a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from timim import F, InvalidArgument, Message, Router
from timim.bots.routing import Next
from timim.testing import OfflineUser


class Session:
    """A value that handlers get."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def alice() -> OfflineUser:
    return OfflineUser("alice")


async def test_the_first_handler_whose_filters_are_satisfied_gets_the_message(alice: OfflineUser) -> None:
    router, inner = Router(), Router()
    router.include(inner)
    got: list[str] = []

    @inner.message(F.text == "inner")
    async def of_inner(message: Message) -> None:
        got.append(f"inner {message.text}")

    @router.message(F.text.startswith("a"), F.is_c2c)
    async def first(message: Message) -> None:
        got.append(f"first {message.text}")

    @router.message(F.text.contains("b"))
    def second(message: Message) -> None:
        got.append(f"second {message.text}")

    for text, taken in (("ab", True), ("b", True), ("inner", True), ("none", False)):
        assert await router.feed(alice.message(text)) is taken
    assert await router.feed(OfflineUser("bob", group_id="team").message("ab"))
    assert got == ["first ab", "second b", "inner inner", "second ab"]


async def test_a_removed_handler_gets_no_more_messages(alice: OfflineUser) -> None:
    router = Router()

    @router.message()
    @router.command("stop")
    async def handle(message: Message) -> None:
        await message.reply("handled")

    assert await router.feed(alice.message("x"))
    router.off(handle)
    assert not await router.feed(alice.message("x"))
    assert not await router.feed(alice.message("/stop"))
    with pytest.raises(InvalidArgument, match="handle' is not registered with this router"):
        router.off(handle)


async def test_middlewares_run_around_the_handlers_of_their_router_and_of_included_ones(alice: OfflineUser) -> None:
    router, inner = Router(), Router()
    router.include(inner)
    steps: list[str] = []

    def note(name: str, *routers: Router) -> None:
        for one in routers:

            @one.middleware
            async def around(message: Message, call_next: Next) -> None:
                steps.append(f"{name} begins")
                if message.text != name:
                    await call_next(message)
                steps.append(f"{name} ends")

    note("outer", router)
    note("second", router)
    note("inner", inner)

    @inner.message(F.text != "own")
    async def of_inner(message: Message) -> None:
        steps.append("handler")

    @router.message(F.text == "own")
    async def of_router(message: Message) -> None:
        steps.append("own handler")

    await router.feed(alice.message("x"))
    assert steps == ["outer begins", "second begins", "inner begins", "handler", "inner ends", "second ends", "outer ends"]
    steps.clear()
    await router.feed(alice.message("own"))
    assert steps == ["outer begins", "second begins", "own handler", "second ends", "outer ends"]
    steps.clear()
    await router.feed(alice.message("second"))
    assert steps == ["outer begins", "second begins", "second ends", "outer ends"]


async def test_the_innermost_error_handler_of_the_class_handles_an_error(alice: OfflineUser) -> None:
    router, inner = Router(), Router()
    router.include(inner)
    errors: list[str] = []

    @inner.message()
    async def fail(message: Message) -> None:
        raise {"key": KeyError, "value": ValueError, "type": TypeError}[message.text](message.text)

    with pytest.raises(TypeError, match="type"):
        await router.feed(alice.message("type"))

    @inner.on_error(KeyError, ZeroDivisionError)
    async def of_inner(message: Message, error: KeyError | ZeroDivisionError) -> None:
        errors.append(f"inner {error.args[0]}")

    @router.on_error()
    def of_router(message: Message, error: Exception) -> None:
        errors.append(f"router {error}")

    for text in ("key", "value", "type"):
        assert await router.feed(alice.message(text))
    assert errors == ["inner key", "router value", "router type"]


async def test_handlers_get_values_by_the_types_of_their_parameters(alice: OfflineUser) -> None:
    router, inner = Router(), Router()
    router.include(inner)
    steps: list[object] = []
    router.provide(Session, Session("of the router"))

    @router.provider
    async def number(message: Message) -> AsyncIterator[int]:
        steps.append("begin")
        try:
            yield len(message.text)
        except ValueError:
            steps.append("rolled back")
            raise
        steps.append("end")

    @router.provider
    async def word(message: Message) -> bytes:
        return message.text.encode()

    @inner.message()
    async def handle(message: Message, session: Session, length: int, *, raw: bytes) -> None:
        steps.append((session.name, length, raw))
        if message.text == "wrong":
            raise ValueError

    await router.feed(alice.message("abc"))
    assert steps == ["begin", ("of the router", 3, b"abc"), "end"]
    inner.provide(Session, Session("of the inner one"))
    steps.clear()
    with pytest.raises(ValueError):  # noqa: PT011
        await router.feed(alice.message("wrong"))
    assert steps == ["begin", ("of the inner one", 5, b"wrong"), "rolled back"]


async def test_a_parameter_without_a_value_is_named_before_a_message_arrives(alice: OfflineUser) -> None:
    router = Router()

    @router.message()
    async def handle(message: Message, session: Session) -> None: ...

    with pytest.raises(InvalidArgument, match=r"handle: no value is provided for session of type .*Session"):
        router.check()
    with pytest.raises(InvalidArgument, match="session"):
        await router.feed(alice.message("x"))


async def test_a_default_is_used_for_a_parameter_without_a_value(alice: OfflineUser) -> None:
    router = Router()

    @router.message()
    async def handle(message: Message, session: Session | None = None) -> None:
        await message.reply(str(session))

    router.check()
    await router.feed(alice.message("x"))
    assert alice.texts == ["None"]


def test_mistakes_are_named_when_they_are_made() -> None:
    router, inner = Router(), Router()

    async def handler(message: Message) -> None: ...

    with pytest.raises(InvalidArgument, match=r"filters\[0\]: .*with parentheses"):
        router.message(handler)  # type: ignore[arg-type]
    router.include(inner)
    for outer, included in ((inner, router), (router, router)):
        with pytest.raises(InvalidArgument, match="must not include itself"):
            outer.include(included)
    with pytest.raises(InvalidArgument, match="must have the type of its result"):
        router.provider(lambda message: 1)
    router.message()(lambda: None)  # type: ignore[misc, arg-type]
    with pytest.raises(InvalidArgument, match="must have the message as its first parameter"):
        router.check()


async def test_a_message_made_by_hand_is_handled(alice: OfflineUser) -> None:
    router = Router()
    got: list[str] = []

    @router.message(F.text)
    async def handle(message: Message) -> None:
        got.append(message.text)

    assert await router.feed(Message("by hand"))
    assert got == ["by hand"]
