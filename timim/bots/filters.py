"""Filters of messages: conditions that are combined with `&`, `|` and `~`. Pure.

A filter is called with a message and returns True or False, so any function of that form can be used beside these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NoReturn

from pydantic import InstanceOf

from ..elem_base import Elem
from ..errors import InvalidArgument
from ..ids import ConversationType, UserId
from ..message import ALL, Message
from ..util.arguments import Text, checked

__all__ = ["Check", "F", "Fields", "Filter", "TextField"]

Check = Callable[[Message], bool]


class Filter:
    """Condition of messages: `Filter(lambda message: message.seq > 9)`, or one of `timim.F`.

    Args:
        check: Function that returns True for a message that satisfies the condition.
        name: Text of the condition, for `repr`.
    """

    @checked(InvalidArgument)
    def __init__(self, check: Callable[[Message], bool], name: Text = "") -> None:
        self._check = check
        self._name = name or getattr(check, "__qualname__", repr(check))

    def __call__(self, message: Message, /) -> bool:
        """Return True if the message satisfies the condition."""
        return bool(self._check(message))

    def __and__(self, other: Check) -> Filter:
        return Filter(lambda message: self(message) and other(message), f"({self} & {_name(other)})")

    def __rand__(self, other: Check) -> Filter:
        return Filter(other) & self

    def __or__(self, other: Check) -> Filter:
        return Filter(lambda message: self(message) or other(message), f"({self} | {_name(other)})")

    def __ror__(self, other: Check) -> Filter:
        return Filter(other) | self

    def __invert__(self) -> Filter:
        return Filter(lambda message: not self(message), f"~{self}")

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self} is a condition of messages: combine filters with & | ~ instead of and, or, not")

    def __repr__(self) -> str:
        return self._name


@checked(InvalidArgument)
class TextField(Filter):  # noqa: PLW1641  a condition is no key of a mapping
    """Text of messages. As a filter it is satisfied by messages whose text is not empty."""

    def __init__(self, read: Callable[[Message], str], name: str) -> None:
        super().__init__(lambda message: bool(read(message)), name)
        self._read = read

    def lower(self) -> TextField:
        """Return the field in lower case."""
        return TextField(lambda message: self._read(message).lower(), f"{self}.lower()")

    def startswith(self, *prefixes: Text) -> Filter:
        """Return a filter: the text begins with one of these."""
        return self._filter(lambda text: text.startswith(prefixes), "startswith", prefixes)

    def endswith(self, *suffixes: Text) -> Filter:
        """Return a filter: the text ends with one of these."""
        return self._filter(lambda text: text.endswith(suffixes), "endswith", suffixes)

    def contains(self, *parts: Text) -> Filter:
        """Return a filter: the text contains one of these."""
        return self._filter(lambda text: any(part in text for part in parts), "contains", parts)

    def matches(self, pattern: Text | InstanceOf[re.Pattern[str]]) -> Filter:
        """Return a filter: the regular expression is found in the text; `^` and `$` tie it to the ends.

        Raises:
            InvalidArgument: The pattern is no regular expression.
        """
        try:
            compiled = re.compile(pattern)
        except re.error as exc:
            raise InvalidArgument(f"pattern: must be a regular expression: {exc}") from exc
        return self._filter(lambda text: compiled.search(text) is not None, "matches", (compiled.pattern,))

    def in_(self, texts: InstanceOf[Collection[str]]) -> Filter:
        """Return a filter: the text is one of these. A set can be changed later.

        Raises:
            InvalidArgument: This is one text; write `==`.
        """
        if isinstance(texts, str):
            raise InvalidArgument(f"texts: must be several texts, not {texts!r:.40}; compare one text with ==")
        return self._filter(lambda text: text in texts, "in_", (texts,))

    def __eq__(self, other: object) -> Filter:  # type: ignore[override]
        return Filter(lambda message: self._read(message) == other, f"({self} == {other!r})")

    def __ne__(self, other: object) -> Filter:  # type: ignore[override]
        return ~(self == other)

    def _filter(self, check: Callable[[str], bool], name: str, arguments: tuple[object, ...]) -> Filter:
        return Filter(lambda message: check(self._read(message)), f"{self}.{name}({', '.join(map(repr, arguments))})")


@checked(InvalidArgument)
class Fields:
    """The fields of a message, as filters; `timim.F` is the only instance.

    Attributes:
        text: The text.
        sender: The user id of the sender.
        peer: The id of the group, or of the other user in C2C.
        is_group: Satisfied in groups.
        is_c2c: Satisfied in conversations with one user.
        is_reply: Satisfied by messages that quote another one.
    """

    def __init__(self) -> None:
        self.text: TextField = TextField(lambda message: message.text, "F.text")
        self.sender: TextField = TextField(lambda message: message.sender, "F.sender")
        self.peer: TextField = TextField(_peer, "F.peer")
        self.is_group: Filter = Filter(lambda message: _type(message) is ConversationType.GROUP, "F.is_group")
        self.is_c2c: Filter = Filter(lambda message: _type(message) is ConversationType.C2C, "F.is_c2c")
        self.is_reply: Filter = Filter(lambda message: message.reply_to is not None, "F.is_reply")

    def has(self, *elems: type[Elem]) -> Filter:
        """Return a filter: the message has an elem of one of these classes."""
        names = ", ".join(elem.__name__ for elem in elems)
        return Filter(lambda message: any(isinstance(elem, elems) for elem in message), f"F.has({names})")

    def mentions(self, user_id: UserId) -> Filter:
        """Return a filter: the group message mentions the user, or everybody."""
        return Filter(lambda message: user_id in message.mentions or ALL in message.mentions, f"F.mentions({user_id!r})")


def _name(check: Check) -> str:
    return repr(check) if isinstance(check, Filter) else repr(Filter(check))


def _type(message: Message) -> ConversationType | None:
    return message.key.type if message.key is not None else None


def _peer(message: Message) -> str:
    return message.key.peer if message.key is not None else ""


F = Fields()
"""The fields of a message, as filters: `F.text.startswith("/order") & F.is_group`."""
