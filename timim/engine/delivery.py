"""The message that a handler is handling, and the msg_ids of the messages that the handler sends.

Invariant B: a handler that runs again for a message sends its messages under the msg_ids of the earlier run, so that each is
stored once. The context of a task names the delivery, so that tasks which the handler creates belong to it too.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar, Token
from typing import Self

from ..ids import ConversationKey, MsgId
from ..message import Message

__all__ = ["Delivery", "current_delivery"]

_current: ContextVar[Delivery | None] = ContextVar("timim delivery", default=None)


class Delivery:
    """One run of one handler for one message.

    Args:
        account: The name of the account that handles the message.
        message: The message.
        handler: The name of the handler, which is the same in each run of the program.
    """

    __slots__ = ("_account", "_handler", "_open", "_sent", "_token", "message")

    def __init__(self, account: str, message: Message, handler: str) -> None:
        self.message = message
        self._account = account
        self._handler = handler
        self._sent: dict[ConversationKey, int] = {}
        self._open = True
        self._token: Token[Delivery | None] | None = None

    def __enter__(self) -> Self:
        """Let the block, which calls the handler, and its tasks belong to this delivery until the block ends."""
        self._token = _current.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._token is not None
        self._open = False  # a task that outlives its handler sends like any other code
        _current.reset(self._token)

    def next_msg_id(self, key: ConversationKey) -> str:
        """Return the msg_id of the next message that the handler sends to a conversation."""
        number = self._sent[key] = self._sent.get(key, 0) + 1
        message = self.message
        parts = (self._account, str(message.key), message.sender, message.msg_id, self._handler, str(key), str(number))
        bits = int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest())
        return str(MsgId(message.timestamp & 0xFFFFFFFF, (bits & 0xFFFFFFFF) or 1, (bits >> 33) or 1))


def current_delivery() -> Delivery | None:
    """Return the delivery to which the running code belongs; None outside of handlers, and after the handler has returned."""
    found = _current.get()
    return found if found is not None and found._open else None
