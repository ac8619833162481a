"""A server with one REST command that fails with HTTP 500, and one whose reply is not as described."""

from __future__ import annotations

from typing import Any

from timim.cli import main
from timim.protocol.codec import Command, Reply
from timim.server.endpoints import rest

FAILS, LIES = "openim.query_online_status", "openim.admin_getroammsg"
encode_reply = rest.encode_reply  # type: ignore[attr-defined]


def encode(command: Command[Any, Any], reply: Reply) -> bytes:
    if command.name == FAILS:
        raise RuntimeError("a defect")
    content = encode_reply(command, reply)
    return content.replace(b'"ErrorCode":', b'"ErrorCode":"none","Code":') if command.name == LIES else content


rest.encode_reply = encode  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()
