"""Messages that programs send: made of the arguments of `conversation.send`, and checked against the conversation."""

from __future__ import annotations

from collections.abc import Sequence

from ..elems import AnyElem
from ..errors import InvalidArgument, InvalidConversation
from ..ids import ConversationKey, ConversationType
from ..message import Message
from .history import add_quote

__all__ = ["message_of", "require_type", "set_requests"]


def message_of(key: ConversationKey, parts: tuple[str | AnyElem | Message, ...]) -> Message:
    """Return the only part if it is a Message, else a new message of the strings and elems.

    Raises:
        InvalidArgument: A part is no string, elem or message, or there are parts besides a message.
        InvalidConversation: Only the server can send to this conversation.
    """
    if key.type is ConversationType.SYSTEM:
        raise InvalidConversation("only the server can send to the system conversation")
    if len(parts) == 1 and parts[0].__class__ is not str and isinstance(parts[0], Message):
        return parts[0]
    message = Message()
    for part in parts:  # isinstance() is slow for Message, which is a Sequence
        if part.__class__ is not str and isinstance(part, Message):
            raise InvalidArgument("send one Message, or strings and elems, not both")
        message.add(part)
    return message


def set_requests(
    key: ConversationKey, message: Message, *, mention: Sequence[str], reply_to: Message | None, request_receipt: bool
) -> None:
    """Set mentions, quote and receipt request; an error leaves the message unchanged.

    Raises:
        InvalidArgument: A mentioned id cannot be a user id, or `reply_to` cannot be quoted.
        InvalidConversation: Mentions are requested outside a group.
    """
    if message.status is not None or not (mention or reply_to or request_receipt):
        return  # the outbox refuses a message that was sent before
    if mention:
        require_type(key, ConversationType.GROUP, "mentions are for groups")
    users = tuple(dict.fromkeys(mention))
    if reply_to is not None:
        add_quote(message, key, reply_to)
    message._mentions, message._receipt_requested = users, request_receipt


def require_type(key: ConversationKey, type: ConversationType, rule: str) -> None:
    """Check the type of a conversation.

    Raises:
        InvalidConversation: The conversation has another type; the text begins with the rule.
    """
    if key.type is not type:
        raise InvalidConversation(f"{rule}; this is {key}")
