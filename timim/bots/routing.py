"""Routers: the first handler whose filters a message satisfies gets the message, and no other one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..errors import InvalidArgument
from ..message import Message
from ..util.arguments import Items, Text, checked
from ..util.displayed import Displayed
from ..util.interactive import is_rerun
from .commands import ChatCommand, CommandError, split_command
from .filters import Check
from .injection import HandlerSignature, Maker, Parameter, maker_of, provided_type

__all__ = ["HandlerDecorator", "Next", "Router"]

P = ParamSpec("P")
Result = TypeVar("Result", bound=Awaitable[object] | None)
Next = Callable[[Message], Awaitable[None]]
MiddlewareT = TypeVar("MiddlewareT", bound=Callable[[Message, Next], Awaitable[object]])
ProviderT = TypeVar("ProviderT", bound=Callable[[Message], object])
ErrorHandlerT = TypeVar("ErrorHandlerT", bound=Callable[[Message, Any], Awaitable[object] | None])


class HandlerDecorator(Protocol):
    """A decorator that registers a handler of messages, and returns the handler."""

    def __call__(self, handler: Callable[Concatenate[Message, P], Result], /) -> Callable[Concatenate[Message, P], Result]:
        """Register the handler."""


class _Route:
    """A handler, its filters, and its command if it has one."""

    def __init__(self, handler: Callable[..., object], filters: tuple[Check, ...]) -> None:
        self.handler = handler
        self.signature = HandlerSignature(handler)
        self._filters = filters
        self.command: ChatCommand | None = None

    def accepts(self, message: Message, head: str) -> bool:
        """Return True if the message, whose first word is `head`, has the command and satisfies all filters."""
        return (self.command is None or self.command.is_called(head)) and self.allows(message)

    def allows(self, message: Message) -> bool:
        """Return True if the message satisfies the filters."""
        return all(check(message) for check in self._filters)

    def arguments(self, makers: dict[Any, Maker]) -> list[Parameter]:
        """Return the parameters without a provided value: the arguments of the command."""
        return [one for one in self.signature.parameters if one.annotation not in makers]

    def check(self, makers: dict[Any, Maker]) -> None:
        """Check that each parameter gets a value. Raises InvalidArgument."""
        for one in self.arguments(makers):
            if self.command is not None:
                self.command.adapter(one)
            elif one.required:
                raise InvalidArgument(
                    f"handler {self.signature.name}: no value is provided for {one.name} of type {one.annotation!r}"
                )

    async def call(self, message: Message, makers: dict[Any, Maker]) -> None:
        """Call the handler with the arguments of its command, and with provided values."""
        self.check(makers)
        values = {} if self.command is None else self.command.read(message, self.arguments(makers))
        async with AsyncExitStack() as stack:
            for one in self.signature.parameters:
                if one.annotation in makers:
                    made = makers[one.annotation](message, stack)
                    values[one.name] = await made if inspect.isawaitable(made) else made
            await self.signature.call(message, values)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A route, and the routers on the way to it, the outermost first."""

    routers: tuple[Router, ...]
    route: _Route

    @property
    def makers(self) -> dict[Any, Maker]:
        """The makers of the values that the handler can get, by their types."""
        return {kind: maker for router in self.routers for kind, maker in router._makers.items()}


