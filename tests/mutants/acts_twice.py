"""A server that forgets executed actions and does not detect those without effect, so that a retry is executed again."""

from __future__ import annotations

from msgspec.structs import replace

from timim.cli import main
from timim.server.store import message_actions, timelines
from timim.server.store.base import NewAction, StoredAction, StoredEntry
from timim.server.store.operation import Operation

apply, entry_at = message_actions.apply, timelines.entry_at


def never_the_same(timeline: str, seq: int, reader: str = "") -> Operation[StoredEntry | None]:
    found = yield from entry_at(timeline, seq, reader)
    return found and replace(found, tail=found.tail.replace(b'"MsgContent"', b' "MsgContent"'))


def apply_always(action: NewAction) -> Operation[StoredAction]:
    return apply(replace(action, msg_key=None))


message_actions.apply = apply_always
timelines.entry_at = never_the_same

if __name__ == "__main__":
    main()
