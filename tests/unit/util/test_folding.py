"""Tests of the words that the search index contains: each case of docs/reference/search.md, and the places of found words."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paths import DOCS
from timim import InvalidArgument, TextElem
from timim.local_store import fulltext, schema
from timim.protocol.elems import encode_body
from timim.util.folding import find_words, folded

ROW = re.compile(r"^\| (\d+) \| `(.+?)` \| `(.+?)` \| (yes|no) \|$", re.MULTILINE)
PAGE = (DOCS / "reference" / "search.md").read_text()


def shown(cell: str) -> str:
    """Return the text of a cell, in which characters that are not shown are escaped."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), cell)


CASES = [(int(number), shown(text), shown(query), found == "yes") for number, text, query, found in ROW.findall(PAGE)]


@pytest.fixture(scope="module")
def store() -> Iterator[sqlite3.Connection]:
    """Return a local store with the text of each case as the message of that number."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        for number, text, _, _ in CASES:
            connection.execute(
                "INSERT INTO messages(local_id, type, peer, position, seq, msg_id, sender, timestamp, status, is_self,"
                " priority, body, cloud_custom_data) VALUES(:n,1,'bob',:n,:n,'1-'||:n,'bob',1,2,0,'Normal',:body,'')",
                {"n": number, "body": encode_body([TextElem(text=text)])},
            )
        while fulltext.unindexed(connection):
            fulltext.index_more(connection)
        yield connection


def test_the_page_has_at_least_a_hundred_cases_with_numbers_of_their_own() -> None:
    assert len(CASES) >= 100
    assert [number for number, *_ in CASES] == list(range(1, len(CASES) + 1))
    assert f"in {len(CASES)} cases" in PAGE
    assert len(CASES) == PAGE.count(" | yes |") + PAGE.count(" | no |")


@pytest.mark.parametrize("number, text, query, found", CASES, ids=[f"{number}-{query}" for number, _, query, _ in CASES])
@pytest.mark.requirement("P07")
def test_a_search_finds_what_the_page_says(store: sqlite3.Connection, number: int, text: str, query: str, found: bool) -> None:
    words = fulltext.parse_query(query)
    rows = fulltext.search(store, fulltext.SearchQuery(words), 1000)
    assert ((1, number) in rows) == found
    places = find_words(text, words)
    if found:
        assert places, "a snippet shows each found word"


@pytest.mark.parametrize(
    "text, query, words",
    [
        ("see café now", "CAFE", ["café"]),
        ("see cafe\u0301 now", "café", ["cafe\u0301"]),
        ("Große Straße", "strasse", ["Straße"]),
        ("my fooBarBaz, foobarbaz", "bar", ["Bar"]),
        ("my fooBarBaz, foobarbaz", "fooBarBaz", ["fooBarBaz", "foobarbaz"]),
        ("三月的发票在这里", "发票", ["发票"]),
        ("发 票", "发票", ["发 票"]),
        ("he marches in March", "march", ["March"]),
        ("he marches in March", "march*", ["march", "March"]),
        ("שָׁלוֹם עולם", "שלום", ["שָׁלוֹם"]),
        ("ฉันรักประเทศไทย", "ประเทศ", ["ประเทศ"]),
        ("1️⃣apple ①pear", "apple pear", ["apple", "pear"]),
        ("no match", "word", []),
    ],
)
def test_the_places_of_found_words_are_those_of_the_text(text: str, query: str, words: list[str]) -> None:
    assert [text[place.begin : place.end] for place in find_words(text, query.split())] == words


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once_and_no_text_makes_it_fail(text: str) -> None:
    once = folded(text)
    assert "\ue001" not in once
    find_words(text, [text])
    try:
        fulltext.SearchQuery(fulltext.parse_query(text)).match()
    except InvalidArgument:
        pass
