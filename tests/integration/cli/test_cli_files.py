"""Tests of files on the command line: sending, fetching, interrupting, names chosen by a peer, and progress bars."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.cli.test_cli import environment, key_of, timim
from tests.support.media_proxy import proxied_server
from tests.support.notebooks import execute, notebook_of
from tests.support.paths import MEDIA
from timim import FileElem, ImageElem, SoundElem
from timim.testing import running_server

MIB = 1 << 20


@pytest.mark.requirement("F10", "F05")
async def test_a_file_and_a_picture_are_sent_and_fetched_byte_for_byte(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(5 * MIB)
    (tmp_path / "报告.bin").write_bytes(data)
    picture = MEDIA / "rocket.jpg"
    async with running_server() as server:
        await server.add_users("bob")
        key = key_of(server)
        words = ("send", "bob", "look", "--file", "报告.bin", "--image", str(picture), "--as", "alice")
        sent = await timim(tmp_path, *words, **key)
        assert (sent.code, sent.err) == (0, "")
        for folder in ("down", "down"):  # twice: the second download does not overwrite the first
            got = await timim(tmp_path, "get", "alice", "--as", "bob", "--to", folder, **key)
            assert (got.code, got.err) == (0, "")
            assert len(got.out.splitlines()) == 2
        names = {path.name: path for path in (tmp_path / "down").iterdir()}
        assert names["报告.bin"].read_bytes() == names["报告 (1).bin"].read_bytes() == data
        pictures = [path for name, path in names.items() if name.endswith(".jpg")]
        assert [path.read_bytes() for path in pictures] == [picture.read_bytes()] * 2
        assert {path.stat().st_mode & 0o600 for path in names.values()} == {0o600}
        refused = await timim(tmp_path, "get", "alice", "--as", "bob", "--seq", "9", **key)
        assert refused.code == 3
        assert refused.err.startswith("timim: there is nothing to download in message 9")
        refused = await timim(tmp_path, "send", "bob", "--file", "missing", "--as", "alice", **key)
        assert refused.refusal == f"there is no file {tmp_path / 'missing'} (code 7004)"


async def test_an_interrupted_file_leaves_nothing_on_the_server(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(12 * MIB))
    async with proxied_server(tmp_path / "s") as (server, relay):
        await server.add_users("bob")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "timim.cli", "send", "bob", "--file", "big", "--as", "alice"),
            cwd=tmp_path,
            env=environment(**key_of(server)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await relay.carried("up", 2 * MIB)
        relay.hold()
        process.send_signal(signal.SIGINT)
        relay.release()
        out, err = await process.communicate()
        assert (process.returncode, out) == (130, b"")
        assert err.decode().splitlines()[-1] == "timim: interrupted: the transfer was cancelled and its partial data deleted"
        assert [path for path in (server.folder / "media").rglob("*") if path.is_file()] == []


@pytest.mark.requirement("H41")
async def test_every_kind_of_content_can_be_fetched(tmp_path: Path) -> None:
    async with running_server() as server, server.client("alice") as alice, server.client("bob"):
        await alice.c2c("bob").send("x", SoundElem(data=b"sound", duration=1), FileElem(data=b"file", filename="../../f.txt"))
        await alice.c2c("bob").send(ImageElem(path=MEDIA / "astronaut.png"))
        await alice.c2c("bob").send("and a text")
        key = key_of(server)
        newest = await timim(tmp_path, "get", "alice", "--as", "bob", "--to", "new", **key)
        assert newest.out.split()[0].endswith(".png")
        older = await timim(tmp_path, "get", "alice", "--as", "bob", "--to", "old", "--seq", "1", **key)
        assert older.code == 0
        assert (tmp_path / "old" / "f.txt").read_bytes() == b"file"
        assert len(list((tmp_path / "old").glob("*.sound"))) == 1


CELL = """
import timim
with timim.ProgressBar("<cat>.jpg") as bar:
    for done in range(0, 5_000_001, 500):
        bar(done, 5_000_000)
"""


@pytest.mark.requirement("P08")
def test_a_progress_bar_in_a_notebook_is_one_element(tmp_path: Path) -> None:
    cell: dict[str, object] = {
        "cell_type": "code",
        "source": CELL,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "id": "bar",
    }
    book = notebook_of(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))
    execute(book, tmp_path)
    (shown,) = book.cells[0].outputs
    assert shown.output_type == "display_data"
    assert "&lt;cat&gt;.jpg <progress value='5000000' max='5000000'>" in shown.data["text/html"]
