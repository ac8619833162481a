"""Callbacks before they are stored in the outbox."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class NewCallback(msgspec.Struct, frozen=True, gc=False):
    """A callback to store with its cause.

    Attributes:
        lane: Name of the timeline or of the user; callbacks of one lane are delivered in their order.
        command: The callback.
        body: The fields of its body.
        client_ip: Address of the client that caused it.
        platform: Platform of that client, as Tencent Chat names it.
        time: Time of the cause, in seconds.
        placed: The body gets the seq and time of the entry with which the callback is stored.
        key: Beginning of the MsgKey, which gets the time, for a C2C message.
    """

    lane: str
    command: str
    body: Mapping[str, object]
    client_ip: str
    platform: str
    time: int
    placed: bool = False
    key: str = ""

    def content(self, seq: int, time: int) -> bytes:
        """Return the body as JSON."""
        body = dict(self.body)
        if self.placed and self.key:
            body |= {"MsgTime": time, "MsgKey": f"{self.key}_{time}"}
        elif self.placed:
            body |= {"MsgTime": time, "MsgSeq": seq}
        return msgspec.json.encode(body)


def no_callbacks(change: object) -> tuple[NewCallback, ...]:
    """Return no callbacks, whatever has changed."""
    return ()