@checked(InvalidArgument)
class Router(Displayed):
    """Handlers of messages by filters and commands: `client.run(router)`, or `client.on_message(router.feed)`.

    A message goes to the first handler whose filters it satisfies: first those of the router in the order of their
    registration, then those of the included routers. A handler is a function (sync or async) of a Message. Its further
    parameters get the arguments of its command and provided values, by their annotations.

    Args:
        prefix: The begin of a command.
        help: The command that answers with the list of commands, if the router gets the messages first; "" is none.
    """

    @checked(InvalidArgument)
    def __init__(self, *, prefix: Text = "/", help: Text = "help") -> None:
        self._prefix = prefix
        self._help = f"{prefix}{help}".lower() if help else ""
        self._routes: list[_Route] = []
        self._included: list[Router] = []
        self._middlewares: list[Callable[[Message, Next], Awaitable[object]]] = []
        self._error_handlers: list[tuple[tuple[type[Exception], ...], Callable[[Message, Any], object]]] = []
        self._makers: dict[Any, Maker] = {}

    def message(self, *filters: Callable[[Message], bool]) -> HandlerDecorator:
        """Return a decorator that registers a handler of messages that satisfy all filters; without filters, of all messages.

        Raises:
            InvalidArgument: A filter is a coroutine function: write `@router.message()`, with parentheses.
        """
        _check_filters(filters)

        def register(handler: Callable[Concatenate[Message, P], Result], /) -> Callable[Concatenate[Message, P], Result]:
            self._add(_Route(handler, filters))
            return handler

        return register

    def command(
        self,
        name: Text,
        /,
        *filters: Callable[[Message], bool],
        aliases: Items[Text] = (),
        usage: Text = "",
        help: Text = "",
    ) -> HandlerDecorator:
        """Return a decorator that registers a handler of a command, for messages that satisfy all filters.

        The words after the name are converted to the annotations of the handler's parameters by pydantic. A last parameter of
        type str gets the rest of the text, `*names` all further words, and a parameter with a default may be missing. Several
        words in quotation marks are one. The person who wrote a wrong argument gets an answer with the usage.

        Args:
            name: Name of the command, without the prefix.
            filters: Functions of a message; the command is hidden from messages that do not satisfy them.
            aliases: Further names.
            usage: Usage in the help; by default made from the parameters.
            help: Help; by default the docstring of the handler, whose first line is in the list of commands.

        Raises:
            InvalidArgument: A name is empty or has spaces, or a filter is a coroutine function.
        """
        _check_filters(filters)
        for one in (name, *aliases):
            if one.split() != [one]:
                raise InvalidArgument(f"name: must be one word, not {one!r:.40}")

        def register(handler: Callable[Concatenate[Message, P], Result], /) -> Callable[Concatenate[Message, P], Result]:
            route = _Route(handler, filters)
            route.command = ChatCommand(self._prefix, [name, *aliases], route.signature, usage=usage, help=help)
            self._add(route)
            return handler

        return register

    def _add(self, route: _Route) -> None:
        """Add a route, in the place of those that an earlier run of its notebook cell has added."""
        rest = [one for one in self._routes if not is_rerun(route.handler, one.handler)]
        place = next((at for at, one in enumerate(self._routes) if is_rerun(route.handler, one.handler)), len(rest))
        self._routes = [*rest[:place], route, *rest[place:]]

    def include(self, *routers: Router) -> None:
        """Let other routers handle the messages that no handler of this router takes.

        Their handlers also get the provided values, the middlewares and the error handlers of this router.

        Raises:
            InvalidArgument: A router would include itself.
        """
        for router in routers:
            if any(self is one for one in router._with_included()):
                raise InvalidArgument("routers: a router must not include itself")
            self._included.append(router)

    def middleware(self, function: MiddlewareT) -> MiddlewareT:
        """Register a coroutine function around the handlers of this router and of included ones, and return the function.

        `async def timed(message, call_next): …; await call_next(message)`. Without the call, the handler is not called. The
        first middleware is the outermost one.
        """
        self._middlewares = [one for one in self._middlewares if not is_rerun(function, one)]
        self._middlewares.append(function)
        return function

    def on_error(self, *errors: type[Exception]) -> Callable[[ErrorHandlerT], ErrorHandlerT]:
        """Return a decorator that registers a handler (sync or async) of errors of these classes, by default of all.

        It is called with the message and the error, for handlers of this router and of included ones; of several, the innermost
        and first one is called. An error without such a handler is raised by `feed()`, but a CommandError is answered.
        """
        kinds = errors or (Exception,)

        def register(handler: ErrorHandlerT) -> ErrorHandlerT:
            self._error_handlers = [one for one in self._error_handlers if not is_rerun(handler, one[1])]
            self._error_handlers.append((kinds, handler))
            return handler

        return register

    def provide(self, kind: type[object], value: object) -> None:
        """Let handlers get this value for parameters whose annotation is `kind`: `router.provide(Database, database)`."""
        self._makers[kind] = lambda message, stack: value

    def provider(self, function: ProviderT) -> ProviderT:
        """Register a function that makes a value for each message, and return the function.

        Handlers get the value for parameters whose annotation is that of the function's result. The function can be a coroutine
        function, or an async generator, which goes on after the handler has returned or raised.

        Raises:
            InvalidArgument: The function has no annotation of its result.
        """
        self._makers[provided_type(function)] = maker_of(function)
        return function

    def off(self, handler: Callable[..., object]) -> None:
        """Remove a handler of messages or of a command; a running call of the handler goes on.

        Raises:
            InvalidArgument: The handler is not registered with this router.
        """
        rest = [route for route in self._routes if route.handler != handler]
        if len(rest) == len(self._routes):
            raise InvalidArgument(f"handler: {getattr(handler, '__qualname__', handler)!r} is not registered with this router")
        self._routes = rest

    def check(self) -> None:
        """Check that each parameter of each handler gets a value; `client.run()` calls this.

        Raises:
            InvalidArgument: No value is provided for a parameter; the text names it.
        """
        for found in self._all_routes():
            found.route.check(found.makers)

    async def feed(self, message: Message) -> bool:
        """Handle one message, and return when its handler has returned. No connection is needed.

        Returns:
            True if a handler took the message.

        Raises:
            InvalidArgument: No value is provided for a parameter of the handler.
        """
        head, rest = split_command(message.text)
        found = next((found for found in self._all_routes() if found.route.accepts(message, head)), None)
        if found is None:
            return await self._answer_help(message, head, rest)
        step: Next = partial(found.route.call, makers=found.makers)
        for router in reversed(found.routers):
            for middleware in reversed(router._middlewares):
                step = _wrapped(middleware, step)
        try:
            await step(message)
        except Exception as exc:
            if not await _handled(exc, message, found.routers):
                raise
        return True

    def _with_included(self) -> Iterator[Router]:
        yield self
        for router in self._included:
            yield from router._with_included()

    def _all_routes(self, outer: tuple[Router, ...] = ()) -> Iterator[_Found]:
        routers = (*outer, self)
        for route in self._routes:
            yield _Found(routers, route)
        for router in self._included:
            yield from router._all_routes(routers)

    async def _answer_help(self, message: Message, head: str, name: str) -> bool:
        if not self._help or head != self._help:
            return False
        commands = [
            (found.route.command, found.route.arguments(found.makers))
            for found in self._all_routes()
            if found.route.command is not None and found.route.allows(message)
        ]
        if not commands:
            return False
        wanted = [
            one.description(arguments) for one, arguments in commands if name and one.is_called(f"{self._prefix}{name}".lower())
        ]
        await message.reply("\n".join(wanted or [one.summary(arguments) for one, arguments in commands]))
        return True

    async def _try_error_handlers(self, error: Exception, message: Message) -> bool:
        """Call the first error handler for the class of an error; return False if there is none."""
        for kinds, handler in self._error_handlers:
            if isinstance(error, kinds):
                result = handler(message, error)
                if inspect.isawaitable(result):
                    await result
                return True
        return False


def _check_filters(filters: tuple[Check, ...]) -> None:
    for number, one in enumerate(filters):
        if inspect.iscoroutinefunction(one):
            raise InvalidArgument(
                f"filters[{number}]: must not be a coroutine function; write @router.message() with parentheses"
            )


def _wrapped(middleware: Callable[[Message, Next], Awaitable[object]], step: Next) -> Next:
    async def call(message: Message) -> None:
        await middleware(message, step)

    return call


async def _handled(error: Exception, message: Message, routers: tuple[Router, ...]) -> bool:
    """Let the innermost error handler handle an error; answer a CommandError that none handles."""
    for router in reversed(routers):
        if await router._try_error_handlers(error, message):
            return True
    if isinstance(error, CommandError):
        await message.reply(error.info)
        return True
    return False
