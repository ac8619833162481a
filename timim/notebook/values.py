"""Clients, conversations, coverage, groups, profiles and events as HTML."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from timim import Client, Conversation, ConversationKey, ConversationList, Elem, Group, HistoryCoverage, Message, TimimError

from .elems import Room, elem_html
from .markup import Html, escaped, facts_table, joined, name_of, soft, table, tags, time_of, title
from .messages import chat, gap_html, key_text, message_html, short_text
from .previews import MESSAGES_IN_CONVERSATION

__all__ = ["client_html", "conversation_html", "conversation_list_html", "coverage_html", "dataclass_html", "group_html"]

CONVERSATIONS_LIMIT: Final = 50
INTERVALS_LIMIT: Final = 200  # pieces of a bar
GAPS_LIMIT: Final = 10
ENTRIES_LIMIT: Final = 20  # of a mapping or a sequence
TIMES: Final = frozenset({"added", "created", "expires_at", "joined", "muted_until", "time", "timestamp"})


def conversation_html(conversation: Conversation, room: Room) -> Html:
    """Return a conversation: its state, and its last messages in memory."""
    key = conversation.key
    error = conversation.sync_error
    draft = soft(joined("draft: ", escaped(conversation.draft))) if conversation.draft else ""
    failed = Html(f'<span class="t-bad">not synced: {_error(error)}</span>') if error else ""
    recent = conversation.get_cached_messages(MESSAGES_IN_CONVERSATION)
    name = title(name_of(key_text(key)), f"{key.type.name.lower()} conversation", f"{conversation.unread} unread")
    return joined(name, _flags(conversation), failed, draft, chat(recent, room))


def conversation_list_html(conversations: ConversationList, room: Room) -> Html:
    """Return the conversation list as a table."""
    shown = conversations[:CONVERSATIONS_LIMIT]
    left = len(conversations) - len(shown)
    more = Html(f'<div class="t-more">… {left} more conversations</div>') if left else ""
    name = title("Conversations", f"{len(conversations)} listed")
    return joined(name, _conversations(list(shown)), more)


def client_html(client: Client, room: Room) -> Html:
    """Return the state of a client and its first conversations."""
    connection = client.engine.connection
    state = '<span class="t-good">online</span>' if connection.online else "offline" if connection.running else "logged out"
    sending = client.engine.outbox.sending
    name = title(
        name_of(client.user_id), state, f"{client.unread} unread", f"{sending} sending", escaped(client.engine.config.url)
    )
    return joined(name, _conversations(list(client.conversations[:10])))


def coverage_html(coverage: HistoryCoverage, room: Room) -> Html:
    """Return the stored history as a bar, whose striped parts are gaps."""
    first, last = coverage.first_visible_seq, max(coverage.last_seq, coverage.first_visible_seq)
    size = last - first + 1
    missing = sum(gap.size for gap in coverage.gaps)
    state = '<span class="t-good">complete</span>' if coverage.complete else f'<span class="t-warn">{missing:,} missing</span>'
    waits = "" if coverage.synced else '<span class="t-warn">sync waits for a retry: later messages may exist</span>'
    pieces = []
    for one in coverage.intervals[:INTERVALS_LIMIT]:
        begin, end = max(one.first, first), min(one.last, last)
        if begin <= end:
            left, width = 100 * (begin - first) / size, 100 * (end - begin + 1) / size
            pieces.append(f'<i style="left:{left:.3f}%;width:{width:.3f}%" title="seqs {begin} to {end}"></i>')
    hidden = len(coverage.intervals) - INTERVALS_LIMIT
    more = soft(f"… {hidden} more intervals are not drawn") if hidden > 0 else ""
    ends = f'<div class="t-ends t-soft"><span>{first}</span><span>{last}</span></div>'
    gaps = joined(*(gap_html(gap) for gap in coverage.gaps[:GAPS_LIMIT]))
    left_gaps = len(coverage.gaps) - GAPS_LIMIT
    rest = soft(f"… {left_gaps} more gaps") if left_gaps > 0 else ""
    name = title("HistoryCoverage", f"{size:,} seqs", state, waits)
    return joined(name, f'<div class="t-bar">{"".join(pieces)}</div>', ends, more, gaps, rest)


def group_html(group: Group, room: Room) -> Html:
    """Return a group and the last messages of its conversation; its properties are fetched by `info()`."""
    name = title(joined("group ", name_of(group.id)), escaped(group.type), soft("await group.info() has its properties"))
    return joined(name, chat(group.conversation.get_cached_messages(MESSAGES_IN_CONVERSATION), room))


def dataclass_html(value: Any, room: Room) -> Html:
    """Return the fields of an event, a profile, a group's properties, a member or a friend."""
    facts = {one.name: _value(one.name, getattr(value, one.name), room) for one in fields(value)}
    return joined(title(escaped(type(value).__name__)), facts_table(facts))


def _conversations(conversations: list[Conversation]) -> Html:
    rows: list[tuple[str, ...]] = []
    for one in conversations:
        last = one.last_message
        unread = f"<b>{one.unread}</b>" if one.unread else "0"
        time = time_of(last.timestamp) if last else ""
        rows.append((name_of(key_text(one.key)), unread, short_text(last), time, _flags(one)))
    return table(("conversation", "unread", "last message", "time", ""), rows) if rows else soft("no conversations")


def _flags(conversation: Conversation) -> Html:
    return tags(
        "pinned" if conversation.pinned else "",
        "muted" if conversation.muted else "",
        "draft" if conversation.draft else "",
        f"@ {conversation.mentioned}" if conversation.mentioned else "",
        "not synced" if conversation.sync_error else "",
    )


def _value(name: str, value: object, room: Room) -> Html:
    """Return the value of a field; nothing for an empty one, which the table leaves out."""
    match value:
        case Message():
            return message_html(value, room)
        case Elem():
            return elem_html(value, room)
        case ConversationKey():
            return name_of(key_text(value))
        case TimimError():
            return _error(value)
        case BaseException():
            return escaped(f"{type(value).__name__}: {value}")
        case enum.Enum():
            return escaped(value.name.lower())
        case bool():
            return Html("yes" if value else "no")
        case int() | float() if name in TIMES:
            return time_of(value)
        case str() if name in ("user_id", "user", "operator", "owner", "group_id", "id"):
            return name_of(value) if value else Html("")
        case Mapping():
            shown = [f"{escaped(key, 60)}: {escaped(one)}" for key, one in list(value.items())[:ENTRIES_LIMIT]]
            return _several(shown, len(value))
        case list() | tuple() if not hasattr(value, "_fields"):
            return _several([_value("", one, room) for one in value[:ENTRIES_LIMIT]], len(value))
        case _ if is_dataclass(value):
            return escaped(repr(value))
        case _ if callable(value):
            return escaped(getattr(value, "__qualname__", repr(value)))
        case _:
            return escaped(value) if value not in ("", None) else Html("")


def _several(shown: list[str] | list[Html], count: int) -> Html:
    more = f"… {count - len(shown)} more" if count > len(shown) else ""
    return joined(*(f"<div>{one}</div>" for one in (*shown, more) if one))


def _error(error: TimimError | None) -> Html:
    return escaped(f"{type(error).__name__}: {error}")
