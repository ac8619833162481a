"""Parameters of handlers, and the values that they get by their types."""

from __future__ import annotations

import inspect
import typing
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import InvalidArgument
from ..message import Message

__all__ = ["HandlerSignature", "Maker", "Parameter", "maker_of", "provided_type"]

Maker = Callable[[Message, AsyncExitStack], Any]  # returns a value, or an awaitable of one
_GENERATORS = (AsyncGenerator, AsyncIterator)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a handler after the message."""

    name: str
    annotation: Any
    repeated: bool  # *args
    default: Any

    @property
    def required(self) -> bool:
        """True if the parameter needs a value."""
        return self.default is inspect.Parameter.empty and not self.repeated


class HandlerSignature:
    """A handler, with the parameters that it has after the message."""

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler

    @property
    def name(self) -> str:
        """The name of the handler, for errors."""
        return str(getattr(self._handler, "__qualname__", self._handler))

    @property
    def doc(self) -> str:
        """The docstring of the handler."""
        return inspect.getdoc(self._handler) or ""

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self._handler)

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters after the message.

        Raises:
            InvalidArgument: The handler has no parameter for the message, or an annotation names nothing.
        """
        all_of_them = list(self._signature.parameters.values())
        if not all_of_them or all_of_them[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
            raise InvalidArgument(f"handler {self.name}: must have the message as its first parameter")
        others = [one for one in all_of_them[1:] if one.kind is not one.VAR_KEYWORD]
        hints = annotations_of(self._handler) if others else {}
        return [Parameter(one.name, hints.get(one.name, str), one.kind is one.VAR_POSITIONAL, one.default) for one in others]

    async def call(self, message: Message, values: Mapping[str, Any]) -> None:
        """Call the handler with the message and the values of other parameters, by name."""
        first = next(iter(self._signature.parameters))
        bound = inspect.BoundArguments(self._signature, OrderedDict({first: message, **values}))
        result = self._handler(*bound.args, **bound.kwargs)
        if inspect.isawaitable(result):
            await result


def annotations_of(function: Callable[..., object]) -> Mapping[str, Any]:
    """Return the types of a function's parameters and result.

    Raises:
        InvalidArgument: An annotation names nothing.
    """
    called = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(called, include_extras=True)
    except NameError as exc:
        name = getattr(function, "__qualname__", function)
        raise InvalidArgument(f"handler {name}: an annotation is no name of its module: {exc}") from exc


def provided_type(provider: Callable[..., object]) -> Any:
    """Return the type of the values of a provider, from its annotation.

    Raises:
        InvalidArgument: The provider says no type.
    """
    kind = annotations_of(provider).get("return")
    if inspect.isasyncgenfunction(provider) and typing.get_origin(kind) in _GENERATORS:
        kind = typing.get_args(kind)[0]
    if kind in (None, type(None), Any):
        raise InvalidArgument(f"provider: {getattr(provider, '__qualname__', provider)} must have the type of its result")
    return kind


def maker_of(provider: Callable[..., Any]) -> Maker:
    """Return a maker that calls a provider. A generator goes on after the handler has returned or raised."""
    if not inspect.isasyncgenfunction(provider):
        return lambda message, stack: provider(message)
    manager = asynccontextmanager(provider)
    return lambda message, stack: stack.enter_async_context(manager(message))
