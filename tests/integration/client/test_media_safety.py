"""Tests of R12: hostile file names, contents and sizes of media do no harm."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import timim
from tests.support import image_factory
from timim import FileElem, ImageElem, ImageType, MediaError, NotAnImage, SoundElem, TooLarge, VideoElem
from timim.cli import files
from timim.cli.messages import _download_path
from timim.testing import EventRecorder, local_server, running_server

MIB = 2**20


# R12: names

NAMES = {
    "up": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "backslashes": "..\\..\\windows\\system32",
    "a NUL": "photo.jpg\0.exe",
    "turned round": "photo\u202egpj.exe",
    "300 characters": "x" * 300,
    "300 wide characters": "照" * 300,
    "a device": "CON",
    "a stream": "a.txt:hidden",
    "a line end": "a\r\nSet-Cookie: b",
    "a dot": ".",
    "two dots": "..",
    "nothing": "",
}


@pytest.mark.requirement("R12")
async def test_no_file_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Test that a name arrives unchanged, and that neither disk has a file of that name."""
    folder = tmp_path / "server"
    async with running_server(data_dir=folder) as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        for number, name in enumerate(NAMES.values()):
            data = b"content %d" % number
            named = FileElem(data=data, filename="a name").model_copy(update={"filename": name})  # as other programs send it
            await alice.c2c("bob").send(named)
            elem = (await watch.wait_for_messages(number + 1))[number][0]
            assert isinstance(elem, FileElem)
            assert elem.filename == name
            assert re.fullmatch(r"[0-9a-f]{32}", elem.uuid)
            target = tmp_path / "got" / str(number)
            target.parent.mkdir(exist_ok=True)
            assert await elem.download(target) == target
            assert target.read_bytes() == data
        assert {path.name for path in (tmp_path / "got").iterdir()} == {str(number) for number in range(len(NAMES))}
        stored = [path for path in (folder / "media").rglob("*") if path.is_file()]
        assert len(stored) >= len(NAMES)
        for path in stored:
            assert re.fullmatch(r"[0-9a-f/]+", path.relative_to(folder / "media").as_posix()), path


def tree_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def check_named_downloads(folder: Path) -> None:
    """Check that `timim get --to` writes each file of a message into the folder, whatever its name, and nothing else."""
    async with local_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        named = [
            FileElem(data=b"file %d" % number, filename="a name").model_copy(update={"filename": name})
            for number, name in enumerate(NAMES.values())
        ]
        for file in named:
            await alice.c2c("bob").send(file)
        async for message in bob.c2c("alice").history():
            for content, name in files.downloadable_content(message):
                await content.download(await asyncio.to_thread(_download_path, folder / "to", name))
    written = await asyncio.to_thread(tree_of, folder)
    assert sorted(written.values()) == sorted(b"file %d" % number for number in range(len(NAMES)))
    assert [name for name in written if not re.fullmatch(r"to/[^/]+", name)] == []


@pytest.mark.requirement("R12", "H41")
async def test_files_of_any_name_stay_in_the_folder(tmp_path: Path) -> None:
    await check_named_downloads(tmp_path / "inside")


@pytest.mark.requirement("H41")
async def test_a_client_that_believes_names_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(shown: str, otherwise: str) -> str:
        return shown[:60].replace("\0", "").removeprefix("/etc/") or otherwise

    monkeypatch.setattr(files, "local_name", believe)
    with pytest.raises((AssertionError, MediaError)):
        await check_named_downloads(tmp_path / "inside")


# R12: bytes

_WORKER = """
import json, pathlib, re, sys, time
from timim.errors import MediaError
from timim.media import ImageLimits, make_variants

def mib(field):
    return int(re.search(field + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024

limits = ImageLimits(max_pixels=10**9) if sys.argv[1] == "unbounded" else ImageLimits()
for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    name, data = path.name, path.read_bytes()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = mib("VmRSS")
    begun = time.process_time()
    try:
        made = make_variants(data, limits=limits)
        said = [None if v.data is None else v.data.hex()[:16] for v in (made.large, made.thumb)]
    except MediaError as exc:
        said = type(exc).__name__
    print(json.dumps([name, said, time.process_time() - begun, mib("VmHWM") - before]), flush=True)
"""
_HEADS = ("ffd8ff", "89504e47", "47494638", "52494646")  # JPEG, PNG, GIF, WebP


