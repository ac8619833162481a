"""Draw docs/images/terminal.svg: run the commands of the README against a real server and record their output.

    .venv/bin/python tools/terminal_svg.py

Port 8700 must be free. Message ids, the app id and the times differ from run to run; everything else is the same.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "docs" / "images" / "terminal.svg"
PICTURE = ROOT / "examples" / "media" / "rocket.jpg"
COLUMNS = 84
START_LIMIT_S = 20

# colours that are readable on light and dark pages
COLOURS = [(240, 113, 120), (126, 201, 124), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194)]
DARK, GREY, LIGHT, WHITE = (24, 27, 33), (120, 128, 142), (214, 219, 227), (255, 255, 255)
THEME = TerminalTheme(DARK, LIGHT, [DARK, *COLOURS, LIGHT], [GREY, *COLOURS, WHITE])
# rich's own frame loads its font from the network; this frame uses the reader's fonts
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
    <style>
    .{unique_id}-matrix {{
        font-family: "DejaVu Sans Mono", Menlo, Consolas, "Noto Sans Mono CJK SC", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
        font-variant-east-asian: full-width;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


class Recorder:
    """A recorded terminal session in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMIM_") and name != "NO_COLOR"}
        terminal = {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        self._environment = clean | terminal | {"HOME": str(folder / "home"), "XDG_DATA_HOME": str(folder / "home")}
        self._console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")

    def comment(self, text: str) -> None:
        """Write a comment line."""
        self._console.print(Text(text, style="bright_black"))

    def run(self, command: str) -> None:
        """Run a command to its end and record it."""
        done = subprocess.run(
            self._argv(command),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            sys.exit(f"{command!r} failed with {done.returncode}: {done.stderr}")
        self._record(command, done.stdout)

    @contextmanager
    def background(self, command: str, ready: str) -> Iterator[Path]:
        """Start a command, wait until it prints `ready`, and interrupt it at the end. Yield the file of its output."""
        output = self._folder / f"{command.split()[1]}.out"
        with output.open("w") as file:
            process = subprocess.Popen(self._argv(command), cwd=self._folder, env=self._environment, stdout=file, stderr=file)
        try:
            wait_for(output, ready)
            yield output
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=START_LIMIT_S)

    def show(self, command: str, output: Path) -> None:
        """Record a background command with the output that it has now."""
        self._record(command, output.read_text())

    def save(self, path: Path, title: str) -> None:
        """Write the session as an SVG file."""
        path.parent.mkdir(exist_ok=True)
        svg = self._console.export_svg(title=title, theme=THEME, code_format=FRAME, unique_id="timim")
        path.write_text("".join(line.rstrip() + "\n" for line in svg.splitlines()))

    def _argv(self, command: str) -> list[str]:
        program, *arguments = shlex.split(command)
        assert program == "timim"
        return [sys.executable, "-m", "timim.cli", *arguments]

    def _record(self, command: str, output: str) -> None:
        self._console.print(Text.assemble(("$ ", "bright_blue"), (command, "bright_white")))
        if output.strip():
            self._console.print(Text.from_ansi(output.rstrip()), soft_wrap=True)
        self._console.print()


def wait_for(output: Path, words: str) -> None:
    """Wait until a file contains `words`."""
    end = time.monotonic() + START_LIMIT_S
    while words not in output.read_text():
        if time.monotonic() > end:
            sys.exit(f"{words!r} did not appear in {output.read_text()!r}")
        time.sleep(0.05)


def main() -> None:
    """Record the session and write the SVG."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(PICTURE, folder / "rocket.jpg")
        session = Recorder(folder)
        serve, tail = "timim serve", "timim tail --as bob"
        with session.background(serve, "timim send") as server, session.background(tail, "online") as received:
            session.comment("# terminal 1")
            session.show(serve, server)
            session.comment("# terminal 2")
            session.run('timim send bob "hello, 世界" --as alice')
            session.run("timim send bob --image rocket.jpg --as alice")
            session.run("timim history bob --as alice")
            session.run("timim get alice --as bob --to downloads")
            wait_for(received, "[图片]")
            session.comment("# terminal 3")
            session.show(tail, received)
        session.save(IMAGE, "timim")
    print(f"{IMAGE.relative_to(ROOT)}: {IMAGE.stat().st_size} bytes")


main()
