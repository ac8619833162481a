"""Topics of Communities in SQL. A topic has a timeline of its own, and each member of its Community has a contact with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from ...errors import GroupExists
from . import deletions
from . import mutations as ch
from .deletions import IS_DELETED, NOT_DELETED
from .entities import StoredTopic
from .entries import ACTION, HIDDEN, MESSAGE, TARGETED, UNLISTED, StoredEntry, stored_entry
from .operation import Execute, ExecuteMany, Operation, SqlEngine, first_row

_JSON_FIELDS = ("name", "introduction", "notification", "face_url", "custom", "muted_all", "muted", "pins")
# the settings of a member who left, and came back, are above those that this member's devices have
_VERSION = "CASE WHEN t.settings_version>0 THEN t.settings_version+1 ELSE 0 END"

_LAST = (
    "SELECT e.seq, e.time, e.tail, e.kind FROM entries e WHERE e.timeline=? AND e.seq>=?"
    f" AND e.kind NOT IN ({ACTION},{UNLISTED},{HIDDEN},{TARGETED}){NOT_DELETED} ORDER BY e.seq DESC LIMIT 1"
)
_UNCOUNTED = (
    "SELECT e.seq FROM entries e WHERE e.timeline=? AND e.seq>?"
    f" AND (e.kind NOT IN ({MESSAGE},{UNLISTED}) OR e.sender IN (?, '') OR {IS_DELETED}) ORDER BY e.seq DESC LIMIT ?"
)
_TIMELINES = "(SELECT timeline FROM topics WHERE group_id=? AND deleted=0)"
UNCOUNTED_LIMIT = 500


@dataclass(frozen=True, slots=True)
class TopicState:
    """The state of one user in a topic. `uncounted` are the newest seqs above `read_seq` that do not count as unread.

    Messages that the user has deleted or cleared do not count, and are not the last one.
    """

    last_seq: int
    last: StoredEntry | None
    read_seq: int
    muted: bool
    uncounted: Sequence[int] = ()


class TopicStore:
    """The states of users in topics. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def states(self, user: str, topic_ids: Sequence[str]) -> dict[str, TopicState]:
        """Return the state of a user in each of these topics that exists; without a user, read seqs are 0."""
        return await self._engine.read(partial(states, user, topic_ids))


def states(user: str, topic_ids: Sequence[str]) -> Operation[dict[str, TopicState]]:
    """Select the states of a user in topics."""
    found: dict[str, TopicState] = {}
    for topic_id in topic_ids:
        row = yield from first_row(
            "SELECT t.id, t.last_seq, c.read_seq, c.muted, c.floor FROM topics p JOIN timelines t ON t.id=p.timeline"
            " LEFT JOIN contacts c ON c.timeline=t.id AND c.user_id=? WHERE p.topic_id=? AND p.deleted=0",
            user,
            topic_id,
        )
        if row is None:
            continue
        number, last_seq, read_seq, muted, floor = row
        read_seq, floor = max(read_seq or 0, (floor or 1) - 1), floor or 1  # messages that the user has cleared are read
        last = yield from first_row(_LAST, number, floor, user)
        uncounted = (yield Execute(_UNCOUNTED, (number, read_seq, user, user, UNCOUNTED_LIMIT))) if user else ()
        entry = stored_entry(*last) if last is not None else None
        found[topic_id] = TopicState(last_seq, entry, read_seq, bool(muted), [seq for (seq,) in reversed(uncounted)])
    return found


def apply(change: ch.TopicChange) -> Operation[None]:
    """Write one change of a topic. Raises GroupExists."""
    match change:
        case ch.InsertTopic(group_id, topic):
            yield from _insert(group_id, topic)
        case ch.SetTopic(_, topic):
            yield Execute("UPDATE topics SET facts=? WHERE topic_id=?", (_json_fields(topic), topic.topic_id))
        case ch.RemoveTopics(_, topic_ids):
            for topic_id in topic_ids:
                rows = yield Execute("UPDATE topics SET deleted=1 WHERE topic_id=? RETURNING timeline", (topic_id,))
                for (timeline,) in rows:
                    yield Execute("DELETE FROM contacts WHERE timeline=?", (timeline,))


def topics(group_id: str) -> Operation[dict[str, StoredTopic]]:
    """Select the topics of a group, in the order in which they were stored."""
    rows = yield Execute(
        "SELECT topic_id, created, facts FROM topics WHERE group_id=? AND deleted=0 ORDER BY timeline", (group_id,)
    )
    return {topic_id: StoredTopic(topic_id, created=created, **json.loads(facts)) for topic_id, created, facts in rows}


def add_members(group_id: str, users: Collection[str]) -> Operation[None]:
    """Insert the contacts of new members with the topics. Messages from before they joined do not count as unread."""
    if (yield from _has_topics(group_id)):
        yield ExecuteMany(
            "INSERT INTO contacts(user_id, timeline, read_seq, floor, settings_version)"
            f" SELECT ?, t.id, t.last_seq, 1, {_VERSION} FROM topics p JOIN timelines t ON t.id=p.timeline"
            " WHERE p.group_id=? AND p.deleted=0 ON CONFLICT(user_id, timeline) DO NOTHING",
            [(user, group_id) for user in users],
        )
        yield from deletions.keep_cleared(users, f"IN {_TIMELINES}", group_id)


def remove_members(group_id: str, users: Sequence[str]) -> Operation[None]:
    """Delete the contacts of former members with the topics."""
    if (yield from _has_topics(group_id)):
        own = "(SELECT c.settings_version FROM contacts c WHERE c.user_id=? AND c.timeline=timelines.id)"
        yield ExecuteMany(
            f"UPDATE timelines SET settings_version={own} WHERE id IN {_TIMELINES} AND settings_version<{own}",
            [(user, group_id, user) for user in users],
        )
        yield ExecuteMany(
            f"DELETE FROM contacts WHERE user_id=? AND timeline IN {_TIMELINES}", [(user, group_id) for user in users]
        )


def remove_all(group_id: str) -> Operation[None]:
    """Delete the topics of a group that is dissolved, with the contacts of all members."""
    if (yield from _has_topics(group_id)):
        yield Execute(f"DELETE FROM contacts WHERE timeline IN {_TIMELINES}", (group_id,))
        yield Execute("UPDATE topics SET deleted=1 WHERE group_id=?", (group_id,))


def _has_topics(group_id: str) -> Operation[bool]:
    row = yield from first_row("SELECT 1 FROM topics WHERE group_id=? AND deleted=0 LIMIT 1", group_id)
    return row is not None


def _insert(group_id: str, topic: StoredTopic) -> Operation[None]:
    made = yield Execute(
        "INSERT INTO timelines(name, last_time) VALUES(?,?) ON CONFLICT(name) DO NOTHING RETURNING id",
        (f"group\x1f{topic.topic_id}", topic.created),
    )
    if not made:
        raise GroupExists(f"the topic id {topic.topic_id!r} is taken; choose another id")
    timeline = made[0][0]
    yield Execute(
        "INSERT INTO topics(topic_id, group_id, timeline, created, facts) VALUES(?,?,?,?,?)",
        (topic.topic_id, group_id, timeline, topic.created, _json_fields(topic)),
    )
    yield Execute(
        "INSERT INTO contacts(user_id, timeline, read_seq, floor, settings_version)"
        " SELECT user_id, ?, 0, 1, 0 FROM members WHERE group_id=?",
        (timeline, group_id),
    )


def _json_fields(topic: StoredTopic) -> str:
    return json.dumps({name: value for name in _JSON_FIELDS if (value := getattr(topic, name))})
