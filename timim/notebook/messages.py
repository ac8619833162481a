"""Messages, pages and results of searches as HTML: a chat, oldest first, with its gaps marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timim import (
    ALL,
    ConversationKey,
    ConversationType,
    HistoryCoverage,
    Interval,
    Message,
    MessageStatus,
    Page,
    QuotedMessage,
    SearchResult,
)

from ..events import is_from_server
from .elems import Room, elems_html, sender_html
from .markup import Html, escaped, joined, name_of, soft, tags, text_block, time_of, title
from .previews import MESSAGES_LIMIT

__all__ = ["chat", "gap_html", "key_text", "message_html", "page_html", "result_html", "short_text"]

REACTIONS_LIMIT = 10
GAPS_LIMIT = 20
_STATES = {
    MessageStatus.SENDING: "🕓 sending",
    MessageStatus.FAILED: '<span class="t-bad">⚠ failed</span>',
    MessageStatus.DELETED: "deleted on this device",
}


def message_html(message: Message, room: Room, *, content: Html | None = None, where: bool = True) -> Html:
    """Return one message; `content` replaces its elems, `where` names its conversation."""
    if message.recalled:
        content = soft(joined("recalled by ", name_of(message.recaller)))
    elif content is None:
        content = elems_html(message.elems, room) or soft("empty")
    quote = _quote(message.reply_to)
    by = joined(
        _sender(message),
        name_of(key_text(message.key)) if where and message.key else "",
        time_of(message.timestamp),
        f"#{message.seq}" if message.seq else "",
        "edited" if message.version else "",
        "not sent" if message.status is None else _STATES.get(message.status, ""),
        "✓✓ read" if message.read_by_peer else "",
        by=" · ",
    )
    mentions = joined(*(f"@{name_of('all' if user == ALL else user)}" for user in message.mentions[:10]), by=" ")
    under = joined(soft(mentions), _reactions(message), by=" ")
    below = f'<div class="t-below">{under}</div>' if under else ""
    side = "t-tip" if is_from_server(message) else "t-own" if message.is_self else ""
    bubble = f'<div class="t-bubble">{quote}{content}</div>'
    return Html(f'<div class="t-row {side}"><div class="t-by">{by}</div>{bubble}{below}</div>')


def chat(messages: Sequence[Message], room: Room, gaps: Iterable[Interval] = (), *, where: bool = False) -> Html:
    """Return messages, given newest first, as a chat, oldest first, with a mark for each gap between two of them."""
    shown = messages[:MESSAGES_LIMIT]
    rows = []
    if len(messages) > len(shown):
        rows.append(Html(f'<div class="t-more">… {len(messages) - len(shown)} older messages of the page are not shown</div>'))
    open_gaps = sorted(gaps, reverse=True)[:GAPS_LIMIT]
    oldest = min((message.seq for message in shown if message.seq), default=0)
    while open_gaps and open_gaps[-1].last < oldest:
        open_gaps.pop()  # before the messages that are shown
    for message in reversed(shown):
        while open_gaps and message.seq > open_gaps[-1].last:
            rows.append(gap_html(open_gaps.pop()))
        rows.append(message_html(message, room, where=where))
    rows += [gap_html(gap) for gap in reversed(open_gaps)]
    return joined(*rows)


def page_html(page: Page, room: Room) -> Html:
    """Return a page as a chat with the proof of its completeness."""
    proof = '<span class="t-good">complete</span>' if page.complete else '<span class="t-warn">not proven complete</span>'
    held = f"seqs {page.interval.first} to {page.interval.last}" if page.interval else ""
    where = name_of(key_text(page[0].key)) if page and page[0].key else Html("Page")
    rows = [title(where, f"{len(page)} messages", held, proof, f"source: {page.source}, {page.requests} requests")]
    if not page.complete and not page.gaps:
        rows.append(_warning("messages before or after these may be missing: the history is not proven complete here"))
    rows.append(chat(page, room, page.gaps))
    return joined(*rows)


def result_html(result: SearchResult, room: Room) -> Html:
    """Return found messages with the found words marked, and the parts of the history that were not searched."""
    more = "more results: search again with after=result.next" if result.next else ""
    rows = [title("SearchResult", f"{len(result)} messages", f"{result.requests} requests", more)]
    rows += [_unsearched(key, known) for key, known in list(result.gaps.items())[:GAPS_LIMIT]]
    for message in reversed(result[:MESSAGES_LIMIT]):
        snippet = result.snippet(message, around=200)
        found = tuple((one.begin, one.end) for one in snippet.found)
        rows.append(message_html(message, room, content=text_block(snippet.text, found) if found else None))
    if len(result) > MESSAGES_LIMIT:
        rows.append(Html(f'<div class="t-more">… {len(result) - MESSAGES_LIMIT} more messages of the result</div>'))
    return joined(*rows)


def gap_html(gap: Interval) -> Html:
    """Return the mark of seqs that are not stored on this device."""
    seqs = f"seq {gap.first} is" if gap.first == gap.last else f"seqs {gap.first} to {gap.last} are"
    return _warning(f"gap: {seqs} not on this device")


def key_text(key: ConversationKey | None) -> str:
    """Return a conversation in words: `bob`, `group team`, `notices`."""
    if key is None:
        return ""
    return {ConversationType.C2C: key.peer, ConversationType.GROUP: f"group {key.peer}"}.get(key.type, "system notices")


def short_text(message: Message | None) -> Html:
    """Return a message in a few words, for a table."""
    if message is None:
        return Html("")
    if message.recalled:
        return Html("recalled")
    text = message.push_text.strip() or "…"
    return joined(soft(f"{_sender(message)}: "), escaped(text, 80))


def _sender(message: Message) -> Html:
    """Return the name card, the nickname or the id of the sender."""
    card = message.sender_member.name_card if message.sender_member else ""
    name = card or (message.sender_profile.nickname if message.sender_profile else "")
    return sender_html(message.sender or "me", name)


def _quote(quote: QuotedMessage | None) -> Html:
    if quote is None:
        return Html("")
    by = joined(name_of(quote.sender), f"#{quote.seq}" if quote.seq else "", by=" ")
    return Html(f'<div class="t-quote"><div>{by}</div>{escaped(quote.abstract)}</div>')


def _reactions(message: Message) -> Html:
    shown = list(message.reactions.items())[:REACTIONS_LIMIT]
    return tags(*(f"{escaped(reaction, 20)} {len(users)}" for reaction, users in shown))


def _unsearched(key: ConversationKey, known: HistoryCoverage) -> Html:
    missing = sum(gap.size for gap in known.gaps)
    return _warning(joined(name_of(key_text(key)), f": {missing} seqs are not on this device and were not searched"))


def _warning(text: str) -> Html:
    return Html(f'<div class="t-gap">{text}</div>')
