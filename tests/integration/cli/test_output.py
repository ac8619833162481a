"""Tests of what commands print: lines, JSON, notes, exit statuses, pipes, and the commands that `timim serve` prints."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.cli.test_cli import LIMIT_S, TIME, environment, key_of, line_with, terminal, timim
from timim import FaceElem, FileElem, Message
from timim.cli import console
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path_factory.mktemp("server") / "data") as running:
        async with running.client("alice") as alice:
            await alice.profile.set(nickname="Alice")
        yield running


async def shell(folder: Path, script: str, **more: str) -> tuple[int, str, str]:
    """Run a script of bash with the command `timim`, and return its exit status, its output and its errors."""
    command = f'timim() {{ {shlex.quote(sys.executable)} -m timim.cli "$@"; }}; {script}'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        cwd=folder,
        env=environment(**more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def objects(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize("folder", ["timim-data", "the data of a server"])
async def test_the_commands_that_serve_prints_work_as_printed(tmp_path: Path, folder: str) -> None:
    async with terminal(tmp_path, "serve", "--port", "0", "--host", "127.0.0.2", "--data-dir", folder) as serve:
        await line_with(serve, "In two other terminals")
        tail, send = [shlex.split(await line_with(serve, word)) for word in ("tail", "send")]
        assert tail[0] == send[0] == "timim"
        async with terminal(tmp_path, *tail[1:]) as receiving:
            await line_with(receiving, "is online", of="stderr")
            said = await timim(tmp_path, *send[1:])
            assert (said.code, said.err) == (0, "")
            assert (await line_with(receiving, "alice")).endswith(" alice: hello\n")


async def test_serve_prints_no_command_that_could_not_sign(tmp_path: Path) -> None:
    async with terminal(tmp_path, "serve", "--port", "0") as first:
        await line_with(first, "timim send")
    async with terminal(tmp_path, "serve", "--port", "0", TIMIM_SECRET_KEY="not the key in app.json") as serve:
        assert "UserSig" in await line_with(serve, "Clients need")


async def test_a_line_has_the_time_the_nickname_and_the_names_of_files(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("b1"):
        await alice.c2c("b1").send(Message("look", FileElem(data=b"x" * 1500, filename="../报告.pdf"), FaceElem(index=1)))
        await alice.c2c("b1").send("one\nb1: \x1b[31mforged\x07")
    said = await timim(tmp_path, "history", "alice", "--as", "b1", **key_of(server))
    assert said.code == 0
    first, second, third, proof = said.out.splitlines()
    assert TIME.match(first)
    assert TIME.sub("", first) == "Alice (alice): look [文件] 报告.pdf (2 kB) [表情]"
    assert TIME.sub("", second) == "Alice (alice): one"
    assert third == "    b1: \ufffd[31mforged\ufffd"
    assert proof.startswith("<Page 2 messages, 1 to 2, complete")


async def test_a_line_of_a_group_names_it_and_a_recalled_message_is_marked(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("b7"):
        group = await alice.groups.create("Public", name="team", members=["b7"])
        await group.conversation.send("hello, all")
        await (await group.conversation.send("a slip")).recall()
    said = await timim(tmp_path, "history", group.id, "--group", "--as", "b7", **key_of(server))
    lines = [TIME.sub("", line) for line in said.out.splitlines()]
    assert f"Alice (alice) [{group.id}]: hello, all" in lines
    assert f"Alice (alice) [{group.id}]: (recalled)" in lines
    assert "a slip" not in said.out


async def test_json_is_one_object_a_line(server: RunningServer, tmp_path: Path) -> None:
    key = key_of(server)
    await server.add_users("b2")
    (tmp_path / "cat.bin").write_bytes(b"meow")

    async def run(*words: str) -> list[dict[str, Any]]:
        said = await timim(tmp_path, *words, "--json", **key)
        assert (said.code, said.err) == (0, ""), said
        return objects(said.out)

    (sent,) = await run("send", "b2", "hello", "--file", "cat.bin", "--as", "alice")
    assert (sent["type"], sent["seq"], sent["conversation"], sent["text"]) == ("sent", 1, "c2c:b2", "hello")
    message, page = await run("history", "alice", "--as", "b2")
    assert (message["type"], message["nickname"], message["msg_id"]) == ("message", "Alice", sent["msg_id"])
    assert message["time"].endswith("+00:00")
    assert [(elem["type"], elem.get("name")) for elem in message["elems"]] == [("TextElem", None), ("FileElem", "cat.bin")]
    assert page == {"type": "page", "messages": 1, "complete": True, "seqs": [1, 1], "source": "local"}
    (file,) = await run("get", "alice", "--as", "b2", "--to", "down")
    assert (file["type"], file["path"], file["size"]) == ("file", "down/cat.bin", 4)
    assert (await run("fill", "--as", "b2", "--kept", "kept"))[0]["type"] == "fetched"
    shown = {each["conversation"]: each for each in await run("gaps", "--as", "b2", "--kept", "kept")}
    assert shown["c2c:alice"] == {
        "type": "conversation",
        "conversation": "c2c:alice",
        "stored": 1,
        "total": 1,
        "missing": [],
    }
    *found, result = await run("search", "hello", "--as", "b2", "--kept", "kept")
    assert [each["msg_id"] for each in found] == [sent["msg_id"]]
    assert result == {"type": "result", "messages": 1, "complete": True, "missing": {}}
    (signature,) = await run("sig", "b2")
    assert signature["user"] == "b2"
    assert signature["user_sig"]


async def test_nothing_found_is_exit_status_3(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b3", "c3")
    for words in (("history", "c3"), ("search", "absent", "--kept", "kept"), ("get", "c3")):
        said = await timim(tmp_path, *words, "--as", "b3", **key_of(server))
        assert said.code == console.NOTHING_FOUND, said


async def test_the_reader_of_a_pipe_may_end_first(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("b4"):
        await asyncio.gather(*(alice.c2c("b4").send(f"{n} " + "x" * 9_000) for n in range(20)))  # more than a pipe holds
    status = "; echo ${PIPESTATUS[0]}"
    for words in ("tail --as b4", "history alice --json --as b4"):
        code, out, err = await shell(tmp_path, f"timim {words} | head -c 3 > /dev/null{status}", **key_of(server))
        assert (code, out) == (0, f"{console.OUTPUT_CLOSED}\n"), (words, err)
        assert [line for line in err.splitlines() if "is online" not in line] == [], words


async def test_tail_ends_with_its_reader_although_no_message_comes(server: RunningServer, tmp_path: Path) -> None:
    script = "timim tail --as b5 | true; echo ${PIPESTATUS[0]}"
    assert (await shell(tmp_path, script, **key_of(server)))[1] == f"{console.OUTPUT_CLOSED}\n"


async def test_send_reads_the_text_from_standard_input(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b6")
    code, _, err = await shell(tmp_path, "printf 'one\\ntwo\\n' | timim send b6 - --as alice", **key_of(server))
    assert (code, err) == (0, "")
    (message, _) = objects((await timim(tmp_path, "history", "alice", "--as", "b6", "--json", **key_of(server))).out)
    assert message["text"] == "one\ntwo"


async def test_an_error_has_a_traceback_only_with_v(server: RunningServer, tmp_path: Path) -> None:
    words = ("send", "nobody", "hi", "--as", "alice")
    assert "no account" in (await timim(tmp_path, *words, **key_of(server))).refusal
    said = await timim(tmp_path, "-v", *words, **key_of(server))
    assert said.code == 1
    assert "Traceback" in said.err
    assert "no account" in said.err.splitlines()[-1]
