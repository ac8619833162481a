"""Bodies of commands for the administrator of an app (timim extensions)."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply
from .numbers import Int


class EndLoginsRequest(Body, kw_only=True):
    """The end of all logins of a user. `Revoke` 1 also revokes the signatures made until now."""

    user: str = msgspec.field(name="UserID")
    revoke: Int = msgspec.field(name="Revoke", default=0)


class EndLoginsReply(Reply):
    """The number of sessions that ended on the node that replies."""

    sessions: Int = msgspec.field(name="TimelineSessions", default=0)


END_LOGINS = Command("timeline.end_logins", EndLoginsRequest, EndLoginsReply)


class CallbackCount(msgspec.Struct, kw_only=True):
    """The callbacks of one command: `Waiting` for delivery, and `Dead` letters."""

    command: str = msgspec.field(name="CallbackCommand")
    waiting: Int = msgspec.field(name="Waiting")
    dead: Int = msgspec.field(name="Dead")


class DeadCallback(msgspec.Struct, kw_only=True):
    """A dead letter. `Time` and `GivenUp` are in seconds; `Body` is the JSON text of the callback."""

    id: Int = msgspec.field(name="Id")
    command: str = msgspec.field(name="CallbackCommand")
    body: str = msgspec.field(name="Body")
    reason: str = msgspec.field(name="Reason")
    time: Int = msgspec.field(name="Time")
    given_up: Int = msgspec.field(name="GivenUp")


class ListCallbacksRequest(Body, kw_only=True):
    """The state of the outbox of callbacks, with at most `MaxCnt` dead letters, the oldest first."""

    limit: Int = msgspec.field(name="MaxCnt", default=100)


class ListCallbacksReply(Reply):
    """The number of callbacks by command, and dead letters."""

    counts: list[CallbackCount] = msgspec.field(name="Counts", default_factory=list)
    dead: list[DeadCallback] = msgspec.field(name="DeadLetters", default_factory=list)


class ReplayCallbacksRequest(Body, kw_only=True):
    """Dead letters to deliver again, by their ids; all of them if the list is empty."""

    ids: list[Int] = msgspec.field(name="Ids", default_factory=list)


class ReplayCallbacksReply(Reply):
    """The number of dead letters that are delivered again."""

    replayed: Int = msgspec.field(name="Replayed", default=0)


LIST_CALLBACKS = Command("timeline.list_callbacks", ListCallbacksRequest, ListCallbacksReply)
REPLAY_CALLBACKS = Command("timeline.replay_callbacks", ReplayCallbacksRequest, ReplayCallbacksReply)
