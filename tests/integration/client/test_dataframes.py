"""Tests of messages as data frames: columns, dtypes and values of real messages, and polars by Arrow."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime

import pytest

from tests.support.paths import DOCS, MEDIA
from tests.support.waiting import newest_message
from timim import Client, FileElem, ImageElem, InvalidArgument
from timim.results.dataframes import COLUMNS
from timim.testing import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def talk(alice: Client, bob: Client) -> None:
    there, back = alice.c2c("bob"), bob.c2c("alice")
    first = await there.send("look 你好", ImageElem(path=MEDIA / "rocket.jpg"))
    async with back.expect(lambda message: message.text == "react to me", timeout=10) as got:
        await there.send("react to me", FileElem(data=b"x" * 100, filename="a.txt"))
    await (await got).react("👍")
    gone = await there.send("to be recalled")
    await gone.recall()
    await there.send("an answer", reply_to=first)


async def test_the_page_of_the_docs_has_the_columns_and_their_dtypes() -> None:
    page = (DOCS / "how-to" / "analyse_messages.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| `([^|]+)` \|", page, re.MULTILINE)) == dict(COLUMNS)


@pytest.mark.requirement("P08")
async def test_a_page_becomes_a_frame_with_documented_columns(shared_server: RunningServer) -> None:
    import pandas as pd  # here, because each worker imports this file, and the two packages take a second
    import polars

    async with shared_server.client("alice") as alice, shared_server.client("bob") as bob:
        await talk(alice, bob)
        await newest_message(bob.c2c("alice"), lambda message: message.text == "an answer")
        page = await bob.c2c("alice").get_messages(20)
        frame = await page.to_dataframe()
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(COLUMNS)
        assert list(frame["seq"]) == [message.seq for message in reversed(page)]
        assert frame["text"][0] == "look 你好"
        assert list(frame["kinds"])[:2] == ["text, image", "text, file"]
        assert set(frame["sender"]) == {"alice"}
        assert set(frame["conversation"]) == {"c2c:alice"}
        assert set(frame["status"]) == {"succeeded"}
        assert list(frame["recalled"]) == [False, False, True, False]
        assert list(frame["reactions"]) == [0, 1, 0, 0]
        assert [None if pd.isna(one) else one for one in frame["reply_to"]] == [None, None, None, 1]
        assert frame["bytes"][1] == 100
        assert list(frame["unique_id"]) == [message.unique_id for message in reversed(page)]
        assert frame["time"][0] == datetime.fromtimestamp(page[-1].timestamp, UTC)
        by_arrow = polars.from_pandas(frame)
        assert by_arrow["text"].to_list() == list(frame["text"])
        assert by_arrow["time"].dtype == polars.Datetime("ms", "UTC")


async def test_a_conversation_becomes_a_frame_of_its_newest_messages(shared_server: RunningServer) -> None:
    async with shared_server.client("ann") as ann, shared_server.client("ben") as ben:
        there = ann.c2c("ben")
        for number in range(130):
            await there.send(f"number {number}")
        await newest_message(ben.c2c("ann"), lambda message: message.text == "number 129")
        steps: list[tuple[int, int]] = []
        frame = await ben.c2c("ann").to_dataframe(limit=120, progress=lambda done, total: steps.append((done, total)))
        assert list(frame["text"]) == [f"number {number}" for number in range(10, 130)]
        assert steps == [(100, 120), (120, 120)]
        assert len(await ben.c2c("ann").to_dataframe(limit=None)) == 130
        nothing = await ben.c2c("ann").to_dataframe(limit=0)
        assert {name: str(dtype) for name, dtype in nothing.dtypes.items()} == dict(COLUMNS)
        found = await ben.search("number")
        assert len(await found.to_dataframe()) == len(found)
        with pytest.raises(InvalidArgument, match="limit"):
            await ben.c2c("ann").to_dataframe(limit=-1)


async def test_without_pandas_the_error_names_the_extra(shared_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shared_server.client("eve") as alice:
        page = await alice.c2c("alice").get_local_messages()
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(InvalidArgument, match=r"pip install 'timim\[dataframe\]'"):
            await page.to_dataframe()