def _judged(limits: str, folder: Path) -> list[str]:
    """Return a description of each harmful result: over 2 s of CPU, over 300 MB, or neither variants nor a refusal."""
    for number, (name, data) in enumerate(image_factory.hostile()):
        (folder / f"{number:03} {name}").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, limits, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    harm = [] if done.returncode == 0 else [done.stderr[-500:]]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(image_factory.hostile()) or harm
    for name, said, seconds, grown_mib in told:
        if seconds > 2 or grown_mib > 300:
            harm.append(f"{name}: {seconds:.1f} s, {grown_mib:.0f} MiB")
        if not (said in ("NotAnImage", "TooLarge") or all(v is None or v.startswith(_HEADS) for v in said)):
            harm.append(f"{name}: {said}")
    return harm


@pytest.mark.timeout(300)
@pytest.mark.requirement("R12")
def test_no_picture_takes_more_than_2_s_or_300_mb(tmp_path: Path) -> None:
    assert _judged("bounded", tmp_path) == []


@pytest.mark.timeout(300)
@pytest.mark.requirement("R12")
def test_the_corpus_is_harmful_without_the_pixel_limit(tmp_path: Path) -> None:
    assert any("20000x20000" in line for line in _judged("unbounded", tmp_path))


@pytest.mark.requirement("R12")
async def test_html_and_svg_polyglots_are_never_shown_as_pages() -> None:
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        taken = 0
        for name, data in image_factory.polyglots().items():
            message = timim.Message(ImageElem(data=data))
            try:
                await alice.c2c("bob").send(message)
            except NotAnImage:
                assert message.status is timim.MessageStatus.FAILED, name
                continue
            taken += 1
            elem = (await watch.wait_for_messages(taken))[-1][0]
            assert isinstance(elem, ImageElem)
            assert await elem.images[ImageType.ORIGINAL].read() == data
            thumb = await elem.images[ImageType.THUMB].read()
            assert b"<script" not in thumb
            assert b"onload" not in thumb
            assert re.fullmatch(r"[0-9a-f]{32}", elem.uuid)
        assert 0 < taken < len(image_factory.polyglots())


LIMITS: dict[str, tuple[int, Callable[[Path], Any]]] = {
    "image": (28 * MIB, lambda path: ImageElem(path=path)),
    "sound": (28 * MIB, lambda path: SoundElem(path=path, duration=1)),
    "file": (100 * MIB, lambda path: FileElem(path=path)),
    "video": (100 * MIB, lambda path: VideoElem(path=path, duration=1)),
}


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.requirement("R12")
async def test_oversized_content_is_refused_before_it_is_read(kind: str, tmp_path: Path) -> None:
    limit, elem_of = LIMITS[kind]
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(limit + 1)  # a sparse file: reading it would take memory but no disk
    before = psutil.Process().memory_info().rss
    folder = tmp_path / "server"
    async with running_server(data_dir=folder) as server, server.client("alice") as alice:
        message = timim.Message(elem_of(path))
        with pytest.raises(TooLarge, match=str(limit)) as caught:
            await alice.c2c("alice2").send(message)
        assert caught.value.code == 7005
        assert message.status is timim.MessageStatus.FAILED
        assert not [p for p in (folder / "media").rglob("*") if p.is_file()]
    assert psutil.Process().memory_info().rss - before < 60 * MIB


@pytest.mark.timeout(240)
def test_the_corpus_is_the_same_each_time() -> None:
    assert image_factory.hostile() == image_factory.make_hostile()
    first = list(image_factory.damaged(7, 20))
    assert first == list(image_factory.damaged(7, 20))
    assert first != list(image_factory.damaged(8, 20))
