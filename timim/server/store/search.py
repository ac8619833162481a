"""Search in SQL: an index of the words of messages, and scans of accounts, groups and members.

The index has a row for each word of an entry. A search first indexes the newer entries of the user's conversations, so that
sending does not pay for the index. An edit is an entry of its own, with which the new words of the edited message are added;
its old words stay. So the index only proposes messages, and their current text decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ...errors import ProtocolError
from ...protocol.entries import C2C_RECALLED, EntryAction, audience_of, decode_payload
from ...protocol.searchable import readable_text, searchable_elems
from ...util.folding import RULES, alternatives, find_words, folded, tokens
from .deletions import NOT_DELETED
from .entries import ACTION, MESSAGE, TARGETED, UNCOUNTED, UNLISTED, StoredEntry, stored_entry
from .operation import Execute, ExecuteMany, Operation, Row, SqlEngine, first_row

WORDS_AT_ONCE = 4000  # rows of one transaction, which delays the storing of messages by about 20 ms
ENTRIES_AT_ONCE = 500
TOKENS_LIMIT = 16  # words of one keyword that the index looks for; the text decides about the rest
FOUND_LIMIT = 1000  # accounts or members that one request finds
SCAN_LIMIT = 100_000  # rows of accounts or members that one request reads


class SearchedTimeline(NamedTuple):
    """A conversation that a user may search from its floor on."""

    number: int
    name: str
    floor: int


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """A query for messages.

    Attributes:
        keywords: Keywords, each a sequence of words; a trailing star finds words that begin so. Empty for any text.
        every: All keywords must be found, not one of them.
        senders: User ids; empty for any sender.
        kinds: `MsgType`s, one of which a message must have; empty for any.
        since: Server seconds, inclusive.
        until: Server seconds, inclusive; 0 for no end.
    """

    keywords: tuple[str, ...] = ()
    every: bool = False
    senders: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    since: int = 0
    until: int = 0


class FoundAccount(NamedTuple):
    """An account that matches: its id, nickname, picture, and other tags of its profile."""

    user_id: str
    nickname: str
    face_url: str
    details: Mapping[str, str]


class GroupRow(NamedTuple):
    """A group that matches, and its number of members."""

    group_id: str
    type: str
    name: str
    owner: str
    created: int
    facts: Mapping[str, Any]
    members: int


class MemberRow(NamedTuple):
    """A member of a group that matches."""

    group_id: str
    group_type: str
    group_name: str
    group_face_url: str
    user_id: str
    name_card: str
    nickname: str
    face_url: str


class SearchStore:
    """Searches for messages, accounts, groups and members. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def timelines(self, user: str, limit: int) -> list[SearchedTimeline]:
        """Return the conversations that a user may search, those with the newest messages first."""
        return await self._engine.read(partial(timelines, user, limit))

    async def behind(self, lines: Sequence[SearchedTimeline]) -> list[SearchedTimeline]:
        """Return those of some timelines that have entries which are not indexed."""
        return await self._engine.read(partial(behind, lines))

    async def index_more(self, line: SearchedTimeline) -> bool:
        """Index the next entries of a timeline. Return True if there are more."""
        return await self._engine.write(partial(index_more, line.number))

    async def messages(self, user: str, line: SearchedTimeline, query: MessageQuery, limit: int) -> list[StoredEntry]:
        """Return the newest messages of a timeline that match and that the user may see, among `limit` candidates."""
        return await self._engine.read(partial(messages, user, line, query, limit))

    async def accounts(self, words: Sequence[str], *, every: bool, after: str) -> list[FoundAccount]:
        """Return the accounts whose id or nickname contains the words, after an id, in the order of their ids."""
        return await self._engine.read(partial(accounts, tuple(words), every, after))

    async def groups(self, user: str, words: Sequence[str], *, every: bool) -> list[GroupRow]:
        """Return the groups of a user whose id or name contains the words, in the order of their ids."""
        return await self._engine.read(partial(groups, user, tuple(words), every))

    async def members(self, user: str, group_ids: Sequence[str], words: Sequence[str], *, every: bool) -> list[MemberRow]:
        """Return the members of a user's groups, all or some, whose id, card or nickname contains the words."""
        return await self._engine.read(partial(members, user, tuple(group_ids), tuple(words), every))


def timelines(user: str, limit: int) -> Operation[list[SearchedTimeline]]:
    """Select the timelines of a user's C2C and group conversations."""
    rows = yield Execute(
        "SELECT t.id, t.name, CASE WHEN c.floor>t.floor THEN c.floor ELSE t.floor END FROM contacts c"
        " JOIN timelines t ON t.id=c.timeline WHERE c.user_id=? AND t.name<'system' ORDER BY t.last_time DESC, t.name LIMIT ?",
        (user, limit),
    )
    return [SearchedTimeline(*row) for row in rows]


