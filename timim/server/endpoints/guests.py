"""Guests of live rooms (AVChatRooms): connections without a login that read a room's messages, as Tencent's web client does.

Joining a room stores nothing: a guest has a key, with which it asks for messages, on any node. A request waits until there are
some. One feed for each room reads the store for all guests of this node, so a guest costs memory and no reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...errors import LimitReached, ProtocolError, RateLimited, TimimError, UnknownGroup
from ...protocol import live_rooms as wire
from ...protocol.codec import Reply, decode, encode
from ...protocol.frames import Frame, Head, encode_frame
from ...protocol.pacing import RATE_CODE
from ..handlers.live_rooms import guest_messages
from ..handlers.registry import Services, error_reply
from ..messaging.rate_limiter import TokenBuckets
from ..sessions.session import STOPPING
from ..store.base import ACTION, group_timeline
from .peer_protocols import RESTART

COMMANDS = (wire.JOIN_AS_GUEST.name, wire.READ_AS_GUEST.name)
ROOMS_LIMIT = 5  # in which one guest waits; the web client stays in all rooms that it joined without a login
HOLD_LIMIT_S = 10.0  # the web client gives a request up after 15 s
IDLE_LIMIT_S = 30.0  # a guest asks again at most 2.3 s after each reply
REQUESTS_PER_S, REQUESTS_BURST = 10.0, 40.0  # the web client makes 3 a second in each room with many messages
READ_EVERY_S = 0.5
FEED_IDLE_S = 3.0  # a feed ends when no guest has asked for so long
WINDOW = 100  # newest entries that a guest can get
PAGE_LIMIT_BYTES = 32 * 1024  # half of stranger_waiting_bytes


class RoomFeed:
    """The newest messages of a live room, read from the store while guests ask for them."""

    def __init__(self, services: Services, group_id: str) -> None:
        self._services = services
        self._group_id = group_id
        self._messages: list[tuple[int, msgspec.Raw]] = []  # by seq
        self._news = asyncio.Event()
        self._waiting = 0
        self._asked_at = asyncio.get_running_loop().time()
        self.next_seq = 1
        self.ended: TimimError | None = None

    async def refresh(self) -> None:
        """Read the new entries; after an action, such as a recall, all of the window.

        Raises:
            UnknownGroup: There is no such live room.
            StorageError: The store did not respond.
        """
        await require_live_room(self._services, self._group_id)
        timelines, name = self._services.store.timelines, group_timeline(self._group_id)
        page = await timelines.page(name, self.next_seq, 1 << 62, WINDOW)
        if page.last_seq < self.next_seq:
            return
        known = self._messages
        if any(entry.kind == ACTION for entry in page.entries):
            page, known = await timelines.page(name, page.last_seq - WINDOW + 1, 1 << 62, WINDOW), []
        added = guest_messages(self._services, page.entries)
        oldest = page.last_seq - WINDOW
        self._messages = [message for message in (*known, *added) if message[0] > oldest]
        self.next_seq = page.last_seq + 1
        self._news.set()
        self._news = asyncio.Event()

    async def after(self, start: int, limit_s: float) -> tuple[list[msgspec.Raw], int]:
        """Wait for messages from the seq `start` on; return some of them, or none, and the seq after them.

        Raises:
            UnknownGroup: The room was dissolved.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        self._waiting += 1
        try:
            while self.ended is None:
                if found := [message for message in self._messages if message[0] >= start]:
                    return _first_page(found, self.next_seq)
                start = max(start, self.next_seq)
                async with asyncio.timeout_at(end):
                    await self._news.wait()
            raise self.ended
        except TimeoutError:
            return [], self.next_seq
        finally:
            self._waiting -= 1
            self.touch()

    def touch(self) -> None:
        """Note that a guest asks, so that the feed continues."""
        self._asked_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Read the room until no guest asks any more, or until the room ends."""
        loop = asyncio.get_running_loop()
        while self._waiting or loop.time() < self._asked_at + FEED_IDLE_S:
            await asyncio.sleep(READ_EVERY_S)
            try:
                await self.refresh()
            except UnknownGroup as exc:
                self.ended = exc
                break
            except TimimError:  # the store; its failures are logged there, and the next read may succeed
                continue
        self._news.set()


async def require_live_room(services: Services, group_id: str) -> None:
    """Check that a group is a live room; other groups are unknown to guests. Raises UnknownGroup, StorageError."""
    if (await services.entities.group(group_id)).type != "AVChatRoom":
        raise UnknownGroup(f"there is no group {group_id[:60]!r}")


def _first_page(found: Sequence[tuple[int, msgspec.Raw]], next_seq: int) -> tuple[list[msgspec.Raw], int]:
    """Return the first of these messages that fit into one reply, and the seq from which the next page begins."""
    size = 0
    for count, (seq, raw) in enumerate(found):
        size += len(bytes(raw))
        if size > PAGE_LIMIT_BYTES and count:
            return [one for _, one in found[:count]], seq
    return [one for _, one in found], next_seq


class Guests:
    """The guests on this node, and the feeds of their rooms."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._feeds: dict[str, RoomFeed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._inside: set[Guest] = set()
        self._closed = False

    @property
    def limit(self) -> int:
        """The number of guests that this node accepts."""
        return 0 if self._closed else self.services.settings.live_room_guests

    def enter(self, guest: Guest) -> None:
        """Count a guest. Raises LimitReached."""
        if guest not in self._inside and len(self._inside) >= self.limit:
            raise LimitReached(f"this server has {self.limit} guests (live_room_guests), its limit; log in, or try again later")
        self._inside.add(guest)

    def leave(self, guest: Guest) -> None:
        """Count a guest no more."""
        self._inside.discard(guest)

    async def feed(self, group_id: str) -> RoomFeed:
        """Return the feed of a live room. Raises UnknownGroup, StorageError."""
        if (feed := self._feeds.get(group_id)) is None:
            new = RoomFeed(self.services, group_id)
            await new.refresh()
            if (feed := self._feeds.get(group_id)) is None:  # no other guest came meanwhile
                feed = self._feeds[group_id] = new
                task = asyncio.create_task(self._run(feed, group_id), name=f"timim guests of {group_id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        feed.touch()
        return feed

    async def _run(self, feed: RoomFeed, group_id: str) -> None:
        try:
            await feed.run()
        finally:
            del self._feeds[group_id]

    async def close(self) -> None:
        """Close the connections of all guests, and end the feeds."""
        self._closed = True
        await asyncio.gather(*(guest.end() for guest in self._inside), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Guest:
    """A connection before its login, which is a guest from its first accepted request for a live room on.

    Attributes:
        active: True if the connection is a guest.
    """

    def __init__(self, guests: Guests, socket: WebSocket) -> None:
        self._guests = guests
        self._socket = socket
        self._waiting: set[str] = set()  # rooms with a request that waits
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = TokenBuckets(REQUESTS_PER_S, REQUESTS_BURST)
        self.active = False

    def serves(self, command: str) -> bool:
        """Return True for a command of guests, if this server accepts guests."""
        return self._guests.limit > 0 and command in COMMANDS

    def is_over_rate(self) -> bool:
        """Count a request of a guest, and return True if the guest makes too many."""
        now = asyncio.get_running_loop().time()
        left = self._tokens.left("", now)
        if left < 1.0:
            return True
        self._tokens.take("", left - 1.0, now)
        return False

    async def answer(self, frame: Frame) -> None:
        """Answer a command of guests, or begin to wait for its answer."""
        try:
            if frame.head.servcmd == wire.JOIN_AS_GUEST.name:
                await self._send(frame.head, await self._join(decode(wire.JoinAsGuestRequest, frame.body)))
            else:
                await self._start_reading(frame.head, decode(wire.ReadAsGuestRequest, frame.body))
        except TimimError as exc:
            await self._send(frame.head, error_reply(exc))

    async def _join(self, body: wire.JoinAsGuestRequest) -> wire.JoinAsGuestReply:
        services = self._guests.services
        await require_live_room(services, body.group_id)
        page = await services.store.timelines.page(group_timeline(body.group_id), 1 << 61, 1 << 62, 1)
        self._guests.enter(self)
        self.active = True
        return wire.JoinAsGuestReply(key=f"{page.last_seq + 1}:{body.group_id}")

    async def _start_reading(self, head: Head, body: wire.ReadAsGuestRequest) -> None:
        begin, mark, group_id = body.key.partition(":")
        if not mark or not begin.isdecimal() or len(begin) > 19:
            raise ProtocolError("Key must be the LongPollingKey of the reply to joining")
        if group_id in self._waiting:
            raise RateLimited("a request of this guest for this room waits already", code=RATE_CODE, retry_after=1.0)
        if len(self._waiting) >= ROOMS_LIMIT:
            raise LimitReached(f"a guest can wait for messages of {ROOMS_LIMIT} live rooms at once; log in to join more")
        feed = await self._guests.feed(group_id)
        self._guests.enter(self)
        self.active = True
        hold_s = min(max(float(body.hold_s), 0.0), HOLD_LIMIT_S)
        self._waiting.add(group_id)
        reading = self._read(head, feed, body, body.start_seq or int(begin), hold_s)
        task = asyncio.create_task(reading, name=f"timim guest in {group_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, head: Head, feed: RoomFeed, body: wire.ReadAsGuestRequest, start: int, hold_s: float) -> None:
        try:
            messages, next_seq = await feed.after(start, hold_s)
            reply: Reply = wire.ReadAsGuestReply(key=body.key, next_seq=next_seq, messages=messages)
        except TimimError as exc:
            reply = error_reply(exc)
        self._waiting.discard(body.key.partition(":")[2])  # before the reply, after which the guest may ask again
        await self._send(head, reply)

    async def _send(self, head: Head, reply: Reply) -> None:
        own = Head(head.servcmd, seq=head.seq, time=int(self._guests.services.now()))
        try:
            await self._socket.send_bytes(encode_frame(own, encode(reply)))
        except (WebSocketDisconnect, RuntimeError):
            pass  # the reader of the socket ends the connection

    async def end(self) -> None:
        """Close the connection, because the server stops."""
        await self._socket.close(RESTART, STOPPING)

    async def close(self) -> None:
        """Cancel the requests that wait, before a login or at the end of the connection."""
        self._guests.leave(self)
        self.active = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
