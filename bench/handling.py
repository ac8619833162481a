"""Cost of recording which messages are handled: the local store and the handlers of a flood, with and without the record.

python -m bench.handling [--rounds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from timim.engine.config import ClientConfig
from timim.engine.dispatcher import Dispatcher
from timim.engine.handling_record import HandlingRecord
from timim.ids import ConversationKey, ConversationType
from timim.message import Message
from timim.protocol.coverage import Interval
from timim.storage import IngestBatch, LocalStore, MessageRow

BATCHES, SIZE = 40, 250
BODY = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]'


def batches(conversation: int) -> list[IngestBatch]:
    """Return the batches of a flood in one conversation."""
    key = ConversationKey(ConversationType.C2C, f"user{conversation}")
    seqs = [range(n * SIZE + 1, (n + 1) * SIZE + 1) for n in range(BATCHES)]
    return [
        IngestBatch(
            key,
            [MessageRow(seq, f"{seq}-{seq}-1", key.peer, 1_700_000_000, False, BODY) for seq in of_one],
            [Interval(of_one[0], of_one[-1])],
            live=True,
            delivered_seq=of_one[-1],
            last_seq=of_one[-1],
        )
        for of_one in seqs
    ]


async def flood(folder: Path, *, recorded: bool) -> float:
    """Store a flood and handle it; return the CPU seconds a message."""
    config = ClientConfig("ws://127.0.0.1:1", 1, "bot", folder)
    async with LocalStore(config.database) as store:
        record = HandlingRecord(config, store)
        dispatcher = Dispatcher(record)
        handled = 0

        def handle(message: Message) -> None:
            nonlocal handled
            handled += 1

        if not recorded:
            record.set_handled = lambda *messages: None  # type: ignore[method-assign]
        dispatcher.messages.add(handle)
        await dispatcher.redeliver()
        flood = batches(1)
        started = time.process_time()
        for batch in flood:
            (result,) = await store.messages.ingest([batch], unhandled=recorded)
            dispatcher.deliver_messages(result.new)
        await dispatcher.finish()
        seconds = time.process_time() - started
        assert handled == BATCHES * SIZE
        rows = await store.handling.rows(dead=False)
        assert not rows
    return seconds / (BATCHES * SIZE)


async def main() -> None:
    """Print the medians of both, and of their differences in pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    figures: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for recorded in figures:
            with tempfile.TemporaryDirectory() as folder:
                figures[recorded].append(1e6 * await flood(Path(folder) / "a", recorded=recorded))
    pairs = [after - before for before, after in zip(figures[False], figures[True], strict=True)]
    before, after = statistics.median(figures[False]), statistics.median(figures[True])
    print(f"without the record {before:.1f} us of CPU a message, with it {after:.1f} us")
    print(f"the record costs {statistics.median(pairs):.2f} us (minimum {min(pairs):.2f}, maximum {max(pairs):.2f})")


if __name__ == "__main__":
    asyncio.run(main())
