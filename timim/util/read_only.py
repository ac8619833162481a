"""Fields of public objects that cannot be assigned: the error names the way to change the value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NoReturn, TypeVar

__all__ = ["assigned_once", "refusing"]

C = TypeVar("C", bound=type[Any])


def refusing(default: str, /, **remedies: str) -> Callable[[C], C]:
    """Return a decorator of classes whose read-only properties raise AttributeError with a remedy when they are assigned.

    A property `name` that returns nothing but the slot `_name` is read in C, without a call of its function.

    Args:
        default: The remedy of all properties without their own.
        remedies: The remedy of each property by its name, such as `draft="use await conversation.set_draft(…)"`.
    """

    def decorate(cls: C) -> C:
        for name, value in list(vars(cls).items()):
            if not isinstance(value, property) or name.startswith("_"):
                continue
            read = _read_of(name, value)
            if value.fset is None:
                setattr(cls, name, property(read, _refusal(name, remedies.get(name, default)), None, value.__doc__))
            else:
                setattr(cls, name, property(read, value.fset, value.fdel, value.__doc__))
        if unknown := [name for name in remedies if not isinstance(vars(cls).get(name), property)]:
            raise TypeError(f"{cls.__name__} has no property {', '.join(unknown)}")
        return cls

    return decorate


def _read_of(name: str, field: property) -> Any:
    slot = f"_{name}"
    names: tuple[str, ...] = field.fget.__code__.co_names if inspect.isfunction(field.fget) else ()
    return attrgetter(slot) if names == (slot,) else field.fget


def _refusal(name: str, remedy: str) -> Callable[[object, object], NoReturn]:
    def refuse(_self: object, _value: object) -> NoReturn:
        raise AttributeError(f"{name}: cannot be assigned; {remedy}")

    return refuse


def assigned_once(default: str, /, **remedies: str) -> Callable[[C], C]:
    """Return a decorator of classes whose public attributes can be assigned by the constructor only.

    A later assignment raises AttributeError with the remedy, and so do the properties; see `refusing`.
    """

    def decorate(cls: C) -> C:
        def assign(self: object, name: str, value: object) -> None:
            if name in vars(self) and not name.startswith("_"):
                raise AttributeError(f"{name}: cannot be assigned; {default}")
            object.__setattr__(self, name, value)

        setattr(cls, "__setattr__", assign)  # noqa: B010  mypy compares it with type.__setattr__
        return refusing(default, **remedies)(cls)

    return decorate
