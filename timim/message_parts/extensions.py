"""Extensions of a message: keys with values, which all users of its conversation read and set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field

from ..errors import InvalidArgument
from ..util.arguments import Items, Number, Text, checked
from ..util.displayed import Displayed

__all__ = ["ExtensionVerbs", "MessageExtension", "MessageExtensions"]

Values = Annotated[Mapping[Text, Text], Field(max_length=20)]
Versions = Mapping[Text, Number]


@dataclass(frozen=True, slots=True)
class MessageExtension(Displayed):
    """Value of a key of a message, and the number of the change that set it, which rises with each change of the message."""

    value: str
    version: int


class ExtensionVerbs(Protocol):
    """The access of a message's extensions to the server. Each method raises the errors of MessageExtensions."""

    async def get(self) -> dict[str, MessageExtension]:
        """Fetch all extensions of the message."""

    async def change(self, values: Mapping[str, str], versions: Mapping[str, int]) -> frozenset[str]:
        """Set values, or delete those that are empty. Return the keys that have another version than the given one."""

    async def clear(self) -> None:
        """Delete all extensions of the message."""


@checked(InvalidArgument)
class MessageExtensions(Displayed):
    """Extensions of a message, at most 300: `message.extensions`. Its sender called `message.allow_extensions()`.

    Any user who may write to the conversation sets and deletes them. Users who are online get an ExtensionsChanged event.

    Raises:
        NoPermission: The sender did not allow extensions (10007).
        AlreadyRecalled: The message was recalled (20023).
        UnknownMessage: The server does not have the message (10030).
        InvalidArgument: The server has not numbered the message, or it does not belong to a client.
        ServerRefused: This account may not write to the conversation, as with NotAMember, Muted, Blacklisted.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, verbs: ExtensionVerbs) -> None:
        self._verbs = verbs

    async def get(self) -> dict[str, MessageExtension]:
        """Fetch all extensions.

        Raises:
            NoPermission: The sender did not allow extensions (10007).
        """
        return await self._verbs.get()

    async def set(self, values: Values, *, versions: Versions = {}) -> frozenset[str]:  # noqa: B006  it is never changed
        """Set up to 20 extensions.

        Args:
            values: The values, of at most 1000 bytes in UTF-8, by their keys, of at most 100.
            versions: Versions of some of the keys, as `get` returned them; 0 for a key that must not exist. A key with another
                version is not set, because somebody else has changed it. A key without a version is set in any case.

        Returns:
            The keys that were not set, because they have other versions.

        Raises:
            LimitReached: The message would have more than 300 extensions; other keys of the call were set (23002).
            InvalidArgument: There are no values, or a key or a value is empty or too long (10004).
        """
        if empty := [key for key, value in values.items() if not value]:
            raise InvalidArgument(f"values: the value of {empty[0]!r} is empty; use delete()")
        return await self._verbs.change(values, versions)

    async def delete(self, keys: Items[Text], *, versions: Versions = {}) -> frozenset[str]:  # noqa: B006
        """Delete up to 20 extensions. A key that does not exist changes nothing.

        Args:
            keys: The keys.
            versions: As for `set`.

        Returns:
            The keys that were not deleted, because they have other versions.

        Raises:
            InvalidArgument: There are no keys, or more than 20, or one is empty or too long (10004).
        """
        return await self._verbs.change(dict.fromkeys(keys, ""), versions)

    async def clear(self) -> None:
        """Delete all extensions, whoever set them.

        Raises:
            NoPermission: The sender did not allow extensions (10007).
        """
        await self._verbs.clear()
