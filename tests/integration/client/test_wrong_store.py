"""A local store belongs to one account: another account's client refuses the file, and leaves it unchanged."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from timim import Client, StorageError, WrongStore
from timim.testing import RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("bob", "carol")
        yield running


def folder_of(data_dir: Path, app_id: int, user_id: str) -> Path:
    return data_dir / str(app_id) / user_id.encode().hex()


async def open_(client: Client) -> None:
    await client.open()


async def login(client: Client) -> None:
    await client.login()


@pytest.mark.parametrize("start", [open_, login])
async def test_the_store_of_another_account_is_refused_and_stays_as_it_is(
    server: RunningServer, tmp_path: Path, start: object
) -> None:
    async with server.client("alice", data_dir=tmp_path) as alice:
        await alice.c2c("bob").send("private")
    theirs = folder_of(tmp_path, server.app_id, "alice")
    mine = folder_of(tmp_path, server.app_id, "carol")
    shutil.copytree(theirs, mine)
    before = (mine / "messages.db").read_bytes()

    carol = server.client("carol", data_dir=tmp_path)
    with pytest.raises(WrongStore, match=f"belongs to user 'alice' of app {server.app_id}, not to user 'carol' of app"):
        await start(carol)  # type: ignore[operator]
    assert list(carol.conversations) == []
    await carol.close()
    assert (mine / "messages.db").read_bytes() == before

    shutil.rmtree(mine)  # with a store of its own, the account can log in
    async with server.client("carol", data_dir=tmp_path) as carol:
        assert list(carol.conversations) == []
    async with server.client("alice", data_dir=tmp_path) as alice:
        assert [message.text async for message in alice.c2c("bob").history()] == ["private"]


async def test_the_store_of_the_same_user_of_another_app_is_refused(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice", data_dir=tmp_path):
        pass
    other_app = server.app_id + 1
    shutil.copytree(folder_of(tmp_path, server.app_id, "alice"), folder_of(tmp_path, other_app, "alice"))
    client = Client(server.url, app_id=other_app, user_id="alice", user_sig="any", data_dir=tmp_path)
    with pytest.raises(StorageError, match=f"not to user 'alice' of app {other_app}; give another data_dir"):
        await client.open()


async def test_a_store_without_an_owner_gets_one_at_the_next_login(server: RunningServer, tmp_path: Path) -> None:
    """A store that was only opened, or that an earlier version wrote, records its owner when it is logged in."""
    client = server.client("alice", data_dir=tmp_path)
    await client.open()
    await client.close()
    mine, copy = (folder_of(tmp_path, server.app_id, user) for user in ("alice", "carol"))
    shutil.copytree(mine, copy)
    async with server.client("carol", data_dir=tmp_path), server.client("alice", data_dir=tmp_path):
        pass
    shutil.rmtree(copy)
    shutil.copytree(mine, copy)
    with pytest.raises(WrongStore):
        await server.client("carol", data_dir=tmp_path).open()
