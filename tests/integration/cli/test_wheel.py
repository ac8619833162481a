"""Tests of the wheel: its size, its contents, and `timim demo`, which makes its own media."""

from __future__ import annotations

import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.cli.test_cli import LIMIT_S, environment
from tests.support.paths import ROOT
from timim.cli.demo import run_demo
from timim.cli.demo_media import make_media

SIZE_LIMIT_BYTES = 1_030_000  # docs/adr/0060-light-client.md
FILE_LIMIT_BYTES = 20_000  # of one file, compressed: there is no media in the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=LIMIT_S)
    (made,) = folder.glob("timim-*.whl")
    return made


def test_the_wheel_is_small_and_has_only_code(wheel: Path) -> None:
    assert wheel.stat().st_size <= SIZE_LIMIT_BYTES
    with zipfile.ZipFile(wheel) as archive:
        files = [file for file in archive.infolist() if ".dist-info/" not in file.filename]
    names = {file.filename for file in files}
    assert "timim/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"timim"}
    assert {Path(name).suffix for name in names} == {".py", ".sql", ".typed"}
    assert [file.filename for file in files if file.compress_size > FILE_LIMIT_BYTES] == []


def test_the_unpacked_wheel_runs_and_makes_the_media(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = "import timim.cli.demo_media as m, pathlib; print(m.__file__); m.make_media(pathlib.Path())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path / "installed")),
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.stdout.strip() == str(tmp_path / "installed" / "timim" / "cli" / "demo_media.py")
    assert len(list(tmp_path.glob("*.jpg"))) == 2


def test_the_media_are_real_pictures_and_sounds(tmp_path: Path) -> None:
    media = make_media(tmp_path)
    for path, kind in ((media.photo, "JPEG"), (media.drawing, "PNG"), (media.film_frame, "JPEG")):
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == kind
            assert len(picture.convert("L").getcolors() or []) > 20  # it shows something
    for path in (media.sound, media.report):
        with wave.open(str(path)) as sound:
            assert sound.getnframes() / sound.getframerate() == media.sound_s
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_000_000


async def test_the_demo_ends_well(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    await run_demo(tmp_path / "pictures")
    assert "delivered once as seq" in capfd.readouterr().out
