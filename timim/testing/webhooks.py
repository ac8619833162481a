"""A back end for tests: a real HTTP server that verifies the callbacks of a test server, and records them as typed events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

from timim import RequestTimeout

from ..util.arguments import Seconds
from ..webhooks import WebhookAnswer, WebhookEvent, parse, verify

TOKEN = "a token for tests only"  # noqa: S105


class WebhookRecorder:
    """The callbacks that a test server has made.

    Attributes:
        url: URL of the back end.
        events: All events, in the order of their arrival. A repetition is an event of its own.
        answer: Function that returns the answer to an event; by default each event is accepted.
    """

    def __init__(self) -> None:
        self.url: str = ""
        self.events: list[WebhookEvent] = []
        self.answer: Callable[[WebhookEvent], WebhookAnswer] = lambda event: WebhookAnswer()
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def expect(
        self, command: str, predicate: Callable[[WebhookEvent], bool] = lambda event: True, *, timeout: Seconds = 10.0
    ) -> AsyncIterator[asyncio.Future[WebhookEvent]]:
        """Run a block with a future of the next event of a command that satisfies `predicate`.

        `async with server.webhooks.expect("Group.CallbackAfterCreateGroup") as got: …`, then `await got`. Events and the time
        count from the begin of the block. An error in the block cancels the future.

        Args:
            command: The callback.
            predicate: Returns True for the event to wait for.
            timeout: Seconds to wait.

        Raises:
            RequestTimeout: By the future, after `timeout` seconds without such an event.
        """
        waiting = asyncio.ensure_future(self._wait(command, predicate, len(self.events), timeout))
        try:
            yield waiting
        except BaseException:
            waiting.cancel()
            raise

    async def _wait(self, command: str, predicate: Callable[[WebhookEvent], bool], begun: int, timeout: float) -> WebhookEvent:
        def found() -> WebhookEvent | None:
            return next((one for one in self.events[begun:] if one.command == command and predicate(one)), None)

        try:
            async with asyncio.timeout(timeout), self._news:
                await self._news.wait_for(lambda: found() is not None)
        except TimeoutError as exc:
            told = ", ".join(event.command for event in self.events[begun:]) or "none"
            raise RequestTimeout(f"no callback {command} within {timeout} s; there were: {told}") from exc
        event = found()
        assert event is not None
        return event

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                headers: dict[str, str] = {}
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                query = dict(parse_qsl(urlsplit(line.decode().split()[1]).query, keep_blank_values=True))
                verify(query, body, headers, token=TOKEN)
                event = parse(query, body)
                async with self._news:
                    self.events.append(event)
                    self._news.notify_all()
                answer = self.answer(event).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the server closed the connection
        finally:
            writer.close()


@asynccontextmanager
async def webhook_recorder() -> AsyncIterator[WebhookRecorder]:
    """Run a back end on a free port of loopback."""
    recorder = WebhookRecorder()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(recorder._serve(reader, writer), name="timim test back end")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield recorder
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
