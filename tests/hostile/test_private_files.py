"""Messages on disk are for their owner: folders 700 and files 600, on server and client, whatever the umask was."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from timim import FileElem
from timim.cli.commands import app
from timim.testing import local_server
from timim.util import private_files

FOLDER, FILE = 0o700, 0o600


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def open_for_others(folder: Path) -> dict[str, str]:
    """Return what the group or others may use, or the owner may not, in a folder."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode != (FOLDER if path.is_dir() else FILE):
            found[str(path.relative_to(folder))] = oct(mode)
    return found


async def talk(folder: Path) -> None:
    """Let a client send content to a server, both with their data in this folder."""
    async with (
        local_server(data_dir=folder / "server") as server,
        server.client("bob"),
        server.client("alice", data_dir=folder / "client", media_cache_bytes=10_000) as alice,
    ):
        sent = await alice.c2c("bob").send("hello", FileElem(data=b"x" * 100, filename="a"))
        assert isinstance(sent.elems[1], FileElem)
        assert await sent.elems[1].read() == b"x" * 100


def account_folder(folder: Path) -> Path:
    """Return the folder of the one account in a data folder; those above it have no messages."""
    (found,) = folder.glob("*/*")
    return found


@pytest.mark.requirement("H35")
async def test_data_are_for_their_owner_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread(folder.chmod, 0o755)
    for above in ("client", "client/1400000001"):  # folders above the data have the rights that the umask allows
        await asyncio.to_thread((folder / above).mkdir)
        await asyncio.to_thread((folder / above).chmod, 0o755)
    await talk(folder)
    assert await asyncio.to_thread(open_for_others, folder / "server") == {}
    assert await asyncio.to_thread(open_for_others, account_folder(folder / "client")) == {}


@pytest.mark.requirement("H35")
async def test_data_of_an_earlier_version_are_narrowed_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await talk(tmp_path)
    client = account_folder(tmp_path / "client")

    def widen() -> None:
        for folder in (tmp_path / "server", client):
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)

    await asyncio.to_thread(widen)
    await talk(tmp_path)
    for folder in (tmp_path / "server", client):
        assert await asyncio.to_thread(open_for_others, folder) == {}
    notices = [record.message for record in caplog.records if record.name == private_files.__name__]
    for narrowed in (tmp_path / "server", client):
        assert f"others could read {narrowed} (mode 755); it is for its owner only now (mode 700)" in notices


@pytest.mark.requirement("H35")
async def test_a_program_that_leaves_files_to_the_umask_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: SQLite creates its file."""
    monkeypatch.setattr("timim.sqlite.database.private_file", lambda path: None)
    before = os.umask(0o022)
    try:
        await talk(tmp_path)
    finally:
        os.umask(before)
    assert {"timim.db"} <= set(await asyncio.to_thread(open_for_others, tmp_path / "server"))


def test_a_shared_folder_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o1777)
    private_files.private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    assert "shared with other accounts" in caplog.text
    tmp_path.chmod(0o700)


def options(command: Any) -> Iterator[str]:
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from options(each)
        else:
            yield from (f"{name} {flag}" for option in each.params for flag in option.opts)


@pytest.mark.requirement("H35")
def test_no_command_takes_a_secret_as_an_argument(tmp_path: Path) -> None:
    """Test that secrets come from a file, the environment or a prompt, because every account can list arguments."""
    secrets = {"--sig", "--key", "--secret-key", "--secret", "--token", "--password", "--user-sig"}
    assert not {flag for flag in options(typer.main.get_command(app)) if flag.split()[-1] in secrets}
    for flag, url in (
        ("--database", "postgresql://u:pw@h/d"),
        ("--bus", "nats://a,nats://u:pw@h"),
        ("--database", "postgresql://h/d?password=pw"),
    ):
        refused = CliRunner().invoke(app, ["doctor", flag, url])
        assert (refused.exit_code, "pw" in refused.output) == (2, False)
        assert f"TIMIM_{flag[2:].upper()}" in refused.output


@pytest.mark.requirement("H35")
def test_a_secret_is_read_from_a_file_or_standard_input_and_never_shown(tmp_path: Path) -> None:
    send = ["send", "bob", "hi", "--as", "alice", "--url", "ws://127.0.0.1:1", "--app-id", "1"]
    file = tmp_path / "signature"
    file.write_text("eJw-secret\n")
    for given, typed in (([str(file)], ""), (["-"], "eJw-secret\n")):
        ended = CliRunner().invoke(app, [*send, "--sig-file", *given], input=typed)
        assert "cannot connect to ws://127.0.0.1:1" in ended.output
    for wrong in ("eJw-secret", str(tmp_path)):
        ended = CliRunner().invoke(app, [*send, "--sig-file", wrong])
        assert "the file of the UserSig cannot be read" in ended.output
        assert "eJw" not in ended.output
