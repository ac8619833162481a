"""Tests of `timim backup` and `timim restore`: of a server in use, into a folder that clients then notice as restored."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.integration.cli.test_cli import Said, timim
from timim import FileElem, HistoryReset
from timim.testing import EventRecorder, RunningServer, running_server

CONTENT = os.urandom(3_000_000)


async def backup(server: RunningServer, file: Path, *options: str, **more: str) -> Said:
    return await timim(file.parent, "backup", file.name, "--data-dir", str(server.folder), *options, **more)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_server_in_use_is_saved_and_clients_notice_its_restoration(tmp_path: Path) -> None:
    """Test that the copy has all messages acknowledged before it began, and no message without those before it."""
    alice_data, bob_data, restored = tmp_path / "alice", tmp_path / "bob", tmp_path / "restored"
    async with running_server(data_dir=tmp_path / "data") as server:
        async with server.client("bob", data_dir=bob_data) as bob, server.client("alice", data_dir=alice_data) as alice:
            to_bob = alice.c2c("bob")
            await to_bob.send(FileElem(data=CONTENT, filename="report.pdf"))
            saving = asyncio.create_task(backup(server, tmp_path / "saved.tar", "--json"))
            during = 0
            while not saving.done():  # the server writes all the time
                during += 1
                await to_bob.send(f"during {during}")
            said = await saving
            assert (said.code, said.err) == (0, "")
            made = json.loads(said.out)
            assert 1 <= made["entries"] <= during + 1
            assert made["media_files"] >= 1
            watch = EventRecorder(bob)
            await to_bob.send("lost")
            await watch.wait_for_message(lambda message: message.text == "lost")
    assert (tmp_path / "saved.tar").stat().st_mode & 0o077 == 0
    said = await timim(tmp_path, "restore", "saved.tar", "--data-dir", str(restored))
    assert (said.code, said.err) == (0, "")
    async with running_server(data_dir=restored) as server:
        async with server.client("alice") as fresh:
            page = await fresh.c2c("bob").get_messages(100)
            texts = [message.text for message in reversed(page)]
            assert (page.complete, len(texts)) == (True, made["entries"])
            assert texts[1:] == [f"during {n}" for n in range(1, len(texts))]
            elem = page[-1][0]
            assert isinstance(elem, FileElem)
            assert await elem.read() == CONTENT
        bob = server.client("bob", data_dir=bob_data)
        watch = EventRecorder(bob, HistoryReset)
        async with bob:
            await watch.wait_for_event(HistoryReset)
            there = [message.text for message in await bob.c2c("alice").get_messages(100) if message.seq]
            assert there[0] == texts[-1]  # the lost message stays on the device, without a seq


async def test_a_stopped_server_keeps_its_identity_and_gets_a_new_epoch(tmp_path: Path) -> None:
    async with running_server(data_dir=tmp_path / "data") as server:
        await server.add_users("bob")
    assert (await backup(server, tmp_path / "saved.tar")).code == 0
    (tmp_path / "empty").mkdir()
    assert (await timim(tmp_path, "restore", "saved.tar", "--data-dir", "empty")).code == 0
    assert names_in(tmp_path / "empty") == ["app.json", "lock", "timim.db"]
    assert (tmp_path / "empty" / "app.json").read_bytes() == (tmp_path / "data" / "app.json").read_bytes()
    assert names_in(tmp_path) == ["data", "empty", "saved.tar"]  # nothing is left behind


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    async with running_server(data_dir=tmp_path / "data") as server:
        assert (await backup(server, tmp_path / "saved.tar")).code == 0
        before = (tmp_path / "saved.tar").read_bytes()
        assert "overwrites no file" in (await backup(server, tmp_path / "saved.tar")).refusal
        said = await timim(tmp_path, "restore", "saved.tar", "--data-dir", str(server.folder))
        assert "a server uses" in said.refusal
    said = await timim(tmp_path, "restore", "saved.tar", "--data-dir", str(server.folder))
    assert "is not empty" in said.refusal
    assert (tmp_path / "saved.tar").read_bytes() == before


def archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


async def test_a_file_that_is_no_complete_backup_restores_nothing(tmp_path: Path) -> None:
    async with running_server(data_dir=tmp_path / "data") as server:
        await server.add_users("bob")
    assert (await backup(server, tmp_path / "saved.tar")).code == 0
    whole = (tmp_path / "saved.tar").read_bytes()
    with tarfile.open(tmp_path / "saved.tar") as tar:
        contents = {name: file.read() for name in tar.getnames() if (file := tar.extractfile(name)) is not None}
    assert list(contents)[-1] == "backup.json"
    changed = contents["timim.db"][:-1] + bytes([contents["timim.db"][-1] ^ 1])
    files: dict[str, bytes | list[tuple[str, bytes]]] = {
        "truncated": whole[: len(whole) // 2],
        "not a tar file": b"hello" * 1000,
        "without list": [(name, data) for name, data in contents.items() if name != "backup.json"],
        "changed": [*(contents | {"timim.db": changed}).items()],
        "outside": [("../evil", b"x"), *contents.items()],
        "wrong list": [("backup.json", b"[]")],
    }
    (tmp_path / "empty").mkdir(mode=0o700)
    for name, made in files.items():
        path = tmp_path / f"{name}.tar"
        if isinstance(made, bytes):
            path.write_bytes(made)
        else:
            archive(path, made)
        said = await timim(tmp_path, "restore", path.name, "--data-dir", "new")
        assert said.refusal, name
        assert not (tmp_path / "new").exists(), name
        assert (await timim(tmp_path, "restore", path.name, "--data-dir", "empty")).refusal
        assert names_in(tmp_path / "empty") == [], name
    assert "cannot restore missing.tar to" in (await timim(tmp_path, "restore", "missing.tar", "--data-dir", "new")).refusal
    assert [name for name in names_in(tmp_path) if name.startswith(".")] == []


@pytest.mark.parametrize("command", ["backup", "restore"])
async def test_databases_and_buckets_have_their_own_tools(tmp_path: Path, command: str) -> None:
    said = await timim(tmp_path, command, "saved.tar", TIMIM_DATABASE="postgresql://h/d")
    assert "pg_dump" in said.refusal
    said = await timim(tmp_path, command, "saved.tar", TIMIM_BLOBS="s3://shelf")
    assert "back it up with the bucket's own tools" in said.refusal


async def test_content_in_another_folder_is_saved_and_restored_there(tmp_path: Path) -> None:
    blobs = f"file://{tmp_path}/content"
    async with running_server(data_dir=tmp_path / "data", blobs=blobs) as server:
        async with server.client("alice") as alice, server.client("bob"):
            await alice.c2c("bob").send(FileElem(data=CONTENT, filename="report.pdf"))
    assert (await backup(server, tmp_path / "saved.tar", TIMIM_BLOBS=blobs)).code == 0
    elsewhere = f"file://{tmp_path}/elsewhere"
    said = await timim(tmp_path, "restore", "saved.tar", "--data-dir", "new", TIMIM_BLOBS=elsewhere)
    assert said.code == 0, said
    assert not (tmp_path / "new" / "media").exists()
    parts = sorted(path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file())
    assert b"".join(path.read_bytes() for path in parts) == CONTENT


async def test_a_backup_without_a_data_folder_names_it(tmp_path: Path) -> None:
    assert "there is no database in" in (await timim(tmp_path, "backup", "saved.tar")).refusal
