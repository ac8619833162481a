"""Tests of content in a folder and in memory: parts are stored and read in the same way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.blob_contract import blobs_of, check_parts


async def test_a_folder_stores_and_reads_parts(tmp_path: Path) -> None:
    await check_parts(await asyncio.to_thread(blobs_of, {}, tmp_path))


async def test_memory_stores_and_reads_parts_as_a_folder_does() -> None:
    await check_parts(await asyncio.to_thread(blobs_of, {}, None))
