"""A damaged local store is set aside and reported, or raises a TimimError; it never shows a wrong text, nor proves a hole."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from timim import Client, Conversation, StoreReplaced, TimimError
from timim.engine.config import account_folder
from timim.errors import StoreCorrupted
from timim.ids import ConversationKey, ConversationType
from timim.local_store import message_rows
from timim.local_store.types import IngestBatch, MessageRow
from timim.protocol.coverage import Interval
from timim.storage import LocalStore
from timim.testing import EventRecorder

PEERS, COUNT = ("bob", "carol"), 150
SHORT, LONG = 200, 1000
PAGE_BYTES = 4096
TIME = 1_700_000_000


def text_of(peer: str, seq: int) -> str:
    return f"{peer} writes message {seq} of this history, which nobody has changed"


def row(peer: str, seq: int) -> MessageRow:
    body = f'[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text_of(peer, seq)}"}}}}]'.encode()
    return MessageRow(seq, f"17000{seq:05}-{seq}-1", peer, TIME + seq, seq % 3 == 0, body, "Normal", cloud_of(seq), None, None)


def cloud_of(seq: int) -> str:
    return f'{{"number":{seq}}}' if seq % 2 else ""


def header_of(peer: str, seq: int) -> tuple[object, ...]:
    return peer, TIME + seq, seq % 3 == 0, cloud_of(seq)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a store that has the whole history of two conversations."""
    path = tmp_path_factory.mktemp("intact") / "messages.db"

    async def fill() -> None:
        async with LocalStore(path) as store:
            for peer in PEERS:
                key = ConversationKey(ConversationType.C2C, peer)
                for first in (1, COUNT // 2 + 1):
                    rows = [row(peer, seq) for seq in range(first, first + COUNT // 2)]
                    last = rows[-1].seq
                    batch = IngestBatch(key, rows, [Interval(first, last)], live=True, delivered_seq=last, last_seq=last)
                    await store.messages.ingest([batch])

    asyncio.run(fill())
    return path.read_bytes()


def bytes_changed(data: bytearray, random: Random) -> None:
    for _ in range(20):
        data[random.randrange(len(data))] = random.randrange(256)


def bits_flipped(data: bytearray, random: Random) -> None:
    for _ in range(20):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def one_bit_flipped(data: bytearray, random: Random) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def page_of_zeros(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
    data[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)


DAMAGES: list[Callable[[bytearray, Random], None]] = [bytes_changed, bits_flipped, one_bit_flipped, cut, page_of_zeros]


async def check_store(folder: Path) -> str:
    """Open a damaged store, read all of it, and return the outcome."""
    client = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="none", data_dir=folder)
    watch = EventRecorder(client, StoreReplaced)
    try:
        await client.open()
        found = [await check_conversation(client.c2c(peer)) for peer in PEERS]
        if client.engine.store.set_aside is not None:
            await watch.wait_for_event(StoreReplaced)
            return "set aside"
        return "intact" if all(found) else "less is known"
    except TimimError:
        return "TimimError"
    finally:
        await client.close()


async def check_conversation(conversation: Conversation) -> bool:
    """Check that all that is shown is right, and each seq that is proven to be stored is shown; return True if all are."""
    proven = {seq for first, last in (await conversation.coverage()).intervals for seq in range(first, last + 1)}
    found = await conversation.get_local_messages(1000)
    shown = {message.seq: message.text for message in found}
    assert shown == {seq: text_of(conversation.peer, seq) for seq in shown}
    for message in found:
        header = message.sender, message.timestamp, message.is_self, message.cloud_custom_data
        assert header == header_of(conversation.peer, message.seq)
    assert proven <= set(shown), (
        f"{len(proven - set(shown))} messages are missing from {conversation}, which is called complete"
    )
    return len(shown) == COUNT


async def outcomes(intact: bytes, folder: Path, numbers: range) -> dict[str, int]:
    """Return how often each outcome came for these variants of the store."""
    counts: dict[str, int] = {}
    path = account_folder(folder, 1, "alice")
    assert path is not None
    for number in numbers:
        random = Random(number)
        data = bytearray(intact)
        DAMAGES[number % len(DAMAGES)](data, random)

        def write(data: bytes = bytes(data)) -> None:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True, mode=0o700)
            (path / "messages.db").write_bytes(data)
            (path / "messages.db").chmod(0o600)

        await asyncio.to_thread(write)
        try:
            outcome = await check_store(folder)
        except Exception as exc:
            raise AssertionError(f"variant {number}: {exc!r}") from exc
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


@pytest.mark.requirement("H36")
async def test_a_damaged_store_is_set_aside_or_an_error_and_never_wrong(intact: bytes, tmp_path: Path) -> None:
    counts = await outcomes(intact, tmp_path, range(SHORT))
    print(counts)
    assert counts["set aside"] > SHORT // 10
    assert counts["TimimError"] > 0


@pytest.mark.soak
@pytest.mark.requirement("H36")
async def test_a_thousand_damaged_stores(intact: bytes, tmp_path: Path, seed: int) -> None:
    print(await outcomes(intact, tmp_path, range(seed, seed + LONG)))


@pytest.mark.requirement("H36")
async def test_an_intact_store_is_intact(intact: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.DAMAGES", [lambda data, random: None])
    assert await outcomes(intact, tmp_path, range(1)) == {"intact": 1}


@pytest.mark.requirement("H36")
@pytest.mark.parametrize("without", ["require_body", "require_header"])
async def test_a_client_without_checksums_is_detected(
    without: str, intact: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: it shows what the file has."""
    monkeypatch.setattr(message_rows, without, lambda *row: None)
    with pytest.raises(AssertionError, match="variant"):
        await outcomes(intact, tmp_path, range(SHORT))


WRONG = {"sender": "'mallory'", "timestamp": "timestamp+3600", "is_self": "1-is_self", "cloud_custom_data": "'{}'"}


@pytest.mark.requirement("H36")
@pytest.mark.parametrize("column", WRONG)
async def test_a_wrong_header_of_a_message_is_an_error(column: str, intact: bytes, tmp_path: Path) -> None:
    path = tmp_path / "messages.db"

    def damage() -> None:
        path.write_bytes(intact)
        with closing(sqlite3.connect(path)) as file:
            file.execute(f"UPDATE messages SET {column}={WRONG[column]} WHERE seq=7 AND peer='bob'")
            file.commit()

    await asyncio.to_thread(damage)
    async with LocalStore(path) as store:
        with pytest.raises(StoreCorrupted, match="header"):
            await store.messages.page(ConversationKey(ConversationType.C2C, "bob"), 1000)
