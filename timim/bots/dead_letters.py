"""Dead letters: messages that the handlers of `client.on_message` did not handle in `max_attempts` attempts."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.engine import Engine
from ..errors import InvalidArgument
from ..message import Message
from ..util.arguments import checked
from ..util.displayed import Displayed

__all__ = ["DeadLetter", "DeadLetters"]


@dataclass(frozen=True, slots=True)
class DeadLetter(Displayed):
    """Message that no attempt handled: its attempts, the text of the last error, and the time in Unix seconds."""

    message: Message
    attempts: int
    error: str
    dead_at: float


@checked(InvalidArgument)
class DeadLetters(Displayed):
    """The dead letters of a client, which its local store keeps: `client.dead_letters`.

    The event MessageDeadLettered reports a new one. `timim handled` does the same as this class while the program is stopped.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self) -> list[DeadLetter]:
        """Return all dead letters, in the order of each conversation, without network.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
            StorageError: The local store failed.
        """
        self._engine.check_open()
        rows = await self._engine.store.handling.rows(dead=True)
        messages = await self._engine.store.messages.in_handling(dead=True)
        return [DeadLetter(message, *rows[message.local_id]) for message in messages if message.local_id in rows]

    async def retry(self, message: Message) -> bool:
        """Give a dead letter to the handlers again, now or at the next login, with `max_attempts` new attempts.

        Messages that a handler sent in the earlier attempts are not sent a second time.

        Returns:
            False if the message is no dead letter.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
            StorageError: The local store failed; the message stays a dead letter.
        """
        self._engine.check_open()
        return await self._engine.handling.revive(message, self._engine.dispatcher.deliver_again)

    async def drop(self, message: Message) -> bool:
        """Remove a message from the dead letters; the message itself stays in the history.

        Returns:
            False if the message is no dead letter.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
            StorageError: The local store failed; the message stays a dead letter.
        """
        self._engine.check_open()
        return await self._engine.store.handling.drop(message.local_id)
