"""A server that stores one message in 20 a second time, as if it had forgotten it."""

from __future__ import annotations

from itertools import count

from msgspec.structs import replace

from timim.cli import main
from timim.server.store import timelines
from timim.server.store.base import Appended, NewEntry
from timim.server.store.operation import Operation

append = timelines.append
number = count(1)


def append_more(entry: NewEntry) -> Operation[Appended]:
    if entry.sender.startswith("bench") and next(number) % 20 == 0:
        yield from append(replace(entry, msg_key=None))
    return (yield from append(entry))


timelines.append, timelines.append_all = append_more, timelines.one_by_one

if __name__ == "__main__":
    main()