def behind(lines: Sequence[SearchedTimeline]) -> Operation[list[SearchedTimeline]]:
    """Select the timelines with entries above the index."""
    found: list[SearchedTimeline] = []
    for line in lines:
        row = yield from first_row(
            "SELECT 1 FROM timelines t LEFT JOIN search_indexes s ON s.timeline=t.id AND s.rules=?"
            " WHERE t.id=? AND t.last_seq>coalesce(s.last, 0)",
            RULES,
            line.number,
        )
        if row is not None:
            found.append(line)
    return found


def index_more(timeline: int) -> Operation[bool]:
    """Insert the words of the next entries of a timeline, and of the messages that these edit."""
    known = yield from first_row("SELECT last, rules FROM search_indexes WHERE timeline=?", timeline)
    last = int(known[0]) if known is not None else 0
    if known is not None and known[1] != RULES:
        yield Execute("DELETE FROM search_words WHERE timeline=?", (timeline,))
        last = 0
    rows = yield Execute(
        "SELECT seq, time, tail, kind FROM entries WHERE timeline=? AND seq>? ORDER BY seq LIMIT ?",
        (timeline, last, ENTRIES_AT_ONCE),
    )
    words: set[tuple[int, str, int]] = set()
    more = len(rows) == ENTRIES_AT_ONCE
    for row in rows:
        entry = stored_entry(*row)
        last = entry.seq
        target: StoredEntry | None = entry
        if entry.kind == ACTION:
            target = yield from _entry(timeline, _target(entry))
        if target is not None:
            words |= {(timeline, word, target.seq) for word in tokens(folded(text_of(target)))}
        if len(words) > WORDS_AT_ONCE:
            more = True
            break
    insert = "INSERT INTO search_words VALUES(?,?,?) ON CONFLICT(timeline, word, seq) DO NOTHING"
    if words:
        yield ExecuteMany(insert, sorted(words))
    yield Execute(
        "INSERT INTO search_indexes VALUES(?,?,?) ON CONFLICT(timeline) DO UPDATE SET last=excluded.last, rules=excluded.rules",
        (timeline, last, RULES),
    )
    return more


def _entry(timeline: int, seq: int) -> Operation[StoredEntry | None]:
    row = yield from first_row("SELECT seq, time, tail, kind FROM entries WHERE timeline=? AND seq=?", timeline, seq)
    return stored_entry(*row) if row is not None else None


def _target(action: StoredEntry) -> int:
    try:
        act = decode_payload(action.tail).action
    except ProtocolError:
        return 0
    return act.target if isinstance(act, EntryAction) else 0


def text_of(entry: StoredEntry) -> str:
    """Return the text of an entry that a search reads."""
    try:
        return readable_text(searchable_elems(bytes(decode_payload(entry.tail).msg_body)))
    except ProtocolError:  # an entry that no version wrote must not end the indexing of the others
        return ""


def messages(user: str, line: SearchedTimeline, query: MessageQuery, limit: int) -> Operation[list[StoredEntry]]:
    """Select the entries that the index proposes, and keep those whose text matches."""
    where = f"e.timeline=? AND e.seq>=? AND e.kind IN ({MESSAGE},{UNCOUNTED},{UNLISTED},{TARGETED})"
    values: list[Any] = [line.number, line.floor]
    if query.keywords:
        conditions = []
        for keyword in query.keywords:
            condition, given = _proposed(keyword)
            conditions.append(condition)
            values += given
        where += f" AND ({(' AND ' if query.every else ' OR ').join(conditions)})"
    if query.senders:
        where += f" AND e.sender IN ({','.join('?' * len(query.senders))})"
        values += query.senders
    where += " AND e.time>=?" + (" AND e.time<=?" if query.until else "")
    values += [query.since, query.until] if query.until else [query.since]
    rows = yield Execute(
        f"SELECT e.seq, e.time, e.tail, e.kind FROM entries e WHERE {where}{NOT_DELETED} ORDER BY e.seq DESC LIMIT ?",
        (*values, user, limit),
    )
    found = [stored_entry(*row) for row in rows]
    return [entry for entry in found if _matches(entry, user, query)]


