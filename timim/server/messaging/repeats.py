"""Names of messages over REST, whose clients repeat a request after a lost reply without a msg_id of their own.

Within a window, messages of one sender to one receiver with the same numbers and the same content are one message. The numbers
alone do not name it, because some clients send the same ones with each message.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from .validation import OutgoingMessage

C2C_WINDOW_S = 120
GROUP_WINDOW_S = 300
FIRST_KEY = 1 << 61  # above the numbers of msg_ids, which have at most 61 bits with their source


def named_over_rest(outgoing: OutgoingMessage, now: float, *, group: bool) -> OutgoingMessage:
    """Return a message of an administrator with the numbers that the server gives it: its msg_id, and its MsgSeq in C2C.

    A message with a client time of its own stays as it is, because its msg_id names it for ever.

    Args:
        outgoing: The message; its MsgSeq is 0 if the request has none.
        now: The server's time, which becomes the client time.
        group: True for a message to a group.
    """
    if outgoing.client_time:
        return outgoing
    digest = hashlib.blake2b(f"{outgoing.msg_seq}.{outgoing.random}.".encode(), digest_size=8)
    digest.update(outgoing.fingerprint())
    number = int.from_bytes(digest.digest())
    return replace(
        outgoing,
        client_time=int(now),
        source=(number & 0x7FFFFFFF) or 1,
        msg_seq=0 if group else outgoing.msg_seq or (number & 0x7FFFFFFF) or 1,
        repeat_key=FIRST_KEY | number >> 3,
        repeat_s=GROUP_WINDOW_S if group else C2C_WINDOW_S,
    )
