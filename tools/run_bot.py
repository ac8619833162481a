"""Run a bot of examples/ until it is online, and stop it as a supervisor does: `python tools/run_bot.py examples/echo_bot.py`.

The exit code is that of the bot.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from timim.testing import running_server

ONLINE = b"bot is online at "


async def main(bot: Path) -> int:
    """Start a server and the bot in an empty folder; end the bot by SIGTERM when it is online, and return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "timim-data"
        data.mkdir()
        async with running_server() as server:
            (data / "app.json").write_text(json.dumps({"app_id": server.app_id, "secret_key": server.secret_key}))
            (data / "address.json").write_text(json.dumps({"url": server.url}))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(bot)),
                cwd=folder,
                env=os.environ | {"XDG_DATA_HOME": str(Path(folder) / "share")},
                stderr=asyncio.subprocess.PIPE,
            )
            assert process.stderr is not None
            while line := await process.stderr.readline():
                sys.stderr.write(line.decode())
                if ONLINE in line:
                    process.terminate()
            return await process.wait()


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(Path(sys.argv[1]).resolve())))
