"""Checks of the arguments of public calls: pydantic's `validate_call` on the annotations of the signature.

A wrong argument is refused before the call has an effect, with its name, the rule and the given value. The types below are
annotations for arguments that have a narrower rule than `str`, `int` and `float`.
"""

from __future__ import annotations

import enum
import functools
import inspect
import os
import typing
import urllib.parse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import FunctionType, UnionType
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    validate_call,
)
from pydantic_core import ErrorDetails, PydanticCustomError

__all__ = [
    "ByteCount",
    "Bytes",
    "FieldTexts",
    "FilePath",
    "Int64",
    "Items",
    "LocalData",
    "LocalPath",
    "Number",
    "PlainText",
    "Seconds",
    "Text",
    "Timestamp",
    "checked",
    "described_fault",
    "text_fault",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
TEXT_LIMIT_BYTES = 12 * 1024  # the limit of a message; the server has a narrower one for most texts
ALTERNATIVES = 3  # that a text names one by one
PATH_LIMIT_BYTES = 4096  # of Linux
FIELDS_LIMIT = 100
SHOWN_LIMIT = 60  # characters of a given value in a text
ITEMS_LIMIT = 10_000
SECRETS = frozenset({"user_sig", "secret_key"})  # arguments whose value is never part of a text
_ARITY = frozenset({"missing_argument", "unexpected_keyword_argument", "unexpected_positional_argument"})


def text_fault(text: str) -> str:
    """Return the reason for which a text cannot be sent, "" if there is none; the text itself can be private."""
    if "\0" in text:
        return f"must not contain NUL; there is one at position {text.find(chr(0))}"
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as exc:
        return f"must be valid Unicode; there is a lone surrogate at position {exc.start}"
    return ""


def _checked_text(text: str) -> str:
    if fault := text_fault(text):
        raise ValueError(fault)
    if (size := len(text.encode())) > TEXT_LIMIT_BYTES:
        raise ValueError(f"must be at most {TEXT_LIMIT_BYTES} bytes of UTF-8, not {size}")
    return text


def _not_of_an_enum(text: object) -> object:
    if isinstance(text, enum.Enum):
        raise ValueError(f"must not be a member of another enumeration, but is {text!r}")
    return text


def _checked_path(path: str | Path) -> str | Path:
    text = str(path)
    if not text or "\0" in text:
        raise ValueError("must be a path: not empty, and without NUL")
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError as exc:
        raise ValueError(f"must be a path: the character at position {exc.start} cannot be in a file name") from None
    if size > PATH_LIMIT_BYTES:
        raise ValueError(f"must be a path of at most {PATH_LIMIT_BYTES} bytes, not {size}")
    return path


def _as_list(items: object) -> object:
    if isinstance(items, Sequence) and not isinstance(items, str | bytes | bytearray):
        return list(items)
    raise PydanticCustomError("list_type", "Input should be a list or tuple")


def _whole_path(path: object, info: ValidationInfo) -> object:
    """Return a path as it is now: a later change of the working folder does not concern it."""
    if not isinstance(path, str | Path):
        raise ValueError(f"must be a path (str or Path), not {type(path).__name__}; give content as data=")
    if info.mode == "json" and isinstance(path, str):
        return _path_in_json(path)
    try:
        return Path(_checked_path(path)).absolute()
    except OSError:
        raise ValueError("must be absolute, because the working folder does not exist") from None


def _path_in_json(text: str) -> str:
    """Return the path that JSON has for an elem: absolute, which tells it from bytes in base64, or a URL of a file."""
    path = Path(os.fsdecode(urllib.parse.unquote_to_bytes(urllib.parse.urlsplit(text).path)) if text[:5] == "file:" else text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return str(path)


def _path_to_json(path: Path) -> str:
    """Return a path as text, or as a URL if its name is not valid Unicode."""
    return path.as_uri() if text_fault(str(path)) else str(path)


def _as_bytes(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        if info.mode == "json":
            return value  # pydantic decodes base64
        raise ValueError("must be bytes, not str: encode it")
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


Text = Annotated[str, AfterValidator(_checked_text)]
"""Text of at most 12 KB of UTF-8, without NUL and lone surrogates."""
PlainText = Annotated[Text, BeforeValidator(_not_of_an_enum)]
"""Text that is no member of an enumeration, for an argument that has an enumeration of its own."""
FilePath = Annotated[str | Path, AfterValidator(_checked_path)]
"""Path of a file or folder."""
LocalPath = Annotated[Path, BeforeValidator(_whole_path), PlainSerializer(_path_to_json, when_used="json")]
"""Absolute path of a file, also if it was given relative to the working folder."""
Bytes = Annotated[bytes, BeforeValidator(_as_bytes)]
"""Bytes, bytearray or memoryview, as bytes."""
Items = Annotated[Sequence[T], BeforeValidator(_as_list), Field(max_length=ITEMS_LIMIT)]
"""List, tuple or other sequence, but no string."""
FieldTexts = Annotated[Mapping[Text, Text], Field(max_length=FIELDS_LIMIT)]
"""Texts by their keys."""
Number = Annotated[int, Field(ge=0, lt=2**32)]
"""Whole number that is not negative."""
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""Whole number of 64 bits."""
VendorFields = Annotated[Mapping[Text, Text | Int64], Field(max_length=FIELDS_LIMIT)]
"""Texts and whole numbers by their keys."""
ByteCount = Annotated[int, Field(ge=0, lt=2**63)]
"""Number of bytes."""
LocalData = Annotated[bytes, Field(max_length=1024 * 1024)]
"""Bytes of at most 1 MiB."""
Seconds = Annotated[float, Field(ge=0)]
"""Duration in seconds; can be infinite."""
Timestamp = Annotated[float, Field(ge=-(2**53), le=2**53)]
"""Time in seconds since 1970."""


def checked(error: Callable[[str], Exception], *, unless: Collection[str] = ()) -> Callable[[F], F]:
    """Return a decorator that checks the arguments of a function, or of a class's public methods, by their annotations.

    A wrong argument raises `error`, with the name of the argument, the rule and the given value. An argument whose class is
    itself a part of the annotation (a Message for `Message | None`) passes without a call of pydantic. `unless` names methods
    that check their arguments themselves.
    """

    def decorate(target: F) -> F:
        if not isinstance(target, type):
            return typing.cast("F", _checked_function(target, error))
        for name, member in list(vars(target).items()):
            public = not name.startswith("_") or (name == "__init__" and is_dataclass(target))
            if public and name not in unless:
                if isinstance(member, FunctionType):
                    setattr(target, name, _checked_function(member, error))
                elif isinstance(member, classmethod):
                    setattr(target, name, classmethod(_checked_function(member.__func__, error)))
        return target

    return decorate


def _checked_function(function: Callable[..., Any], error: Callable[[str], Exception]) -> Callable[..., Any]:
    validated = validate_call(config=ConfigDict(strict=True, arbitrary_types_allowed=True, defer_build=True))(function)

    def refused(exc: ValidationError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
        return error(_refusal(function, exc, args, kwargs)) if exc.title == function.__qualname__ else exc

    if inspect.iscoroutinefunction(function):
        plain = _PlainArguments(function)
        by_position, by_name = plain.by_position, plain.by_name

        @functools.wraps(function)
        async def wait(*args: Any, **kwargs: Any) -> Any:
            if len(args) > len(by_position):
                plain.read(args)
            for value, classes in zip(args, by_position):  # noqa: B905  the table can be longer
                if value.__class__ not in classes:
                    break
            else:
                for name, value in kwargs.items():
                    if value.__class__ not in by_name.get(name, ()):
                        break
                else:
                    return await function(*args, **kwargs)
            try:
                return await validated(*args, **kwargs)
            except ValidationError as exc:
                raise refused(exc, args, kwargs) from None

        return wait

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return validated(*args, **kwargs)
        except ValidationError as exc:
            raise refused(exc, args, kwargs) from None

    return call


class _PlainArguments:
    """The classes that the annotations of a method name as they are, by position and by name; filled by the calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.by_position: list[frozenset[type]] = []
        self.by_name: dict[str, frozenset[type]] = {}

    def read(self, args: tuple[Any, ...]) -> None:
        """Add rows for the positional arguments of a call; the first one is the object of the method."""
        hints = typing.get_type_hints(self._function, include_extras=True)
        rows, further = [frozenset({args[0].__class__})], frozenset[type]()
        for name, parameter in list(inspect.signature(self._function).parameters.items())[1:]:
            self.by_name[name] = classes = _classes_in(hints[name])
            if parameter.kind is parameter.VAR_POSITIONAL:
                further = classes
            elif parameter.kind is not parameter.KEYWORD_ONLY:
                rows.append(classes)
        self.by_position[:] = rows + [further] * (len(args) - len(rows))


def _classes_in(hint: object) -> frozenset[type]:
    members = typing.get_args(hint) if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union else (hint,)
    return frozenset(one for one in members if isinstance(one, type) and one is not float)  # a float can be no number


def _refusal(function: Callable[..., Any], exc: ValidationError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the text of an error. A wrong number or name of arguments is Python's own TypeError."""
    parameters = list(inspect.signature(function).parameters.values())
    faults = exc.errors(include_url=False)
    if faults[0]["type"] in _ARITY:
        inspect.signature(function).bind(*args, **kwargs)
    fault = next((one for one in faults if one["type"] == "value_error"), faults[0])
    argument, *steps = fault["loc"]
    where = [f"[{step}]" for step in steps if isinstance(step, int)]
    given, parameter = fault["input"], parameters[-1]
    if isinstance(argument, int):
        at = next((n for n, one in enumerate(parameters) if one.kind is one.VAR_POSITIONAL), len(parameters))
        parameter = parameters[min(argument, at)]
        where = [f"[{argument - at}]", *where] if argument >= at else where
    else:
        parameter = next(one for one in parameters if one.name == argument)
    if fault["type"] == "value_error":  # of a type above, whose text says all
        return f"{parameter.name}{''.join(where)}: {described_fault(fault)}"
    rules = list(dict.fromkeys(described_fault(one) for one in faults if one["loc"][0] == argument))
    rule = rules[0]
    if len(rules) > 1:
        given = args[argument] if isinstance(argument, int) else kwargs[argument]
        where = where[:1] if parameter.kind is parameter.VAR_POSITIONAL else []
        all_rules = rules[0] + "".join(f" or {one.removeprefix('must ')}" for one in rules[1:])
        rule = all_rules if len(rules) <= ALTERNATIVES else f"must be {parameter.annotation}"
    shown = type(given).__name__ if parameter.name in SECRETS else _short(given)
    return f"{parameter.name}{''.join(where)}: {rule}, not {shown}"


def _short(given: object) -> str:
    text = repr(given[: SHOWN_LIMIT + 1] if isinstance(given, str | bytes) else given)
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}…"


def described_fault(fault: ErrorDetails) -> str:
    """Return the rule that a fault of pydantic names, in the words of this package."""
    text = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text.replace("Input should", "must", 1).replace("Input is", "is", 1)
