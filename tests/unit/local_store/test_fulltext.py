"""Tests of the full-text index of a local store: it follows the rows, and finds Chinese text at any position."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import timim
from timim.elems import ELEM_TYPES, AnyElem, CustomElem, FileElem, LocationElem, MergerElem, TextElem, UnknownElem
from timim.errors import InvalidArgument
from timim.ids import ConversationKey, ConversationType
from timim.local_store import fulltext, schema
from timim.local_store.fulltext import elem_types, indexed_text
from timim.local_store.types import IngestBatch, MessageRow
from timim.protocol.coverage import Interval
from timim.protocol.elems import encode_body
from timim.storage import LocalStore

KEY = ConversationKey(ConversationType.C2C, "bob")


def item(seq: int, *elems: timim.TextElem | timim.FileElem, time: int = 0) -> MessageRow:
    return MessageRow(seq, f"1-{seq}", "bob", time or seq, False, encode_body(elems))


async def stored(store: LocalStore, *texts: str) -> None:
    items = [item(seq, timim.TextElem(text=text)) for seq, text in enumerate(texts, 1)]
    await store.messages.ingest(
        [IngestBatch(KEY, items, [Interval(1, len(items))], live=True, delivered_seq=len(items), last_seq=len(items))]
    )


async def seqs(store: LocalStore, text: str) -> list[int]:
    return [m.seq for m in (await store.messages.search(fulltext.SearchQuery(fulltext.parse_query(text)), 100)).messages]


@pytest.mark.requirement("P07")
async def test_the_index_follows_its_rows(tmp_path: Path) -> None:
    async with LocalStore(tmp_path / "m.db") as store:
        await stored(store, "one 发票", "two 发票", "three 发票")
        assert await seqs(store, "发票") == [3, 2, 1]
        held = (await store.messages.search(fulltext.SearchQuery(("发票",)), 10)).messages
        assert (await store.messages.delete(held[0], keep_row=True)).done
        assert await seqs(store, "发票") == [2, 1]
        assert len((await store.messages.search(fulltext.SearchQuery(("发票",), deleted=True), 10)).messages) == 3
        assert (await store.messages.delete(held[1])).done
        assert (await store.messages.delete(held[0])).done
        assert await seqs(store, "发票") == [1]
        # seq 2 is stored again with another body, under the local_id that was free; seq 1 is fetched again, edited
        again = [item(2, timim.TextElem(text="two changed")), item(1, timim.TextElem(text="one edited"))]
        await store.messages.ingest([IngestBatch(KEY, again, [Interval(1, 2)], last_seq=3)])
        assert await seqs(store, "发票") == []
        assert await seqs(store, "changed") == [2]
        assert await seqs(store, "edited") == [1]
        assert not await store.meta.enter_epoch("e1")
        assert await store.meta.enter_epoch("e2")
        assert len((await store.messages.search(fulltext.SearchQuery(("edited",)), 10)).messages) == 1
        await store.conversations.delete(KEY, messages=True)
        assert await seqs(store, "edited") == []
    check = sqlite3.connect(tmp_path / "m.db")
    fulltext.register(check)
    check.execute("INSERT INTO words(words) VALUES('integrity-check')")
    assert check.execute("SELECT count(*) FROM words WHERE words MATCH 'edited OR changed OR one'").fetchone() == (0,)
    check.close()


@pytest.mark.requirement("P07")
async def test_a_store_without_an_index_is_indexed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fulltext, "BATCH_ROWS", 7)
    old = sqlite3.connect(tmp_path / "m.db")
    old.executescript(f"{await asyncio.to_thread(schema.statements, 1)} PRAGMA user_version=1")
    for number in range(1, 51):
        body = encode_body([timim.TextElem(text=f"old {number - 1} 票")])
        old.execute(
            "INSERT INTO messages(type, peer, position, seq, msg_id, sender, timestamp, status, is_self, priority, body,"
            " cloud_custom_data) VALUES(?,?,?,?,?,'bob',1,2,0,'Normal',?,'')",
            (*KEY, number, number, f"1-{number}", body),
        )
    old.execute("INSERT INTO conversations(type, peer, coverage, last_seq, head) VALUES(?,?,'[[1,50]]',50,50)", tuple(KEY))
    old.commit()
    old.close()
    async with LocalStore(tmp_path / "m.db") as store:
        (first,) = await store.messages.page(KEY, 1, high=1)
        await store.messages.delete(first)
        assert len(await seqs(store, "票")) == 49
        assert await seqs(store, "49") == [50]


@given(
    st.lists(st.text('发票今天ab é😀"*-', max_size=6), min_size=1, max_size=6),
    st.text('发票今天ab"*-():', min_size=1, max_size=3),
)
@pytest.mark.requirement("P07")
def test_a_substring_is_found_at_any_position(texts: list[str], wanted: str) -> None:
    connection = sqlite3.connect(":memory:")
    fulltext.register(connection)
    connection.executescript("CREATE TABLE messages(local_id INTEGER PRIMARY KEY, body BLOB);" + schema.statements(2))
    bodies = [(encode_body([timim.TextElem(text=text)]),) for text in texts]
    connection.executemany("INSERT INTO messages(body) VALUES(?)", bodies)
    fulltext.index_more(connection)
    try:
        question = fulltext.SearchQuery(fulltext.parse_query(wanted))
    except timim.InvalidArgument:
        connection.close()
        return
    rows = connection.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid", (question.match(),)).fetchall()
    if all("\u4e00" <= sign <= "\u9fff" for sign in wanted):
        # like a space, punctuation between two characters does not separate them, because FTS5 stores only the order of words
        plain = ["".join(sign for sign in text if sign not in ' "*-') for text in texts]
        assert [number for (number,) in rows] == [n for n, text in enumerate(plain, 1) if wanted in text]
    connection.close()


@pytest.mark.parametrize("kind", [kind for kind in ELEM_TYPES if kind is not UnknownElem], ids=lambda kind: kind.__name__)
def test_every_kind_can_be_searched_for_by_a_sign_of_its_own(kind: type[AnyElem]) -> None:
    assert elem_types(kind) == (kind,)
    body = b'[{"MsgType":"%b","MsgContent":{}}]' % kind.wire_type.encode()
    assert indexed_text(body) == f"{chr(0xE000 + kind.search_number)} "


def test_an_unknown_elem_is_found_by_its_words_only() -> None:
    with pytest.raises(InvalidArgument):
        elem_types(UnknownElem)
    assert indexed_text(b'[{"MsgType":"TIMNewElem","MsgContent":{"Desc":"words"}}]') == " words"


WITH_TEXT: list[AnyElem] = [
    TextElem(text="words"),
    CustomElem(desc="words"),
    FileElem(url="u", filename="words"),
    LocationElem(desc="words", latitude=1, longitude=2),
    MergerElem(title="words"),
    UnknownElem(MsgType="TIMNewElem", content=b'{"Title":"words"}'),
]


def test_each_kind_with_a_search_field_is_tried_here() -> None:
    assert {type(elem) for elem in WITH_TEXT} == {kind for kind in ELEM_TYPES if kind.search_field} | {UnknownElem}


@pytest.mark.parametrize("elem", WITH_TEXT, ids=lambda elem: type(elem).__name__)
def test_the_index_holds_the_text_that_a_snippet_shows(elem: AnyElem) -> None:
    assert elem.search_text == "words"
    assert indexed_text(encode_body([elem])).split()[-1] == "words"
