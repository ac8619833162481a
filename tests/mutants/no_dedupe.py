"""A server that forgets the msg_ids of its messages, so that a resend is stored again."""

from __future__ import annotations

from msgspec.structs import replace

from timim.cli import main
from timim.server.store import timelines
from timim.server.store.base import Appended, NewEntry
from timim.server.store.operation import Operation

append = timelines.append


def append_always(entry: NewEntry) -> Operation[Appended]:
    return append(replace(entry, msg_key=None))


timelines.append, timelines.append_all = append_always, timelines.one_by_one

if __name__ == "__main__":
    main()
