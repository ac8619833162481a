"""The words of a search are words: signs of FTS, SQL and LIKE in them are no operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from timim import Client, InvalidArgument, StorageError, TextElem
from timim.ids import ConversationKey, ConversationType
from timim.local_store.fulltext import SearchQuery
from timim.local_store.types import IngestBatch, MessageRow
from timim.protocol.coverage import Interval
from timim.protocol.elems import encode_elem

TEXTS = ("the blue cat", "a red cat near a dog", "NOT a cat", "100% of dogs")
QUERIES = (
    "cat OR dog",
    "cat NOT dog",
    "cat AND dog",
    "blue OR red",
    "NEAR(cat dog)",
    "cat*",
    "c*",
    "^the",
    '"blue" OR "red"',
    '" OR "cat',
    '"',
    '""',
    "words : cat",
    "text:cat",
    "-dog",
    "cat + dog",
    "(cat)",
    "cat) OR (dog",
    "' OR '1'='1",
    "'; DROP TABLE messages; --",
    "%",
    "_",
    "\x00cat",
    "{cat dog} : blue",
    "\ue001",
)


def words_of(text: str) -> list[str]:
    return "".join(sign if sign.isalnum() else " " for sign in text.lower()).split()


def has_all(text: str, query: str) -> bool:
    """Return True if a text has all words of a query; signs separate a word, and a star at its end stands for more."""
    known = f" {' '.join(words_of(text))} "
    return all(
        f" {' '.join(words_of(token))}{'' if token.endswith('*') else ' '}" in known
        for token in query.split()
        if words_of(token)
    )


async def check_queries(folder: Path) -> None:
    """Check that each query finds exactly the messages that have all of its words, or is refused by InvalidArgument."""
    client = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="", data_dir=folder)
    await client.open()
    try:
        rows = [
            MessageRow(seq, f"1700000000-{seq}-1", "bob", 1_700_000_000, False, b"[%b]" % encode_elem(TextElem(text=text)))
            for seq, text in enumerate(TEXTS, 1)
        ]
        key, count = ConversationKey(ConversationType.C2C, "bob"), len(rows)
        await client.engine.store.messages.ingest([IngestBatch(key, rows, [Interval(1, count)], last_seq=count)])
        for query in QUERIES:
            wanted = [text for text in TEXTS if words_of(query) and has_all(text, query)]
            try:
                found = [message.text for message in await client.search(query)]
            except InvalidArgument:
                assert wanted == [] or "\0" in query, query
                continue
            assert sorted(found) == sorted(wanted), query
        assert [message.text for message in await client.search("cat blue")] == ["the blue cat"]
    finally:
        await client.close()


@pytest.mark.requirement("H37")
async def test_signs_in_a_search_are_no_operators(tmp_path: Path) -> None:
    await check_queries(tmp_path)


@pytest.mark.requirement("H37")
async def test_a_client_that_hands_words_to_fts_as_they_are_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SearchQuery, "match", lambda query: " ".join(query.words))
    with pytest.raises((AssertionError, StorageError)):
        await check_queries(tmp_path)
