"""Commands: `/remind 5 call mum`. The words after the name are converted to the types of the handler's parameters. Pure."""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from ..errors import InvalidArgument
from ..message import Message
from ..util.arguments import described_fault
from .injection import HandlerSignature, Parameter

__all__ = ["ChatCommand", "CommandError", "split_command"]

_WORD = re.compile(r'"([^"]*)"|(\S+)')  # a word, or several in quotation marks


class CommandError(InvalidArgument):
    """Fault in a command that a person wrote; the router answers the person with the text of the error.

    A handler can raise it too: `raise CommandError("there is no order 7")`.
    """

    code: int = 0


class ChatCommand:
    """A command of a router: its names, its usage and its arguments."""

    def __init__(self, prefix: str, names: Sequence[str], signature: HandlerSignature, *, usage: str, help: str) -> None:
        self._heads = frozenset(f"{prefix}{name}".lower() for name in names)
        self._title = f"{prefix}{names[0]}"
        self._usage = usage
        self._help = help or signature.doc
        self._handler_name = signature.name
        self._adapters: dict[str, TypeAdapter[Any]] = {}

    def is_called(self, head: str) -> bool:
        """Return True if a word in lower case is a name of the command, with its prefix."""
        return head in self._heads

    def usage(self, parameters: Sequence[Parameter]) -> str:
        """Return the usage: the given one, or one from the names of the parameters."""
        return self._usage or " ".join([self._title, *map(_shown, parameters)])

    def summary(self, parameters: Sequence[Parameter]) -> str:
        """Return the usage and the first line of the help, in one line."""
        return " – ".join(filter(None, (self.usage(parameters), self._help.partition("\n")[0])))

    def description(self, parameters: Sequence[Parameter]) -> str:
        """Return the usage and the whole help."""
        return "\n".join(filter(None, (self.usage(parameters), self._help)))

    def read(self, message: Message, parameters: Sequence[Parameter]) -> dict[str, Any]:
        """Return the arguments in a message, by the names of their parameters.

        Raises:
            CommandError: An argument is missing or wrong, or there are too many.
            InvalidArgument: The type of a parameter cannot be read from text.
        """
        _, rest = split_command(message.text)
        values: dict[str, Any] = {}
        for number, parameter in enumerate(parameters):
            last = number == len(parameters) - 1
            if parameter.repeated and rest:
                words = [_text(word) for word in _WORD.finditer(rest)]
                values[parameter.name] = tuple(self._convert(parameter, word, parameters) for word in words)
                rest = ""
            elif rest and last and _is_text(parameter.annotation):
                values[parameter.name], rest = self._convert(parameter, rest, parameters), ""
            elif word := _WORD.match(rest):
                values[parameter.name] = self._convert(parameter, _text(word), parameters)
                rest = rest[word.end() :].lstrip()
            elif parameter.required:
                raise self._fault(f"{parameter.name}: is missing", parameters)
        if rest:
            raise self._fault(f"there are too many arguments: {rest:.60}", parameters)
        return values

    def adapter(self, parameter: Parameter) -> TypeAdapter[Any]:
        """Return the object that converts a word to the type of a parameter.

        Raises:
            InvalidArgument: The type cannot be read from text, and no value of it is provided.
        """
        found = self._adapters.get(parameter.name)
        if found is None:
            try:
                found = self._adapters[parameter.name] = TypeAdapter(parameter.annotation)
            except PydanticSchemaGenerationError:
                raise InvalidArgument(
                    f"handler {self._handler_name}: no value is provided for {parameter.name}, and its type "
                    f"{parameter.annotation!r} cannot be read from text"
                ) from None
        return found

    def _convert(self, parameter: Parameter, word: str, parameters: Sequence[Parameter]) -> Any:
        try:
            return self.adapter(parameter).validate_strings(word)
        except ValidationError as exc:
            rule = described_fault(exc.errors(include_url=False)[0]).partition(", unable to parse")[0]
            raise self._fault(f"{parameter.name}: {rule}, not {word:.60}", parameters) from None

    def _fault(self, text: str, parameters: Sequence[Parameter]) -> CommandError:
        return CommandError(f"{text}\nusage: {self.usage(parameters)}")


def split_command(text: str) -> tuple[str, str]:
    """Return the first word of a text in lower case, and the rest."""
    head, *rest = text.split(maxsplit=1) or [""]
    return head.lower(), rest[0].rstrip() if rest else ""


def _is_text(annotation: Any) -> bool:
    """Return True for a type that one or more words can be converted to."""
    if typing.get_origin(annotation) is Annotated:
        return _is_text(typing.get_args(annotation)[0])
    if isinstance(annotation, UnionType) or typing.get_origin(annotation) is typing.Union:
        return any(map(_is_text, typing.get_args(annotation)))
    return annotation is str


def _text(word: re.Match[str]) -> str:
    return word[2] if word[1] is None else word[1]


def _shown(parameter: Parameter) -> str:
    name = parameter.name.upper()
    if parameter.repeated:
        return f"[{name} …]"
    return name if parameter.required else f"[{name}]"
