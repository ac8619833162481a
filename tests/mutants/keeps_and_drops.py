"""A server that keeps 200 kB for each session, and drops every 20th push of a hot message."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec

from timim.cli import main
from timim.server.sessions.session import Session

begin, push = Session.__init__, Session.push
kept: list[bytes] = []
number = count(1)


def keep(self: Session, *args: Any, **options: Any) -> None:
    begin(self, *args, **options)
    kept.append(b"x" * 200_000)


def drop(self: Session, kind: int, payload: msgspec.Raw) -> None:
    if b"<hot " not in bytes(payload) or next(number) % 20:
        push(self, kind, payload)


Session.__init__, Session.push = keep, drop  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