def _proposed(keyword: str) -> tuple[str, list[Any]]:
    """Return the condition that an entry has the words of one form of a keyword, and its values."""
    begins, forms, values = keyword.endswith("*"), [], list[Any]()
    for form in alternatives(keyword.rstrip("*")):
        words = tokens(form)
        parts = []
        for number, word in enumerate(words[:TOKENS_LIMIT], 1):
            prefix = begins and number == len(words)
            condition = "w.word>=? AND w.word<?" if prefix else "w.word=?"
            values += [word, word + "\U0010ffff"] if prefix else [word]
            parts.append(f"e.seq IN (SELECT w.seq FROM search_words w WHERE w.timeline=e.timeline AND {condition})")
        if parts:
            forms.append(f"({' AND '.join(parts)})")
    return f"({' OR '.join(forms)})" if forms else "1=0", values


def _matches(entry: StoredEntry, user: str, query: MessageQuery) -> bool:
    audience = audience_of(entry.tail) if entry.kind == TARGETED else ()
    if audience and user not in audience:
        return False
    payload = decode_payload(entry.tail)
    if payload.placeholder or payload.msg_flag_bits & C2C_RECALLED:
        return False
    elems = searchable_elems(bytes(payload.msg_body))
    if query.kinds and not any(elem.kind in query.kinds for elem in elems):
        return False
    text = readable_text(elems)
    found = [bool(find_words(text, [keyword])) for keyword in query.keywords]
    return not found or (all(found) if query.every else any(found))


def _contains(columns: Sequence[str], words: Sequence[str], every: bool) -> tuple[str, list[str]]:
    """Return the condition that columns contain the words, without regard to the case of ASCII letters."""
    one = "(" + " OR ".join(f"lower({column}) LIKE ? ESCAPE '!'" for column in columns) + ")"
    values: list[str] = []
    for word in words:
        lowered = "".join(char.lower() if char.isascii() else char for char in word)
        for sign in "!%_":
            lowered = lowered.replace(sign, "!" + sign)
        values += [f"%{lowered}%"] * len(columns)
    return "(" + (" AND " if every else " OR ").join([one] * len(words)) + ")", values


def accounts(words: Sequence[str], every: bool, after: str) -> Operation[list[FoundAccount]]:
    """Scan the accounts after an id."""
    condition, values = _contains(("a.user_id", "a.nickname"), words, every)
    rows = yield Execute(
        "SELECT a.user_id, a.nickname, a.face_url, a.details FROM (SELECT * FROM accounts WHERE user_id>? AND deleted<>1"
        f" ORDER BY user_id LIMIT {SCAN_LIMIT}) a WHERE {condition} ORDER BY a.user_id LIMIT {FOUND_LIMIT}",
        (after, *values),
    )
    return [FoundAccount(user, nick, face, json.loads(details)) for user, nick, face, details in rows]


def groups(user: str, words: Sequence[str], every: bool) -> Operation[list[GroupRow]]:
    """Scan the groups of a user."""
    condition, values = _contains(("g.group_id", "g.name"), words, every)
    rows = yield Execute(
        "SELECT g.group_id, g.type, g.name, g.owner, g.created, g.facts,"
        " (SELECT count(*) FROM members x WHERE x.group_id=g.group_id) FROM members m JOIN groups g ON g.group_id=m.group_id"
        f" WHERE m.user_id=? AND g.dissolved=0 AND {condition} ORDER BY g.group_id",
        (user, *values),
    )
    return [GroupRow(id, type, name, by, made, json.loads(facts), size) for id, type, name, by, made, facts, size in rows]


def members(user: str, group_ids: Sequence[str], words: Sequence[str], every: bool) -> Operation[list[MemberRow]]:
    """Scan the members of the groups of a user."""
    condition, values = _contains(("x.user_id", "x.name_card", "a.nickname"), words, every)
    named = f" AND g.group_id IN ({','.join('?' * len(group_ids))})" if group_ids else ""
    rows = yield Execute(
        "SELECT x.group_id, x.type, x.name, x.facts, x.user_id, x.name_card, a.nickname, a.face_url FROM"
        " (SELECT g.group_id, g.type, g.name, g.facts, m.user_id, m.name_card FROM members mine"
        " JOIN groups g ON g.group_id=mine.group_id JOIN members m ON m.group_id=mine.group_id"
        f" WHERE mine.user_id=? AND g.dissolved=0{named} ORDER BY m.group_id, m.user_id LIMIT {SCAN_LIMIT}) x"
        f" JOIN accounts a ON a.user_id=x.user_id AND a.deleted<>1 WHERE {condition}"
        f" ORDER BY x.group_id, x.user_id LIMIT {FOUND_LIMIT}",
        (user, *group_ids, *values),
    )
    return [_member(row) for row in rows]


def _member(row: Row) -> MemberRow:
    group_id, type, name, facts, user, card, nick, face = row
    return MemberRow(group_id, type, name, json.loads(facts).get("face_url", ""), user, card, nick, face)
