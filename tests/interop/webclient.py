"""Tencent's web client in a Node process, controlled by lines of JSON; `web/judge.mjs` describes them."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.gateways import next_gateway
from timim import sign_user
from timim.testing import RunningServer

WEB = Path(__file__).parent / "web"
WAIT_S = 20


def the(message_id: str) -> dict[str, str]:
    """Return an argument that stands for a message which the web client has."""
    return {"$message": message_id}


class WebError(Exception):
    """An error of the web client, with its own code."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('message')} ({error.get('code')})")
        self.code = error.get("code")


class WebClient:
    """A running web client. `events` contains all events that it has reported, in order."""

    def __init__(self, process: asyncio.subprocess.Process, server: RunningServer, user: str) -> None:
        self.user = user
        self.events: list[dict[str, Any]] = []
        self._server = server
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._more = asyncio.Condition()

    async def do(self, what: str, **options: object) -> Any:
        """Call a function of the web client and return its result. Raises WebError if the client refuses."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": number, "do": what, **options}).encode() + b"\n")
        async with asyncio.timeout(WAIT_S):
            said = await answer
        if "error" in said:
            raise WebError(said["error"])
        return said["ok"]

    async def call(self, method: str, *args: object) -> Any:
        """Call a documented method of the web client, and return its data. `the(ID)` in the arguments is a message."""
        return (await self.do("call", method=method, args=args))["result"]

    async def told(self, event: str, holds: Callable[[Any], bool] = lambda data: True) -> Any:
        """Wait for an event of the web client whose data match, and return the data of the first one."""

        def found() -> list[Any]:
            return [one["data"] for one in self.events if one["event"] == event and holds(one["data"])]

        await self.until(lambda: bool(found()))
        return found()[0]

    async def login(self, *, signature: str | None = None) -> None:
        """Log in, and wait until the client reports that it is ready."""
        signature = signature or sign_user(self._server.app_id, self._server.secret_key, self.user)
        await self.do("login", userID=self.user, userSig=signature)
        await self.until(lambda: any(e["event"] == "sdkStateReady" for e in self.events))

    async def send(self, kind: str, to: str, payload: dict[str, object], *, group: bool = False) -> dict[str, Any]:
        """Send one message and return it as the client shows it afterwards."""
        where = "GROUP" if group else "C2C"
        sent: dict[str, Any] = await self.do("send", kind=kind, to=to, conversationType=where, payload=payload)
        return sent

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition on the reported events is true."""
        async with asyncio.timeout(WAIT_S), self._more:
            await self._more.wait_for(holds)

    async def received(self, count: int, *, where: str = "") -> list[dict[str, Any]]:
        """Wait for `count` received messages of one conversation, or of all, and return the received messages."""

        def messages() -> list[dict[str, Any]]:
            all = [m for e in self.events if e["event"] == "onMessageReceived" for m in e["data"]]
            return [m for m in all if not where or m["conversationID"] == where]

        await self.until(lambda: len(messages()) >= count)
        return messages()

    async def read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            else:
                async with self._more:
                    self.events.append(said)
                    self._more.notify_all()


@asynccontextmanager
async def web_client(server: RunningServer, user: str, *, url: str = "", plugins: bool = True) -> AsyncIterator[WebClient]:
    """Create a web client for the next gateway of this server (through another endpoint at `url`), not logged in.

    Without `plugins` it has no upload plugin.
    """
    node = shutil.which("node")
    assert node is not None, "the interoperability tests need Node"
    process = await asyncio.create_subprocess_exec(
        *(node, "judge.mjs", str(server.app_id), url or next_gateway(server), *(() if plugins else ("without-plugins",))),
        cwd=WEB,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 24,
    )
    client = WebClient(process, server, user)
    reading = asyncio.create_task(client.read())
    try:
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
