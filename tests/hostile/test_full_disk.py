"""Tests that a full disk of the server is named as such, and logged once instead of once a refusal."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

import timim
from timim.server.handlers import registry
from timim.server.store.failures import is_disk_full
from timim.server.store.sqlite import SqliteStore
from timim.testing.in_process import local_server
from timim.util.rare_log import RareLog

REFUSALS = 20


async def refuse_for_a_full_disk(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fill the disk of a server, let it refuse messages, and return its warnings. Check what the client is told."""
    opened = list[SqliteStore]()
    open_store = SqliteStore.open

    async def keep_opened(self: SqliteStore) -> None:
        await open_store(self)
        opened.append(self)

    monkeypatch.setattr(SqliteStore, "open", keep_opened)
    async with local_server() as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            file = opened[0].engine._database
            pages = await file.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
            await file.write(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchall())
            sends = (alice.c2c("bob").send("x" * 10_000) for _ in range(REFUSALS))
            results = await asyncio.gather(*sends, return_exceptions=True)
            refusals = [result for result in results if isinstance(result, timim.ServerFault)]
            assert len(refusals) > REFUSALS / 2
            assert all("the server's disk is full" in str(refusal) for refusal in refusals)
            await file.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchall())
            await alice.c2c("bob").send("after")
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_a_full_disk_is_named_to_clients_and_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_store_log", RareLog(logging.getLogger("timim.server"), every_s=60))
    warnings = await refuse_for_a_full_disk(caplog, monkeypatch)
    assert len(warnings) == 1
    assert "a full disk" in warnings[0]


async def test_a_line_for_each_refusal_is_detected(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_store_log", RareLog(logging.getLogger("timim.server"), every_s=0))
    assert len(await refuse_for_a_full_disk(caplog, monkeypatch)) > REFUSALS / 2


def test_every_store_says_when_its_disk_is_full() -> None:
    class DiskFullError(Exception):  # as asyncpg's
        sqlstate = "53100"

    def caused_by(cause: Exception) -> Exception:
        error = timim.StorageError("the write failed")
        error.__cause__ = cause
        return error

    assert is_disk_full(caused_by(OSError(errno.ENOSPC, "No space left on device")))
    assert is_disk_full(caused_by(DiskFullError()))
    assert is_disk_full(caused_by(ValueError("Generic LocalFileSystem error: No space left on device (os error 28)")))
    assert not is_disk_full(caused_by(OSError(errno.EACCES, "Permission denied")))
