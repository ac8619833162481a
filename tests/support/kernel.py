"""A Jupyter kernel of its own process, whose cells a test runs one after the other."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from tests.support.paths import ROOT

LIMIT_S = 30
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Output:
    """The output of one cell. `updates` are the contents of outputs that were shown again."""

    text: str = ""
    data: list[dict[str, str]] = field(default_factory=list)
    updates: list[dict[str, str]] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)


class Kernel:
    """A running kernel."""

    def __init__(self, manager: AsyncKernelManager) -> None:
        self._manager = manager
        self._client: Any = manager.client()

    async def start(self) -> None:
        self._client.start_channels()
        await self._client.wait_for_ready(timeout=LIMIT_S)

    async def run(self, code: str, *, interrupt_at: str | None = None) -> Output:
        """Run a cell to its end; if `interrupt_at`, interrupt the cell when it has printed this text."""
        output = Output()
        name = self._client.execute(code)
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = await self._client.get_iopub_msg()
                content: Any = message["content"]
                if message["msg_type"] == "update_display_data":
                    output.updates.append(content["data"])
                if message["parent_header"].get("msg_id") != name:
                    continue  # of another cell
                match message["msg_type"]:
                    case "stream":
                        output.text += content["text"]
                    case "execute_result" | "display_data":
                        output.data.append(content["data"])
                    case "error":
                        output.traceback = COLOUR.sub("", "\n".join(content["traceback"])).splitlines()
                    case "status" if content["execution_state"] == "idle":
                        return output
                    case _:
                        pass
                if interrupt_at is not None and interrupt_at in output.text:
                    interrupt_at = None
                    await self._manager.interrupt_kernel()

    async def next_update(self) -> dict[str, str]:
        """Wait until an earlier output is shown again, and return its content."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = await self._client.get_iopub_msg()
                if message["msg_type"] == "update_display_data":
                    data: dict[str, str] = message["content"]["data"]
                    return data

    async def restart(self) -> None:
        """Restart the kernel, as the button of a notebook does: the process is killed at once."""
        await self._manager.restart_kernel(now=True)
        await self._client.wait_for_ready(timeout=LIMIT_S)

    async def stop(self) -> None:
        self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)


@asynccontextmanager
async def running_kernel() -> AsyncIterator[Kernel]:
    """Start a kernel, and stop it at the end of the block."""
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(env=os.environ | {"PYTHONPATH": str(ROOT)})
    kernel = Kernel(manager)
    try:
        await kernel.start()
        yield kernel
    finally:
        await kernel.stop()
