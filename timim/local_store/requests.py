"""The bits of the column `receipt`: the sender of a message requests its readers, and allows extensions."""

from __future__ import annotations

from ..message import Message

RECEIPT, EXTENSIBLE = 1, 2


def packed_requests(message: Message) -> int:
    """Return the bits of a message."""
    return RECEIPT * message.receipt_requested | EXTENSIBLE * message.extensible


def unpack_requests(message: Message, bits: int) -> None:
    """Set the fields of a message from its bits."""
    message._receipt_requested, message._extensible = bool(bits & RECEIPT), bool(bits & EXTENSIBLE)
