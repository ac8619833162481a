"""Outgoing messages. A message is on disk as SENDING before its first byte leaves.

One ordered lane a conversation: what was given first goes first, also after a cut, when everything unanswered goes out
again under its own msg_id and the server gives each the seq it already has.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import islice
from typing import Any

from ..elems import Progress, TextElem
from ..errors import AlreadySent, AuthError, InvalidArgument, InvalidElem, NetworkError, NotLoggedIn, TimimError
from ..ids import ConversationKey, ConversationType, MsgId
from ..message import Message, MessageStatus, OfflinePush
from ..protocol import messages as wire
from ..protocol.codec import decode_reply
from ..protocol.elems import encode_body
from ..protocol.frames import Frame
from ..storage import Ack, AckResult, LocalStore
from ..transport.connection import Connection
from ..transport.websocket import Link
from .attachments import Attachments, has_content
from .inbox import Inbox
from .lane import Item, Lane
from .send_requests import ack_of, to_group, to_user

log = logging.getLogger("timim")

IN_FLIGHT = 64  # of one lane; the rest waits in order
IN_FLIGHT_IN_ALL = 1024  # a link has room for 4096 requests, and others need it too
CUTS_LIMIT = 5  # uploads cut in a row while the link itself is up: the media door is not reachable
RETRY_S = 0.2  # between tries while the link is being found lost


class Outbox:
    """`content` keeps and uploads what a message holds besides its JSON; `inbox` hears of each seq that one got."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        *,
        user_id: str,
        content: Attachments,
        inbox: Inbox,
        spoken: Callable[[Message], None],
        timeout_s: float,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._connection = connection
        self._user_id = user_id
        self._content = content
        self._inbox = inbox
        self._spoken = spoken
        self._timeout_s = timeout_s
        self._random = rng
        self._lanes: dict[ConversationKey, Lane] = {}
        self._settling: set[asyncio.Task[None]] = set()  # what follows an answer, and waits for the disk
        self._unsettled = 0  # acks that are not on disk yet
        self._settled_all = asyncio.Event()
        self._settled_all.set()
        self._flying = 0
        self._starved: set[ConversationKey] = set()

    @property
    def sending(self) -> int:
        """How many messages wait for their ack."""
        return sum(len(lane.items) for lane in self._lanes.values())

    async def send(
        self, key: ConversationKey, message: Message, *, progress: Progress | None, push: OfflinePush | None
    ) -> Message:
        """Store, queue, and wait for the ack. Cancelling stops the waiting: the message still goes out, once.

        Only while bytes that it was given are being put on disk, cancelling takes it back.
        """
        self._claim(key, message)
        item = self._queue(key, message, progress, push)  # its place is taken now, whatever the disk does meanwhile
        try:
            uploads = has_content(message.elems)
            if uploads:
                await self._content.persist(message)
            kept = encode_body(message.elems, local=True)
        except BaseException:
            await asyncio.shield(self._give_up(key, item))
            raise
        if not uploads:
            item.body = kept  # what is on disk is what goes out
        self._store.add_outgoing(message, kept, partial(self._on_disk, key, item))
        return await item.done

    def _on_disk(self, key: ConversationKey, item: Item, local_id: int | Exception) -> None:
        """Its row is written, whether or not its sender still waits."""
        if isinstance(local_id, Exception):
            self._own(self._give_up(key, item, local_id))
            return
        item.message.local_id = local_id
        item.stored = True
        self._spoken(item.message)
        if key in self._lanes:  # else logged out meanwhile: it goes out after the next login
            self._lanes[key].wake.set()

    async def _give_up(self, key: ConversationKey, item: Item, error: BaseException | None = None) -> None:
        """It has no row: it is as if it had never been sent."""
        item.message.status = MessageStatus.FAILED
        if error is None:
            item.done.cancel()  # its sender hears of it otherwise
        self._lanes.get(key, Lane()).finish(item, error)
        await self._content.release(item.message)

    async def resume(self) -> None:
        """After a login: send what waits, and queue again what an earlier run of this program left unsettled, in order."""
        left = await self._store.outgoing()
        queued = {item.message.msg_id for lane in self._lanes.values() for item in lane.items}
        for message in left:
            if message.msg_id not in queued and message.conversation is not None:
                item = self._queue(message.conversation, message, None, None)
                item.stored = True
                item.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        for lane in self._lanes.values():
            lane.wake.set()  # what was sent before the login waits for it

    async def resolve(self, fetch: Callable[[ConversationKey, int], Awaitable[None]]) -> None:
        """After a login: what an earlier run left unsettled is not sent. What the server has is fetched, the rest FAILED.

        Raises NotLoggedIn, AuthError when the login ends meanwhile: the next one goes on.
        """
        queued = {item.message.msg_id for lane in self._lanes.values() for item in lane.items}
        for message in await self._store.outgoing():
            if message.msg_id in queued or message.conversation is None:
                continue
            while True:
                await self._connection.up()
                try:
                    if seq := await self._where(message.conversation, message):
                        await fetch(message.conversation, seq)
                    else:
                        await self._store.fail(message, NotLoggedIn.code, "not sent before the program ended")
                    await self._content.release(message)
                    break
                except NetworkError as exc:
                    log.info("what became of %s is asked once more: %s", message.msg_id, exc)
                    await asyncio.sleep(RETRY_S)
        for lane in self._lanes.values():
            lane.wake.set()

    async def _where(self, key: ConversationKey, message: Message) -> int:
        """The seq that the server gave this message; 0 for none. It then has nothing of it on its way either."""
        if key.type is ConversationType.GROUP:
            group = to_group(message, key.peer, b"[]", None, account=self._user_id)
            group.ask = 1
            return (await self._connection.call(wire.SEND_GROUP, group)).timeline_seq
        c2c = to_user(message, key.peer, b"[]", None, account=self._user_id)
        c2c.ask = 1
        return (await self._connection.call(wire.SEND_C2C, c2c)).timeline_seq

    async def send_online(self, key: ConversationKey, message: Message) -> Message:
        """Send without storing anywhere: no row, no seq. Raises when there is no connection now."""
        self._claim(key, message)
        given = message.elems
        try:
            await self._content.upload(message, None)
            link = self._connection.link()
            body = to_user(message, key.peer, encode_body(message.elems), None, account=self._user_id)
            body.msg_life_time = 0
            reply = await link.call(wire.SEND_C2C, body, timeout_s=self._timeout_s)
        except BaseException:
            message.status = MessageStatus.FAILED
            if message.elems is given:
                await asyncio.shield(self._content.discard(message))
            raise
        message.timestamp, message.status = reply.msg_time, MessageStatus.SUCCEEDED
        return message

    async def close(self) -> None:
        """Stop sending; what is unsettled stays on disk as SENDING and goes out after the next login."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._settling or self._unsettled:
            self._store.flush()
            await self._settled_all.wait()
            if self._settling:
                await asyncio.wait(self._settling)  # which, cancelled, cancels none of them
        for lane in self._lanes.values():
            for item in lane.items:
                if not item.done.done():
                    item.done.set_exception(NotLoggedIn("logged out; the message goes out after the next login"))
                    item.done.exception()  # nobody may be waiting
        self._lanes.clear()

    def _claim(self, key: ConversationKey, message: Message) -> None:
        """Freeze the message and give it its msg_id. Raises AlreadySent, InvalidArgument."""
        if message.status is not None:
            raise AlreadySent("this message was sent before: make a new Message")
        if all(isinstance(elem, TextElem) and not elem.text for elem in message):
            raise InvalidArgument("the message is empty: add text or another elem", code=6017)
        message.check()
        now = self._connection.server_time()
        message.conversation = key
        message.status = MessageStatus.SENDING
        message.timestamp = int(now)
        message.sender = self._user_id
        message.msg_id = str(MsgId(int(now), self._random.randrange(1, 1 << 32)))

    def _queue(self, key: ConversationKey, message: Message, progress: Progress | None, push: OfflinePush | None) -> Item:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane()
        item = Item(message, asyncio.get_running_loop().create_future(), progress, push)
        lane.items.append(item)
        lane.wake.set()
        if lane.task is None or lane.task.done():
            lane.task = asyncio.create_task(self._run(key, lane), name=f"timim outbox {key}")
        return item

    async def _run(self, key: ConversationKey, lane: Lane) -> None:
        """Keep the first IN_FLIGHT items of the lane on their way, until it is empty."""
        while lane.items:
            try:
                link = await self._connection.up()
            except (NotLoggedIn, AuthError):
                await lane.wait()  # logged out meanwhile: close() ends this task
                continue
            ahead = list(islice(lane.items, IN_FLIGHT))
            last_out = max((i for i, item in enumerate(ahead) if item.link is link), default=-1)
            for i, item in enumerate(ahead):
                if item.link is link:
                    continue
                if not item.stored:
                    break  # its row is not on disk yet, and nothing overtakes it
                if self._flying >= IN_FLIGHT_IN_ALL:
                    self._starved.add(key)
                    break
                if i < last_out:
                    break  # timed out while later ones are on their way: wait for them, so that order is kept
                if not await self._start(key, lane, item, link):
                    break
            await lane.wait()

    async def _start(self, key: ConversationKey, lane: Lane, item: Item, link: Link) -> bool:
        """Put an item on its way; False when the link is gone."""
        message = item.message
        uploading = not item.body
        try:
            if uploading:
                given = message.elems
                await self._content.upload(message, item.moving)
                item.given = given if message.elems is not given and not item.again else ()
                item.body = encode_body(message.elems)
                uploading = False
            answered = partial(self._answered, key, lane, item, link)
            match key.type:
                case ConversationType.GROUP:
                    group = to_group(message, key.peer, item.body, item.push, account=self._user_id)
                    link.start(wire.SEND_GROUP, group, answered, timeout_s=self._timeout_s)
                case _:
                    c2c = to_user(message, key.peer, item.body, item.push, account=self._user_id)
                    link.start(wire.SEND_C2C, c2c, answered, timeout_s=self._timeout_s)
        except NetworkError as exc:
            log.info("sending to %s was cut: %s", key, exc)
            if uploading:  # a link that ended says nothing of the message: it goes out by the next
                item.cut()
            if item.cuts >= CUTS_LIMIT and self._connection.online:
                await self._refused(lane, item, exc)
                return True
            asyncio.get_running_loop().call_later(RETRY_S, lane.wake.set)
            return False
        except TimimError as exc:
            await self._refused(lane, item, exc)
            return True
        except Exception as exc:  # a fault of ours or of a progress callback: this message fails, the lane goes on
            log.exception("sending to %s failed", key)
            failed = InvalidArgument(f"sending failed: {exc!r}")
            failed.__cause__ = exc
            await self._refused(lane, item, failed)
            return True
        item.link = link
        self._flying += 1
        return True

    def _answered(self, key: ConversationKey, lane: Lane, item: Item, link: Link, outcome: Frame | TimimError) -> None:
        self._flying -= 1
        for starved in self._starved:
            if starved in self._lanes:
                self._lanes[starved].wake.set()
        self._starved.clear()
        if item.link is not link:
            return
        kind: type[wire.SendGroupReply | wire.SendC2CReply] = wire.SendC2CReply
        if key.type is ConversationType.GROUP:
            kind = wire.SendGroupReply
        try:
            if isinstance(outcome, TimimError):
                raise outcome
            reply: wire.SendGroupReply | wire.SendC2CReply = decode_reply(kind, outcome.body)
        except NetworkError:
            item.link = None  # not answered: it goes out again under its own msg_id
            lane.wake.set()
            return
        except InvalidElem as exc:
            if item.given:  # content that waited too long to be named is collected: it is uploaded once more
                item.upload_again()
                lane.wake.set()
                return
            self._own(self._refused(lane, item, exc))
            return
        except TimimError as exc:
            self._own(self._refused(lane, item, exc))
            return
        self._accept(lane, item, ack_of(key, item.message, item.body, reply))

    def _accept(self, lane: Lane, item: Item, ack: Ack) -> None:
        """The server has it: its sender hears at once. A crash before the row says so only means one more resend."""
        message = item.message
        message.seq, message.timestamp = ack.seq, ack.timestamp
        message.sender_profile, message.sender_member = ack.profile, ack.member
        if message.status is MessageStatus.SENDING:
            message.status = MessageStatus.SUCCEEDED
        self._inbox.acked(ack.key, ack.seq)
        self._unsettled += 1
        self._settled_all.clear()
        self._store.settle(ack, partial(self._settled, message, ack))
        lane.finish(item, None)

    def _settled(self, message: Message, ack: Ack, settled: AckResult | Exception) -> None:
        self._unsettled -= 1
        if not self._unsettled:
            self._settled_all.set()
        if isinstance(settled, Exception):
            log.error("an ack is not on disk, its message is sent once more at the next start: %s", settled)
            return
        if settled.status is not None:
            message.local_id, message.status = settled.local_id, settled.status
        self._inbox.numbered(ack.key, ack.seq, settled.head)
        if self._content.is_persisted(message):
            self._own(self._content.release(message))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="timim outbox settling")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _refused(self, lane: Lane, item: Item, exc: TimimError) -> None:
        try:
            await self._store.fail(item.message, exc.code, exc.info)
        except TimimError as second:
            exc.__context__ = second
        await self._content.release(item.message)
        lane.finish(item, exc)
