"""Costs without a server: importing timim, the three sizes of a picture, and a page of a large local store."""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

from PIL import Image

from timim.ids import ConversationKey, ConversationType
from timim.local_store.types import IngestBatch, MessageRow
from timim.media import image_variants
from timim.protocol.coverage import Interval
from timim.storage import LocalStore, RowPosition

TWELVE_MEGAPIXELS = (4032, 3024)
ROWS = 1_000_000
KEY = ConversationKey(ConversationType.C2C, "bob")


def all_of_it() -> dict[str, float]:
    """Return all figures; each key contains its unit."""
    return {"import timim, ms": import_ms(), **in_a_process("variants"), **asyncio.run(local_query())}


def import_ms(times: int = 9) -> float:
    """Measure the import in new processes, without the start-up time of Python itself."""
    code = "import time; t = time.perf_counter(); import timim; print((time.perf_counter() - t) * 1e3)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(times)]
    return statistics.median(float(run.stdout) for run in runs)


def in_a_process(name: str) -> dict[str, float]:
    """Run a measurement in a process of its own, because peak memory is a figure of a process."""
    code = f"import asyncio, json; from bench import micro; print(json.dumps(asyncio.run(micro.{name}())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import json

    figures: dict[str, float] = json.loads(done.stdout)
    return figures


async def variants() -> dict[str, float]:
    """Measure time, memory, and the delay of the event loop."""
    photo = await asyncio.to_thread(a_photo)
    await image_variants(a_small_one())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    late: list[float] = []
    times: list[float] = []

    async def watch() -> None:
        while True:
            due = time.perf_counter() + 0.002
            await asyncio.sleep(0.002)
            late.append((time.perf_counter() - due) * 1e3)

    floor: list[float] = []
    watching = asyncio.create_task(watch())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        path.write_bytes(photo)
        for _ in range(7):
            begun = time.perf_counter()
            await image_variants(path)
            times.append((time.perf_counter() - begun) * 1e3)
    watching.cancel()
    for _ in range(7):
        begun = time.perf_counter()
        thumbnails(photo)
        floor.append((time.perf_counter() - begun) * 1e3)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    late.sort()
    return {
        "three variants of a 12 MP JPEG, ms": statistics.median(times),
        "three variants of a 12 MP JPEG, times two thumbnail()": statistics.median(times) / statistics.median(floor),
        "three variants of a 12 MP JPEG, MiB more": grown,
        "three variants of a 12 MP JPEG, p99 of the loop's lag, ms": late[int(len(late) * 0.99)],
    }


def thumbnails(photo: bytes) -> None:
    """Create the same two sizes with Pillow alone, without rotation and colour profiles: the lower bound."""
    for side in (720, 198):
        with Image.open(BytesIO(photo)) as im:
            im.thumbnail((side * 4032 // 3024, side))
            im.save(BytesIO(), "JPEG", quality=85)


def a_photo() -> bytes:
    """Return a picture of 12 megapixels with detail everywhere and a camera's rotation tag."""
    noise = Image.effect_noise((TWELVE_MEGAPIXELS[0] // 4, TWELVE_MEGAPIXELS[1] // 4), 40)
    picture = Image.merge("RGB", (noise, noise.rotate(180), noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = BytesIO()
    picture.resize(TWELVE_MEGAPIXELS, Image.Resampling.BICUBIC).save(out, "JPEG", quality=92, exif=exif)
    return out.getvalue()


def a_small_one() -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG")
    return out.getvalue()


async def local_query() -> dict[str, float]:
    """Measure opening a store with a million messages, and reading 20 messages from its middle."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages.db"
        async with LocalStore(path) as store:
            for first in range(1, ROWS + 1, 5000):
                rows = [a_row(seq) for seq in range(first, first + 5000)]
                await store.messages.ingest([IngestBatch(KEY, rows, [Interval(first, first + 4999)], last_seq=first + 4999)])
        begun = time.perf_counter()
        async with LocalStore(path) as store:
            opened = (time.perf_counter() - begun) * 1e3
            times: list[float] = []
            for i in range(200):
                begun = time.perf_counter()
                page = await store.messages.page(KEY, 20, before=RowPosition(1000 + i * 4999, 0))
                times.append((time.perf_counter() - begun) * 1e6)
                assert len(page) == 20
    return {"opening a store of 1,000,000 messages, ms": opened, "local query of 20 of them, us": statistics.median(times)}


def a_row(seq: int) -> MessageRow:
    body = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"message %d"}}]' % seq
    return MessageRow(seq, f"{1_700_000_000 + seq}-{seq}", "bob", 1_700_000_000 + seq, False, body)
