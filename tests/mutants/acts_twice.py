"""A server that forgets which acts it has done, and does not see that one changes nothing: a retry is done again."""

from __future__ import annotations

from msgspec.structs import replace

import timim.server.store.message_actions as acts
from timim.cli import main
from timim.server.store.base import Acted, NewAct, StoredEntry
from timim.server.store.operation import Steps

carry_out, message = acts.carry_out, acts.message


def never_the_same(timeline: str, seq: int) -> Steps[StoredEntry | None]:
    found = yield from message(timeline, seq)
    return found and replace(found, tail=found.tail.replace(b'"MsgContent"', b' "MsgContent"'))


def carry_out_always(act: NewAct) -> Steps[Acted]:
    return carry_out(replace(act, msg_key=None))


acts.carry_out = carry_out_always
acts.message = never_the_same

if __name__ == "__main__":
    main()
